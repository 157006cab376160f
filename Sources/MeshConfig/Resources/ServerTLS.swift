/// `tls` of a server (networking.istio.io ServerTLSSettings): how its clients' connections are secured. A value.
public struct ServerTLS: Sendable, Hashable {
    public enum Mode: String, Sendable {
        /// Nothing is decrypted; the server name tells where a connection goes.
        case passthrough = "PASSTHROUGH"
        case autoPassthrough = "AUTO_PASSTHROUGH"
        /// Clients show no certificate.
        case simple = "SIMPLE"
        /// Clients must show one.
        case mutual = "MUTUAL"
        /// Clients may show one, which must be good then.
        case optionalMutual = "OPTIONAL_MUTUAL"
        /// Both ends show certificates of the mesh.
        case istioMutual = "ISTIO_MUTUAL"
    }

    /// Versions of TLS that are spoken; those before 1.2 never are.
    public enum Version: String, Sendable {
        case tls12 = "TLSV1_2"
        case tls13 = "TLSV1_3"
    }

    /// Paths of a certificate chain and its key.
    public struct Pair: Sendable, Hashable {
        public var certificate: String
        public var key: String

        public init(certificate: String, key: String) {
            self.certificate = certificate
            self.key = key
        }
    }

    public var position: SourcePosition
    public var mode: Mode
    /// Directories below the one of `--credentials`, each a certificate and its key; the first brings the authorities of clients.
    public var credentialNames: [String]
    /// Credential with the authorities of clients alone; empty = those of `credentialNames`.
    public var caCredentialName: String
    /// Without credentials: one or more certificates, such as of RSA and ECDSA.
    public var pairs: [Pair]
    /// Paths of the clients' authorities and of what these have taken back; empty = none.
    public var authorities: String
    public var revocations: String
    /// A client's certificate must have one of these names; empty = any.
    public var subjectAltNames: [String]
    /// SHA-256 that a client's certificate must have: of its public key (base64), or of itself (hexadecimal). Both empty = any.
    public var publicKeyHashes: [String]
    public var certificateHashes: [String]
    public var versionMin: Version
    public var versionMax: Version
    /// OpenSSL's names and expressions, of TLS 1.2; empty = the default ones.
    public var cipherSuites: [String]

    /// Whether connections are decrypted.
    public var isTerminating: Bool { mode != .passthrough && mode != .autoPassthrough }
    /// Whether clients are asked for certificates.
    public var asksClients: Bool { isTerminating && mode != .simple }
}

extension ServerTLS {
    init(reader: NodeReader) {
        let name = reader.string("credentialName") ?? ""
        let names = reader.strings("credentialNames")
        let tables = reader.children("tlsCertificates")
        let listed = tables.map { Pair(certificate: $0.string("serverCertificate") ?? "", key: $0.string("privateKey") ?? "") }
        let own = Pair(certificate: reader.string("serverCertificate") ?? "", key: reader.string("privateKey") ?? "")
        self.init(
            position: reader.position, mode: reader.name("mode").flatMap(Mode.init(rawValue:)) ?? .passthrough,
            credentialNames: name.isEmpty ? names : [name], caCredentialName: reader.string("caCertCredentialName") ?? "",
            pairs: listed.isEmpty ? [own] : listed,
            authorities: reader.string("caCertificates") ?? "",
            revocations: reader.string("caCrl") ?? "", subjectAltNames: reader.strings("subjectAltNames"),
            publicKeyHashes: reader.strings("verifyCertificateSpki"), certificateHashes: reader.strings("verifyCertificateHash"),
            versionMin: reader.name("minProtocolVersion").flatMap(Version.init(rawValue:)) ?? .tls12,
            versionMax: reader.name("maxProtocolVersion").flatMap(Version.init(rawValue:)) ?? .tls13,
            cipherSuites: reader.strings("cipherSuites").filter { CipherSuites.isTaken($0) })
    }
}
