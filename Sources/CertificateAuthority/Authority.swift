public import TLS

/// An authority that is open for an operation: what stands in its directory, under the directory's lock. Confined to the caller's thread.
///
/// `now` is seconds since 1970 everywhere.
public struct Authority {
    public static let trustDomainDefault = "cluster.local"
    /// Of a leaf: at least, unless asked otherwise, at most. Seconds.
    public static let leafSecondsMin: Int64 = 60
    public static let leafSecondsDefault: Int64 = UnixTime.day
    public static let leafSecondsMax: Int64 = 366 * UnixTime.day
    /// Of a token.
    public static let tokenSecondsDefault: Int64 = 3600
    public static let tokenSecondsMax: Int64 = 7 * UnixTime.day
    /// Of a root.
    public static let rootSecondsMax: Int64 = 7300 * UnixTime.day

    private var directory: PrivateDirectory
    private let lock: DirectoryLock?
    private var signing: SigningSet
    private var log: IssuedLog

    // MARK: Opening

    /// A new one, in a directory that has none. `rootSeconds`: how long the root is valid, a day at least.
    public static func create(
        in path: String, trustDomain: String, _ kind: PrivateKey.Kind = .ecdsa, rootSeconds: Int64 = 3650 * UnixTime.day, now: Int64
    ) throws(AuthorityError) -> Authority {
        try create(in: PrivateDirectory(path), trustDomain: trustDomain, kind, rootSeconds: rootSeconds, now: now)
    }

    static func create(
        in place: PrivateDirectory, trustDomain: String, _ kind: PrivateKey.Kind, rootSeconds: Int64, now: Int64
    ) throws(AuthorityError) -> Authority {
        let trustDomain = try checkedTrustDomain(trustDomain, "the trust domain")
        guard (UnixTime.day...rootSecondsMax).contains(rootSeconds) else {
            throw AuthorityError(.input, "a root for \(UnixTime.span(rootSeconds)): 1 to \(rootSecondsMax / UnixTime.day) days are taken")
        }
        var directory = place
        try directory.make()
        if let mode = directory.mode(""), mode & 0o022 != 0 {
            throw AuthorityError(.input, "\(directory.path) may be written by others: chmod 700 it, or name a new directory")
        }
        guard let lock = try directory.lock() else { throw AuthorityError(.system, "\(directory.path) cannot be written") }
        if let found = AuthorityFile.allCases.first(where: { directory.mode($0.rawValue) != nil }) {
            throw AuthorityError(.input, "\(directory.path) has \(found.rawValue) already: use that authority, or name another directory")
        }
        let signing: SigningSet
        do throws(TLSError) {
            signing = try SigningSet.make(trustDomain: trustDomain, kind, rootSeconds: rootSeconds, now: now)
        } catch {
            throw AuthorityError(.system, "the new authority", error)
        }
        var authority = Authority(directory: directory, lock: lock, signing: signing, log: IssuedLog())
        try authority.adopt(signing, retired: [], now: now)
        return authority
    }

    /// The one of a directory: ours, or Istio's `cacerts`.
    public init(openIn path: String) throws(AuthorityError) { try self.init(openIn: PrivateDirectory(path)) }

    init(openIn place: PrivateDirectory) throws(AuthorityError) {
        var directory = place
        guard directory.exists else {
            throw AuthorityError(.input, "\(directory.path) is not there: skein ca init --directory \(directory.path) makes an authority")
        }
        let lock = try directory.lock()
        guard let signing = try SigningSet(in: directory) else {
            throw AuthorityError(.input, "\(directory.path) has no authority: make one with skein ca init --directory \(directory.path)")
        }
        let file = AuthorityFile.issued
        let bytes = try directory.read(file.rawValue, bytesMax: file.bytesMax) ?? []
        self.init(directory: directory, lock: lock, signing: signing, log: try IssuedLog(bytes, file: "\(directory.path)/\(file.rawValue)"))
    }

    private init(directory: PrivateDirectory, lock: DirectoryLock?, signing: SigningSet, log: IssuedLog) {
        self.directory = directory
        self.lock = lock
        self.signing = signing
        self.log = log
    }

    static func checkedTrustDomain(_ text: String, _ place: String) throws(AuthorityError) -> String {
        guard let id = try? SPIFFEID("spiffe://\(text)"), id.path.isEmpty else {
            throw AuthorityError(.input, "\(place): \"\(text.prefix(255))\" is no trust domain: a-z 0-9 . - _, such as cluster.local")
        }
        return text
    }

