import TelemetryModel

/// Stores and deletes segments. Each call is one transaction.
///
/// `@unchecked Sendable`: made and loaded on the opening thread, then used only on the writer thread.
final class SegmentWriter: @unchecked Sendable {
    private var statements: Statements?
    private var nextNumber: Int64 = 1

    private final class Statements {
        let insertSegment, deleteSegment, insertBlock, deleteBlocks, deleteJournal: SQLiteStatement

        init(_ database: WriteConnection) throws(StoreError) {
            insertSegment = try database.prepare(
                """
                INSERT INTO segment (number, spans, timestamp_min, timestamp_max, bytes, blocks, layout, newest, arrival, header) \
                VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
                """)
            deleteSegment = try database.prepare("DELETE FROM segment WHERE number = ?1")
            insertBlock = try database.prepare("INSERT INTO block (id, hot, cold) VALUES (?1, ?2, ?3)")
            deleteBlocks = try database.prepare("DELETE FROM block WHERE id >= ?1 AND id < ?2")
            deleteJournal = try database.prepare("DELETE FROM journal WHERE number <= ?1")
        }
    }

    /// Prepares its statements and returns the file's segments, in order of number. `damage`: what could not be read and is done without.
    func load(_ database: WriteConnection, _ damage: inout [StoreDamage]) throws(StoreError) -> [Segment] {
        nextNumber = 1
        statements = try Statements(database)
        var found: [Segment] = []
        let blocks = try database.prepare("SELECT hot, cold FROM block WHERE id = ?1")
        let segments = try database.prepare(
            "SELECT number, spans, timestamp_min, timestamp_max, bytes, blocks, layout, newest, arrival FROM segment ORDER BY number")
        var hashBytes = 0
        var digestBytes = 0
        while try segments.step() {
            let number = segments.int64(0)
            nextNumber = max(nextNumber, number &+ 1)
            try blocks.bind(number << TraceSchema.blockBits | TraceSchema.tracesBlock, at: 1)
            let layout = segments.int64(6)
            var known: TraceHashes?
            if try blocks.step(), hashBytes < Segment.hashBytesMax {
                let index = unsafe TraceHashes(hot: blocks.rawBlob(0), cold: { unsafe blocks.rawBlob(1) }, layout: layout)
                hashBytes += index.memoryBytes
                known = index
            }
            blocks.reset()
            try blocks.bind(number << TraceSchema.blockBits | TraceSchema.digestBlock, at: 1)
            var digest: SegmentDigest?
            if digestBytes < SegmentDigest.bytesMax, try blocks.step() {
                let bytes = blocks.blob(0)
                digest = SegmentDigest(bytes)
                // One that is damaged, or of a later version, is as none: the header is asked instead.
                if digest == nil, !ByteReader.hasHash(bytes) { damage.append(.unreadableDigest(number, in: database.databasePath)) }
            }
            digestBytes += digest?.memoryBytes ?? 0
            blocks.reset()
            let facts = Segment.Facts(
                number: number, spanCount: Int(segments.int64(1)), timestampMin: UInt64(bitPattern: segments.int64(2)),
                timestampMax: UInt64(bitPattern: segments.int64(3)), newest: UInt64(bitPattern: segments.int64(7)),
                arrival: UInt64(bitPattern: segments.int64(8)), byteCount: Int(segments.int64(4)), blockCount: Int(segments.int64(5)),
                layout: layout)
            found.append(Segment(facts, index: known, digest: digest, recent: found[...]))
        }
        return found
    }

    /// Stores a segment in place of the journal rows up to `journalNumber` and of other segments. Returns its number.
    func commit(
        _ built: BuiltSegment, journalThrough journalNumber: Int64?, replacing old: [Segment], _ database: WriteConnection
    ) throws(StoreError) -> Int64 {
        guard let statements else { throw .closed }
        // A merged segment takes the number of the first it replaces, so that numbers stay in order of time.
        let number = old.first?.number ?? nextNumber
        try database.transaction { () throws(StoreError) in
            for segment in old { try delete(segment, statements) }
            try statements.insertSegment.run(
                integers: [
                    number, Int64(built.spanCount), Int64(bitPattern: built.timestampMin), Int64(bitPattern: built.timestampMax),
                    Int64(built.byteCount), Int64(built.blocks.count), SegmentLayout.current, Int64(bitPattern: built.newest),
                    Int64(bitPattern: built.arrival),
                ], blobs: [built.header])
            let base = number << TraceSchema.blockBits
            for (index, block) in built.blocks.enumerated() {
                try statements.insertBlock.run(integers: [base | Int64(index)], blobs: [block.hot, block.cold])
            }
            try statements.insertBlock.run(integers: [base | TraceSchema.tracesBlock], blobs: [built.traceHashes, built.traceRests])
            if !built.digestBytes.isEmpty {
                try statements.insertBlock.run(integers: [base | TraceSchema.digestBlock], blobs: [built.digestBytes, []])
            }
            for (part, filter) in built.filter.enumerated() {
                let place = built.filter.count == 1 ? TraceSchema.filterBlock : TraceSchema.filterParts + Int64(part)
                try statements.insertBlock.run(integers: [base | place], blobs: [filter, []])
            }
            if let journalNumber { try statements.deleteJournal.run(integers: [journalNumber], blobs: []) }
        }
        nextNumber = max(nextNumber, number + 1)
        database.checkpointIfLarge(built.byteCount)
        return number
    }

    func delete(_ segments: [Segment], _ database: WriteConnection) throws(StoreError) {
        guard let statements else { throw .closed }
        try database.transaction { () throws(StoreError) in
            for segment in segments { try delete(segment, statements) }
        }
    }

    private func delete(_ segment: Segment, _ statements: Statements) throws(StoreError) {
        try statements.deleteSegment.run(integers: [segment.number], blobs: [])
        try statements.deleteBlocks.run(
            integers: [segment.number << TraceSchema.blockBits, (segment.number + 1) << TraceSchema.blockBits], blobs: [])
    }
}
