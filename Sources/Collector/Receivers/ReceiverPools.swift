internal import Synchronization
internal import TelemetryModel

/// Batches whose memory is used again. Any thread.
///
/// A batch comes back while the sink may still hold a copy: arrays are copied on write, so the worst of it is an allocation.
final class BatchPool<Batch: TelemetryBatch>: Sendable {
    private let batches = Mutex<[Batch]>([])
    private let countMax: Int
    private let bytesMax: Int

    init(countMax: Int, bytesMax: Int) {
        self.countMax = countMax
        self.bytesMax = bytesMax
    }

    func take() -> Batch {
        var batch = batches.withLock { $0.popLast() } ?? Batch()
        batch.removeAll()
        return batch
    }

    func give(_ batch: Batch) {
        let bytes = batch.capacityBytes
        guard bytes > 0, bytes <= bytesMax else { return }
        batches.withLock { if $0.count < countMax { $0.append(batch) } }
    }
}

/// Buffers for messages that are collected as they come. Any thread.
final class MessagePool: Sendable {
    private let buffers = Mutex<[[UInt8]]>([])
    private let countMax: Int
    private let bytesMax: Int

    init(countMax: Int, bytesMax: Int) {
        self.countMax = countMax
        self.bytesMax = bytesMax
    }

    func take() -> [UInt8] { buffers.withLock { $0.popLast() } ?? [] }

    func give(_ buffer: consuming [UInt8]) {
        guard buffer.capacity > 0, buffer.capacity <= bytesMax else { return }
        buffer.removeAll(keepingCapacity: true)
        buffers.withLock { [buffer] in if $0.count < countMax { $0.append(buffer) } }
    }
}
