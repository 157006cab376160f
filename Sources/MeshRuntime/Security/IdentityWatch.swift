internal import Logging
internal import Primitives
internal import TLS

/// The workload's certificate as it is renewed. A set that cannot be used is said once, and the one before stays. Confined to the control
/// thread.
struct IdentityWatch {
    /// Between two looks at the directory, nanoseconds.
    private static let intervalNanoseconds: UInt64 = 2_000_000_000
    private var files: WatchedFiles
    private var nextLook = MonotonicInstant(nanoseconds: 0)
    private var saidWarnings: Set<String> = []
    private var expiry = ExpiryWarning()
    private let directory: IdentityDirectory
    private(set) var identity: WorkloadIdentity
    /// Sets that were refused since the start.
    private(set) var refused: UInt64 = 0

    /// The first set must be good.
    init(path: String, _ log: Logger) throws(TLSError) {
        directory = IdentityDirectory(path: path)
        files = WatchedFiles(directory.paths)
        let found = try directory.load(now: Self.unixSeconds)
        identity = found.identity
        say(found.warnings, log)
        log.notice("this workload is \(identity.id), until \(PlainLogHandler.date(identity.notAfter))")
    }

    static var unixSeconds: Int64 { Int64(clamping: SystemClock.unixNanoseconds() / 1_000_000_000) }

    /// Looks at the files, now and then. True = the identity is another one.
    mutating func look(_ log: Logger) -> Bool {
        let now = SystemClock.monotonicNow()
        guard now >= nextLook else { return false }
        nextLook = now + Self.intervalNanoseconds
        let text = expiry.text(
            of: identity.id.description, identity.credentials.leaf, notAfter: identity.notAfter, now: Self.unixSeconds)
        if let text { log.warning("\(text)") }
        guard files.haveSettledChange() else { return false }
        do throws(TLSError) {
            let found = try directory.load(now: Self.unixSeconds)
            say(found.warnings, log)
            let isSame = found.identity.credentials.chain == identity.credentials.chain && found.identity.bundles == identity.bundles
            guard !isSame else { return false }
            identity = found.identity
            expiry = ExpiryWarning()
            log.notice("certificate renewed: this workload is \(identity.id), until \(PlainLogHandler.date(identity.notAfter))")
            return true
        } catch {
            refused += 1
            log.error("the new certificate is not used, the one before goes on until \(PlainLogHandler.date(identity.notAfter)): \(error)")
            return false
        }
    }

    private mutating func say(_ warnings: [String], _ log: Logger) {
        for warning in warnings where saidWarnings.insert(warning).inserted { log.warning("\(warning)") }
    }
}

extension [String: [Certificate]] {
    fileprivate static func == (left: Self, right: Self) -> Bool {
        left.count == right.count && left.allSatisfy { right[$0.key] == $0.value }
    }
}
