/// A borrowed read-only connection with the statement that reads blocks; used by one thread at a time.
///
/// `@unchecked Sendable`: it moves between threads only through the pool, which hands it to one borrower at a time.
final class SeriesConnection: @unchecked Sendable {
    let zstd = ZstdCodec()
    private let connection: SQLiteConnection
    private let blockStatement: SQLiteStatement

    init(_ connection: consuming SQLiteConnection) throws(StoreError) {
        self.connection = connection
        blockStatement = try self.connection.prepare("SELECT block FROM series_block WHERE id = ?1")
    }

    /// Nil = the row is gone.
    func block(_ row: Int64) throws(StoreError) -> [UInt8]? {
        try blockStatement.bind(row, at: 1)
        defer { blockStatement.reset() }
        guard try blockStatement.step() else { return nil }
        return blockStatement.blob(0)
    }
}

/// Reading the series' tables: connections, and looks at one moment. Any thread.
final class SeriesReads: Sendable {
    let connections: ReaderPool<SeriesConnection>
    private let state: Monitor<SeriesState>
    private static let attemptsMax = 4

    init(_ path: String, _ state: Monitor<SeriesState>) {
        self.state = state
        connections = ReaderPool(path: path) { connection throws(StoreError) in try SeriesConnection(connection) }
    }

    func close() { connections.close() }

    /// Runs `body` on a moment of the store until it met no block that was deleted meanwhile (nil).
    func look<Result>(_ body: (SeriesState, SeriesConnection) throws(StoreError) -> Result?) throws(StoreError) -> Result {
        try connections.withReader { connection throws(StoreError) in
            for _ in 0..<Self.attemptsMax {
                let moment = state.withLock { $0 }
                if moment.isClosed { throw .closed }
                if let result = try body(moment, connection) { return result }
            }
            throw .sqlite(code: 5, message: "blocks were deleted during every attempt", operation: "reading series: retry")
        }
    }

    func noteDamagedBlock() { state.withLock { $0.statistics.damagedBlocks += 1 } }
}
