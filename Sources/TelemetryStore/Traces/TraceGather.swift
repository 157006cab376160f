import TelemetryModel

/// Reads many traces at once: a block that has several of them is opened once, and each segment's hashes are gone through once. Of the
/// newest traces, which lie all over a few segments, one at a time opened a block for each.
struct TraceGather {
    private let view: TraceView
    private let ids: [TraceID]
    /// What each id is looked up by, and its place among the answers.
    private let numbers: [TraceID: Int]
    /// Ascending, each once.
    private let hashes: [UInt32]
    private var found: [SpanBatch]

    /// `ids`: no two of one trace.
    init(_ view: TraceView, _ ids: [TraceID]) {
        self.view = view
        self.ids = ids
        let groups = view.grouping
        numbers = Dictionary(ids.enumerated().map { (groups.key($1), $0) }, uniquingKeysWith: { first, _ in first })
        hashes = Set(ids.map(\.hash)).sorted()
        found = [SpanBatch](repeating: SpanBatch(), count: ids.count)
    }

    /// The spans of a trace as they were received, copies left out; nil when a segment is gone.
    static func trace(_ id: TraceID, _ view: TraceView) throws(StoreError) -> SpanBatch? {
        try TraceGather(view, [id]).traces()?.first
    }

    /// One batch per trace that is found, in the order asked for; nil when a segment is gone.
    static func traces(_ asked: [TraceID], _ view: TraceView) throws(StoreError) -> [SpanBatch]? {
        let asked = Array(asked.prefix(QueryLimits.tracesMax))
        let groups = view.grouping
        var seen: Set<TraceID> = []
        let wanted = asked.filter { seen.insert(groups.key($0)).inserted }
        guard let found = try TraceGather(view, wanted).traces() else { return nil }
        guard groups.isStrict else { return found.filter { !$0.spans.isEmpty } }
        // An id that is asked for twice is answered twice.
        let known = Dictionary(uniqueKeysWithValues: zip(wanted, found))
        return asked.compactMap { known[$0] }.filter { !$0.spans.isEmpty }
    }

    /// One batch for each id, in their order, empty where there is no such trace; nil when a segment is gone.
    consuming func traces() throws(StoreError) -> [SpanBatch]? {
        guard !found.isEmpty else { return [] }
        for segment in view.snapshot.segments {
            guard let index = try view.hashes(segment) else {
                if view.isGone(segment) { return nil }
                continue
            }
            let places = index.indexes(of: hashes).map(index.place).sorted()
            guard try collect(places, segment) else { return nil }
        }
        for row in view.snapshot.head { collect(row.batch) }
        return found.map { DuplicateSpans.removed(from: $0) }
    }

    private mutating func collect(_ batch: HeadBatch) {
        let groups = view.grouping
        guard ids.count > 1 else { return batch.collect(ids[0], groups, into: &found[0]) }
        // Spans of one trace mostly lie side by side.
        var last = TraceID.none
        var number: Int?
        for index in 0..<batch.spanCount {
            let id = batch.traceIDs[index]
            if index == 0 || id != last { number = numbers[groups.key(id)] }
            last = id
            if let number { batch.decode(index, into: &found[number]) }
        }
    }

    /// Appends the entries at some places of a segment, ascending, to the traces that they belong to; false when the segment is gone.
    private mutating func collect(_ places: [Int], _ segment: Segment) throws(StoreError) -> Bool {
        guard !places.isEmpty, let ids = try view.entryIDs(segment, places) else { return true }
        let groups = view.grouping
        var wanted: [(place: Int, id: TraceID, number: Int)] = []
        for (place, id) in zip(places, ids) {
            if let number = numbers[groups.key(id)] { wanted.append((place, id, number)) }
        }
        guard !wanted.isEmpty else { return true }
        let header: SegmentHeader
        switch try view.header(segment) {
        case .found(let found): header = found
        case .gone: return false
        case .damaged: return true
        }
        var next = 0
        var first = 0
        for (block, entry) in header.blocks.enumerated() {
            let end = first + entry.traceCount
            let from = next
            while next < wanted.count, wanted[next].place < end { next += 1 }
            if next > from {
                guard try decode(wanted[from..<next], first, block, header, segment) else { return false }
            }
            first = end
        }
        return true
    }

    /// The same in one block, whose first entry is the segment's entry `first`.
    private mutating func decode(
        _ wanted: ArraySlice<(place: Int, id: TraceID, number: Int)>, _ first: Int, _ block: Int, _ header: SegmentHeader,
        _ segment: Segment
    ) throws(StoreError) -> Bool {
        // All or nothing of a block, as when its traces are read one at a time.
        var parts: [(number: Int, spans: SpanBatch)] = []
        let decoded: Bool? = try unsafe view.connection.withRow(segment.number, Int64(block)) { hot, cold in
            guard let opened = unsafe SegmentBlock(header: header, block: block, hot: hot),
                let openedCold = unsafe SegmentBlockCold(header: header, block: block, cold: cold(), view.connection.zstd)
            else { return false }
            var decoder = SegmentBlockDecoder(opened, openedCold)
            var entry = 0
            var row = 0
            for one in wanted {
                while entry < one.place - first {
                    row += Int(opened.traceSpanCounts[entry])
                    entry += 1
                }
                var spans = SpanBatch()
                decoder.decode(
                    row..<row + Int(opened.traceSpanCounts[entry]), base: opened.traceBases[entry], traceID: one.id, into: &spans)
                parts.append((one.number, spans))
            }
            return true
        }
        guard decoded == true else { return !view.isGone(segment) }
        for part in parts {
            let isFirst = found[part.number].spans.isEmpty
            if isFirst { found[part.number] = part.spans } else { found[part.number].append(contentsOf: part.spans) }
        }
        return true
    }
}
