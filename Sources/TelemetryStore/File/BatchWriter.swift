import TelemetryModel

/// The write side of a set of tables: what a group commit calls. Confined to the writer thread.
protocol BatchWriter<Batch>: AnyObject {
    associatedtype Batch: TelemetryBatch

    /// Whether more may be written now. While it may not, batches wait in the queue, and the queue refuses when it is full. Only `publish`
    /// and jobs on the writer thread may change the answer.
    var hasRoom: Bool { get }

    /// Makes rows of the next batches of a group; `encode` is called for each, in the order they came.
    func encode(_ batch: Batch)
    /// All of the group is encoded: the bytes of its rows; 0 = there is nothing to write.
    func finishEncoding() -> Int
    /// Writes the rows, in the transaction of the group commit.
    func write(_ database: WriteConnection) throws(StoreError)
    /// The rows are committed: shows them to readers. `now` in microseconds since 1970.
    func publish(now: UInt64)
    /// The rows are not committed, and never will be: forgets them.
    func discard()
}
