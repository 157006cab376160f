import TelemetryModel

/// One search: newest segments first; within each, spans are tested as numbers, and each promising trace is assembled and tested exactly.
struct TraceSearch {
    private let view: TraceView
    private let compiled: CompiledQuery
    private let limit: Int

    private var snapshot: StoreSnapshot { view.snapshot }
    private var reader: TraceConnection { view.connection }

    init(_ view: TraceView, _ compiled: CompiledQuery, _ limit: Int) {
        self.view = view
        self.compiled = compiled
        self.limit = limit
    }

    /// The newest traces that match; nil when a segment is gone.
    func run() throws(StoreError) -> FoundTraces? {
        let range = compiled.query.timestampRange
        let matcher = ExactMatcher(compiled.query)
        var found: [(timestamp: UInt64, trace: SpanBatch)] = []
        var seen: Set<TraceID> = []
        var screen = SegmentScreen(view, compiled)
        let groups = view.grouping
        var readCount = 0
        let readMax = max(compiled.query.readMax, 1)
        func isTooOld(_ candidate: TraceCandidate) -> Bool {
            guard found.count >= limit, let last = found.last else { return false }
            return candidate.timestamp < last.timestamp
        }
        /// Assembles candidates, newest first; false when a segment is gone.
        func settle(_ candidates: [TraceCandidate]) throws(StoreError) -> Bool {
            var rest = candidates.sorted { $0.timestamp > $1.timestamp }[...]
            var size = TraceSearchLimits.readAtOnceMin / 2
            while let next = rest.first, !isTooOld(next), readCount < readMax {
                // As many at once as are wanted still; when those do not do, twice as many.
                size = found.count >= limit
                    ? TraceSearchLimits.readAtOnceMin : min(max(limit - found.count, size * 2), TraceSearchLimits.readAtOnceMax)
                size = min(size, readMax - readCount)
                var keys: Set<TraceID> = []
                var some: [TraceCandidate] = []
                while some.count < size, let candidate = rest.popFirst(), !isTooOld(candidate) {
                    let key = groups.key(candidate.id)
                    if !seen.contains(key), keys.insert(key).inserted { some.append(candidate) }
                }
                guard let traces = try TraceGather(view, some.map(\.id)).traces() else { return false }
                readCount += some.count
                for (candidate, trace) in zip(some, traces) {
                    if isTooOld(candidate) { return true }
                    seen.insert(groups.key(candidate.id))
                    let timestamp = TraceQuery.timestamp(of: trace)
                    guard timestamp != 0, range.contains(timestamp), matcher.matches(trace) else { continue }
                    let at = found.firstIndex { $0.timestamp < timestamp } ?? found.count
                    found.insert((timestamp, trace), at: at)
                    if found.count > limit { found.removeLast() }
                }
            }
            return true
        }
        guard try settle(headCandidates()) else { return nil }
        for segment in snapshot.segments.sorted(by: { $0.timestampMax > $1.timestampMax }) where readCount < readMax {
            // A trace's time may lie in another part of it, so segments with parts get some slack.
            let isTooOld = segment.timestampMax > 0 && (segment.timestampMax < range.lowerBound
                || (found.count >= limit && segment.timestampMax < found.last?.timestamp ?? 0))
            if isTooOld {
                let newest = segment.timestampMax &+ TraceSearchLimits.lateMicrosecondsMax
                guard !segment.splitHashes.isEmpty, newest >= range.lowerBound,
                    found.count < limit || newest >= found.last?.timestamp ?? 0
                else { continue }
                guard let parts = try splitCandidates(segment), try settle(parts) else { return nil }
                continue
            }
            if segment.timestampMin > range.upperBound, segment.splitHashes.isEmpty { continue }
            let threshold = found.count >= limit ? found.last?.timestamp ?? 0 : 0
            guard let candidates = try segmentCandidates(segment, newerThan: threshold, &screen) else { return nil }
            guard try settle(candidates) else { return nil }
        }
        return FoundTraces(traces: found.map(\.trace), readCount: readCount)
    }

    private struct Part {
        var bits: UInt32 = 0
        var time = TraceTime()
    }

