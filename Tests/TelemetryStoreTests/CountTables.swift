import TelemetryModel
@testable import TelemetryStore

/// The batch of the second set of tables: numbers.
struct CountBatch: TelemetryBatch {
    static let signal = TelemetrySignal.metrics
    var values: [Int64] = []

    init() {}
    init(_ values: [Int64]) { self.values = values }

    var itemCount: Int { values.count }
    var byteCount: Int { values.count * 8 }
    var capacityBytes: Int { values.capacity * 8 }
    mutating func removeAll() { values.removeAll(keepingCapacity: true) }
}

/// A small set of tables beside the traces': what a second kind of store has to bring along.
final class CountTables: TableSet {
    static let first = TableSchema.Migration(name: "values") { _ in ["CREATE TABLE count (value INTEGER NOT NULL)"] }
    static let second = TableSchema.Migration(name: "where they are from") { _ in
        ["ALTER TABLE count ADD COLUMN source INTEGER NOT NULL DEFAULT 7"]
    }

    let schema: TableSchema
    let counts: WriteQueue<CountBatch>
    /// Writing fails while this is true.
    let isBroken = Monitor(false)
    let sheds = Monitor(0)
    private let writer: Writer
    private let readers: ReaderPool<Reader>

    private final class Writer: BatchWriter, @unchecked Sendable {
        var rows: [Int64] = []
        var insert: Insert?
        let isBroken: Monitor<Bool>
        /// Values that readers are shown.
        let published = Monitor<[Int64]>([])

        final class Insert {
            let statement: SQLiteStatement
            init(_ database: WriteConnection) throws(StoreError) {
                statement = try database.prepare("INSERT INTO count (value) VALUES (?1)")
            }
        }

        init(_ isBroken: Monitor<Bool>) { self.isBroken = isBroken }

        var hasRoom: Bool { true }
        func encode(_ batch: CountBatch) { rows += batch.values }
        func finishEncoding() -> Int { rows.count * 8 }
        func write(_ database: WriteConnection) throws(StoreError) {
            for row in rows { try insert?.statement.run(integers: [row], blobs: []) }
            if isBroken.withLock({ $0 }) { throw .sqlite(code: 19, message: "constraint", operation: "count") }
        }
        func publish(now: UInt64) {
            published.withLock { $0 += rows }
            rows = []
        }
        func discard() { rows = [] }
    }

    final class Reader: @unchecked Sendable {
        private let connection: SQLiteConnection
        init(_ connection: consuming SQLiteConnection) { self.connection = connection }
        func sum() throws(StoreError) -> Int64 { try connection.integer("SELECT coalesce(sum(value), 0) FROM count") }
    }

    init(_ configuration: StoreConfiguration, _ migrations: [TableSchema.Migration] = [first]) {
        schema = TableSchema(name: "counts", migrations: migrations)
        writer = Writer(isBroken)
        counts = WriteQueue(batchesMax: 64, bytesMax: 1 << 20, writer: writer)
        readers = ReaderPool(path: configuration.directory + "/skein.db") { connection throws(StoreError) in Reader(connection) }
    }

    var queue: any CommitQueue { counts }
    var published: [Int64] { writer.published.withLock { $0 } }
    func sum() throws(StoreError) -> Int64 { try readers.withReader { reader throws(StoreError) in try reader.sum() } }

    func load(_ database: WriteConnection) throws(StoreError) { writer.insert = try Writer.Insert(database) }
    var isMaintenanceDue: Bool { false }
    func maintain(_ turn: MaintenanceTurn) {}
    func shed(_ bytes: UInt64, _ jobs: WriterJobs) -> Bool {
        sheds.withLock { $0 += 1 }
        return false
    }
    func remains(_ connection: borrowing SQLiteConnection) throws(StoreError) -> StoredRange? { nil }
    func close() { readers.close() }
}
