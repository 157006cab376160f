public import TelemetryModel

/// Reading traces. Every call looks at one moment of the store; a segment that was merged away meanwhile makes it look again.
extension TraceStore {
    static let attemptsMax = 4
    /// How long an attempt waits for merged segments to be committed.
    static let rewriteMillisecondsMax = 5000

    /// The spans of a trace as they were received, copies left out; empty when there is none. `strictTraceID` says how the id is matched.
    public func trace(_ id: TraceID) throws(StoreError) -> SpanBatch {
        try consistently { snapshot, reader throws(StoreError) in try self.assemble(id, snapshot, reader) }
    }

    /// Which ids name one trace.
    var grouping: TraceGrouping { TraceGrouping(isStrict: configuration.strictTraceID) }

    /// One batch per trace that is found, in the order asked for.
    public func traces(_ ids: [TraceID]) throws(StoreError) -> [SpanBatch] {
        try consistently { snapshot, reader throws(StoreError) in
            var found: [SpanBatch] = []
            let groups = self.grouping
            var seen: Set<TraceID> = []
            for id in ids.prefix(QueryLimits.tracesMax) where groups.isStrict || seen.insert(groups.key(id)).inserted {
                guard let trace = try self.assemble(id, snapshot, reader) else { return nil }
                if !trace.spans.isEmpty { found.append(trace) }
            }
            return found
        }
    }

    /// Runs `body` until it did not meet a segment that is gone (nil), and none was replaced under its number meanwhile.
    func consistently<Result>(
        _ body: (StoreSnapshot, ReadConnection) throws(StoreError) -> Result?
    ) throws(StoreError) -> Result {
        if state.withLock({ $0.isClosed }) { throw .closed }
        do throws(StoreError) {
            return try attempt(body)
        } catch {
            if error.isDamage { noteUnreadable(error) }
            throw error
        }
    }

    private func noteUnreadable(_ error: StoreError) {
        let damage = StoreDamage.reading(error, in: databasePath)
        state.withLock { state in
            if !state.statistics.damage.contains(damage) { state.statistics.note(damage) }
        }
    }

    private func attempt<Result>(
        _ body: (StoreSnapshot, ReadConnection) throws(StoreError) -> Result?
    ) throws(StoreError) -> Result {
        try readers.withReader { reader throws(StoreError) in
            for _ in 0..<TraceStore.attemptsMax {
                let moment = state.wait(milliseconds: TraceStore.rewriteMillisecondsMax) { state in
                    state.rewrites % 2 == 0 ? (snapshot: state.snapshot, rewrites: state.rewrites) : nil
                }
                guard let moment else { continue }
                if let result = try body(moment.snapshot, reader), state.withLock({ $0.rewrites }) == moment.rewrites { return result }
            }
            throw .sqlite(code: 5, message: "segments changed during every attempt", operation: "reading traces: retry")
        }
    }

    /// Nil when the segment is gone; counts and returns an empty optional inside when it is damaged.
    func header(_ segment: Segment, _ reader: ReadConnection) throws(StoreError) -> Found<SegmentHeader> {
        if let known = headers.find(segment) { return .found(known) }
        guard let bytes = try reader.header(segment.number) else { return noteDamage(segment) }
        guard let header = SegmentHeader(bytes, reader.zstd) else { return noteDamage(segment) }
        headers.insert(header, segment)
        return .found(header)
    }

    enum Found<Value> {
        case found(Value)
        case gone
        case damaged
    }

    /// Whether rows that are missing or damaged are so because the segment was replaced meanwhile; else that is damage, and noted.
    func isGone(_ segment: Segment) -> Bool {
        if case .gone = noteDamage(segment) as Found<Void> { return true }
        return false
    }

    func noteDamage<Value>(_ segment: Segment) -> Found<Value> {
        // A segment replaced by a merge leaves its number to another, so an old view of it is not damage.
        let isCurrent = state.withLock { state in state.rewrites % 2 == 0 && state.snapshot.segments.contains { $0 === segment } }
        guard isCurrent else { return .gone }
        if headers.markDamaged(segment.number) {
            let damage = StoreDamage.segment(segment, in: databasePath)
            state.withLock { state in
                state.statistics.note(damage)
                state.statistics.corruptSegments += 1
                if state.statistics.corruptSegmentNumbers.count < StoreStatistics.corruptSegmentNamesMax {
                    state.statistics.corruptSegmentNumbers.append(segment.number)
                }
            }
        }
        return .damaged
    }

    /// Nil when a segment is gone.
    func assemble(_ id: TraceID, _ snapshot: StoreSnapshot, _ reader: ReadConnection) throws(StoreError) -> SpanBatch? {
        var result = SpanBatch()
        for segment in snapshot.segments {
            guard let index = try traceHashes(segment, reader) else {
                if isGone(segment) { return nil }
                continue
            }
            for place in index.places(of: id.hash) {
                guard try collect(id, place, segment, reader, &result) else { return nil }
            }
        }
        let groups = grouping
        for row in snapshot.head { row.batch.collect(id, groups, into: &result) }
        return DuplicateSpans.removed(from: result)
    }

    /// From memory or from the file; nil when the segment is gone.
    func traceHashes(_ segment: Segment, _ reader: ReadConnection) throws(StoreError) -> TraceHashes? {
        if let known = segment.index { return known }
        return try reader.hashes(segment)
    }

