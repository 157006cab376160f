internal import EventLoops
internal import Glibc
internal import Primitives
internal import Synchronization

/// Resolves the configuration's host names on a thread of its own and keeps the last good answer of each.
final class HostResolver: Sendable {
    private struct State {
        var wanted: [String] = []
        /// The same names, to be asked for one.
        var kept: Set<String> = []
        var answers: [String: [SocketEndpoint]] = [:]
        var failures: [String: String] = [:]
        /// Look-ups that failed, by name.
        var failureCounts: [String: UInt64] = [:]
        /// Why the last look-up of a name failed; gone when one succeeds.
        var lastFailures: [String: String] = [:]
        var changed = false
        var stopped = false
    }

    /// Between two rounds of look-ups.
    static let refreshSeconds: Int32 = 30
    /// While a name has no answer at all.
    static let retrySeconds: Int32 = 2
    /// Names resolved; further ones are reported by the compiler as unresolved.
    static let hostsMax = 4096

    private let state = Mutex(State())
    private let wakeup: Mailbox<Void>
    /// Asks for the addresses of one name; blocks.
    private let lookUp: @Sendable (String) -> Result<[SocketEndpoint], ResolveError>
    private let refreshMilliseconds: Int32
    private let retryMilliseconds: Int32

    init(
        refreshMilliseconds: Int32 = refreshSeconds * 1000, retryMilliseconds: Int32 = retrySeconds * 1000,
        lookUp: @escaping @Sendable (String) -> Result<[SocketEndpoint], ResolveError> = { Resolver.addresses(of: $0, port: 0) }
    ) throws(SystemError) {
        self.refreshMilliseconds = refreshMilliseconds
        self.retryMilliseconds = retryMilliseconds
        self.lookUp = lookUp
        wakeup = try Mailbox()
    }

    /// Starts the thread; it ends after `stop`.
    func start() throws(SystemError) -> WorkerThread {
        try WorkerThread(name: "resolver") { [self] in loop() }
    }

    func stop() {
        state.withLock { $0.stopped = true }
        wakeup.wake()
    }

    /// Names to keep resolved from now on.
    func want(_ hosts: [String]) {
        let isNew = state.withLock { state in
            let wanted = Array(hosts.prefix(Self.hostsMax))
            let changed = wanted != state.wanted
            state.wanted = wanted
            if changed {
                // Answers for names of old configurations would pile up, and be stale when such a name comes back.
                state.kept = Set(wanted)
                state.answers = state.answers.filter { state.kept.contains($0.key) }
                state.failureCounts = state.failureCounts.filter { state.kept.contains($0.key) }
                state.lastFailures = state.lastFailures.filter { state.kept.contains($0.key) }
            }
            return changed
        }
        if isNew { wakeup.wake() }
    }

    /// All answers so far.
    var answers: [String: [SocketEndpoint]] { state.withLock { $0.answers } }
    /// Look-ups that failed, by name, of the names that are wanted now.
    var failureCounts: [String: UInt64] { state.withLock { $0.failureCounts } }
    /// Names whose last look-up failed, and why.
    var lastFailures: [String: String] { state.withLock { $0.lastFailures } }

    /// Whether an answer changed since the last call, and what failed meanwhile.
    func takeChanges() -> (changed: Bool, failures: [String: String]) {
        state.withLock { state in
            defer {
                state.changed = false
                state.failures = [:]
            }
            return (state.changed, state.failures)
        }
    }

    private func loop() {
        var missing = false
        while true {
            var poll = pollfd(fd: wakeup.descriptor, events: Int16(POLLIN), revents: 0)
            let patience = missing ? retryMilliseconds : refreshMilliseconds
            if unsafe Glibc.poll(&poll, 1, patience) > 0 { _ = wakeup.take() }
            let wanted = state.withLock { $0.stopped ? nil : $0.wanted }
            guard let wanted else { return }
            missing = false
            for host in wanted {
                switch lookUp(host) {
                case .success(let addresses):
                    state.withLock { state in
                        // The configuration may have changed while the name was looked up.
                        guard state.kept.contains(host) else { return }
                        state.lastFailures[host] = nil
                        if Set(state.answers[host] ?? []) != Set(addresses) {
                            state.answers[host] = addresses
                            state.changed = true
                        }
                    }
                case .failure(let error):
                    // The last good answer stays.
                    state.withLock { state in
                        if state.answers[host] == nil { missing = true }
                        state.failures[host] = error.reason
                        guard state.kept.contains(host) else { return }
                        state.failureCounts[host, default: 0] += 1
                        state.lastFailures[host] = error.reason
                    }
                }
                if state.withLock({ $0.stopped }) { return }
            }
        }
    }
}
