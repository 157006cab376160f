internal import COpenSSL

/// Verifies chains against roots. The stores are one context's own. Confined to its thread.
@safe
final class TrustStores {
    private let trust: TLSTrust
    /// By trust domain; of a single set of roots by "".
    private var stores: [String: OpaquePointer] = unsafe [:]

    /// Certificates of a peer's chain, the leaf among them; a longer one is refused before it is looked at.
    static let chainMax: Int32 = 16

    /// Certificates are looked up in revocation lists by OpenSSL, and every authority needs one.
    private let checksRevocation: Bool
    /// Looked up when a chain is verified; nil = not so.
    private let listed: RevocationLists?

    init(_ trust: TLSTrust, _ revocations: RevocationLists? = nil, _ scope: RevocationScope = .everyAuthority) throws(TLSError) {
        self.trust = trust
        checksRevocation = revocations != nil && scope == .everyAuthority
        listed = scope == .listedAuthorities ? revocations : nil
        switch trust {
        case .anybody: break
        case .roots(let roots): unsafe stores[""] = try Self.store(roots)
        case .system:
            let store = try unsafe Self.store([])
            guard unsafe X509_STORE_set_default_paths(store) == 1 else { throw .openSSL("the system's roots cannot be read") }
            unsafe stores[""] = store
        case .workloads(let bundles):
            for (domain, roots) in bundles { unsafe stores[domain] = try Self.store(roots) }
        }
        guard let revocations, checksRevocation else { return }
        for unsafe store in unsafe stores.values {
            for list in revocations.lists where unsafe X509_STORE_add_crl(store, list.crl) != 1 { ERR_clear_error() }
        }
    }

    deinit { for unsafe store in unsafe stores.values { unsafe X509_STORE_free(store) } }

    private static func store(_ roots: [Certificate]) throws(TLSError) -> OpaquePointer {
        guard let store = unsafe X509_STORE_new() else { throw .openSSL("cannot make a store of roots") }
        for root in roots {
            // A root twice is none too many.
            if unsafe X509_STORE_add_cert(store, root.x509) != 1 { ERR_clear_error() }
        }
        return unsafe store
    }

    /// Why a peer is not believed, for people.
    typealias Refusal = TLSError

    /// Looks at the leaf and what came with it. `now`: seconds since 1970.
    func verify(_ leaf: Certificate, _ untrusted: OpaquePointer?, as role: SVIDRules.Role, now: Int64) -> Result<TLSPeer, Refusal> {
        var identity: SPIFFEID?
        let store: OpaquePointer?
        switch trust {
        case .anybody: return .success(TLSPeer(identity: try? SVIDRules.identity(of: leaf, as: role), certificate: leaf))
        case .roots, .system:
            unsafe store = stores[""]
            identity = try? SVIDRules.identity(of: leaf, as: role)
        case .workloads(let bundles):
            do throws(SVIDRules.Problem) {
                let id = try SVIDRules.identity(of: leaf, as: role)
                identity = id
                unsafe store = stores[id.trustDomain]
                if unsafe store == nil {
                    let known = bundles.keys.sorted().joined(separator: ", ")
                    let verb = bundles.count == 1 ? "is" : "are"
                    return .failure(TLSError("the trust domain \(id.trustDomain) is not trusted: \(known) \(verb)"))
                }
            } catch {
                return .failure(TLSError(error.description))
            }
        }
        guard let context = unsafe X509_STORE_CTX_new() else { return .failure(.openSSL("cannot verify")) }
        defer { unsafe X509_STORE_CTX_free(context) }
        guard unsafe X509_STORE_CTX_init(context, store, leaf.x509, untrusted) == 1 else { return .failure(.openSSL("cannot verify")) }
        let parameters = unsafe X509_STORE_CTX_get0_param(context)
        unsafe X509_VERIFY_PARAM_set_purpose(parameters, role == .server ? X509_PURPOSE_SSL_SERVER : X509_PURPOSE_SSL_CLIENT)
        unsafe X509_VERIFY_PARAM_set_depth(parameters, Self.chainMax - 1)
        unsafe X509_VERIFY_PARAM_set_auth_level(parameters, 2)
        unsafe X509_VERIFY_PARAM_set_time(parameters, time_t(now))
        unsafe X509_VERIFY_PARAM_set_flags(parameters, UInt(bitPattern: flags))
        guard unsafe X509_verify_cert(context) == 1 else {
            ERR_clear_error()
            return unsafe .failure(Self.refusal(context, now: now))
        }
        let chain = unsafe Self.chain(context, leaf)
        if let listed, let revoked = chain.first(where: listed.revoke) {
            let above = revoked == leaf ? "" : " (\(revoked.subject), above the leaf)"
            return .failure(TLSError("certificate revoked: serial \(revoked.serial)\(above)"))
        }
        let end = chain.map(\.notAfter).min() ?? leaf.notAfter
        return .success(
            TLSPeer(identity: identity, certificate: leaf, notAfter: end, authorities: chain.dropFirst().map { CertificateNumber($0) }))
    }

    /// A verified chain, leaf first.
    private static func chain(_ context: OpaquePointer?, _ leaf: Certificate) -> [Certificate] {
        guard let chain = unsafe X509_STORE_CTX_get0_chain(context) else { return [leaf] }
        var found = [leaf]
        for place in 1..<max(1, unsafe skein_chain_count(chain)) {
            guard let one = unsafe skein_chain_at(chain, place), unsafe X509_up_ref(one) == 1 else { continue }
            unsafe found.append(Certificate(taking: one))
        }
        return found
    }

    /// Who a certificate names, that was verified when its session began.
    func recognise(_ leaf: Certificate, as role: SVIDRules.Role, _ facts: TicketFacts) -> TLSPeer {
        TLSPeer(
            identity: try? SVIDRules.identity(of: leaf, as: role), certificate: leaf, notAfter: facts.notAfter,
            authorities: facts.authorities)
    }

    /// Authorities that somebody made with `openssl req -x509` lack extensions that RFC 5280 demands; other proxies and curl take them.
    /// Those of the mesh are held to it.
    private var flags: Int {
        var flags: Int32 = 0
        if case .workloads = trust { flags = X509_V_FLAG_X509_STRICT }
        if checksRevocation { flags |= X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL }
        return Int(flags)
    }

    private static func refusal(_ context: OpaquePointer?, now: Int64) -> Refusal {
        let code = unsafe X509_STORE_CTX_get_error(context)
        let reason = unsafe X509_verify_cert_error_string(Int(code)).map { unsafe String(cString: $0) } ?? "error \(code)"
        let depth = unsafe X509_STORE_CTX_get_error_depth(context)
        return TLSError("\(reason)\(depth > 0 ? " (certificate \(depth) above the leaf)" : "")")
    }
}