    /// The id of a trace entry.
    func traceID(_ place: Int, _ segment: Segment, _ reader: ReadConnection) throws(StoreError) -> TraceID? {
        try unsafe reader.withBlock(segment.number, StoreSchema.tracesBlock) { hot, cold in
            var high = unsafe ByteReader(hot, at: min(place * 4, hot.count))
            var rest = unsafe ByteReader(cold(), at: place * 12)
            let sortKey = UInt64(high.uint32()) << 32 | UInt64(rest.uint32())
            let id = SegmentLayout.traceID(sortKey: sortKey, high: rest.uint64(), layout: segment.layout)
            return high.failed || rest.failed ? nil : id
        }
    }

    /// Appends the entry's spans if it is `id`'s; false when the segment is gone.
    private func collect(
        _ id: TraceID, _ place: Int, _ segment: Segment, _ reader: ReadConnection, _ result: inout SpanBatch
    ) throws(StoreError) -> Bool {
        guard let own = try traceID(place, segment, reader), grouping.key(own) == grouping.key(id) else { return true }
        let header: SegmentHeader
        switch try self.header(segment, reader) {
        case .found(let found): header = found
        case .gone: return false
        case .damaged: return true
        }
        guard let (block, entry) = header.place(ofTrace: place) else { return true }
        var spans = SpanBatch()
        let decoded: Bool? = try unsafe reader.withBlock(segment.number, Int64(block)) { hot, cold in
            guard let opened = unsafe SegmentBlock(header: header, block: block, hot: hot),
                let openedCold = unsafe SegmentBlockCold(header: header, block: block, cold: cold(), reader.zstd)
            else { return false }
            var decoder = SegmentBlockDecoder(opened, openedCold)
            decoder.decode(opened.rows(ofTrace: entry), base: opened.traceBases[entry], traceID: own, into: &spans)
            return true
        }
        guard decoded == true else { return !isGone(segment) }
        result.append(contentsOf: spans)
        return true
    }

    /// Every span of a segment, for merging; nil when it is gone or damaged.
    func decodeAll(_ segment: Segment) -> SpanBatch? {
        let decoded: SpanBatch?? = try? readers.withReader { reader throws(StoreError) -> SpanBatch? in
            guard case .found(let header) = try self.header(segment, reader) else { return nil }
            var ids: [TraceID] = []
            for place in 0..<header.blocks.reduce(0, { $0 + $1.traceCount }) {
                guard let id = try traceID(place, segment, reader) else { return nil }
                ids.append(id)
            }
            var result = SpanBatch()
            var place = 0
            for block in header.blocks.indices {
                let sound: Bool? = try unsafe reader.withBlock(segment.number, Int64(block)) { hot, cold in
                    guard let opened = unsafe SegmentBlock(header: header, block: block, hot: hot),
                        let openedCold = unsafe SegmentBlockCold(header: header, block: block, cold: cold(), reader.zstd)
                    else { return false }
                    var decoder = SegmentBlockDecoder(opened, openedCold)
                    for entry in 0..<opened.entry.traceCount {
                        decoder.decode(opened.rows(ofTrace: entry), base: opened.traceBases[entry], traceID: ids[place + entry], into: &result)
                    }
                    return true
                }
                guard sound == true else {
                    let _: Found<Void> = noteDamage(segment)
                    return nil
                }
                place += header.blocks[block].traceCount
            }
            return result
        }
        return decoded ?? nil
    }
}

/// Which trace ids are one trace's: with `STRICT_TRACE_ID=false`, as in Zipkin, all whose low halves are equal, because some of a trace's
/// services keep only that.
struct TraceGrouping {
    var isStrict: Bool

    func key(_ id: TraceID) -> TraceID { isStrict ? id : TraceID(high: 0, low: id.low) }
}

extension SpanBatch {
    /// Appends another batch's spans with everything they refer to.
    mutating func append(contentsOf other: SpanBatch) {
        if spans.isEmpty {
            self = other
            return
        }
        let textBase = UInt32(clamping: text.count)
        let tagBase = UInt32(clamping: tags.count)
        let annotationBase = UInt32(clamping: annotations.count)
        let endpointBase = UInt32(clamping: endpoints.count)
        func moved(_ reference: TextRef) -> TextRef { TextRef(offset: reference.offset &+ textBase, count: reference.count) }
        text.append(contentsOf: other.text)
        for tag in other.tags { tags.append(TagRow(key: moved(tag.key), value: moved(tag.value))) }
        for annotation in other.annotations {
            annotations.append(AnnotationRow(timestamp: annotation.timestamp, value: moved(annotation.value)))
        }
        for endpoint in other.endpoints {
            var endpoint = endpoint
            endpoint.serviceName = moved(endpoint.serviceName)
            endpoints.append(endpoint)
        }
        for span in other.spans {
            var span = span
            span.name = moved(span.name)
            span.tagStart &+= tagBase
            span.annotationStart &+= annotationBase
            if span.localEndpoint != EndpointRow.absent { span.localEndpoint &+= endpointBase }
            if span.remoteEndpoint != EndpointRow.absent { span.remoteEndpoint &+= endpointBase }
            spans.append(span)
        }
    }
}
