/// How connections to endpoints are secured (Istio: ClientTLSSettings). Names and paths are as written; empty = not given.
public struct ClientTLSSettings: Sendable {
    public enum Mode: String, Sendable, CaseIterable {
        /// Plaintext.
        case disable = "DISABLE"
        /// TLS; the client shows no certificate.
        case simple = "SIMPLE"
        /// TLS; the client shows `clientCertificate`.
        case mutual = "MUTUAL"
        /// TLS by the certificates that the mesh issues to workloads.
        case istioMutual = "ISTIO_MUTUAL"
    }

    public var position: SourcePosition
    public var mode: Mode
    public var serverName: String
    /// Names of which the server's certificate must have one, compared as a whole.
    public var subjectAltNames: [String]
    public var skipsVerification: Bool
    /// Path of the authorities; empty = the system's.
    public var caCertificates: String
    /// Path of a list of revoked certificates.
    public var caCrl: String
    public var clientCertificate: String
    public var privateKey: String
    /// A Kubernetes secret with keys and authorities, in their place.
    public var credentialName: String
}

extension ClientTLSSettings {
    init(reader: NodeReader) {
        func text(_ name: String) -> String { reader.string(name) ?? "" }
        self.init(
            position: reader.position, mode: reader.name("mode").flatMap(Mode.init(rawValue:)) ?? .disable, serverName: text("sni"),
            subjectAltNames: reader.strings("subjectAltNames"), skipsVerification: reader.bool("insecureSkipVerify") ?? false,
            caCertificates: text("caCertificates"), caCrl: text("caCrl"), clientCertificate: text("clientCertificate"),
            privateKey: text("privateKey"), credentialName: text("credentialName"))
    }
}
