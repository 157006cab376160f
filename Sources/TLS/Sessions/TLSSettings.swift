/// The certificates that one end shows, leaf first, and the leaf's key.
public struct TLSCredentials: Sendable {
    public let chain: [Certificate]
    public let key: PrivateKey

    /// The key must be the leaf's.
    public init(chain: [Certificate], key: PrivateKey) throws(TLSError) {
        guard let leaf = chain.first else { throw TLSError("no certificate") }
        guard key.matches(leaf) else { throw TLSError("the private key is not the one of the certificate \(leaf.subject)") }
        self.chain = chain
        self.key = key
    }

    /// From the contents of two files.
    public init(certificatePEM: [UInt8], keyPEM: [UInt8]) throws(TLSError) {
        try self.init(chain: Certificate.chain(pem: certificatePEM), key: PrivateKey(pem: keyPEM))
    }

    public var leaf: Certificate { chain[0] }
}

/// Whom an end believes.
public enum TLSTrust: Sendable {
    /// Anybody: the peer's certificate is not looked at.
    case anybody
    /// Certificates under these roots.
    case roots([Certificate])
    /// Certificates under the system's roots.
    case system
    /// SVIDs under the roots of their own trust domain (semantics 4.1).
    case workloads([String: [Certificate]])
}

/// Whose certificates revocation lists decide on.
public enum RevocationScope: Sendable {
    /// Every authority of a chain needs a current list: without one a certificate is refused.
    case everyAuthority
    /// Authorities that have a list; what others signed is believed. Of a mesh, whose new intermediate is in use before all have its list.
    case listedAuthorities
}

/// What all connections of one kind have in common. A value; any thread.
public struct TLSSettings: Sendable {
    public enum Version: Int32, Sendable, Hashable, Comparable {
        case tls12 = 0x0303
        case tls13 = 0x0304

        public static func < (left: Version, right: Version) -> Bool { left.rawValue < right.rawValue }
    }

    /// Whether a client must show a certificate.
    public enum ClientCertificate: Sendable, Hashable { case none, wanted, required }

    public var credentials: TLSCredentials?
    /// Of servers alone: one more, with a key of the other kind. The client's offer decides which is shown.
    public var otherCredentials: TLSCredentials?
    public var trust = TLSTrust.anybody
    /// What the authorities of `trust` have taken back; nil = nobody asks. With lists, every authority of a chain needs a current one.
    public var revocations: RevocationLists?
    public var revocationScope = RevocationScope.everyAuthority
    public var pins = CertificatePins()
    /// Of servers alone.
    public var clientCertificate = ClientCertificate.none
    public var versions = Version.tls12...Version.tls13
    /// OpenSSL's list of cipher suites of TLS 1.2; nil = `ciphersDefault`.
    public var ciphers: String?
    /// ALPN, most wanted first; empty = none is offered or chosen.
    public var protocols: [String] = []
    /// A server that shares no protocol goes on without (RFC 7301 would end the handshake).
    public var ignoresForeignProtocols = true
    /// Bytes that stand for whom a server is and whom it believes, 32 at most: a session that began under others is not resumed here, since
    /// nobody verifies its client again. Empty = nothing is resumed.
    public var resumptionContext: [UInt8] = []
    /// What a server seals tickets with; nil = it gives none.
    public var ticketKeys: TicketKeys?

    public init() {}

    /// AES-GCM and ChaCha20 with ephemeral keys.
    public static let ciphersDefault =
        "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
        + "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
}