    private func headCandidates() -> [TraceCandidate] {
        var parts: [TraceID: Part] = [:]
        let groups = view.grouping
        for row in snapshot.head { note(row.batch, groups, &parts) }
        let recent = snapshot.segments.suffix(Segment.splitDistance)
        var candidates: [TraceCandidate] = []
        for (id, part) in parts {
            let isWhole = part.bits & compiled.required == compiled.required
            // Even a part that meets nothing may be the root, whose time decides for spans that are in a segment already.
            let hash = id.hash
            let isSplit = recent.contains { $0.index.map { !TraceHashes.find(hash, in: $0.sorted).isEmpty } ?? true }
            guard isWhole || isSplit else { continue }
            let timestamp = part.time.timestamp
            candidates.append(TraceCandidate(id: id, timestamp: isSplit || timestamp == 0 ? UInt64.max : timestamp))
        }
        return candidates
    }

    private func note(_ batch: HeadBatch, _ groups: TraceGrouping, _ parts: inout [TraceID: Part]) {
        let numbers = compiled.numbers(batch.strings)
        let tests = batch.shapes.map { compiled.shapeTest($0, numbers) }
        let wantsDuration = compiled.required & CompiledQuery.durationBit != 0
        unsafe batch.bytes.withUnsafeBytes { all in
            var first = 0
            while first < batch.spanCount {
                let id = batch.traceIDs[first]
                let group = groups.key(id)
                var part = parts[group] ?? Part()
                var index = first
                while index < batch.spanCount, batch.traceIDs[index] == id {
                    var reader = unsafe ByteReader(all, at: batch.spansStart + Int(batch.spanStarts[index]))
                    let span = JournalSpan(&reader, previousTrace: id, baseTimestamp: batch.baseTimestamp)
                    index += 1
                    part.time.note(span.timestamp, isRoot: span.parent == 0)
                    guard span.shape < tests.count, tests[span.shape].counts else { continue }
                    part.bits |= tests[span.shape].bits
                    if wantsDuration, tests[span.shape].isInScope, compiled.durationMatches(span.duration) {
                        part.bits |= CompiledQuery.durationBit
                    }
                    if !tests[span.shape].checks.isEmpty {
                        part.bits |= unsafe checkPayloads(tests[span.shape], batch, batch.shapes[span.shape], numbers, &reader, all)
                    }
                }
                parts[group] = part
                first = index
            }
        }
    }

    private func checkPayloads(
        _ test: CompiledQuery.ShapeTest, _ batch: HeadBatch, _ shape: SpanShape, _ numbers: CompiledQuery.Numbers,
        _ reader: inout ByteReader, _ all: UnsafeRawBufferPointer
    ) -> UInt32 {
        var bits: UInt32 = 0
        for (index, payload) in shape.payloads.enumerated() {
            let value = JournalValue(&reader, kind: payload.kind)
            for check in test.checks where check.payload == index {
                guard !check.isTrait else {
                    // Here strings have their numbers, which columns of segments count from 1.
                    let number = payload.kind == .number ? value.a : value.a &+ 1
                    if compiled.traits[check.index].isMet(by: number, numbers.traits[check.index]) { bits |= check.bit }
                    continue
                }
                let wanted = compiled.terms[check.index].classified
                let isEqual = switch payload.kind {
                case .text: numbers.values[check.index] > 0 && Int(value.a) == numbers.values[check.index] - 1
                case .template: numbers.values[check.index] > 0 && Int(value.a) == numbers.values[check.index] - 1 && value.b == wanted.a
                case .long: unsafe all[value.start..<value.end].elementsEqual(compiled.terms[check.index].value)
                default: value.a == wanted.a && value.b == wanted.b
                }
                if isEqual { bits |= check.bit }
            }
        }
        return bits
    }