    // MARK: What it is

    public var path: String { directory.path }
    public var trustDomain: String { signing.trustDomain }
    /// The certificate that signs.
    public var certificate: Certificate { signing.issuer.certificate }
    /// The root above it.
    public var root: Certificate { signing.root }
    /// What workloads trust.
    public var roots: [Certificate] { signing.roots }
    /// Whether the root's key is in the directory.
    public enum RootKeyState: Sendable { case matching, foreign, absent }

    public var rootKeyState: RootKeyState {
        if certificate.isSelfIssued { return .matching }
        return signing.rootKey.map { $0.matches(root) ? .matching : .foreign } ?? .absent
    }

    /// Why a certificate issued now would not be believed; nil = it would.
    func problem(now: Int64) -> String? { signing.problem(trusting: roots, now: now) }

    /// The lists of revoked certificates, PEM.
    public func revocationLists() throws(AuthorityError) -> [UInt8] {
        try directory.read(AuthorityFile.lists.rawValue, bytesMax: AuthorityFile.lists.bytesMax) ?? []
    }

    /// In the order in which they were issued.
    public var issued: [IssuedCertificate] { log.records }

    /// `spiffe://TRUST-DOMAIN/PATH` of this trust domain, or `NAMESPACE/SERVICE-ACCOUNT`.
    public func identity(_ text: String) throws(AuthorityError) -> SPIFFEID {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        if parts.count == 2, let id = SPIFFEID(trustDomain: trustDomain, namespace: String(parts[0]), serviceAccount: String(parts[1])) {
            return id
        }
        guard let id = try? SPIFFEID(text), !id.path.isEmpty else {
            throw AuthorityError(
                .input, "\"\(text.prefix(256))\" is no identity: write NAMESPACE/SERVICE-ACCOUNT or spiffe://\(trustDomain)/PATH")
        }
        guard id.trustDomain == trustDomain else {
            throw AuthorityError(.input, "\(id) is of another trust domain: this authority is for \(trustDomain)")
        }
        return id
    }

    // MARK: Issuing

    /// A new key and a workload's certificate for it.
    public mutating func issue(to id: SPIFFEID, seconds: Int64 = leafSecondsDefault, now: Int64) throws(AuthorityError) -> IssuedSet {
        let key = try newKey()
        return try issue(.workload, [id.description], key, seconds: seconds, now: now) { (issuer, period) throws(TLSError) in
            try issuer.issue(name: "", for: key, .workload(id), period)
        }
    }

    /// A new key and a server's certificate for it, with host names and addresses.
    public mutating func issue(
        toServer texts: [String], seconds: Int64 = leafSecondsDefault, now: Int64
    ) throws(AuthorityError) -> IssuedSet {
        let names = try ServerNames(texts)
        let key = try newKey()
        return try issue(.server, names.all, key, seconds: seconds, now: now) { (issuer, period) throws(TLSError) in
            try issuer.issue(name: "", for: key, .server(names: names.names, addresses: names.addresses), period)
        }
    }

    /// A workload's certificate for the key of a request. Whose it is stands in the request's one URI name, or is said by `id`; where both
    /// are, they must be the same. What the request wishes besides is not looked at.
    public mutating func sign(
        _ request: CertificateRequest, as id: SPIFFEID?, seconds: Int64 = leafSecondsDefault, now: Int64
    ) throws(AuthorityError) -> IssuedSet {
        let subject = try subject(of: request, as: id)
        return try issue(.workload, [subject.description], nil, seconds: seconds, now: now) { (issuer, period) throws(TLSError) in
            try issuer.issue(request, for: subject, period)
        }
    }

    private func subject(of request: CertificateRequest, as id: SPIFFEID?) throws(AuthorityError) -> SPIFFEID {
        let wished = request.wishedURIs
        guard wished.count <= 1 else { throw AuthorityError(.input, "the request has \(wished.count) URI names: one is expected") }
        let own = try wished.first.map { (bytes) throws(AuthorityError) in try identity(String(decoding: bytes, as: UTF8.self)) }
        guard let subject = id ?? own else {
            throw AuthorityError(.input, "the request names no identity (a URI in subjectAltName): say whose it is with --as")
        }
        guard own == nil || own == subject else {
            throw AuthorityError(.input, "the request is for \(own?.description ?? ""), not for \(subject)")
        }
        return subject
    }

