internal import Synchronization
internal import TelemetryModel
internal import TelemetryWire

/// What a decoder says of one body.
protocol DecodeOutcome: Sendable {
    var acceptedItems: Int { get }
    var refusedItems: Int { get }
    /// What stored items had to leave behind; nil = the protocol knows no such thing.
    var droppedParts: OTLPDroppedParts? { get }
    /// Exemplars of stored items, which nobody keeps.
    var droppedExemplars: Int { get }
    /// Why the body cannot be taken now although it is right; nil = it can.
    var rejection: BatchRejection? { get }

    /// Called once for a body that was decoded and not rejected, when the sink has its items or has refused them, before the sender is
    /// answered. Any thread.
    func settle(isStored: Bool)
}

extension DecodeOutcome {
    var droppedExemplars: Int { 0 }
    var rejection: BatchRejection? { nil }

    func settle(isStored: Bool) {}
}

/// What became of one request's body.
enum IntakeResult<Outcome: DecodeOutcome>: Sendable {
    case stored(Outcome)
    case malformed(String)
    case unreadable(BodyError)
    case rejected(BatchRejection)
}

/// Where every receiver of one signal takes a body to, whatever its protocol: unpack, decode into a batch, hand over to the sink, count,
/// pass on to exporters. Any thread.
final class SignalIntake<Batch: TelemetryBatch>: Sendable {
    private let sink: any BatchSink<Batch>
    private let unpacker: BodyUnpacker
    private let batches: BatchPool<Batch>
    private let exporters = Mutex<[Exporter<Batch>]>([])

    init(sink: any BatchSink<Batch>, unpacker: BodyUnpacker, limits: ReceiverLimits) {
        self.sink = sink
        self.unpacker = unpacker
        batches = BatchPool(countMax: limits.batchesKept, bytesMax: limits.batchBytesKept)
    }

    /// Where received batches go besides the sink; empty at first.
    func forward(to exporters: [Exporter<Batch>]) { self.exporters.withLock { $0 = exporters } }

    /// Takes a body. What is known at once is returned; nil = `answer` will be called, on any thread, when the sink has the batch or has
    /// refused it. `coding` is in lower case. What is good in a body is stored, whatever else is in it.
    func take<Outcome: DecodeOutcome, Failure: Error & CustomStringConvertible>(
        _ body: UnsafeRawBufferPointer, coding: String, _ counters: ReceiverCounters,
        decode: (UnsafeRawBufferPointer, inout Batch) throws(Failure) -> Outcome,
        answer: @escaping @Sendable (IntakeResult<Outcome>) -> Void
    ) -> IntakeResult<Outcome>? {
        var batch = batches.take()
        let outcome: Outcome
        do throws(BodyError) {
            let result = unsafe try unpacker.withUnpacked(body, coding: coding) { body -> Result<Outcome, Failure> in
                do throws(Failure) {
                    return .success(unsafe try decode(body, &batch))
                } catch {
                    return .failure(error)
                }
            }
            switch result {
            case .success(let decoded): outcome = decoded
            case .failure(let failure):
                batches.give(batch)
                counters.malformed.add()
                return .malformed(failure.description)
            }
        } catch {
            batches.give(batch)
            counters.count(error)
            return .unreadable(error)
        }
        if let rejection = outcome.rejection {
            batches.give(batch)
            counters.count(rejection, items: outcome.acceptedItems)
            return .rejected(rejection)
        }
        counters.itemsInvalid.add(outcome.refusedItems)
        if batch.isEmpty {
            batches.give(batch)
            outcome.settle(isStored: true)
            counters.outcome(stored: 0, refused: outcome.refusedItems).add()
            return .stored(outcome)
        }
        submit(batch, outcome, counters, answer)
        return nil
    }

    /// Hands the batch over. A request whose batch is stored counts as accepted, or as partly so.
    private func submit<Outcome: DecodeOutcome>(
        _ batch: Batch, _ outcome: Outcome, _ counters: ReceiverCounters, _ answer: @escaping @Sendable (IntakeResult<Outcome>) -> Void
    ) {
        let count = batch.itemCount
        let exporters = exporters.withLock { $0 }
        // Shares the sink's memory: forwarded once the sink has it (a sender whose batch was refused comes back with it), else used again.
        let kept = batch
        sink.submit(batch) { [batches] result in
            defer { if exporters.isEmpty { batches.give(kept) } }
            switch result {
            case .success:
                outcome.settle(isStored: true)
                for exporter in exporters { exporter.offer(kept) }
                counters.outcome(stored: outcome.acceptedItems, refused: outcome.refusedItems).add()
                counters.stored.add(count)
                if let dropped = outcome.droppedParts { counters.count(dropped) }
                counters.exemplarsDropped.add(outcome.droppedExemplars)
                answer(.stored(outcome))
            case .failure(let rejection):
                outcome.settle(isStored: false)
                counters.count(rejection, items: count)
                answer(.rejected(rejection))
            }
        }
    }
}

extension BatchRejection {
    /// When the sender should come back.
    var retryAfterSeconds: UInt64 {
        switch self {
        case .overloaded: 1
        case .unavailable: 5
        }
    }

    /// For the sender.
    var text: String {
        switch self {
        case .overloaded: "the store is busy; nothing of the request was kept, send it again"
        case .unavailable(let reason): "the store is unavailable (\(reason)); nothing of the request was kept, send it again later"
        }
    }
}

extension ZipkinDecodeOutcome: DecodeOutcome {
    var acceptedItems: Int { acceptedSpans }
    var refusedItems: Int { refusedSpans }
    var droppedParts: OTLPDroppedParts? { nil }
}

extension OTLPDecodeOutcome: DecodeOutcome {
    var acceptedItems: Int { acceptedSpans }
    var refusedItems: Int { rejectedSpans }
    var droppedParts: OTLPDroppedParts? { dropped }
}
