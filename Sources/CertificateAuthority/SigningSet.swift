internal import TLS

/// What an authority signs with, and what it tells others to trust. A value; as files, `AuthorityFile`'s first six.
struct SigningSet {
    /// Roots that overlap at one time, and roots signed by earlier ones.
    static let rootsMax = 8
    /// Seconds that a certificate is valid before it was made, for clocks that are late (as Istio's authority has it).
    static let clockSkewSeconds: Int64 = 120
    static let rootSeconds: Int64 = 3650 * UnixTime.day
    static let intermediateSeconds: Int64 = 365 * UnixTime.day

    var issuer: CertificateIssuer
    /// Behind a leaf, in this order: the signing certificate unless it is a root, then what `cert-chain.pem` has besides.
    var chain: [Certificate]
    var roots: [Certificate]
    var rootKey: PrivateKey?
    var trustDomain: String

    // MARK: Making

    /// A new root, and an intermediate under it.
    static func make(
        trustDomain: String, _ kind: PrivateKey.Kind, rootSeconds: Int64, now: Int64
    ) throws(TLSError) -> SigningSet {
        let root = try root(trustDomain, kind, seconds: rootSeconds, now: now)
        let issuer = try intermediate(under: root, trustDomain, kind, now: now)
        return SigningSet(
            issuer: issuer, chain: [issuer.certificate], roots: [root.certificate], rootKey: root.key, trustDomain: trustDomain)
    }

    /// The same roots, and a new intermediate under the first of them.
    func withNewIntermediate(now: Int64) throws(AuthorityError) -> SigningSet {
        let root = try rootIssuer()
        guard root.certificate.notAfter > now else {
            let end = UnixTime.text(root.certificate.notAfter)
            throw AuthorityError(.directory, "the root \(root.certificate.subject) ended at \(end): skein ca rotate --root")
        }
        var next = self
        do throws(TLSError) {
            next.issuer = try Self.intermediate(under: root, trustDomain, issuer.key.kind, now: now)
        } catch {
            throw AuthorityError(.system, "the new intermediate", error)
        }
        next.chain = [next.issuer.certificate] + crossSigned(now: now)
        next.roots = [root.certificate] + otherRoots(than: root.certificate, now: now)
        next.rootKey = root.key
        return next
    }

    /// A new root before the others, signed by the one before it as well: whoever has only that one believes what the new one signs.
    func withNewRoot(now: Int64) throws(AuthorityError) -> SigningSet {
        let old = try rootIssuer()
        let others = otherRoots(than: old.certificate, now: now)
        guard others.count + 2 <= Self.rootsMax else {
            throw AuthorityError(.input, "there are \(others.count + 1) roots: forget old ones first, skein ca rotate --forget-roots")
        }
        var next = self
        do throws(TLSError) {
            let seconds = old.certificate.notAfter - old.certificate.notBefore - Self.clockSkewSeconds
            let bounded = min(max(seconds, UnixTime.day), Authority.rootSecondsMax)
            let root = try Self.root(trustDomain, old.key.kind, seconds: bounded, now: now)
            next.issuer = try Self.intermediate(under: root, trustDomain, issuer.key.kind, now: now)
            next.chain = [next.issuer.certificate]
            next.roots = [root.certificate]
            // A root whose time is over helps nobody, and would be no reason not to have a new one.
            if old.certificate.notAfter > now {
                let end = min(old.certificate.notAfter, root.certificate.notAfter)
                let period = CertificateIssuer.Validity(notBefore: now - Self.clockSkewSeconds, notAfter: end)
                next.chain.append(try old.crossSign(root.certificate, pathLength: nil, period))
                next.roots.append(old.certificate)
            }
            next.chain += crossSigned(now: now)
            next.roots += others
            next.rootKey = root.key
        } catch {
            throw AuthorityError(.system, "the new root", error)
        }
        return next
    }

    /// Only the root that is above the signing certificate is trusted from now on.
    func withoutOldRoots() -> SigningSet {
        var next = self
        next.roots = [root]
        next.chain = chain.filter { certificate in !roots.contains { $0.subject == certificate.subject } }
        return next
    }

