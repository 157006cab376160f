import TelemetryModel

/// A block on its way into the file.
struct NewBlock: Sendable {
    var group: UInt32
    var samples: Int
    var bytes: [UInt8]
}

/// What changes the tiers' tables. Each change is one transaction: what a tier gets, what it was made of, and how far the tier is, go
/// together, so that a kill at any write leaves all of it or nothing. `@unchecked Sendable`: confined to the writer thread.
final class TierTables: @unchecked Sendable {
    private var nextRow: Int64 = 1

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
        while try rows.step() {
            nextRow = max(nextRow, rows.int64(0) &+ 1)
            guard let tier = Int(exactly: rows.int64(1)), tiers.indices.contains(tier), let group = UInt32(exactly: rows.int64(4))
            else { continue }
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

    /// A span of a tier is complete: its blocks, what it makes superfluous in the journal, and the tier's mark. Returns the span; nil =
    /// there was nothing in it.
    func complete(
        _ tier: Int, _ start: Int64, _ end: Int64, _ blocks: [NewBlock], expired: Int64, journalRows: [Int64] = [],
        series: [(id: UInt32, last: Int64)] = [], _ database: WriteConnection
    ) throws(StoreError) -> TierSpan? {
        let first = nextRow
        try database.transaction { () throws(StoreError) in
            let insert = try database.prepare(SeriesSchema.insertBlock)
            for (offset, block) in blocks.enumerated() {
                let row = first + Int64(offset)
                try insert.run(integers: [row, Int64(tier), start, end, Int64(block.group), Int64(block.samples)], blobs: [block.bytes])
            }
            let remove = try database.prepare("DELETE FROM series_journal WHERE number = ?1")
            for row in journalRows { try remove.run(integers: [row], blobs: []) }
            let note = try database.prepare("UPDATE series SET last = ?2 WHERE id = ?1")
            for (id, last) in series { try note.run(integers: [Int64(id), last], blobs: []) }
            try set(tier, through: end, expired: expired, database)
        }
        nextRow += Int64(blocks.count)
        database.checkpointIfLarge(blocks.reduce(0) { $0 + $1.bytes.count })
        guard !blocks.isEmpty else { return nil }
        return TierSpan(start: start, end: end, blocks: blocks.enumerated().map { offset, block in
            TierSpan.Block(row: first + Int64(offset), group: block.group, bytes: block.bytes.count, samples: block.samples)
        })
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