    /// Nil when the segment is gone.
    private func segmentCandidates(
        _ segment: Segment, newerThan threshold: UInt64, _ screen: inout SegmentScreen
    ) throws(StoreError) -> [TraceCandidate]? {
        let absent = try screen.absentCriteria(segment)
        if absent != 0 { return try screen.isHopeless(segment, absent: absent) ? [] : splitCandidates(segment) }
        let header: SegmentHeader
        switch try view.header(segment) {
        case .found(let found): header = found
        case .gone: return nil
        case .damaged: return []
        }
        let hasPlain = !header.plainNames.isEmpty
        let numbers = compiled.numbers(header.strings)
        var tests = header.shapes.map { compiled.shapeTest($0, numbers) }
        if !tests.isEmpty { tests[0] = CompiledQuery.ShapeTest(counts: true, isInScope: true, bits: compiled.required, isUnknown: true) }
        // Does anything in the segment's tables meet each criterion? Split traces need only one of them here.
        var possible: UInt32 = compiled.required & CompiledQuery.durationBit
        for test in tests where test.counts && !test.isUnknown {
            possible |= test.bits
            for check in test.checks { possible |= check.bit }
        }
        let isPossible = hasPlain || possible & compiled.required == compiled.required
        guard isPossible || !segment.splitHashes.isEmpty else { return [] }
        let plan = ScanPlan(header, tests)
        var places: [(place: Int, timestamp: UInt64)] = []
        var firstPlace = 0
        for (block, entry) in header.blocks.enumerated() {
            defer { firstPlace += entry.traceCount }
            if segment.splitHashes.isEmpty {
                if let least = compiled.query.durationMin, entry.durationMax < least { continue }
                // Spans without any time may belong to a trace that has one elsewhere.
                if entry.timestampMax > 0, entry.timestampMax < max(compiled.query.timestampRange.lowerBound, threshold) { continue }
                if entry.timestampMin > compiled.query.timestampRange.upperBound { continue }
            }
            let base = firstPlace
            let outcome: Bool? = try unsafe reader.withRow(segment.number, Int64(block)) { hot, cold in
                guard let opened = unsafe SegmentBlock(header: header, block: block, hot: hot) else { return false }
                if segment.splitHashes.isEmpty, !hasPlain, !mayMatch(opened, compiled, tests, numbers) { return true }
                var openedCold: SegmentBlockCold?
                if compiled.terms.contains(where: { !$0.value.isEmpty && !$0.classified.kind.isPacked }) {
                    unsafe openedCold = SegmentBlockCold(header: header, block: block, cold: cold(), reader.zstd)
                    guard let openedCold else { return false }
                    if segment.splitHashes.isEmpty, !hasPlain, !mayMatch(openedCold, header, compiled, tests) { return true }
                }
                scan(opened, openedCold, compiled, plan, numbers, segment, base, &places)
                return true
            }
            if outcome != true, view.isGone(segment) { return nil }
        }
        let range = compiled.query.timestampRange
        var candidates: [TraceCandidate] = []
        // Only as many ids are looked up as may be wanted: the newest come first, and exactness rarely takes any away.
        for place in places {
            // A part without any time belongs to a trace whose time is elsewhere.
            let isSplit = place.timestamp == 0 || segment.isSplit(place: place.place)
            guard isSplit || (range.contains(place.timestamp) && place.timestamp >= threshold) else { continue }
            candidates.append(
                TraceCandidate(id: TraceID(high: 0, low: UInt64(place.place)), timestamp: isSplit ? UInt64.max : place.timestamp))
        }
        // A search for ten traces does not need the ids of eight thousand; exact tests seldom reject, so take a few times the limit first.
        candidates.sort { $0.timestamp > $1.timestamp }
        let ids = try view.entryIDs(segment, candidates.map { Int($0.id.low) })
        guard let ids else { return view.isGone(segment) ? nil : [] }
        return zip(candidates, ids).map { TraceCandidate(id: $1, timestamp: $0.timestamp) }
    }

    /// The traces that recent earlier segments have parts of, whatever they contain; nil when the segment is gone.
    private func splitCandidates(_ segment: Segment) throws(StoreError) -> [TraceCandidate]? {
        guard let index = segment.index, !segment.splitHashes.isEmpty else { return [] }
        let places = segment.splitHashes.flatMap { index.entryPlaces(of: $0) }
        guard let ids = try view.entryIDs(segment, places) else { return view.isGone(segment) ? nil : [] }
        return ids.map { TraceCandidate(id: $0, timestamp: UInt64.max) }
    }

