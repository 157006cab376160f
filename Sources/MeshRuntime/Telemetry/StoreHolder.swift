internal import Collector
internal import EventLoops
internal import Glibc
internal import Primitives
internal import QueryAPI
internal import Synchronization
internal import TelemetryModel
internal import TelemetryStore

/// The embedded stores, all in one file, or the reason why there are none yet.
///
/// A full, read-only or broken disk must not keep the proxy from starting: spans and queries are refused meanwhile, and opening is tried
/// again until it succeeds. Another process in the directory, or tiers that the file does not have,
/// are mistakes of the command line, and end the start.
final class StoreHolder: Sendable {
    /// Between two attempts, doubling from one to the next.
    static let retrySecondsMin: UInt64 = 1
    static let retrySecondsMax: UInt64 = 30

    private struct State {
        var stores: Stores?
        /// Why `stores` is nil.
        var reason = ""
        var retrySeconds = StoreHolder.retrySecondsMin
        /// Monotonic nanoseconds.
        var nextAttempt: UInt64 = 0
        var attempt: WorkerThread?
        var isTrying = false
        var isStopped = false
        /// Items that came while it was nil, and were not kept.
        var refused: [TelemetrySignal: UInt64] = [:]
        /// The process before this one still writes the file: until it ends, own telemetry waits here.
        var isAwaitingPredecessor = false
        var waiting: [KeptBatch] = []
        var itemsWaiting = 0
    }

    /// A batch that waits for its store.
    private struct KeptBatch {
        var signal: TelemetrySignal
        var itemCount: Int
        var deliver: @Sendable (Stores) -> Void
    }

    /// Items that wait for the predecessor to end; further ones are refused and counted.
    static let itemsWaitingMax = 100_000
    /// Between two looks at the predecessor's lock.
    private static let lockPollMilliseconds: Int32 = 20

    let directory: String
    private let configuration: StoreConfiguration
    private let series: SeriesConfiguration
    private let state: Mutex<State>

    /// Tries once. Throws when another process has the directory, and whatever the reason when `isRequired`. After a takeover
    /// (`awaitsPredecessor`) another process has it for sure: then the first attempt, on a thread of its own, waits for its end.
    init(
        _ configuration: StoreConfiguration, _ series: SeriesConfiguration = SeriesConfiguration(), isRequired: Bool, now: UInt64,
        awaitsPredecessor: Bool = false
    ) throws(StoreError) {
        directory = configuration.directory
        self.configuration = configuration
        self.series = series
        var first = State()
        if awaitsPredecessor {
            first.isAwaitingPredecessor = true
            first.reason = "the process that was taken over from has not ended yet"
            first.nextAttempt = now
            state = Mutex(first)
            return
        }
        do throws(StoreError) {
            first.stores = try Stores.open(configuration, series)
        } catch {
            switch error {
            case .locked, .otherTiers: throw error
            default: if isRequired { throw error }
            }
            first.reason = error.description
            first.nextAttempt = now &+ first.retrySeconds &* 1_000_000_000
        }
        state = Mutex(first)
    }

    /// nil while it cannot be opened.
    var stores: Stores? { state.withLock { $0.stores } }

    enum Place {
        case stores(Stores)
        /// Until the predecessor ends. Only this process's own telemetry comes so early: nobody else can send before there is a store.
        case kept
        case refused
    }

    /// Where a batch goes now; what is to be kept is, and `deliver` submits it later. `deliver` must not block.
    func place<Batch: TelemetryBatch>(for batch: Batch, deliver: @escaping @Sendable (Batch, Stores) -> Void) -> Place {
        state.withLock { state in
            if let stores = state.stores { return .stores(stores) }
            let count = batch.itemCount
            guard state.isAwaitingPredecessor, state.itemsWaiting + count <= Self.itemsWaitingMax else {
                state.refused[Batch.signal, default: 0] &+= UInt64(clamping: count)
                return .refused
            }
            state.waiting.append(KeptBatch(signal: Batch.signal, itemCount: count) { deliver(batch, $0) })
            state.itemsWaiting += count
            return .kept
        }
    }

    /// Whether the store is still another process's.
    var isAwaitingPredecessor: Bool { state.withLock { $0.isAwaitingPredecessor } }

    /// Why `stores` is nil, for people; nil when it is open.
    var problem: String? {
        state.withLock { state in
            state.stores == nil && !state.isStopped && !state.isAwaitingPredecessor
                ? "the trace store in \(directory) cannot be opened: \(state.reason); "
                    + "opening is tried again, at the latest every \(Self.retrySecondsMax) s" : nil
        }
    }

    /// Items of a signal that came while it was not open.
    func refused(_ signal: TelemetrySignal) -> UInt64 { state.withLock { $0.refused[signal] ?? 0 } }

    /// Begins another attempt when one is due, on a thread of its own: a large journal takes its time. Control thread.
    func retry(now: UInt64) {
        let finished = state.withLock { state -> WorkerThread? in
            guard !state.isTrying else { return nil }
            defer { state.attempt = nil }
            return state.attempt
        }
        finished?.join()
        let isDue = state.withLock { state in
            guard state.stores == nil, !state.isTrying, !state.isStopped, now >= state.nextAttempt else { return false }
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
        var kept: [KeptBatch] = []
        let unwanted = state.withLock { state -> Stores? in
            state.isTrying = false
            state.isAwaitingPredecessor = false
            swap(&kept, &state.waiting)
            switch result {
            case .success(let opened):
                if state.isStopped { return opened }
                state.stores = opened
                for batch in kept { batch.deliver(opened) }
            case .failure(let error):
                for batch in kept { state.refused[batch.signal, default: 0] &+= UInt64(clamping: batch.itemCount) }
                state.reason = error.description
                state.retrySeconds = min(state.retrySeconds * 2, Self.retrySecondsMax)
                state.nextAttempt = now &+ state.retrySeconds &* 1_000_000_000
            }
            return nil
        }
        unwanted?.close()
    }

    private func open() -> Result<Stores, StoreError> {
        do throws(StoreError) { return .success(try Stores.open(configuration, series)) } catch { return .failure(error) }
    }

    /// Closes the file and ends the attempts.
    func close() {
        let (stores, attempt) = state.withLock { state in
            state.isStopped = true
            defer { state.attempt = nil }
            return (state.stores, state.attempt)
        }
        attempt?.join()
        stores?.close()
    }
}
