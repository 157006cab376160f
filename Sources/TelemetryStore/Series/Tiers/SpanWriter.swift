/// Writes the blocks of one span of a tier, about a megabyte in a transaction, so that a large span is never in memory as a whole. Nobody
/// sees them until the span is complete (`TierTables.complete`). On the maintenance thread.
struct SpanWriter {
    private let tier: Int
    private let start: Int64
    private let end: Int64
    private let tables: TierTables
    private let jobs: WriterJobs
    private let sliceBytes: Int
    private var slice: [NewBlock] = []
    private var bytes = 0
    private var written: [TierSpan.Block] = []

    /// `sliceBytes`: of blocks in one transaction.
    init(_ tier: Int, _ start: Int64, _ end: Int64, _ tables: TierTables, _ jobs: WriterJobs, sliceBytes: Int) {
        self.sliceBytes = sliceBytes
        self.tier = tier
        self.start = start
        self.end = end
        self.tables = tables
        self.jobs = jobs
    }

    /// Blocks come in order of group. False = the disk refused, and the span is given up.
    mutating func append(_ block: NewBlock) -> Bool {
        slice.append(block)
        bytes += block.bytes.count
        return bytes < sliceBytes || write()
    }

    /// The blocks' places when all are written; nil = the disk refused, and the span is given up.
    mutating func finish() -> [TierSpan.Block]? { slice.isEmpty || write() ? written : nil }

    private mutating func write() -> Bool {
        let (blocks, earlier) = (slice, written)
        slice = []
        bytes = 0
        let found = jobs.run { [tier, start, end, tables] database throws(StoreError) in
            try tables.write(tier, start, end, blocks, database)
        }
        guard let found else {
            giveUp(earlier)
            return false
        }
        written += found
        return true
    }

    /// Has what was written removed with the next span that becomes complete.
    func giveUp() { giveUp(written) }

    private func giveUp(_ blocks: [TierSpan.Block]) {
        guard !blocks.isEmpty else { return }
        _ = jobs.run { [tables] _ throws(StoreError) in tables.abandon(blocks.map(\.row)) }
    }
}
