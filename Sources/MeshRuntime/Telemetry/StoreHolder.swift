internal import Collector
internal import EventLoops
internal import Glibc
internal import Primitives
internal import QueryAPI
internal import Synchronization
internal import TelemetryModel
internal import TelemetryStore

/// The embedded store, or the reason why there is none yet.
///
/// A full, read-only or broken disk must not keep the proxy from starting: spans and queries are refused meanwhile, and opening is tried
/// again until it succeeds. Another process in the directory is a mistake of the command line, and ends the start.
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
        /// The process before this one still writes the store: until it ends, own spans wait here.
        var isAwaitingPredecessor = false
        var waiting: [SpanBatch] = []
        var spansWaiting = 0
    }

    /// Spans that wait for the predecessor to end; further ones are refused and counted.
    static let spansWaitingMax = 100_000
    /// Between two looks at the predecessor's lock.
    private static let lockPollMilliseconds: Int32 = 20

    let directory: String
    private let configuration: StoreConfiguration
    private let state: Mutex<State>

    /// Tries once. Throws when another process has the directory, and whatever the reason when `isRequired`. After a takeover
    /// (`awaitsPredecessor`) another process has it for sure: then the first attempt, on a thread of its own, waits for its end.
    init(_ configuration: StoreConfiguration, isRequired: Bool, now: UInt64, awaitsPredecessor: Bool = false) throws(StoreError) {
        directory = configuration.directory
        self.configuration = configuration
        var first = State()
        if awaitsPredecessor {
            first.isAwaitingPredecessor = true
            first.reason = "the process that was taken over from has not ended yet"
            first.nextAttempt = now
            state = Mutex(first)
            return
        }
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

    enum Place {
        case store(TraceStore)
        /// Until the predecessor ends. Only this process's own spans come so early: nobody else can send before there is a store.
        case kept
        case refused
    }

    /// Where spans go now; what is to be kept is.
    func place(for batch: SpanBatch) -> Place {
        state.withLock { state in
            if let store = state.store { return .store(store) }
            guard state.isAwaitingPredecessor, state.spansWaiting + batch.spans.count <= Self.spansWaitingMax else {
                state.spansRefused &+= UInt64(clamping: batch.spans.count)
                return .refused
            }
            state.waiting.append(batch)
            state.spansWaiting += batch.spans.count
            return .kept
        }
    }

    /// Whether the store is still another process's.
    var isAwaitingPredecessor: Bool { state.withLock { $0.isAwaitingPredecessor } }

    /// Why `store` is nil, for people; nil when it is open.
    var problem: String? {
        state.withLock { state in
            state.store == nil && !state.isStopped && !state.isAwaitingPredecessor
                ? "the trace store in \(directory) cannot be opened: \(state.reason); "
                    + "opening is tried again, at the latest every \(Self.retrySecondsMax) s" : nil
        }
    }

    /// Spans that came while it was not open.
    var spansRefused: UInt64 { state.withLock { $0.spansRefused } }

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
        var result = open()
        while case .failure(.locked) = result, state.withLock({ $0.isAwaitingPredecessor && !$0.isStopped }) {
            _ = poll(nil, 0, Self.lockPollMilliseconds)
            result = open()
        }
        var kept: [SpanBatch] = []
        let unwanted = state.withLock { state -> TraceStore? in
            state.isTrying = false
            state.isAwaitingPredecessor = false
            swap(&kept, &state.waiting)
            switch result {
            case .success(let opened):
                if state.isStopped { return opened }
                state.store = opened
                for batch in kept { opened.submit(batch) { _ in } }
            case .failure(let error):
                state.spansRefused &+= UInt64(clamping: state.spansWaiting)
                state.reason = error.description
                state.retrySeconds = min(state.retrySeconds * 2, Self.retrySecondsMax)
                state.nextAttempt = now &+ state.retrySeconds &* 1_000_000_000
            }
            return nil
        }
        unwanted?.close()
    }

    private func open() -> Result<TraceStore, StoreError> {
        do throws(StoreError) { return .success(try TraceStore.open(configuration)) } catch { return .failure(error) }
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
