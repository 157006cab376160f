/// Names and bounds of the protocol (docs/formats/ca-protocol.md).
public enum ExchangeProtocol {
    public static let portDefault: UInt16 = 15012
    /// POST: a request in PEM, a chain in PEM back.
    static let certificatesPath = "/v1/certificates"
    /// GET: the roots of the trust domain in PEM.
    static let bundlePath = "/v1/bundle"
    /// GET: lists of revoked certificates in PEM.
    static let listsPath = "/v1/revocations"
    /// Istio's call (istio.io/api security/v1alpha1/ca.proto).
    static let istioPath = "/istio.v1.auth.IstioCertificateService/CreateCertificate"
    static let metricsPath = "/metrics"
    /// Seconds that a certificate shall be valid, of the query of `certificatesPath`.
    static let secondsParameter = "seconds"
    /// The server's clock, seconds since 1970: whoever does not believe its certificate learns why.
    static let timeField = "skein-time"
    /// RFC 8555 9.1.
    static let chainType = "application/pem-certificate-chain"
    static let bodyBytesMax = 128 << 10

    /// The host name that the server's certificate has, whatever its address. Workloads' certificates have none, so that no workload can
    /// pass for the authority.
    static func serverName(of trustDomain: String) -> String { "skein-ca.\(trustDomain)" }
}