    /// Whether each packed term has its value anywhere in the block: a look down a column, before all columns are walked row by row.
    private func mayMatch(
        _ block: SegmentBlock, _ compiled: CompiledQuery, _ tests: [CompiledQuery.ShapeTest], _ numbers: CompiledQuery.Numbers
    ) -> Bool {
        for (index, term) in compiled.terms.enumerated() where !term.value.isEmpty && term.classified.kind.isPacked {
            var columns: Set<Int> = []
            for (shape, test) in tests.enumerated() {
                for check in test.checks where !check.isTrait && check.index == index {
                    columns.insert(block.header.shapeColumns[shape][check.payload])
                }
            }
            let isThere = columns.contains { mayHold(block, $0, term, numbers.values[index]) }
            if !isThere { return false }
        }
        return compiled.traits.indices.allSatisfy { mayMeet(block, trait: $0, compiled, tests, numbers) }
    }

    /// The same for a trait, where no shape meets it alone.
    private func mayMeet(
        _ block: SegmentBlock, trait: Int, _ compiled: CompiledQuery, _ tests: [CompiledQuery.ShapeTest], _ numbers: CompiledQuery.Numbers
    ) -> Bool {
        let bit = CompiledQuery.firstTraitBit << UInt32(trait)
        var columns: Set<Int> = []
        for (shape, test) in tests.enumerated() where !test.isUnknown {
            if test.bits & bit != 0 { return true }
            for check in test.checks where check.bit == bit { columns.insert(block.header.shapeColumns[shape][check.payload]) }
        }
        return columns.contains { column in
            block.first[column].contains { compiled.traits[trait].isMet(by: $0, numbers.traits[trait]) }
        }
    }

    /// Whether a column may have a term's value in some row; of a template's two parts each is looked for by itself.
    private func mayHold(_ block: SegmentBlock, _ column: Int, _ term: CompiledQuery.Term, _ number: Int) -> Bool {
        let first = block.first[column]
        switch term.classified.kind {
        case .number, .ipv4: return first.contains(term.classified.a)
        case .text: return first.contains(0) || number > 0 && first.contains(UInt64(number))
        case .template:
            guard first.contains(0) || number > 0 && first.contains(UInt64(number)) else { return false }
            return block.second[column].contains(term.classified.a)
        case .uuid, .hex32, .hex16, .long: return true
        }
    }

    /// The same for ids, which lie in the cold half.
    private func mayMatch(
        _ cold: SegmentBlockCold, _ header: SegmentHeader, _ compiled: CompiledQuery, _ tests: [CompiledQuery.ShapeTest]
    ) -> Bool {
        for (index, term) in compiled.terms.enumerated() where !term.value.isEmpty && term.classified.kind.isFixed {
            var columns: Set<Int> = []
            for (shape, test) in tests.enumerated() {
                for check in test.checks where !check.isTrait && check.index == index {
                    columns.insert(header.shapeColumns[shape][check.payload])
                }
            }
            let value = term.classified
            if !columns.contains(where: { cold.contains($0, value.a, value.b, isHalf: value.kind == .hex16) }) { return false }
        }
        return true
    }

    private func scan(
        _ block: SegmentBlock, _ cold: SegmentBlockCold?, _ compiled: CompiledQuery, _ plan: borrowing ScanPlan,
        _ numbers: CompiledQuery.Numbers, _ segment: Segment, _ firstPlace: Int, _ places: inout [(place: Int, timestamp: UInt64)]
    ) {
        var ranks = RawBuffer<Int>()
        ranks.fill(0, count: plan.watched.count)
        let wantsDuration = compiled.required & CompiledQuery.durationBit != 0
        let required = compiled.required
        let hasSplits = segment.index != nil && !segment.splitHashes.isEmpty
        var row = 0
        for trace in 0..<block.entry.traceCount {
            var bits: UInt32 = 0
            let start = row
            let end = row + Int(block.traceSpanCounts[trace])
            while row < end {
                let shape = plan.shapes[Int(block.shapes[row])]
                if shape.counts {
                    bits |= shape.bits
                    if wantsDuration, shape.isInScope, bits & CompiledQuery.durationBit == 0,
                        compiled.durationMatches(block.durations[row])
                    {
                        bits |= CompiledQuery.durationBit
                    }
                    for at in shape.checkStart..<shape.checkEnd {
                        let check = plan.checks[at]
                        guard bits & check.bit == 0 else { continue }
                        let (column, rank) = (plan.watched[check.watched], ranks[check.watched])
                        let isMet = check.isTrait
                            ? compiled.traits[check.index].isMet(by: block.first[column][rank], numbers.traits[check.index])
                            : matches(block, cold, column, rank, compiled.terms[check.index], numbers.values[check.index])
                        if isMet { bits |= check.bit }
                    }
                }
                for at in shape.stepStart..<shape.stepEnd { ranks[plan.steps[at]] &+= 1 }
                row += 1
            }
            let place = firstPlace + trace
            guard bits & required == required || (hasSplits && segment.isSplit(place: place)) else { continue }
            // Times are looked at only for traces that may match.
            var time = TraceTime()
            let base = block.traceBases[trace]
            for row in start..<end { time.note(block.timestamp(row, base: base), isRoot: block.parents[row] == 0) }
            places.append((place, time.timestamp))
        }
    }

