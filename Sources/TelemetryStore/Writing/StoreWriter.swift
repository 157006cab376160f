import TelemetryModel

/// Everything that changes the file: the write connection and its statements. Confined to the writer thread once that runs.
///
/// `@unchecked Sendable`: made on the opening thread, then used only from the writer thread, or after that has been joined.
final class StoreWriter: @unchecked Sendable {
    private let connection: SQLiteConnection
    private let insertJournal: SQLiteStatement
    private let deleteJournal: SQLiteStatement
    private let insertSegment: SQLiteStatement
    private let deleteSegment: SQLiteStatement
    private let insertBlock: SQLiteStatement
    private let deleteBlocks: SQLiteStatement
    private(set) var nextJournalNumber: Int64 = 1
    private(set) var nextSegmentNumber: Int64 = 1
    private let databasePath: String
    private let walPath: String
    private let budget: StoreBudget
    /// Bytes written to the log since it was last empty, about.
    private var walBytes = 0

    /// Long readers keep a log from being started over; at this many times its bound the next idle moment cuts it. Else it is overwritten from
    /// its start, which costs less than growing it again.
    private static let logOverrunMax: UInt64 = 4
    /// Damaged rows kept for people to look at.
    private static let damagedRowsMax = 256
    private static let commitOverheadBytes = 3 * StoreSchema.pageSize

    init(connection: consuming SQLiteConnection, databasePath: String, budget: StoreBudget) throws(StoreError) {
        self.connection = connection
        self.databasePath = databasePath
        self.budget = budget
        walPath = databasePath + "-wal"
        insertJournal = try self.connection.prepare("INSERT INTO journal (number, row) VALUES (?1, ?2)")
        deleteJournal = try self.connection.prepare("DELETE FROM journal WHERE number <= ?1")
        insertSegment = try self.connection.prepare(
            """
            INSERT INTO segment (number, spans, timestamp_min, timestamp_max, bytes, blocks, layout, newest, arrival, header) \
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
            """)
        deleteSegment = try self.connection.prepare("DELETE FROM segment WHERE number = ?1")
        insertBlock = try self.connection.prepare("INSERT INTO block (id, hot, cold) VALUES (?1, ?2, ?3)")
        deleteBlocks = try self.connection.prepare("DELETE FROM block WHERE id >= ?1 AND id < ?2")
    }

    /// What a reopened file holds.
    struct Contents {
        var head: [StoreSnapshot.Row] = []
        var segments: [Segment] = []
        var damagedRows = StoreDamage.Rows()
    }

    func load() throws(StoreError) -> Contents {
        var contents = Contents()
        var damaged: [Int64] = []
        let rows = try connection.prepare("SELECT number, row FROM journal ORDER BY number")
        while try rows.step() {
            let number = rows.int64(0)
            nextJournalNumber = max(nextJournalNumber, number &+ 1)
            if let batch = HeadBatch(row: rows.blob(1)) {
                contents.head.append(StoreSnapshot.Row(number: number, batch: batch, arrival: WallClock.nowMicroseconds()))
            } else {
                contents.damagedRows.note(rows.blob(1))
                damaged.append(number)
            }
        }
        if !damaged.isEmpty { try setAside(damaged) }
        let hashes = try connection.prepare("SELECT hot, cold FROM block WHERE id = ?1")
        let segments = try connection.prepare(
            "SELECT number, spans, timestamp_min, timestamp_max, bytes, blocks, layout, newest, arrival FROM segment ORDER BY number")
        var hashBytes = 0
        while try segments.step() {
            let number = segments.int64(0)
            nextSegmentNumber = max(nextSegmentNumber, number &+ 1)
            try hashes.bind(number << StoreSchema.blockBits | StoreSchema.tracesBlock, at: 1)
            let layout = segments.int64(6)
            var known: TraceHashes?
            if try hashes.step(), hashBytes < Segment.hashBytesMax {
                let index = unsafe TraceHashes(hot: hashes.rawBlob(0), cold: { unsafe hashes.rawBlob(1) }, layout: layout)
                hashBytes += index.memoryBytes
                known = index
            }
            hashes.reset()
            let facts = Segment.Facts(
                number: number, spanCount: Int(segments.int64(1)), timestampMin: UInt64(bitPattern: segments.int64(2)),
                timestampMax: UInt64(bitPattern: segments.int64(3)), newest: UInt64(bitPattern: segments.int64(7)),
                arrival: UInt64(bitPattern: segments.int64(8)), byteCount: Int(segments.int64(4)), blockCount: Int(segments.int64(5)), layout: layout)
            contents.segments.append(Segment(facts, index: known, recent: contents.segments[...]))
        }
        return contents
    }

