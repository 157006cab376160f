import TelemetryModel

/// Tables that belong together, in a file with others: their versions, what they hold when the file is opened, their queue of writes, and
/// what is done with them in the background.
///
/// A set is made before its file, and given to `StoreFile.open`; whoever submits and reads has both. `TraceTables` is the one for spans.
protocol TableSet: AnyObject, Sendable {
    var schema: TableSchema { get }
    /// What the set's batches wait in for the next group commit.
    var queue: any CommitQueue { get }

    /// Prepares the set's statements and reads what the file holds. On the opening thread, before any other call. Once more with a new file
    /// when the first was damaged, and then what was read before is forgotten.
    func load(_ database: WriteConnection) throws(StoreError)

    /// Whether `maintain` has work before its next regular turn. Any thread, under no lock.
    var isMaintenanceDue: Bool { get }
    /// One turn of what is done in the background: compaction, retention by age. On the maintenance thread, about twice a second. `isFlush`:
    /// somebody waits for the compact form.
    func maintain(_ file: StoreFile, isFlush: Bool)
    /// Deletes the oldest of what it stores, about `bytes` of it, because the file is larger than it may be. False when nothing more may go.
    /// On the maintenance thread.
    func shed(_ bytes: UInt64, _ file: StoreFile) -> Bool

    /// What a damaged file still says of the set, for people; it often ends in an error. Nil = nothing.
    func remains(_ connection: borrowing SQLiteConnection) throws(StoreError) -> StoredRange?

    /// The file is closed: reads fail from here on, and read connections are given up.
    func close()
}

/// How many items of one kind are somewhere, and of which time.
struct StoredRange {
    var count: UInt64
    /// Microseconds since 1970; 0 = unknown.
    var earliest: UInt64
    var latest: UInt64
}

/// The write side of a set of tables: what a group commit calls. Confined to the writer thread.
protocol BatchWriter<Batch>: AnyObject {
    associatedtype Batch: TelemetryBatch

    /// Whether more may be written now. While it may not, batches wait in the queue, and the queue refuses when it is full. Only `publish` and
    /// jobs on the writer thread may change the answer.
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