    @inline(__always)
    private func matches(
        _ block: SegmentBlock, _ cold: SegmentBlockCold?, _ column: Int, _ rank: Int, _ term: CompiledQuery.Term, _ number: Int
    ) -> Bool {
        switch term.classified.kind {
        case .text:
            let value = block.first[column][rank]
            return value == 0 || (number > 0 && value == UInt64(number))
        case .template:
            let value = block.first[column][rank]
            return (value == 0 || (number > 0 && value == UInt64(number))) && block.second[column][rank] == term.classified.a
        case .number, .ipv4: return block.first[column][rank] == term.classified.a
        case .uuid, .hex32: return cold.map { $0.wideValue(column, rank, isHalf: false) == (term.classified.a, term.classified.b) } ?? true
        case .hex16: return cold.map { $0.wideValue(column, rank, isHalf: true).0 == term.classified.a } ?? true
        case .long: return cold.map { $0.textBytes(column, rank) == term.value } ?? true
        }
    }
}

/// What a search does with each shape of a segment, in plain buffers: a scan looks at every span of it.
struct ScanPlan: ~Copyable {
    struct Shape: BitwiseCopyable {
        var counts: Bool
        var isInScope: Bool
        var bits: UInt32
        var checkStart: Int
        var checkEnd: Int
        var stepStart: Int
        var stepEnd: Int
    }

    struct Check: BitwiseCopyable {
        var bit: UInt32
        var index: Int
        var isTrait: Bool
        /// Place in `watched`.
        var watched: Int
    }

    var shapes = RawBuffer<Shape>()
    var checks = RawBuffer<Check>()
    /// Places in `watched` of the columns that a span of a shape has a value in.
    var steps = RawBuffer<Int>()
    /// Only columns that some check looks at are counted along.
    var watched: [Int] = []

    init(_ header: SegmentHeader, _ tests: [CompiledQuery.ShapeTest]) {
        for (shape, test) in tests.enumerated() {
            for check in test.checks {
                let column = header.shapeColumns[shape][check.payload]
                if !watched.contains(column) { watched.append(column) }
            }
        }
        for (shape, test) in tests.enumerated() {
            let checkStart = checks.count
            let stepStart = steps.count
            for check in test.checks {
                let column = header.shapeColumns[shape][check.payload]
                checks.append(Check(
                    bit: check.bit, index: check.index, isTrait: check.isTrait, watched: watched.firstIndex(of: column) ?? 0))
            }
            for column in header.shapeColumns[shape] {
                if let place = watched.firstIndex(of: column) { steps.append(place) }
            }
            shapes.append(Shape(
                counts: test.counts, isInScope: test.isInScope, bits: test.bits, checkStart: checkStart, checkEnd: checks.count,
                stepStart: stepStart, stepEnd: steps.count))
        }
    }
}

/// Bounds of a search.
enum TraceSearchLimits {
    /// Spans that arrive in a later segment than the rest of their trace are found by a search when they are no older than this.
    static let lateMicrosecondsMax: UInt64 = 600_000_000
    /// Traces that are read at once.
    static let readAtOnceMin = 16
    static let readAtOnceMax = 512
}