    private func newKey() throws(AuthorityError) -> PrivateKey {
        do throws(TLSError) { return try .generate(signing.issuer.key.kind) } catch { throw AuthorityError(.system, "a new key", error) }
    }

    private mutating func issue(
        _ kind: IssuedCertificate.Kind, _ names: [String], _ key: PrivateKey?, seconds: Int64, now: Int64,
        make: (CertificateIssuer, CertificateIssuer.Validity) throws(TLSError) -> Certificate
    ) throws(AuthorityError) -> IssuedSet {
        let period = try validity(seconds, now: now)
        let leaf: Certificate
        do throws(TLSError) { leaf = try make(signing.issuer, period) } catch { throw AuthorityError(.system, "the certificate", error) }
        let chain = [leaf] + signing.chain
        let trust = kind == .workload ? TLSTrust.workloads([trustDomain: roots]) : .roots(roots)
        if let problem = TrustCheck.problem(of: chain, trusting: trust, now: now) {
            throw AuthorityError(.directory, "no certificate is made, because nobody would believe it: \(problem); see skein ca check")
        }
        let record = IssuedCertificate(
            kind: kind, serial: leaf.serial, authority: certificate.serial, root: root.serial, notBefore: leaf.notBefore,
            notAfter: leaf.notAfter, names: names)
        guard [record.serial, record.authority, record.root].allSatisfy(IssuedLog.isSerial) else {
            throw AuthorityError(.directory, "the authority's serial number is longer than 20 bytes or negative (RFC 5280 4.1.2.2)")
        }
        try append(log.line(of: record), now: now)
        return IssuedSet(record: record, chain: chain, roots: roots, key: key, isShortened: leaf.notAfter < now + seconds)
    }

    private func validity(_ seconds: Int64, now: Int64) throws(AuthorityError) -> CertificateIssuer.Validity {
        guard (Self.leafSecondsMin...Self.leafSecondsMax).contains(seconds) else {
            let most = UnixTime.span(Self.leafSecondsMax)
            throw AuthorityError(.input, "a certificate for \(UnixTime.span(seconds)): \(Self.leafSecondsMin)s to \(most) are taken")
        }
        guard signing.notAfter >= now + Self.leafSecondsMin else {
            let (name, option) = certificate.notAfter <= root.notAfter ? (certificate, "") : (root, " --root")
            throw AuthorityError(.directory, "\(name.subject) ended at \(UnixTime.text(name.notAfter)): skein ca rotate\(option)")
        }
        return .init(notBefore: now - SigningSet.clockSkewSeconds, notAfter: min(now + seconds, signing.notAfter))
    }

    // MARK: Tokens

    /// A token with which one host gets a certificate of `id`, once, within `seconds`.
    public mutating func makeToken(
        for id: SPIFFEID, seconds: Int64 = tokenSecondsDefault, now: Int64
    ) throws(AuthorityError) -> JoinToken {
        guard (Self.leafSecondsMin...Self.tokenSecondsMax).contains(seconds) else {
            let most = UnixTime.span(Self.tokenSecondsMax)
            throw AuthorityError(.input, "a token for \(UnixTime.span(seconds)): \(Self.leafSecondsMin)s to \(most) are taken")
        }
        let random: (id: [UInt8], secret: [UInt8])
        do throws(TLSError) {
            random = (try SecretBytes.random(JoinToken.idBytes), try SecretBytes.random(JoinToken.secretBytes))
        } catch {
            throw AuthorityError(.system, "the new token", error)
        }
        let token = JoinToken(
            id: Hexadecimal.text(random.id), expiresAt: now + seconds, pin: root.publicKeyFingerprint, secret: random.secret, identity: id)
        var table = try tokens()
        guard table.add(token, now: now) else {
            throw AuthorityError(.input, "there are \(TokenTable.countMax) tokens that are not over: wait until some are")
        }
        try write(table)
        return token
    }

