/// Bounds of the receivers.
public struct ReceiverLimits: Sendable {
    /// A body after content decoding (OTLP's recommendation); more is 413.
    public var bodyBytesMax = 64 << 20
    /// Batches kept for reuse, and the largest text arena that one may keep.
    public var batchesKept = 8
    public var batchBytesKept = 4 << 20
    /// Buffers of gRPC messages kept for reuse, and the largest that is.
    public var messagesKept = 8
    public var messageBytesKept = 1 << 20
    /// Decompression memory kept between requests.
    public var scratchBytesKept = 4 << 20

    public init() {}
}