    private static func root(_ domain: String, _ kind: PrivateKey.Kind, seconds: Int64, now: Int64) throws(TLSError) -> CertificateIssuer {
        // No path length: a root signs its successor, which signs intermediates.
        try .root(name: name("root"), organization: organization(domain), key: .generate(kind), validity(now, seconds))
    }

    private static func intermediate(
        under root: CertificateIssuer, _ domain: String, _ kind: PrivateKey.Kind, now: Int64
    ) throws(TLSError) -> CertificateIssuer {
        let key = try PrivateKey.generate(kind)
        var period = validity(now, intermediateSeconds)
        period.notAfter = min(period.notAfter, root.certificate.notAfter)
        let made = try root.issue(name: name("\(organization(domain)) intermediate"), for: key, .authority(pathLength: 0), period)
        guard let issuer = CertificateIssuer(made, key: key) else { throw TLSError("the new intermediate does not match its key") }
        return issuer
    }

    /// Names differ from one to the next, so that a person can tell them apart. A name has 64 bytes at most (RFC 5280, ub-common-name).
    private static func name(_ text: String) -> String {
        let number = String(UInt32.random(in: .min ... .max), radix: 16)
        return "\(text.prefix(55)) \(String(repeating: "0", count: 8 - number.count))\(number)"
    }

    private static func organization(_ domain: String) -> String { String(domain.prefix(42)) }

    private static func validity(_ now: Int64, _ seconds: Int64) -> CertificateIssuer.Validity {
        .init(notBefore: now - clockSkewSeconds, notAfter: now + seconds)
    }

    // MARK: Roots

    /// The root above the signing certificate.
    var root: Certificate {
        if issuer.certificate.isSelfIssued { return issuer.certificate }
        var name = issuer.certificate.issuer
        for _ in 0...chain.count {
            if let root = roots.first(where: { $0.subject == name }) { return root }
            guard let above = chain.first(where: { $0.subject == name }) else { break }
            name = above.issuer
        }
        return roots[0]
    }

    private func rootIssuer() throws(AuthorityError) -> CertificateIssuer {
        if issuer.certificate.isSelfIssued { return issuer }
        guard let rootKey else {
            let file = AuthorityFile.rootKey.rawValue
            throw AuthorityError(.input, "\(file) is not in the directory: put the root's key there for as long as this takes")
        }
        guard let found = CertificateIssuer(root, key: rootKey) else {
            throw AuthorityError(.directory, "\(AuthorityFile.rootKey.rawValue) is not the key of the root \(root.subject)")
        }
        return found
    }

    private func otherRoots(than first: Certificate, now: Int64) -> [Certificate] { roots.filter { $0 != first && $0.notAfter > now } }

    /// Roots as earlier ones signed them.
    private func crossSigned(now: Int64) -> [Certificate] {
        chain.filter { certificate in certificate.notAfter > now && roots.contains { $0.subject == certificate.subject } }
    }

    /// The end of what is signed now.
    var notAfter: Int64 { min(issuer.certificate.notAfter, root.notAfter) }

    /// Why a workload's certificate that is made now would not be believed by those who have these roots; nil = it would.
    func problem(trusting roots: [Certificate], now: Int64) -> String? {
        do throws(TLSError) {
            guard let id = SPIFFEID(trustDomain: trustDomain, namespace: "default", serviceAccount: "default") else { return "no identity" }
            let period = CertificateIssuer.Validity(notBefore: now - Self.clockSkewSeconds, notAfter: now + UnixTime.day)
            let leaf = try issuer.issue(name: "", for: .generate(), .workload(id), period)
            return TrustCheck.problem(of: [leaf] + chain, trusting: .workloads([trustDomain: roots]), now: now)
        } catch {
            return error.description
        }
    }

    // MARK: Files