    /// A workload's certificate for the key of a request, whose owner shows a token. The token is used up on disk before there is a
    /// certificate. The same key may ask again with it until its end: an answer may get lost.
    public mutating func sign(
        _ request: CertificateRequest, with token: JoinToken, seconds: Int64 = leafSecondsDefault, now: Int64
    ) throws(AuthorityError) -> IssuedSet {
        var table = try tokens()
        let outcome = table.use(token, for: request.publicKeyFingerprint, now: now)
        if case .refused(let refusal) = outcome { throw AuthorityError(.unauthenticated, refusal.rawValue) }
        guard token.identity.trustDomain == trustDomain else {
            throw AuthorityError(.unauthenticated, TokenRefusal.otherWorkload.rawValue)
        }
        do throws(AuthorityError) {
            _ = try subject(of: request, as: token.identity)
        } catch {
            throw AuthorityError(.forbidden, error.description)
        }
        if outcome == .accepted { try write(table) }
        return try sign(request, as: token.identity, seconds: seconds, now: now)
    }

    /// A workload's certificate for the key of a request, whose owner has shown the certificate of `id` with this serial number.
    public mutating func sign(
        _ request: CertificateRequest, renewing serial: String, of id: SPIFFEID, seconds: Int64 = leafSecondsDefault, now: Int64
    ) throws(AuthorityError) -> IssuedSet {
        guard log[serial]?.revokedAt == nil else {
            throw AuthorityError(.forbidden, "the certificate \(serial) of \(id) was revoked: a new token is needed, skein ca token")
        }
        do throws(AuthorityError) {
            _ = try subject(of: request, as: id)
        } catch {
            throw AuthorityError(.forbidden, error.description)
        }
        return try sign(request, as: id, seconds: seconds, now: now)
    }

    private func tokens() throws(AuthorityError) -> TokenTable {
        let file = AuthorityFile.tokens
        let bytes = try directory.read(file.rawValue, bytesMax: file.bytesMax) ?? []
        return try TokenTable(bytes, file: "\(directory.path)/\(file.rawValue)")
    }

    private mutating func write(_ table: TokenTable) throws(AuthorityError) {
        try mustBeWritable()
        try directory.write(AuthorityFile.tokens.rawValue, table.bytes)
    }

    // MARK: Revoking

    /// Takes back certificates that are valid: the one of a serial number (its first eight digits do), or all of an identity or a server's
    /// name. Returns them.
    public mutating func revoke(_ text: String, now: Int64) throws(AuthorityError) -> [IssuedCertificate] {
        let named = text.contains("/") ? try identity(text).description : text.lowercased()
        let isSerial = named.utf8.count >= 8 && IssuedLog.isSerial(named)
        let found = log.records.filter { $0.names.contains(named) || isSerial && $0.serial.hasPrefix(named) }
        guard !found.isEmpty else {
            throw AuthorityError(.input, "nothing was issued to \"\(text.prefix(256))\": skein ca list --all has serial numbers and names")
        }
        guard !isSerial || found.count == 1 else {
            throw AuthorityError(.input, "\(found.count) serial numbers begin with \(text): write more of it")
        }
        let valid = found.filter { $0.state(now: now) == .valid }
        guard !valid.isEmpty else {
            throw AuthorityError(.input, "nothing that is valid was issued to \"\(text)\": \(found.count) expired or revoked already")
        }
        try mustBeWritable()
        let lines = log.lines(revoking: valid.map(\.serial), at: now)
        var next = log
        try next.didAppend(lines, file: AuthorityFile.issued.rawValue)
        // The list first: where this ends between the two, a certificate is refused that the log has as valid; revoking it again mends it.
        let retired = try directory.read(AuthorityFile.retiredLists.rawValue, bytesMax: AuthorityFile.retiredLists.bytesMax) ?? []
        try directory.write(AuthorityFile.lists.rawValue, list(of: signing, next, now: now) + retired)
        try append(lines, now: now)
        return valid.map { log[$0.serial] ?? $0 }
    }

    /// Of those that were revoked, which one of the lists has: an earlier signing certificate's key is gone.
    public func isListed(_ revoked: IssuedCertificate) -> Bool { revoked.authority == certificate.serial }

    /// The signing certificate's list: what it issued, was revoked and is not over.
    private func list(of signing: SigningSet, _ log: IssuedLog, now: Int64) throws(AuthorityError) -> [UInt8] {
        let serial = signing.issuer.certificate.serial
        let entries = log.records.compactMap { record in
            record.authority == serial && record.notAfter >= now
                ? record.revokedAt.map { RevocationList.Entry(serial: record.serial, revokedAt: $0) } : nil
        }
        // Grows with each list: with time, and within a second with the entries.
        let number = UInt64(clamping: now) << 16 | UInt64(entries.count & 0xFFFF)
        do throws(TLSError) {
            // A newer list is made when something is revoked. Whoever has only this one goes on with it.
            let period = CertificateIssuer.Validity(notBefore: now, notAfter: max(signing.issuer.certificate.notAfter, now + 1))
            return try RevocationList.pem(entries, number: number, by: signing.issuer, period)
        } catch {
            throw AuthorityError(.system, "the list of revoked certificates", error)
        }
    }

