internal import Collector
internal import EventLoops
internal import Primitives
internal import QueryAPI
internal import Synchronization
internal import TelemetryStore

/// The embedded store, or the reason why there is none yet.
///
/// A full, read-only or broken disk must not keep the proxy from starting: spans and queries are refused meanwhile, and opening is tried again
/// until it succeeds. Another process in the directory is a mistake of the command line, and ends the start.
final class StoreHolder: Sendable {
    /// Between two attempts, doubling from one to the next.
    static let retrySecondsMin: UInt64 = 1
    static let retrySecondsMax: UInt64 = 30

    private struct State {
        var store: TraceStore?
        /// Why `store` is nil.
        var reason = ""
        var retrySeconds = StoreHolder.retrySecondsMin
        /// Monotonic nanoseconds.
        var nextAttempt: UInt64 = 0
        var attempt: WorkerThread?
        var isTrying = false
        var isStopped = false
        var spansRefused: UInt64 = 0
    }

    let directory: String
    private let configuration: StoreConfiguration
    private let state: Mutex<State>

    /// Tries once. Throws when another process has the directory, and whatever the reason when `isRequired`.
    init(_ configuration: StoreConfiguration, isRequired: Bool, now: UInt64) throws(StoreError) {
        directory = configuration.directory
        self.configuration = configuration
        var first = State()
        do throws(StoreError) {
            first.store = try TraceStore.open(configuration)
        } catch {
            if case .locked = error { throw error }
            if isRequired { throw error }
            first.reason = error.description
            first.nextAttempt = now &+ first.retrySeconds &* 1_000_000_000
        }
        state = Mutex(first)
    }

    /// nil while it cannot be opened.
    var store: TraceStore? { state.withLock { $0.store } }

    /// Why `store` is nil, for people; nil when it is open.
    var problem: String? {
        state.withLock { state in
            state.store == nil && !state.isStopped
                ? "the trace store in \(directory) cannot be opened: \(state.reason); opening is tried again, at the latest every \(Self.retrySecondsMax) s" : nil
        }
    }

    /// Spans that came while it was not open.
    var spansRefused: UInt64 { state.withLock { $0.spansRefused } }
    func noteRefused(_ spans: Int) { state.withLock { $0.spansRefused &+= UInt64(clamping: spans) } }

    /// Begins another attempt when one is due, on a thread of its own: a large journal takes its time. Control thread.
    func retry(now: UInt64) {
        let finished = state.withLock { state -> WorkerThread? in
            guard !state.isTrying else { return nil }
            defer { state.attempt = nil }
            return state.attempt
        }
        finished?.join()
        let isDue = state.withLock { state in
            guard state.store == nil, !state.isTrying, !state.isStopped, now >= state.nextAttempt else { return false }
            state.isTrying = true
            return true
        }
        guard isDue else { return }
        let thread = try? WorkerThread(name: "store-open") { [self] in attempt(from: now) }
        state.withLock { state in
            state.attempt = thread
            if thread == nil { state.isTrying = false }
        }
    }

    /// Blocks on the disk.
    func attempt(from now: UInt64) {
        let result: Result<TraceStore, StoreError>
        do throws(StoreError) { result = .success(try TraceStore.open(configuration)) } catch { result = .failure(error) }
        let unwanted = state.withLock { state -> TraceStore? in
            state.isTrying = false
            switch result {
            case .success(let opened):
                if state.isStopped { return opened }
                state.store = opened
            case .failure(let error):
                state.reason = error.description
                state.retrySeconds = min(state.retrySeconds * 2, Self.retrySecondsMax)
                state.nextAttempt = now &+ state.retrySeconds &* 1_000_000_000
            }
            return nil
        }
        unwanted?.close()
    }

    /// Closes the store and ends the attempts.
    func close() {
        let (store, attempt) = state.withLock { state in
            state.isStopped = true
            defer { state.attempt = nil }
            return (state.store, state.attempt)
        }
        attempt?.join()
        store?.close()
    }
}
