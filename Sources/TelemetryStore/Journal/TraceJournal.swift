import TelemetryModel

/// Writes spans into the journal: batches to rows, rows to the table, committed rows to the head in memory, which is searched at once.
///
/// `@unchecked Sendable`: made and loaded on the opening thread, then used only on the writer thread.
final class TraceJournal: BatchWriter, @unchecked Sendable {
    private let state: Monitor<TraceState>
    private let configuration: StoreConfiguration
    private var encoder = JournalEncoder()
    /// The group being written, and how many spans are in it.
    private var rows: [HeadBatch] = []
    private var spans = 0
    private var insert: InsertStatement?
    private(set) var nextNumber: Int64 = 1

    /// Damaged rows kept for people to look at.
    private static let damagedRowsMax = 256

    private final class InsertStatement {
        let statement: SQLiteStatement

        init(_ database: WriteConnection) throws(StoreError) {
            statement = try database.prepare("INSERT INTO journal (number, row) VALUES (?1, ?2)")
        }
    }

    init(state: Monitor<TraceState>, configuration: StoreConfiguration) {
        self.state = state
        self.configuration = configuration
    }

    // MARK: Opening

    /// Prepares its statements and returns the rows that were acknowledged and not compacted; `damaged` notes those that cannot be read.
    func load(_ database: WriteConnection, _ damaged: inout DamagedRows) throws(StoreError) -> [StoreSnapshot.Row] {
        nextNumber = 1
        insert = try InsertStatement(database)
        var head: [StoreSnapshot.Row] = []
        var unreadable: [Int64] = []
        let rows = try database.prepare("SELECT number, row FROM journal ORDER BY number")
        while try rows.step() {
            let number = rows.int64(0)
            nextNumber = max(nextNumber, number &+ 1)
            if let batch = HeadBatch(row: rows.blob(1)) {
                head.append(StoreSnapshot.Row(number: number, batch: batch, arrival: WallClock.nowMicroseconds()))
            } else {
                damaged.note(rows.blob(1))
                unreadable.append(number)
            }
        }
        if !unreadable.isEmpty { try moveAside(unreadable, database) }
        return head
    }

    /// Moves rows out of the journal, whose rows go with the next segment, to where people can look at them.
    private func moveAside(_ numbers: [Int64], _ database: WriteConnection) throws(StoreError) {
        let copy = try database.prepare(
            "INSERT OR REPLACE INTO damaged (number, found, row) SELECT number, ?1, row FROM journal WHERE number = ?2")
        let remove = try database.prepare("DELETE FROM journal WHERE number = ?1")
        let now = Int64(clamping: WallClock.nowMicroseconds())
        try database.transaction { () throws(StoreError) in
            for number in numbers {
                try copy.run(integers: [now, number], blobs: [])
                try remove.run(integers: [number], blobs: [])
            }
            try database.execute(
                "DELETE FROM damaged WHERE number NOT IN (SELECT number FROM damaged ORDER BY number DESC LIMIT \(Self.damagedRowsMax))")
        }
    }

    // MARK: Group commits (writer thread)

    /// The head takes no more than a few compactions' worth: when they fall behind, the queue fills and refuses.
    var hasRoom: Bool {
        guard configuration.compactsInBackground else { return true }
        let backlog = max(1, configuration.headBacklogMax)
        let bytesMax = StoreBudget(configuration.retentionBytes).headBytesMax * backlog
        return state.withLock { $0.headSpans < configuration.headSpansMax * backlog && $0.headBytes < bytesMax }
    }

    func encode(_ batch: SpanBatch) {
        spans += batch.spans.count
        var next = 0
        while next < batch.spans.count {
            next = encoder.append(batch, from: next)
            if encoder.isFull, let row = encoder.finish() { rows.append(row) }
        }
    }

    func finishEncoding() -> Int {
        if encoder.spanCount > 0, let row = encoder.finish() { rows.append(row) }
        return rows.reduce(0) { $0 + $1.bytes.count }
    }

    func write(_ database: WriteConnection) throws(StoreError) {
        guard let insert else { throw .closed }
        var number = nextNumber
        for row in rows {
            try insert.statement.run(integers: [number], blobs: [row.bytes])
            number += 1
        }
    }

    func publish(now: UInt64) {
        state.withLock { state in
            for row in rows {
                state.append(StoreSnapshot.Row(number: nextNumber, batch: row, arrival: now))
                nextNumber += 1
            }
            state.statistics.spansAccepted += UInt64(spans)
        }
        discard()
    }

    func discard() {
        rows.removeAll()
        spans = 0
    }
}
