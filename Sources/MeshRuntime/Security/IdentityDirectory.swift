internal import Glibc
internal import Primitives
internal import TLS

/// Who this workload is, and whom it believes. A value.
struct WorkloadIdentity: Sendable {
    var credentials: TLSCredentials
    var id: SPIFFEID
    /// Roots by trust domain.
    var bundles: [String: [Certificate]]
    /// What the authorities of the mesh have taken back; nil = nobody says.
    var revocations: RevocationLists?

    /// Seconds since 1970.
    var notAfter: Int64 { credentials.chain.map(\.notAfter).min() ?? 0 }

    /// Has settings believe workloads of the mesh: by the roots of their trust domain, and not when they were revoked.
    func verifyWorkloads(_ settings: inout TLSSettings) {
        settings.trust = .workloads(bundles)
        settings.revocations = revocations
        settings.revocationScope = .listedAuthorities
    }

    /// What servers of the mesh use at the workload's own ports.
    func serverSettings(clientCertificate: TLSSettings.ClientCertificate) -> TLSSettings {
        var settings = TLSSettings()
        settings.credentials = credentials
        verifyWorkloads(&settings)
        settings.clientCertificate = clientCertificate
        settings.protocols = ["istio-h2", "istio-http/1.1", "istio-http/1.0", "istio", "h2", "http/1.1"]
        return settings
    }
}

/// A directory that somebody keeps a workload's certificate, key and roots in: `skein ca issue`, SPIRE's helper, cert-manager, Istio's
/// agent. Read whole: a set whose files do not belong together yet is no set, and the one before stays.
struct IdentityDirectory: Sendable {
    /// Names of certificate, key and roots, as their makers write them.
    private static let layouts = [
        ("tls.crt", "tls.key", "ca.crt"), ("cert-chain.pem", "key.pem", "root-cert.pem"), ("svid.pem", "svid_key.pem", "bundle.pem"),
    ]

    /// Lists of revoked certificates, which may be missing (PEM).
    private static let listsName = "ca.crl"

    let path: String

    /// What a look at the directory found.
    struct Found: Sendable {
        var identity: WorkloadIdentity
        /// What an operator should mend, such as a key that others may read.
        var warnings: [String]
    }

    /// All files of all layouts.
    var paths: [String] { (Self.layouts.flatMap { [$0.0, $0.1, $0.2] } + [Self.listsName]).map { "\(path)/\($0)" } }

    /// Reads and checks. `now`: seconds since 1970.
    func load(now: Int64) throws(TLSError) -> Found {
        guard let layout = Self.layouts.first(where: { unsafe access("\(path)/\($0.0)", F_OK) == 0 }) else {
            let names = Self.layouts.map { "\($0.0), \($0.1), \($0.2)" }.joined(separator: "; or ")
            throw TLSError("\(path) has no certificate: expected are \(names)")
        }
        var warnings: [String] = []
        let credentials = try SecretFile.credentials(
            certificate: "\(path)/\(layout.0)", key: "\(path)/\(layout.1)", warnings: &warnings)
        let roots = try Certificate.chain(pem: SecretFile.read("\(path)/\(layout.2)", bytesMax: Certificate.pemBytesMax))
        let id: SPIFFEID
        do throws(SVIDRules.Problem) {
            id = try SVIDRules.identity(of: credentials.leaf, as: .client)
            _ = try SVIDRules.identity(of: credentials.leaf, as: .server)
        } catch {
            throw TLSError("\(path)/\(layout.0): \(error)")
        }
        let bundles = [id.trustDomain: roots]
        if let problem = TrustCheck.problem(of: credentials.chain, trusting: .workloads(bundles), now: now) {
            throw TLSError("\(path)/\(layout.0) is not under \(layout.2): \(problem)")
        }
        let identity = WorkloadIdentity(credentials: credentials, id: id, bundles: bundles, revocations: try lists())
        return Found(identity: identity, warnings: warnings)
    }

    private func lists() throws(TLSError) -> RevocationLists? {
        let file = "\(path)/\(Self.listsName)"
        guard unsafe access(file, F_OK) == 0 else { return nil }
        let bytes = try SecretFile.read(file, bytesMax: RevocationLists.pemBytesMax)
        do throws(TLSError) { return try RevocationLists(pem: bytes) } catch { throw TLSError("\(file): \(error)") }
    }
}
