/// Why a batch was not stored. The sender may try again; nothing of the batch was kept.
public enum SpanRejection: Error, Sendable, Equatable {
    /// The queue in front of the store is full.
    case overloaded
    /// The disk is full or failing; ingest resumes by itself.
    case unavailable(reason: String)
}

/// Where receivers put spans: the embedded store, or another that takes its place.
///
/// `submit` never blocks. `completion` is called exactly once, from any thread, and `.success` only after the batch is durable and readable
/// (invariant 3 of docs/architecture.md: an acknowledged span is stored).
public protocol SpanSink: AnyObject, Sendable {
    func submit(_ batch: consuming SpanBatch, completion: @escaping @Sendable (Result<Void, SpanRejection>) -> Void)
}