    // MARK: Rotating

    /// A new intermediate under the same root. What was issued stays valid.
    public mutating func rotateIntermediate(now: Int64) throws(AuthorityError) {
        try rotate(to: signing.withNewIntermediate(now: now), now: now)
    }

    /// A new root and a new intermediate. The old root stays trusted, and signs the new one: workloads that know only the old root believe
    /// certificates of the new one, so that nothing must happen at once.
    public mutating func rotateRoot(now: Int64) throws(AuthorityError) {
        try rotate(to: signing.withNewRoot(now: now), now: now)
    }

    /// Certificates under roots other than the newest that are valid, in the order in which they were issued.
    public func issuedUnderOldRoots(now: Int64) -> [IssuedCertificate] {
        log.records.filter { $0.root != root.serial && $0.state(now: now) == .valid }
    }

    /// Trusts the newest root alone. `anyway`: also while certificates under the older ones are in use, whose owners are cut off then.
    public mutating func forgetOldRoots(anyway: Bool, now: Int64) throws(AuthorityError) {
        guard roots.count > 1 else { throw AuthorityError(.input, "there is one root: nothing to forget") }
        let old = issuedUnderOldRoots(now: now)
        if !anyway, let last = old.map(\.notAfter).max() {
            throw AuthorityError(
                .input, "certificates under older roots (\(old.count)) are valid until \(UnixTime.text(last)): issue new ones to "
                    + "\(Set(old.map { $0.names[0] }).sorted().prefix(3).joined(separator: ", ")), wait, or --force")
        }
        try rotate(to: signing.withoutOldRoots(), now: now)
    }

    /// Nothing is written before a certificate of the new set is believed by those who have the new roots and those who have the old.
    private mutating func rotate(to next: SigningSet, now: Int64) throws(AuthorityError) {
        if let problem = next.problem(trusting: next.roots, now: now) { throw AuthorityError(.directory, "nothing is changed: \(problem)") }
        if next.roots.contains(root), root.notAfter > now, let problem = next.problem(trusting: [root], now: now) {
            throw AuthorityError(.directory, "nothing is changed: who knows only \(root.subject) would not believe it: \(problem)")
        }
        let isRevoked = log.records.contains { $0.revokedAt != nil && $0.notAfter >= now }
        let isSameIssuer = next.issuer.certificate == certificate
        let kept = isSameIssuer ? AuthorityFile.retiredLists : AuthorityFile.lists
        let retired = isRevoked ? try directory.read(kept.rawValue, bytesMax: kept.bytesMax) ?? [] : []
        try adopt(next, retired: retired, now: now)
    }

    // MARK: Writing

    private mutating func adopt(_ next: SigningSet, retired: [UInt8], now: Int64) throws(AuthorityError) {
        try mustBeWritable()
        var files = try next.files()
        defer { for index in files.indices { Wiping.wipe(&files[index].bytes) } }
        files.append((AuthorityFile.lists.rawValue, try list(of: next, log, now: now) + retired))
        files.append((AuthorityFile.retiredLists.rawValue, retired))
        try directory.replace(files)
        signing = next
    }

    private mutating func append(_ bytes: [UInt8], now: Int64) throws(AuthorityError) {
        try mustBeWritable()
        let file = AuthorityFile.issued.rawValue
        if !log.hasRoom(for: bytes.count) {
            let compacted = log.compacted(now: now)
            let newer = try IssuedLog(compacted, file: file)
            guard newer.hasRoom(for: bytes.count) else {
                throw AuthorityError(.input, "\(directory.path)/\(file) is full: \(newer.records.count) certificates of the last 30 days")
            }
            try directory.write(file, compacted)
            log = newer
        }
        try directory.append(file, bytes, at: log.wholeBytes)
        try log.didAppend(bytes, file: file)
    }

    private func mustBeWritable() throws(AuthorityError) {
        guard lock != nil else { throw AuthorityError(.system, "\(directory.path) cannot be written: run this as its owner") }
    }
}
