internal import Logging
internal import MeshConfig
internal import Primitives
internal import Routing
internal import TLS

/// Credentials of Gateways' servers, and of connections that DestinationRules secure, as they are renewed. Files that cannot be used are
/// said once, and what was read before stays.
/// As many as the configuration names. Confined to the control thread.
struct CredentialWatch {
    /// Between two looks at the files, nanoseconds.
    private static let intervalNanoseconds: UInt64 = 2_000_000_000

    private struct Entry {
        var files: WatchedFiles
        /// The last that were good.
        var credentials: CredentialSet?
        /// Why there are none.
        var problem = TLSError("")
        var expiry = ExpiryWarning()
    }

    private let directory: String?
    private var entries: [CredentialFiles: Entry] = [:]
    private var saidWarnings: Set<String> = []
    private var nextLook = MonotonicInstant(nanoseconds: 0)

    init(directory: String?) { self.directory = directory }

    /// What a server's credentials are at present; files that are new are read now.
    mutating func credentials(for tls: ServerTLS, _ log: Logger) throws(TLSError) -> CredentialSet {
        try credentials(in: CredentialFiles(tls, directory: directory), log)
    }

    /// As above, of connections to endpoints. Nothing is needed for ISTIO_MUTUAL, or where the system's authorities do.
    mutating func credentials(for security: UpstreamSecurity, _ log: Logger) throws(TLSError) -> CredentialSet {
        guard let files = try CredentialFiles(security, directory: directory) else { return CredentialSet() }
        return try credentials(in: files, log)
    }

    private mutating func credentials(in files: CredentialFiles, _ log: Logger) throws(TLSError) -> CredentialSet {
        if entries[files] == nil {
            var entry = Entry(files: WatchedFiles(files.paths))
            do throws(TLSError) { entry.credentials = try load(files, log) } catch { entry.problem = error }
            entries[files] = entry
        }
        guard let entry = entries[files] else { throw TLSError("no credentials") }
        guard let credentials = entry.credentials else { throw entry.problem }
        return credentials
    }

    /// Forgets what nothing of the configuration needs.
    mutating func keep(_ servers: some Sequence<ServerTLS>, _ upstreams: some Sequence<UpstreamSecurity>) {
        var needed: Set<CredentialFiles> = []
        for tls in servers {
            if let files = try? CredentialFiles(tls, directory: directory) { needed.insert(files) }
        }
        for security in upstreams {
            if let files = try? CredentialFiles(security, directory: directory) { needed.insert(files) }
        }
        entries = entries.filter { needed.contains($0.key) }
    }

    /// Looks at the files, now and then. True = some credentials are others.
    mutating func look(_ log: Logger) -> Bool {
        let now = SystemClock.monotonicNow()
        guard now >= nextLook else { return false }
        nextLook = now + Self.intervalNanoseconds
        var areOthers = false
        for files in entries.keys {
            warnOfExpiry(files, log)
            if entries[files]?.files.haveSettledChange() == true, renew(files, log) { areOthers = true }
        }
        return areOthers
    }

    private mutating func renew(_ files: CredentialFiles, _ log: Logger) -> Bool {
        do throws(TLSError) {
            let fresh = try load(files, log)
            if let old = entries[files]?.credentials, old.isSame(as: fresh) { return false }
            let verb = entries[files]?.credentials == nil ? "is there" : "is renewed"
            entries[files]?.credentials = fresh
            entries[files]?.expiry.renewed()
            log.notice("\(files.description) \(verb), until \(PlainLogHandler.date(fresh.notAfter))")
            return true
        } catch {
            let rest = entries[files]?.credentials == nil ? "TLS goes on being refused" : "the one before goes on"
            log.error("\(files.description) is not used, \(rest): \(error)")
            entries[files]?.problem = error
            return false
        }
    }

    private mutating func load(_ files: CredentialFiles, _ log: Logger) throws(TLSError) -> CredentialSet {
        var warnings: [String] = []
        defer { for warning in warnings where saidWarnings.insert(warning).inserted { log.warning("\(warning)") } }
        return try files.load(warnings: &warnings)
    }

    private mutating func warnOfExpiry(_ files: CredentialFiles, _ log: Logger) {
        for certificate in entries[files]?.credentials?.certificates ?? [] {
            entries[files]?.expiry.look(certificate.chain, files.description, now: IdentityWatch.unixSeconds, log)
        }
    }
}