    /// Moves rows out of the journal, whose rows go with the next segment, to where people can look at them.
    private func setAside(_ numbers: [Int64]) throws(StoreError) {
        let copy = try connection.prepare("INSERT OR REPLACE INTO damaged (number, found, row) SELECT number, ?1, row FROM journal WHERE number = ?2")
        let remove = try connection.prepare("DELETE FROM journal WHERE number = ?1")
        let now = Int64(clamping: WallClock.nowMicroseconds())
        try connection.transaction { () throws(StoreError) in
            for number in numbers {
                try copy.run(integers: [now, number], blobs: [])
                try remove.run(integers: [number], blobs: [])
            }
            try connection.execute(
                "DELETE FROM damaged WHERE number NOT IN (SELECT number FROM damaged ORDER BY number DESC LIMIT \(Self.damagedRowsMax))")
        }
    }

    /// Commits journal rows; returns the number of the first.
    func commit(_ batches: [HeadBatch]) throws(StoreError) -> Int64 {
        let firstNumber = nextJournalNumber
        try connection.transaction { () throws(StoreError) in
            var number = firstNumber
            for batch in batches {
                try insertJournal.run(integers: [number], blobs: [batch.bytes])
                number += 1
            }
        }
        nextJournalNumber += Int64(batches.count)
        checkpointIfLarge(batches.reduce(0) { $0 + $1.bytes.count })
        return firstNumber
    }

    /// Stores a segment in place of the journal rows up to `journalNumber` and of other segments. Returns its number.
    func commit(_ built: BuiltSegment, journalThrough journalNumber: Int64?, replacing old: [Segment]) throws(StoreError) -> Int64 {
        // A merged segment takes the number of the first it replaces, so that numbers stay in order of time.
        let number = old.first?.number ?? nextSegmentNumber
        try connection.transaction { () throws(StoreError) in
            for segment in old { try delete(segment) }
            try insertSegment.run(
                integers: [
                    number, Int64(built.spanCount), Int64(bitPattern: built.timestampMin), Int64(bitPattern: built.timestampMax),
                    Int64(built.byteCount), Int64(built.blocks.count), SegmentLayout.current, Int64(bitPattern: built.newest),
                    Int64(bitPattern: built.arrival),
                ], blobs: [built.header])
            let base = number << StoreSchema.blockBits
            for (index, block) in built.blocks.enumerated() {
                try insertBlock.run(integers: [base | Int64(index)], blobs: [block.hot, block.cold])
            }
            try insertBlock.run(integers: [base | StoreSchema.tracesBlock], blobs: [built.traceHashes, built.traceRests])
            for (part, filter) in built.filter.enumerated() {
                let place = built.filter.count == 1 ? StoreSchema.filterBlock : StoreSchema.filterParts + Int64(part)
                try insertBlock.run(integers: [base | place], blobs: [filter, []])
            }
            if let journalNumber { try deleteJournal.run(integers: [journalNumber], blobs: []) }
        }
        nextSegmentNumber = max(nextSegmentNumber, number + 1)
        checkpointIfLarge(built.byteCount)
        return number
    }

    func delete(_ segments: [Segment]) throws(StoreError) {
        try connection.transaction { () throws(StoreError) in
            for segment in segments { try delete(segment) }
        }
    }

    private func delete(_ segment: Segment) throws(StoreError) {
        try deleteSegment.run(integers: [segment.number], blobs: [])
        try deleteBlocks.run(integers: [segment.number << StoreSchema.blockBits, (segment.number + 1) << StoreSchema.blockBits], blobs: [])
    }

    private func checkpointIfLarge(_ written: Int) {
        walBytes += written + Self.commitOverheadBytes
        guard walBytes > budget.logBytesMax else { return }
        let isTooLong = DataDirectory.fileBytes(walPath) > UInt64(budget.logBytesMax) * Self.logOverrunMax
        // Failing to move the log is not failing to commit: it is tried again after the next commit.
        if (try? connection.checkpoint(isTooLong ? .truncate : .passive)) == true { walBytes = 0 }
    }

    /// Changes the file's page limit; 0 = SQLite's own.
    func limitPages(_ count: UInt32) throws(StoreError) {
        try connection.execute("PRAGMA max_page_count = \(count == 0 ? UInt32(1_073_741_823) : count)")
    }

    func space() throws(StoreError) -> StoreSpace {
        let page = UInt64(clamping: try connection.integer("PRAGMA page_size"))
        let pages = UInt64(clamping: try connection.integer("PRAGMA page_count"))
        let free = min(UInt64(clamping: try connection.integer("PRAGMA freelist_count")), pages)
        // The file may still be longer than its last committed state, until the log is moved into it.
        return StoreSpace(used: (pages - free) * page, free: free * page, log: DataDirectory.fileBytes(walPath))
    }

    /// Gives at least `bytes` of free pages back to the file system, as far as there are any, and empties the log.
    func giveBack(_ bytes: UInt64) throws(StoreError) {
        let pages = bytes / UInt64(StoreSchema.pageSize) + 1
        if bytes > 0 { try connection.execute("PRAGMA incremental_vacuum(\(pages))") }
        if try connection.checkpoint(.truncate) { walBytes = 0 }
    }

    /// Gives all free pages back to the file system and empties the log.
    func settle() throws(StoreError) {
        try connection.execute("PRAGMA incremental_vacuum")
        try connection.checkpoint(.truncate)
    }
}
