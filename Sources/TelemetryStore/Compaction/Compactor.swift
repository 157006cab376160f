internal import Primitives
import TelemetryModel

/// One turn of maintenance of the trace tables: the head into segments, small segments into larger ones, old ones out. On the maintenance
/// thread; what changes the file runs on the writer thread, and readers see it once it is committed.
struct Compactor {
    private let configuration: StoreConfiguration
    private let state: Monitor<TraceState>
    private let reads: TraceReads
    private let segments: SegmentWriter
    private let jobs: WriterJobs
    private let budget: StoreBudget

    /// Segments smaller than this share of `headSpansMax` are merged when `mergeCount` lie side by side.
    private static let mergeShare = 2
    private static let mergeCount = 8

    init(
        _ configuration: StoreConfiguration, _ state: Monitor<TraceState>, _ reads: TraceReads, _ segments: SegmentWriter,
        _ jobs: WriterJobs
    ) {
        self.configuration = configuration
        self.state = state
        self.reads = reads
        self.segments = segments
        self.jobs = jobs
        budget = StoreBudget(configuration.retentionBytes)
    }

    func run(_ turn: MaintenanceTurn) {
        let isDue = state.withLock { $0.isCompactionDue(configuration) } && !jobs.isDiskFull
        if turn.isFlush || isDue { compact(turn) }
        expire(turn)
        merge()
    }

    // MARK: The head into segments

    private func compact(_ turn: MaintenanceTurn) {
        let wanted = state.withLock { $0.headSpans }
        var done = 0
        while done < wanted, let compacted = compactOnce() {
            done += compacted
            expire(turn)
        }
        // A quiet store needs the builder's memory again only in a while; a busy one at once.
        if done > 0, done < configuration.headSpansMax / 2 { HeapMemory.giveBackFreePages() }
    }

    /// Compacts the oldest `headSpansMax` spans of the head; returns how many, or nil when there are none or the disk refused.
    private func compactOnce() -> Int? {
        var rows: [StoreSnapshot.Row] = []
        var spans = 0
        var bytes = 0
        for row in state.withLock({ $0.snapshot.head }) {
            let isEnough = spans + row.batch.spanCount > configuration.headSpansMax + configuration.headSpansMax / 4
            if spans > 0, isEnough || bytes > budget.headBytesMax { break }
            rows.append(row)
            spans += row.batch.spanCount
            bytes += row.batch.memoryBytes
        }
        guard let last = rows.last else { return nil }
        var builder = SegmentBuilder(configuration)
        let built = builder.build(rows.map(\.batch), arrival: last.arrival)
        let rowCount = rows.count
        let through = last.number
        let stored: Bool? = jobs.run { [state, segments] database throws(StoreError) in
            let number = try segments.commit(built, journalThrough: through, replacing: [], database)
            state.notify { state in
                let segment = Self.segment(number, built, after: state.snapshot.segments[...])
                state.snapshot.segments.append(segment)
                state.removeHead(rowCount)
                state.statistics.compactions += 1
            }
            return true
        }
        guard stored == true else { return nil }
        jobs.noteDiskHasRoom()
        return spans
    }

    private static func segment(_ number: Int64, _ built: BuiltSegment, after segments: ArraySlice<Segment>) -> Segment {
        let hashBytes = segments.reduce(0) { $0 + ($1.index?.memoryBytes ?? 0) }
        let facts = Segment.Facts(
            number: number, spanCount: built.spanCount, timestampMin: built.timestampMin, timestampMax: built.timestampMax,
            newest: built.newest,
            arrival: built.arrival, byteCount: built.byteCount, blockCount: built.blocks.count)
        let digestBytes = segments.reduce(0) { $0 + ($1.digest?.memoryBytes ?? 0) }
        return Segment(
            facts, index: hashBytes < Segment.hashBytesMax ? TraceHashes(sorted: built.hashes) : nil,
            digest: digestBytes < SegmentDigest.bytesMax ? built.digest : nil, recent: segments)
    }

    // MARK: Retention

