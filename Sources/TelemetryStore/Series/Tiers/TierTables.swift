import TelemetryModel

/// A block on its way into the file.
struct NewBlock: Sendable {
    var group: UInt32
    var samples: Int
    var bytes: [UInt8]
}

/// What changes the tiers' tables. A span's blocks count from the transaction on that moves the tier's mark behind them and deletes what
/// they were made of, so that a kill at any write leaves all of it or nothing. `@unchecked Sendable`: confined to the writer thread.
final class TierTables: @unchecked Sendable {
    private var nextRow: Int64 = 1
    /// Rows of spans that never became complete: they go with the next one that does.
    private var abandoned: [Int64] = []

    /// The file's windows are those of `tiers`; a new file gets them.
    func check(_ tiers: [SeriesTier], _ database: WriteConnection) throws(StoreError) {
        let rows = try database.prepare("SELECT resolution, span FROM series_window ORDER BY tier")
        var found: [(resolution: Int64, span: Int64)] = []
        while try rows.step() { found.append((rows.int64(0), rows.int64(1))) }
        if found.isEmpty {
            try database.transaction { () throws(StoreError) in
                let insert = try database.prepare(SeriesSchema.insertWindow)
                for (number, tier) in tiers.enumerated() {
                    try insert.run(integers: [Int64(number), tier.resolution, tier.span], blobs: [])
                }
            }
        } else if !found.elementsEqual(tiers, by: { $0.resolution == $1.resolution && $0.span == $1.span }) {
            throw .otherTiers(path: database.databasePath, found: found.map(\.resolution))
        }
    }

    /// What the file has of `count` tiers.
    func load(_ count: Int, _ database: WriteConnection) throws(StoreError) -> [TierState] {
        var tiers = [TierState](repeating: TierState(), count: count)
        let marks = try database.prepare("SELECT tier, through, expired FROM series_tier")
        while try marks.step() {
            guard let tier = Int(exactly: marks.int64(0)), tiers.indices.contains(tier) else { continue }
            (tiers[tier].through, tiers[tier].expired) = (marks.int64(1), marks.int64(2))
        }
        let rows = try database.prepare(
            "SELECT id, tier, start, end, part, samples, length(block) FROM series_block ORDER BY tier, start, part, id")
        nextRow = 1
        abandoned = []
        while try rows.step() {
            nextRow = max(nextRow, rows.int64(0) &+ 1)
            guard let tier = Int(exactly: rows.int64(1)), tiers.indices.contains(tier), let group = UInt32(exactly: rows.int64(4))
            else { continue }
            guard rows.int64(2) < tiers[tier].through else {
                abandoned.append(rows.int64(0))
                continue
            }
            let block = TierSpan.Block(
                row: rows.int64(0), group: group, bytes: Int(clamping: rows.int64(6)), samples: Int(clamping: rows.int64(5)))
            let (start, end) = (rows.int64(2), rows.int64(3))
            if let last = tiers[tier].spans.last, last.start == start {
                tiers[tier].spans[tiers[tier].spans.count - 1].blocks.append(block)
            } else {
                tiers[tier].spans.append(TierSpan(start: start, end: end, blocks: [block]))
            }
        }
        return tiers
    }

    /// Writes some blocks of a span that is not complete: whoever reads the file finds them behind the tier's mark, and leaves them out.
    func write(
        _ tier: Int, _ start: Int64, _ end: Int64, _ blocks: [NewBlock], _ database: WriteConnection
    ) throws(StoreError) -> [TierSpan.Block] {
        let first = nextRow
        try database.transaction { () throws(StoreError) in
            let insert = try database.prepare(SeriesSchema.insertBlock)
            for (offset, block) in blocks.enumerated() {
                let row = first + Int64(offset)
                try insert.run(integers: [row, Int64(tier), start, end, Int64(block.group), Int64(block.samples)], blobs: [block.bytes])
            }
        }
        nextRow += Int64(blocks.count)
        database.checkpointIfLarge(blocks.reduce(0) { $0 + $1.bytes.count })
        return blocks.enumerated().map { offset, block in
            TierSpan.Block(row: first + Int64(offset), group: block.group, bytes: block.bytes.count, samples: block.samples)
        }
    }

    /// The span that these rows were written for will be made anew.
    func abandon(_ rows: [Int64]) { abandoned += rows }

    /// A span of a tier is complete: its blocks are written. What they make superfluous in the journal goes, and the tier's mark moves.
    func complete(
        _ tier: Int, through end: Int64, expired: Int64, journalRows: [Int64] = [], series: [(id: UInt32, last: Int64)] = [],
        _ database: WriteConnection
    ) throws(StoreError) {
        try database.transaction { () throws(StoreError) in
            let remove = try database.prepare("DELETE FROM series_block WHERE id = ?1")
            for row in abandoned { try remove.run(integers: [row], blobs: []) }
            let forget = try database.prepare("DELETE FROM series_journal WHERE number = ?1")
            for row in journalRows { try forget.run(integers: [row], blobs: []) }
            let note = try database.prepare("UPDATE series SET last = ?2 WHERE id = ?1")
            for (id, last) in series { try note.run(integers: [Int64(id), last], blobs: []) }
            try set(tier, through: end, expired: expired, database)
        }
        abandoned = []
        database.checkpointIfLarge(0)
    }

    /// Deletes spans of a tier; everything before `expired` is gone then.
    func delete(_ tier: Int, _ spans: [TierSpan], through: Int64, expired: Int64, _ database: WriteConnection) throws(StoreError) {
        try database.transaction { () throws(StoreError) in
            let remove = try database.prepare("DELETE FROM series_block WHERE id = ?1")
            for span in spans { for block in span.blocks { try remove.run(integers: [block.row], blobs: []) } }
            try set(tier, through: through, expired: expired, database)
        }
    }

    private func set(_ tier: Int, through: Int64, expired: Int64, _ database: WriteConnection) throws(StoreError) {
        try database.prepare(SeriesSchema.setTier).run(integers: [Int64(tier), through, expired], blobs: [])
    }
}
