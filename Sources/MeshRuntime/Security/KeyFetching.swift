internal import EventLoops
internal import HTTPService
internal import JOSE
internal import Logging
internal import MeshConfig
internal import Policy
internal import Primitives
internal import Proxy
internal import Synchronization
internal import TelemetryModel

/// Fetches the keys of all issuers that the configuration names, now and then and when a token asks for one that is not there, on threads
/// of its own. A good set goes on while its issuer cannot be reached.
final class KeyFetching: Sendable {
    /// Nanoseconds between two fetches of a good set, and of a file.
    static let refreshNanoseconds: UInt64 = 300_000_000_000
    static let fileNanoseconds: UInt64 = 5_000_000_000
    /// After failures, doubled with each of them.
    static let retryNanoseconds: ClosedRange<UInt64> = 1_000_000_000...60_000_000_000
    /// Issuers that are asked at once.
    static let threads = 4

    private struct State {
        /// Sources that a thread is asking.
        var busy: Set<Int> = []
        /// Failures in a row of each source.
        var failures: [Int: UInt64] = [:]
        /// What was fetched last, by its hash.
        var seen: [Int: UInt64] = [:]
        /// What was said last, so that an hour without an issuer is not a thousand lines.
        var said: [Int: String] = [:]
    }

    private let keys: IssuerKeys
    private let workers: [WorkerHandle]
    private let tls: @Sendable (String) -> Result<ClientTLS, KeyFetchError>
    private let say: @Sendable (Logger.Level, String) -> Void
    private let state = Mutex(State())
    private let mailboxes: [Mailbox<Void>]
    private let isStopped = Atomic<Bool>(false)

    /// `tls`: of connections with a host, which any thread may ask for.
    init(
        _ keys: IssuerKeys, workers: [WorkerHandle], tls: @escaping @Sendable (String) -> Result<ClientTLS, KeyFetchError>,
        say: @escaping @Sendable (Logger.Level, String) -> Void
    ) throws(SystemError) {
        self.keys = keys
        self.workers = workers
        self.tls = tls
        self.say = say
        var made: [Mailbox<Void>] = []
        for _ in 0..<Self.threads { made.append(try Mailbox<Void>()) }
        mailboxes = made
        keys.setWake { [weak self] in self?.wake() }
        // Never joined: an issuer that does not answer would hold up the process' end.
        for (index, mailbox) in made.enumerated() {
            _ = try WorkerThread(name: "keys-\(index)") { [self] in work(mailbox) }
        }
    }

    /// Nothing further is fetched.
    func stop() {
        isStopped.store(true, ordering: .relaxed)
        wake()
    }

    private func wake() { for mailbox in mailboxes { mailbox.wake() } }

    private func work(_ mailbox: Mailbox<Void>) {
        let download = KeyDownload(tls: tls, contexts: ClientContexts())
        while !isStopped.load(ordering: .relaxed) {
            let (place, row, pause) = next(now: SystemClock.monotonicNow())
            guard let place, let row else {
                mailbox.wait(milliseconds: pause)
                _ = mailbox.take()
                continue
            }
            fetch(place, row, download)
        }
    }

    /// A source whose time has come and that nobody asks yet, or how long there is none: milliseconds, -1 = until the thread is woken.
    private func next(now: MonotonicInstant) -> (place: Int?, row: IssuerKeys.Row?, pause: Int32) {
        let rows = keys.rows
        return state.withLock { state in
            var soonest: UInt64?
            for (place, row) in rows.enumerated() where row.isUsed && !row.isInline && !state.busy.contains(place) {
                let wait = Self.wait(row, failures: state.failures[place] ?? 0, now: now)
                if wait == 0 {
                    state.busy.insert(place)
                    return (place, row, 0)
                }
                soonest = min(soonest ?? wait, wait)
            }
            return (nil, nil, soonest.map { Int32(clamping: $0 / 1_000_000 + 1) } ?? -1)
        }
    }

    /// Nanoseconds until a source is to be asked; 0 = now.
    static func wait(_ row: IssuerKeys.Row, failures: UInt64, now: MonotonicInstant) -> UInt64 {
        guard let attempted = row.attempted, !(row.isWanted && row.mayFetch(now: now)) else { return 0 }
        var interval = row.isFile ? fileNanoseconds : refreshNanoseconds
        if failures > 0 {
            interval = min(retryNanoseconds.upperBound, retryNanoseconds.lowerBound << min(failures - 1, 6))
        } else if row.isWanted {
            interval = min(interval, TokenLimits.refetchNanoseconds)
        }
        let passed = now.nanoseconds(since: attempted)
        return passed >= interval ? 0 : interval - passed
    }

    private func fetch(_ place: Int, _ row: IssuerKeys.Row, _ download: KeyDownload) {
        var result: Result<KeySet, KeyFetchError>
        var hash: UInt64 = 0
        do {
            let bytes = try download.run(row.source, timeoutNanoseconds: row.timeoutNanoseconds)
            hash = unsafe bytes.withUnsafeBytes { unsafe ByteHash.hash($0, seed: UInt64(bytes.count)) }
            let known = state.withLock { $0.seen[place] }
            if known == hash, let set = row.set {
                result = .success(set)
            } else {
                result = .success(try KeySet.parse(bytes))
            }
        } catch let error as KeyFetchError {
            result = .failure(error)
        } catch {
            result = .failure(KeyFetchError("\(row.name): \(error)"))
        }
        tell(place, row, result)
        keys.note(place, result, now: SystemClock.monotonicNow(), unixNanoseconds: SystemClock.unixNanoseconds())
        state.withLock { state in
            state.busy.remove(place)
            if case .success = result {
                state.failures[place] = 0
                state.seen[place] = hash
            } else {
                state.failures[place, default: 0] &+= 1
            }
        }
        for worker in workers { worker.mailbox.send(.keysChanged) }
    }

    private func tell(_ place: Int, _ row: IssuerKeys.Row, _ result: Result<KeySet, KeyFetchError>) {
        var text = ""
        var level = Logger.Level.notice
        switch result {
        case .success(let set):
            if row.set !== set { text = "keys of \(row.name): \(set.count)" + set.problems.map { "; \($0)" }.joined() }
            if row.failure != nil { text = "the issuer answers again: " + (text.isEmpty ? "keys of \(row.name) are as they were" : text) }
        case .failure(let error):
            level = .warning
            let rest = row.set == nil ? "there are none, and its tokens are refused" : "the last good ones go on"
            text = "keys of \(row.name) could not be fetched: \(error.reason); \(rest)"
            if state.withLock({ $0.said[place] == text }) { return }
        }
        state.withLock { $0.said[place] = level == .warning ? text : nil }
        if !text.isEmpty { say(level, text) }
    }
}

extension IssuerKeys.Row {
    /// A file of this machine.
    var isFile: Bool {
        if case .uri(let uri) = source { return uri.hasPrefix("file://") }
        return false
    }

    /// Where the keys are, for people.
    var name: String {
        switch source {
        case .inline: "the configuration"
        case .uri(let uri): String(uri.prefix(256))
        case .discovery(let issuer): String(issuer.prefix(256))
        }
    }
}
