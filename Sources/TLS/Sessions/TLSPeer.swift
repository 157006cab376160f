/// Who the other end has shown itself to be. A value.
public struct TLSPeer: Sendable {
    /// Nil = its certificate is not an SVID, or it was not asked to be one.
    public var identity: SPIFFEID?
    public var certificate: Certificate
    /// Seconds since 1970 when the first certificate of its chain is over; of a chain that nobody verified the leaf's.
    public var notAfter: Int64
    /// Above its certificate, the nearest first; of a chain that nobody verified none. At most `TrustStores.chainMax`.
    public var authorities: [CertificateNumber]

    public init(
        identity: SPIFFEID?, certificate: Certificate, notAfter: Int64? = nil, authorities: [CertificateNumber] = []
    ) {
        self.authorities = authorities
        self.notAfter = notAfter ?? certificate.notAfter
        self.identity = identity
        self.certificate = certificate
    }
}

/// Whom a client wants at the other end, besides what its trust demands.
public enum TLSExpectation: Sendable, Hashable {
    /// Whoever is trusted.
    case anybody
    /// The certificate is for this host name or address (RFC 6125; wildcards in the leftmost label).
    case host(String)
    /// One of its names is one of these: URIs, host names, as bytes.
    case names([String])
}
