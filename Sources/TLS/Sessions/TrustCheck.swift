internal import COpenSSL

/// Whether a chain of our own would be believed by those who trust the same.
public enum TrustCheck {
    /// Why not; nil = it would. `now`: seconds since 1970.
    public static func problem(of chain: [Certificate], trusting trust: TLSTrust, now: Int64) -> String? {
        guard let leaf = chain.first else { return "no certificate" }
        let stores: TrustStores
        do throws(TLSError) { stores = try TrustStores(trust) } catch { return error.description }
        guard let between = unsafe skein_chain_new() else { return "no memory" }
        defer { unsafe skein_chain_free(between) }
        for certificate in chain.dropFirst() { unsafe skein_chain_push(between, certificate.x509) }
        guard case .failure(let problem) = unsafe stores.verify(leaf, between, as: .server, now: now) else { return nil }
        return problem.description
    }
}
