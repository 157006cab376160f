import TelemetryModel

/// Reading the trace tables: connections, decoded headers, and a look at one moment that stays true while segments are merged and deleted.
/// Any thread.
final class TraceReads: Sendable {
    let headers = HeaderCache()
    let grouping: TraceGrouping
    private let state: Monitor<TraceState>
    private let connections: ReaderPool<TraceConnection>
    private let databasePath: String

    private static let attemptsMax = 4
    /// How long an attempt waits for merged segments to be committed.
    private static let rewriteMillisecondsMax = 5000

    init(_ configuration: StoreConfiguration, _ state: Monitor<TraceState>) {
        self.state = state
        grouping = TraceGrouping(isStrict: configuration.strictTraceID)
        databasePath = configuration.databasePath
        connections = ReaderPool(path: databasePath) { connection throws(StoreError) in try TraceConnection(connection) }
    }

    func close() { connections.close() }

    /// Runs `body` until it did not meet a segment that is gone (nil), and none was replaced under its number meanwhile.
    func look<Result>(_ body: (TraceView) throws(StoreError) -> Result?) throws(StoreError) -> Result {
        if state.withLock({ $0.isClosed }) { throw .closed }
        do throws(StoreError) {
            return try attempt(body)
        } catch {
            if error.isDamage { noteUnreadable(error) }
            throw error
        }
    }

    private func attempt<Result>(_ body: (TraceView) throws(StoreError) -> Result?) throws(StoreError) -> Result {
        try connections.withReader { connection throws(StoreError) in
            for _ in 0..<Self.attemptsMax {
                let moment = state.wait(milliseconds: Self.rewriteMillisecondsMax) { state in
                    state.rewrites % 2 == 0 ? (snapshot: state.snapshot, rewrites: state.rewrites) : nil
                }
                guard let moment else { continue }
                let view = TraceView(reads: self, snapshot: moment.snapshot, connection: connection)
                if let result = try body(view), state.withLock({ $0.rewrites }) == moment.rewrites { return result }
            }
            throw .sqlite(code: 5, message: "segments changed during every attempt", operation: "reading traces: retry")
        }
    }

    /// Every span of a segment, for merging; nil when it is gone or damaged.
    func allSpans(of segment: Segment) -> SpanBatch? {
        let decoded: SpanBatch?? = try? connections.withReader { connection throws(StoreError) -> SpanBatch? in
            try TraceView(reads: self, snapshot: StoreSnapshot(), connection: connection).allSpans(of: segment)
        }
        return decoded ?? nil
    }

    private func noteUnreadable(_ error: StoreError) {
        let damage = StoreDamage.reading(error, in: databasePath)
        state.withLock { state in
            if !state.statistics.damage.contains(damage) { state.statistics.note(damage) }
        }
    }

    /// Whether rows that are missing or damaged are so because the segment was replaced meanwhile; else that is damage, and counted once.
    func isGone(_ segment: Segment) -> Bool {
        // A segment replaced by a merge leaves its number to another, so an old view of it is not damage.
        let isCurrent = state.withLock { state in state.rewrites % 2 == 0 && state.snapshot.segments.contains { $0 === segment } }
        guard isCurrent else { return true }
        guard headers.markDamaged(segment.number) else { return false }
        let damage = StoreDamage.segment(segment, in: databasePath)
        state.withLock { state in
            state.statistics.note(damage)
            state.statistics.quarantined[.segment, default: 0] += 1
            if state.statistics.damagedSegments.count < StoreStatistics.damagedSegmentsMax {
                state.statistics.damagedSegments.append(segment.number)
            }
        }
        return false
    }
}

/// The trace tables as one attempt to answer sees them: a moment's snapshot and a borrowed connection. On the reader's thread.
struct TraceView {
    let reads: TraceReads
    let snapshot: StoreSnapshot
    let connection: TraceConnection

    /// Which ids name one trace.
    var grouping: TraceGrouping { reads.grouping }