    /// Nil = the directory has none of the files.
    init?(in directory: PrivateDirectory) throws(AuthorityError) {
        guard AuthorityFile.allCases.prefix(4).contains(where: { directory.mode($0.rawValue) != nil }) else { return nil }
        let certificates = try Self.certificates(.certificate, in: directory)
        guard let certificate = certificates.first else { throw Self.missing(.certificate, directory) }
        guard let key = try Self.key(.key, in: directory) else { throw Self.missing(.key, directory) }
        roots = try Self.certificates(.roots, in: directory)
        guard !roots.isEmpty else { throw Self.missing(.roots, directory) }
        guard let issuer = CertificateIssuer(certificate, key: key) else {
            let (own, other) = (AuthorityFile.key.rawValue, AuthorityFile.certificate.rawValue)
            throw AuthorityError(.directory, "\(directory.path)/\(own) is not the key of \(other): restore the two that belong together")
        }
        guard certificate.isAuthority, certificate.keyUsage.map({ $0 & Certificate.usageSignsCertificates != 0 }) ?? true else {
            throw AuthorityError(
                .directory, "\(directory.path)/\(AuthorityFile.certificate.rawValue) may not sign certificates (CA:TRUE, keyCertSign)")
        }
        self.issuer = issuer
        rootKey = try Self.key(.rootKey, in: directory)
        trustDomain = try Self.trustDomain(in: directory)
        chain = certificate.isSelfIssued ? [] : [certificate]
        for other in try Self.certificates(.chain, in: directory) + certificates.dropFirst() where !other.isSelfIssued {
            if !chain.contains(other) { chain.append(other) }
        }
    }

    private init(issuer: CertificateIssuer, chain: [Certificate], roots: [Certificate], rootKey: PrivateKey?, trustDomain: String) {
        self.issuer = issuer
        self.chain = chain
        self.roots = roots
        self.rootKey = rootKey
        self.trustDomain = trustDomain
    }

    /// The caller wipes them.
    func files() throws(AuthorityError) -> [(name: String, bytes: [UInt8])] {
        var files: [(AuthorityFile, [UInt8])] = [
            (.certificate, issuer.certificate.pem()), (.chain, chain.flatMap { $0.pem() }), (.roots, roots.flatMap { $0.pem() }),
            (.trustDomain, Array("\(trustDomain)\n".utf8)),
        ]
        do throws(TLSError) {
            files.append((.key, try issuer.key.pem()))
            if let rootKey { files.append((.rootKey, try rootKey.pem())) }
        } catch {
            throw AuthorityError(.system, "a key", error)
        }
        return files.map { ($0.0.rawValue, $0.1) }
    }

    private static func missing(_ file: AuthorityFile, _ directory: PrivateDirectory) -> AuthorityError {
        AuthorityError(.directory, "\(directory.path)/\(file.rawValue) is missing: restore it, or make a new authority elsewhere")
    }

    /// Empty = there is none: Istio's chain is empty below a root that signs by itself.
    private static func certificates(_ file: AuthorityFile, in directory: PrivateDirectory) throws(AuthorityError) -> [Certificate] {
        guard let bytes = try directory.read(file.rawValue, bytesMax: file.bytesMax), !bytes.isEmpty else { return [] }
        do throws(TLSError) { return try Certificate.chain(pem: bytes) } catch {
            throw AuthorityError(.directory, "\(directory.path)/\(file.rawValue)", error)
        }
    }

    private static func key(_ file: AuthorityFile, in directory: PrivateDirectory) throws(AuthorityError) -> PrivateKey? {
        if let mode = directory.mode(file.rawValue), mode & 0o002 != 0 {
            throw AuthorityError(.directory, "\(directory.path)/\(file.rawValue) may be written by everybody: chmod 600 it, and rotate")
        }
        guard var bytes = try directory.read(file.rawValue, bytesMax: file.bytesMax) else { return nil }
        defer { Wiping.wipe(&bytes) }
        do throws(TLSError) { return try PrivateKey(pem: bytes) } catch {
            throw AuthorityError(.directory, "\(directory.path)/\(file.rawValue)", error)
        }
    }

    private static func trustDomain(in directory: PrivateDirectory) throws(AuthorityError) -> String {
        let file = AuthorityFile.trustDomain
        guard let bytes = try directory.read(file.rawValue, bytesMax: file.bytesMax) else { return Authority.trustDomainDefault }
        let text = String(decoding: bytes.filter { $0 > 0x20 }, as: UTF8.self)
        return try Authority.checkedTrustDomain(text, "\(directory.path)/\(file.rawValue)")
    }
}
