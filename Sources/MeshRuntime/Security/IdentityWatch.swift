internal import Logging
internal import Primitives
internal import TLS

/// The workload's certificate as it is renewed. A set that cannot be used is said once, and the one before stays. Confined to the control
/// thread.
struct IdentityWatch {
    private var files: SettledFiles
    private var saidWarnings: Set<String> = []
    private var expiry = ExpiryWarning()
    private let directory: IdentityDirectory
    private(set) var identity: WorkloadIdentity
    /// Sets that were refused since the start.
    private(set) var refused: UInt64 = 0

    /// The first set must be good.
    init(path: String, _ log: Logger) throws(TLSError) {
        directory = IdentityDirectory(path: path)
        files = SettledFiles(directory.paths)
        let found = try directory.load(now: Self.unixSeconds)
        identity = found.identity
        say(found.warnings, log)
        log.notice("this workload is \(identity.id), until \(PlainLogHandler.date(identity.notAfter))")
    }

    static var unixSeconds: Int64 { Int64(clamping: SystemClock.unixNanoseconds() / 1_000_000_000) }

    /// Looks at the files, now and then. True = the identity is another one.
    mutating func look(_ log: Logger) -> Bool {
        let isChanged: Bool
        switch files.look(now: SystemClock.monotonicNow()) {
        case .early: return false
        case .same: isChanged = false
        case .changed: isChanged = true
        }
        expiry.look(identity.credentials.chain, "\(identity.id)", now: Self.unixSeconds, log)
        guard isChanged else { return false }
        do throws(TLSError) {
            let found = try directory.load(now: Self.unixSeconds)
            say(found.warnings, log)
            let (old, new) = (identity, found.identity)
            let isRenewed = new.credentials.chain != old.credentials.chain
            let isTrustChanged = !(new.bundles == old.bundles) || new.revocations != old.revocations
            guard isRenewed || isTrustChanged else { return false }
            identity = new
            if isRenewed {
                expiry.renewed()
                log.notice("certificate renewed: this workload is \(identity.id), until \(PlainLogHandler.date(identity.notAfter))")
            } else {
                log.notice("the mesh's roots or its revoked certificates have changed: handshakes are judged by the new ones")
            }
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
