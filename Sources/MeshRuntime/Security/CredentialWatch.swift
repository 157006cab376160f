internal import Logging
internal import MeshConfig
internal import Primitives
internal import TLS

/// The credentials of Gateways' servers as they are renewed. Files that cannot be used are said once, and what was read before stays.
/// As many as the configuration's servers need. Confined to the control thread.
struct CredentialWatch {
    /// Between two looks at the files, nanoseconds.
    private static let intervalNanoseconds: UInt64 = 2_000_000_000

    private struct Entry {
        var files: WatchedFiles
        /// The last that were good.
        var credentials: ServerCredentials?
        /// Why there are none.
        var problem = TLSError("")
        var expiry = ExpiryWarning()
    }

    private let directory: String?
    private var entries: [ServerCredentialFiles: Entry] = [:]
    private var saidWarnings: Set<String> = []
    private var nextLook = MonotonicInstant(nanoseconds: 0)

    init(directory: String?) { self.directory = directory }

    /// What a server's credentials are at present; files that are new are read now.
    mutating func credentials(for tls: ServerTLS, _ log: Logger) throws(TLSError) -> ServerCredentials {
        let files = try ServerCredentialFiles(tls, directory: directory)
        if entries[files] == nil {
            var entry = Entry(files: WatchedFiles(files.paths))
            do throws(TLSError) { entry.credentials = try load(files, log) } catch { entry.problem = error }
            entries[files] = entry
        }
        guard let entry = entries[files] else { throw TLSError("no credentials") }
        guard let credentials = entry.credentials else { throw entry.problem }
        return credentials
    }

    /// Forgets what no server of the configuration needs.
    mutating func keep(_ wanted: some Sequence<ServerTLS>) {
        var needed: Set<ServerCredentialFiles> = []
        for tls in wanted {
            if let files = try? ServerCredentialFiles(tls, directory: directory) { needed.insert(files) }
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

    private mutating func renew(_ files: ServerCredentialFiles, _ log: Logger) -> Bool {
        do throws(TLSError) {
            let fresh = try load(files, log)
            if let old = entries[files]?.credentials, old.isSame(as: fresh) { return false }
            let verb = entries[files]?.credentials == nil ? "is there" : "is renewed"
            entries[files]?.credentials = fresh
            entries[files]?.expiry.renewed()
            log.notice("\(files.description) \(verb), until \(PlainLogHandler.date(fresh.notAfter))")
            return true
        } catch {
            let rest = entries[files]?.credentials == nil ? "TLS handshakes go on being refused" : "the one before goes on"
            log.error("\(files.description) is not used, \(rest): \(error)")
            entries[files]?.problem = error
            return false
        }
    }

    private mutating func load(_ files: ServerCredentialFiles, _ log: Logger) throws(TLSError) -> ServerCredentials {
        var warnings: [String] = []
        defer { for warning in warnings where saidWarnings.insert(warning).inserted { log.warning("\(warning)") } }
        return try files.load(warnings: &warnings)
    }

    private mutating func warnOfExpiry(_ files: ServerCredentialFiles, _ log: Logger) {
        for certificate in entries[files]?.credentials?.certificates ?? [] {
            entries[files]?.expiry.look(certificate.chain, files.description, now: IdentityWatch.unixSeconds, log)
        }
    }
}
