internal import Primitives
internal import Synchronization
internal import TelemetryModel

/// Span batches waiting for an exporter's thread, bounded in spans and in bytes. Any thread offers, the exporter takes.
final class ExporterQueue: Sendable {
    enum Offer { case queued(wakes: Bool), full, stopped }

    private struct State {
        /// Oldest first.
        var batches: [SpanBatch] = []
        var spans = 0
        var bytes = 0
        var isStopped = false
        /// The thread sleeps until somebody wakes it.
        var isIdle = false
    }

    private let state = Mutex(State())
    private let spansMax: Int
    private let bytesMax: Int

    init(spansMax: Int, bytesMax: Int) {
        self.spansMax = spansMax
        self.bytesMax = bytesMax
    }

    func offer(_ batch: SpanBatch) -> Offer {
        state.withLock { state in
            if state.isStopped { return .stopped }
            let bytes = Self.bytes(batch)
            guard state.spans + batch.spans.count <= spansMax, state.bytes + bytes <= bytesMax else { return .full }
            state.batches.append(batch)
            state.spans += batch.spans.count
            state.bytes += bytes
            let wakes = state.isIdle
            state.isIdle = false
            return .queued(wakes: wakes)
        }
    }

    /// The oldest batches, together at most `spansMax` spans unless the first alone has more. Empty = the thread may sleep.
    func take(spansMax: Int) -> [SpanBatch] {
        state.withLock { state in
            var count = 0
            var spans = 0
            while count < state.batches.count, count == 0 || spans + state.batches[count].spans.count <= spansMax {
                spans += state.batches[count].spans.count
                count += 1
            }
            let taken = Array(state.batches[..<count])
            state.batches.removeFirst(count)
            state.spans -= spans
            for batch in taken { state.bytes -= Self.bytes(batch) }
            state.isIdle = taken.isEmpty
            return taken
        }
    }

    /// Takes no more; what is there may still be taken.
    func stop() { state.withLock { $0.isStopped = true } }

    var spansWaiting: Int { state.withLock { $0.spans } }

    private static func bytes(_ batch: SpanBatch) -> Int {
        batch.text.count + batch.spans.count * MemoryLayout<SpanRow>.stride + batch.tags.count * MemoryLayout<TagRow>.stride
            + batch.annotations.count * MemoryLayout<AnnotationRow>.stride + batch.endpoints.count * MemoryLayout<EndpointRow>.stride
    }
}
