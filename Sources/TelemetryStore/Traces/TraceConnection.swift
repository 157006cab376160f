import TelemetryModel

/// A borrowed read-only connection with the statements that read the trace tables; used by one thread at a time.
///
/// `@unchecked Sendable`: it moves between threads only through the pool, which hands it to one borrower at a time.
final class TraceConnection: @unchecked Sendable {
    let zstd = ZstdCodec()
    private let connection: SQLiteConnection
    private let blockStatement: SQLiteStatement
    private let headerStatement: SQLiteStatement
    /// Rows of the table of blocks that were read, filters among them.
    private(set) var rowsRead: UInt64 = 0

    init(_ connection: consuming SQLiteConnection) throws(StoreError) {
        self.connection = connection
        blockStatement = try self.connection.prepare("SELECT hot, cold FROM block WHERE id = ?1")
        headerStatement = try self.connection.prepare("SELECT header FROM segment WHERE number = ?1")
    }

    /// Runs `body` with the reader on a block's row; nil when there is none.
    func withRow<Result>(
        _ segment: Int64, _ block: Int64, _ body: (_ hot: UnsafeRawBufferPointer, _ cold: () -> UnsafeRawBufferPointer) -> Result?
    ) throws(StoreError) -> Result? {
        try blockStatement.bind(segment << TraceSchema.blockBits | block, at: 1)
        defer { blockStatement.reset() }
        guard try blockStatement.step() else { return nil }
        rowsRead &+= 1
        return unsafe blockStatement.withBlob(0) { hot in
            unsafe body(hot, { unsafe blockStatement.rawBlob(1) })
        }
    }

    func header(_ segment: Int64) throws(StoreError) -> [UInt8]? {
        try headerStatement.bind(segment, at: 1)
        defer { headerStatement.reset() }
        guard try headerStatement.step() else { return nil }
        return headerStatement.blob(0)
    }

    func hashes(_ segment: Segment) throws(StoreError) -> TraceHashes? {
        try unsafe withRow(segment.number, TraceSchema.tracesBlock) { hot, cold in
            unsafe TraceHashes(hot: hot, cold: cold, layout: segment.layout)
        }
    }
}
