import TelemetryModel

/// A borrowed read-only connection with its statements; used by one thread at a time.
///
/// `@unchecked Sendable`: it moves between threads only through the pool, which hands it to one borrower at a time.
final class ReadConnection: @unchecked Sendable {
    let zstd = ZstdCodec()
    private let connection: SQLiteConnection
    private let blockStatement: SQLiteStatement
    private let headerStatement: SQLiteStatement

    init(path: String) throws(StoreError) {
        connection = try SQLiteConnection(path: path, access: .readOnly)
        try connection.execute("PRAGMA cache_size = -1024")
        blockStatement = try connection.prepare("SELECT hot, cold FROM block WHERE id = ?1")
        headerStatement = try connection.prepare("SELECT header FROM segment WHERE number = ?1")
    }

    /// Runs `body` with the reader on a block's row; nil when there is none.
    func withBlock<Result>(
        _ segment: Int64, _ block: Int64, _ body: (_ hot: UnsafeRawBufferPointer, _ cold: () -> UnsafeRawBufferPointer) -> Result?
    ) throws(StoreError) -> Result? {
        try blockStatement.bind(segment << StoreSchema.blockBits | block, at: 1)
        defer { blockStatement.reset() }
        guard try blockStatement.step() else { return nil }
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
        try unsafe withBlock(segment.number, StoreSchema.tracesBlock) { hot, cold in
            unsafe TraceHashes(hot: hot, cold: cold, layout: segment.layout)
        }
    }
}