    /// Deletes the segments that are too old; then the file sees to its size.
    private func expire(_ turn: MaintenanceTurn) {
        let now = WallClock.nowMicroseconds()
        let age = configuration.retentionAgeSeconds.multipliedReportingOverflow(by: 1_000_000)
        if age.partialValue > 0, !age.overflow {
            delete(state.withLock { $0.snapshot.segments }.filter { $0.isDue(age: age.partialValue, now: now) })
        }
        turn.keepToBudget()
    }

    /// Deletes the oldest segments, about `bytes` of them, and never the newest; false when there is none to delete.
    func shed(_ bytes: UInt64) -> Bool {
        var excess = bytes
        var gone: [Segment] = []
        for segment in state.withLock({ $0.snapshot.segments }).dropLast() where excess > 0 {
            gone.append(segment)
            excess -= min(excess, UInt64(segment.byteCount))
        }
        delete(gone)
        return !gone.isEmpty
    }

    private func delete(_ gone: [Segment]) {
        guard !gone.isEmpty else { return }
        let numbers = Set(gone.map(\.number))
        let deleted: Bool? = jobs.run { [state, segments] database throws(StoreError) in
            // Rows that are gone before the snapshot says so are not damage.
            state.withLock { $0.rewrites &+= 1 }
            defer { state.notify { $0.rewrites &+= 1 } }
            try segments.delete(gone, database)
            state.notify { state in
                state.snapshot.segments.removeAll { numbers.contains($0.number) }
                state.statistics.spansExpired += gone.reduce(0) { $0 + UInt64($1.spanCount) }
            }
            return true
        }
        if deleted == true { jobs.noteDeleted() }
        for segment in gone { reads.headers.forget(segment.number) }
    }

    // MARK: Small segments into larger ones

    /// Merges neighbouring small segments, which quiet periods leave behind. A span is rewritten at most once per factor of `mergeCount`.
    private func merge() {
        let stored = state.withLock { $0.snapshot.segments }
        let limit = configuration.headSpansMax / Self.mergeShare
        guard let group = Self.mergeable(stored, limit: limit, bytesMax: budget.mergedBytesMax) else { return }
        var encoder = JournalEncoder()
        var batches: [HeadBatch] = []
        for segment in group {
            // A damaged segment is left where it is and named in the statistics.
            guard let spans = reads.allSpans(of: segment) else { return }
            var next = 0
            while next < spans.spans.count {
                next = encoder.append(spans, from: next)
                if encoder.isFull, let batch = encoder.finish() { batches.append(batch) }
            }
        }
        if encoder.spanCount > 0, let batch = encoder.finish() { batches.append(batch) }
        var builder = SegmentBuilder(configuration)
        let built = builder.build(batches, arrival: group.reduce(0) { max($0, $1.arrival) })
        let numbers = Set(group.map(\.number))
        _ = jobs.run { [state, segments] database throws(StoreError) in
            state.withLock { $0.rewrites &+= 1 }
            defer { state.notify { $0.rewrites &+= 1 } }
            let number = try segments.commit(built, journalThrough: nil, replacing: group, database)
            state.notify { state in
                guard let at = state.snapshot.segments.firstIndex(where: { $0.number == number }) else { return }
                let segment = Self.segment(number, built, after: state.snapshot.segments[..<at])
                state.snapshot.segments.removeAll { numbers.contains($0.number) }
                state.snapshot.segments.insert(segment, at: at)
                state.statistics.merges += 1
            }
        }
        for segment in group { reads.headers.forget(segment.number) }
    }

    /// `mergeCount` neighbours that may be merged; nil = there are none.
    static func mergeable(_ segments: [Segment], limit: Int, bytesMax: Int = Int.max) -> [Segment]? {
        // Tiers by powers of `mergeCount` keep the work per span logarithmic.
        var tier = 64
        while tier <= max(limit, 64) {
            var run: [Segment] = []
            var spans = 0
            var bytes = 0
            for segment in segments.suffix(4 * mergeCount * mergeCount) {
                if segment.spanCount <= tier, spans + segment.spanCount <= limit * mergeShare, bytes + segment.byteCount <= bytesMax {
                    run.append(segment)
                    spans += segment.spanCount
                    bytes += segment.byteCount
                    if run.count == mergeCount { return run }
                } else {
                    run = []
                    spans = 0
                    bytes = 0
                }
            }
            if tier == limit { break }
            tier = min(tier * mergeCount, max(limit, 64))
        }
        return nil
    }
}