    enum Found<Value> {
        case found(Value)
        /// Replaced or deleted meanwhile: the attempt is void.
        case gone
        /// Noted; the segment is left out.
        case damaged
    }

    func isGone(_ segment: Segment) -> Bool { reads.isGone(segment) }

    private func missing<Value>(_ segment: Segment) -> Found<Value> { isGone(segment) ? .gone : .damaged }

    func header(_ segment: Segment) throws(StoreError) -> Found<SegmentHeader> {
        if let known = reads.headers.find(segment) { return .found(known) }
        guard let bytes = try connection.header(segment.number) else { return missing(segment) }
        guard let header = SegmentHeader(bytes, connection.zstd) else { return missing(segment) }
        reads.headers.insert(header, segment)
        return .found(header)
    }

    /// Which of the traces are there; nil when a segment is gone.
    func existing(_ ids: Set<TraceID>) throws(StoreError) -> Set<TraceID>? {
        var missing = ids
        let groups = grouping
        for row in snapshot.head where !missing.isEmpty {
            missing = missing.filter { id in
                var spans = SpanBatch()
                row.batch.collect(id, groups, into: &spans)
                return spans.spans.isEmpty
            }
        }
        for segment in snapshot.segments where !missing.isEmpty {
            guard let index = try hashes(segment) else {
                if isGone(segment) { return nil }
                continue
            }
            for id in missing {
                let places = index.entryPlaces(of: id.hash)
                guard !places.isEmpty, let own = try entryIDs(segment, Array(places)) else { continue }
                if own.contains(where: { groups.key($0) == groups.key(id) }) { missing.remove(id) }
            }
        }
        return ids.subtracting(missing)
    }

    /// From memory or from the file; nil when they are not there.
    func hashes(_ segment: Segment) throws(StoreError) -> TraceHashes? {
        if let known = segment.index { return known }
        return try connection.hashes(segment)
    }

    /// The ids of trace entries, in the order of `places`; nil when one of them is not there.
    func entryIDs(_ segment: Segment, _ places: [Int]) throws(StoreError) -> [TraceID]? {
        guard !places.isEmpty else { return [] }
        return try unsafe connection.withRow(segment.number, TraceSchema.tracesBlock) { hot, cold in
            let rests = unsafe cold()
            var ids: [TraceID] = []
            ids.reserveCapacity(places.count)
            for place in places {
                var high = unsafe ByteReader(hot, at: place * 4)
                var rest = unsafe ByteReader(rests, at: place * 12)
                let sortKey = UInt64(high.uint32()) << 32 | UInt64(rest.uint32())
                ids.append(SegmentLayout.traceID(sortKey: sortKey, high: rest.uint64(), layout: segment.layout))
                if high.failed || rest.failed { return nil }
            }
            return ids
        }
    }

    /// Every span of a segment; nil when it is gone or damaged.
    func allSpans(of segment: Segment) throws(StoreError) -> SpanBatch? {
        guard case .found(let header) = try self.header(segment) else { return nil }
        guard let ids = try entryIDs(segment, Array(0..<header.blocks.reduce(0, { $0 + $1.traceCount }))) else { return nil }
        var result = SpanBatch()
        var place = 0
        for block in header.blocks.indices {
            let sound: Bool? = try unsafe connection.withRow(segment.number, Int64(block)) { hot, cold in
                guard let opened = unsafe SegmentBlock(header: header, block: block, hot: hot),
                    let openedCold = unsafe SegmentBlockCold(header: header, block: block, cold: cold(), connection.zstd)
                else { return false }
                var decoder = SegmentBlockDecoder(opened, openedCold)
                for entry in 0..<opened.entry.traceCount {
                    decoder.decode(
                        opened.spanRows(ofTrace: entry), base: opened.traceBases[entry], traceID: ids[place + entry], into: &result)
                }
                return true
            }
            guard sound == true else {
                _ = isGone(segment)
                return nil
            }
            place += header.blocks[block].traceCount
        }
        return result
    }
}
