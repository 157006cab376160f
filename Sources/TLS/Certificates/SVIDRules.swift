/// What a certificate must be to say who a workload is (SPIFFE X.509-SVID 2 to 5; semantics 4.1). Pure: signatures, dates and the chain are
/// OpenSSL's to verify, against the bundle of the identity's own trust domain.
public enum SVIDRules {
    /// Why a leaf is no SVID, as log details name it.
    public enum Problem: Error, Hashable, Sendable, CustomStringConvertible {
        case noURI
        case severalURIs(Int)
        case identity(SPIFFEID.Problem)
        case isAuthority
        case signsCertificates
        case notForServers
        case notForClients
        case noDigitalSignature

        public var description: String {
            switch self {
            case .noURI: "the certificate has no URI name: exactly one is expected"
            case .severalURIs(let count): "the certificate has \(count) URI names: exactly one is expected"
            case .identity(let problem): "the certificate's URI name \(problem.rawValue)"
            case .isAuthority: "the certificate is an authority's (CA:TRUE), not a workload's"
            case .signsCertificates: "the certificate may sign certificates or lists (keyCertSign, cRLSign): a workload's may not"
            case .notForServers: "the certificate is not for servers (extended key usage)"
            case .notForClients: "the certificate is not for clients (extended key usage)"
            case .noDigitalSignature: "the certificate may not sign (key usage without digitalSignature)"
            }
        }
    }

    /// Which end presented it.
    public enum Role: Sendable { case server, client }

    /// `KU_DIGITAL_SIGNATURE` as OpenSSL counts it.
    private static let digitalSignature: UInt32 = 0x0080

    /// The identity of a leaf.
    public static func identity(of leaf: Certificate, as role: Role) throws(Problem) -> SPIFFEID {
        let uris = leaf.alternativeNames(.uri)
        guard let uri = uris.first else { throw .noURI }
        guard uris.count == 1 else { throw .severalURIs(uris.count) }
        let id: SPIFFEID
        do throws(SPIFFEID.Problem) { id = try SPIFFEID(uri) } catch { throw .identity(error) }
        if leaf.isAuthority { throw .isAuthority }
        if let usage = leaf.keyUsage {
            if usage & (Certificate.usageSignsCertificates | Certificate.usageSignsLists) != 0 { throw .signsCertificates }
            if usage & digitalSignature == 0 { throw .noDigitalSignature }
        }
        switch role {
        case .server where !leaf.isForServers: throw .notForServers
        case .client where !leaf.isForClients: throw .notForClients
        default: return id
        }
    }
}
