/// Why a batch was not stored. The sender may try again; nothing of the batch was kept.
public enum BatchRejection: Error, Sendable, Equatable {
    /// The queue in front of the store is full.
    case overloaded
    /// The disk is full or failing; ingest resumes by itself.
    case unavailable(reason: String)
}

/// Where receivers put the batches of one signal: the embedded store, or another that takes its place.
///
/// `submit` never blocks. `completion` is called exactly once, from any thread, and `.success` only after the batch is durable and readable
/// (invariant 3 of docs/architecture.md: what is acknowledged is stored).
public protocol BatchSink<Batch>: AnyObject, Sendable {
    associatedtype Batch: TelemetryBatch

    func submit(_ batch: consuming Batch, completion: @escaping @Sendable (Result<Void, BatchRejection>) -> Void)
}
