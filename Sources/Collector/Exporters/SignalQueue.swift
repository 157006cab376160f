internal import Synchronization
internal import TelemetryModel

/// Batches of one signal waiting for a thread, bounded in items and in bytes. What does not fit is dropped whole and counted by reason. Any
/// thread offers, one takes.
final class SignalQueue<Batch: TelemetryBatch>: Sendable {
    /// Items that wait, and those dropped, by reason.
    struct Counters: Sendable {
        let waiting, full, stopped: CollectorCounter
    }

    private struct State {
        /// Oldest first.
        var batches: [Batch] = []
        var items = 0
        var bytes = 0
        var isStopped = false
        /// The taker sleeps until somebody wakes it.
        var isIdle = false
    }

    private enum Offer { case queued(wakes: Bool), full, stopped }

    private let state = Mutex(State())
    private let counters: Counters
    private let itemsMax: Int
    private let bytesMax: Int

    init(itemsMax: Int, bytesMax: Int, counters: Counters) {
        self.itemsMax = itemsMax
        self.bytesMax = bytesMax
        self.counters = counters
    }

    /// Queues a batch, or drops and counts it. True when the taker sleeps and is to be woken.
    func offer(_ batch: Batch) -> Bool {
        let (offer, waiting) = state.withLock { state -> (Offer, Int) in
            if state.isStopped { return (.stopped, state.items) }
            let bytes = batch.byteCount
            guard state.items + batch.itemCount <= itemsMax, state.bytes + bytes <= bytesMax else { return (.full, state.items) }
            state.batches.append(batch)
            state.items += batch.itemCount
            state.bytes += bytes
            let wakes = state.isIdle
            state.isIdle = false
            return (.queued(wakes: wakes), state.items)
        }
        counters.waiting.set(UInt64(clamping: waiting))
        switch offer {
        case .queued(let wakes): return wakes
        case .full: counters.full.add(batch.itemCount)
        case .stopped: counters.stopped.add(batch.itemCount)
        }
        return false
    }

    /// The oldest batches, together at most `itemsMax` items unless the first alone has more. Empty = the thread may sleep.
    func take(itemsMax: Int) -> [Batch] {
        let (taken, waiting) = state.withLock { state -> ([Batch], Int) in
            var count = 0
            var items = 0
            while count < state.batches.count, count == 0 || items + state.batches[count].itemCount <= itemsMax {
                items += state.batches[count].itemCount
                count += 1
            }
            let taken = Array(state.batches[..<count])
            state.batches.removeFirst(count)
            state.items -= items
            for batch in taken { state.bytes -= batch.byteCount }
            state.isIdle = taken.isEmpty
            return (taken, state.items)
        }
        counters.waiting.set(UInt64(clamping: waiting))
        return taken
    }

    /// Takes no more; what is there may still be taken.
    func stop() { state.withLock { $0.isStopped = true } }
}
