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
    /// What is done in the background: compaction, retention by age. On the maintenance thread, about twice a second.
    func maintain(_ turn: MaintenanceTurn)
    /// Deletes the oldest of what it stores, about `bytes` of it, because the file is larger than it may be. False when nothing more may
    /// go. On the maintenance thread.
    func shed(_ bytes: UInt64, _ jobs: WriterJobs) -> Bool

    /// What a damaged file still says of the set, for people; it often ends in an error. Nil = nothing.
    func remains(_ connection: borrowing SQLiteConnection) throws(StoreError) -> StoredRange?

    /// The last batch is committed and the file is about to be closed, orderly. On the writer thread.
    func finish(_ database: WriteConnection)
    /// The file is closed: reads fail from here on, and read connections are given up.
    func close()
}

extension TableSet {
    func finish(_ database: WriteConnection) {}
}

/// One turn of a table set's maintenance, and what it may ask of the file.
struct MaintenanceTurn {
    /// Somebody waits for the compact form.
    let isFlush: Bool
    /// What changes the file.
    let jobs: WriterJobs
    /// Deletes the oldest where there are too many bytes, of whichever set, and cuts the file where it is larger than it has to be. To be
    /// called after what changed much.
    let keepToBudget: () -> Void
}

/// How many items of one kind are somewhere, and of which time.
struct StoredRange {
    var count: UInt64
    /// Microseconds since 1970; 0 = unknown.
    var earliest: UInt64
    var latest: UInt64
}
