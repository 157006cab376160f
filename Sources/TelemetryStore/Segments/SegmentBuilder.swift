internal import Primitives
import TelemetryModel

/// Builds one segment out of head batches: spans grouped by trace, traces in hash order, one column per (tag key, value kind).
///
/// Confined to one thread; may be reused. Layout: docs/formats/segment.md.
struct SegmentBuilder: ~Copyable {
    private let blockSpansMax: Int
    private let zstd = ZstdCodec()
    private var linker = DependencyLinker()

    // The segment as a whole.
    private var tables: SegmentTables
    private var autocomplete: [UInt32: Set<String>] = [:]
    private var filterHashes = RawBuffer<UInt64>()
    private var links = LinkTable()
    private var plainNames: Set<[String]> = []
    private var directory: [SegmentHeader.BlockEntry] = []
    /// By column, of the blocks that are finished.
    private var columnValues = ColumnValueSets()
    private var facts = SegmentFacts()

    /// A batch as the hot loop sees it: no counting of references. Valid while the batch lives.
    @safe
    private struct Input {
        var bytes: UnsafeRawBufferPointer
        var spanStarts: UnsafeBufferPointer<UInt32>
        var traceIDs: UnsafeBufferPointer<TraceID>
        var spansStart: Int
        var baseTimestamp: UInt64
        /// Where its numbers begin in the maps of `tables`.
        var stringMapStart: Int
        var shapeMapStart: Int
    }

    struct Place: BitwiseCopyable {
        var batch: Int32
        var position: Int32
    }

    // The block being filled.
    private var columns = ColumnTable()
    private var block = BlockBuffer()

    private var inputs: [Input] = []

    // Reused per trace.
    private var traceSpans = RawBuffer<JournalSpan>(capacity: 64)
    private var tracePlaces = RawBuffer<Place>(capacity: 64)

    // Of all entries with one low half of a trace id, which are one trace to the linker.
    private var nodes: [LinkNode] = []
    private var nodePlaces = RawBuffer<Place>(capacity: 64)
    private var nodeShapes = RawBuffer<Int32>(capacity: 64)
    private var nodeTime = TraceTime()
    private var clock = RetentionClock(arrival: 0)

    init(blockSpansMax: Int, autocompleteKeys: [String], limits: SegmentLimits = .standard) {
        self.blockSpansMax = min(max(blockSpansMax, 16), SegmentLimits.blockSpansMax)
        tables = SegmentTables(autocompleteKeys: Set(autocompleteKeys), limits: limits)
    }

    init(_ configuration: StoreConfiguration) {
        self.init(
            blockSpansMax: configuration.blockSpansMax, autocompleteKeys: configuration.autocompleteKeys,
            limits: configuration.segmentLimits)
    }

    /// Traces are gathered from all over the batches: the first lines of a run are asked for this many runs ahead.
    private static let prefetchDistance = 4

    /// `arrival`: when the last of the batches was received, microseconds since 1970.
    mutating func build(_ batches: [HeadBatch], arrival: UInt64) -> BuiltSegment {
        reset(batches)
        clock = RetentionClock(arrival: arrival)
        // `inputs` points into the batches' arrays, which are native, immutable and kept alive to the end of this call.
        defer { withExtendedLifetime(batches) {} }
        var result = BuiltSegment()
        let runs = TraceRun.inOrder(batches)
        var tracesHigh = ByteWriter(capacity: runs.count * 4)
        var tracesRest = ByteWriter(capacity: runs.count * 12)
        var start = 0
        var asked = 0
        while start < runs.count {
            while asked < min(start + Self.prefetchDistance, runs.count) {
                prefetch(runs[asked])
                asked += 1
            }
            var end = start + 1
            while end < runs.count, runs[end].sortKey == runs[start].sortKey, runs[end].high == runs[start].high { end += 1 }
            append(trace: runs[start..<end], batches, &result, &tracesHigh, &tracesRest)
            if end == runs.count || runs[end].sortKey != runs[start].sortKey { linkTrace() }
            start = end
        }
        finishBlock(&result)
        result.newest = clock.newest
        result.arrival = arrival
        result.traceHashes = tracesHigh.array()
        result.traceRests = tracesRest.array()
        // Plain rows are not in the filter, so a segment that has some has none, and is always looked at.
        result.filter = plainNames.isEmpty ? BloomFilter.build(filterHashes) : []
        result.header = SegmentHeaderWriter.write(
            tables, directory, links, plainNames: plainNames, autocomplete: autocomplete,
            columnValues: columnValues.found, zstd)
        result.digest = plainNames.isEmpty ? facts.finish() : nil
        reset([])
        return result
    }

    private func prefetch(_ run: TraceRun) {
        let input = inputs[Int(run.batch)]
        guard let bytes = unsafe input.bytes.baseAddress, let starts = unsafe input.spanStarts.baseAddress else { return }
        unsafe Prefetch.read(starts + Int(run.first))
        for line in 0..<3 { unsafe Prefetch.read(bytes + Int(run.place) + 64 * line) }
    }

    private mutating func reset(_ batches: [HeadBatch]) {
        tables.removeAll()
        columns.removeAll()
        autocomplete.removeAll()
        filterHashes.removeAll()
        links.removeAll()
        plainNames.removeAll()
        directory.removeAll()
        columnValues.removeAll()
        block.removeAll()
        nodes.removeAll(keepingCapacity: true)
        nodePlaces.removeAll()
        nodeShapes.removeAll()
        nodeTime = TraceTime()
        inputs.removeAll(keepingCapacity: true)
        var strings = 0
        var shapes = 0
        for batch in batches {
            unsafe inputs.append(Input(
                bytes: batch.bytes.withUnsafeBytes { unsafe $0 }, spanStarts: batch.spanStarts.withUnsafeBufferPointer { unsafe $0 },
                traceIDs: batch.traceIDs.withUnsafeBufferPointer { unsafe $0 }, spansStart: batch.spansStart,
                baseTimestamp: batch.baseTimestamp, stringMapStart: strings, shapeMapStart: shapes))
            strings += batch.strings.count
            shapes += batch.shapes.count
        }
        for batch in batches { tables.map(batch, &columns) }
        facts.begin(tables)
    }

    /// A trace larger than a block becomes several entries with the same id.
    private mutating func append(
        trace runs: ArraySlice<TraceRun>, _ batches: [HeadBatch], _ result: inout BuiltSegment,
        _ tracesHigh: inout ByteWriter, _ tracesRest: inout ByteWriter
    ) {
        var total = 0
        for run in runs { total += Int(run.count) }
        if block.spanCount > 0, block.spanCount + min(total, blockSpansMax) > blockSpansMax { finishBlock(&result) }
        let id = (sortKey: runs[runs.startIndex].sortKey, high: runs[runs.startIndex].high)
        func beginEntry() {
            traceSpans.removeAll()
            tracePlaces.removeAll()
        }
        func endEntry() {
            tracesHigh.append(UInt32(truncatingIfNeeded: id.sortKey >> 32))
            tracesRest.append(UInt32(truncatingIfNeeded: id.sortKey))
            tracesRest.append(id.high)
            result.hashes.append(UInt32(truncatingIfNeeded: id.sortKey >> 32))
            appendEntry(batches, &result)
        }
        beginEntry()
        for run in runs {
            let input = inputs[Int(run.batch)]
            for index in Int(run.first)..<Int(run.first) + Int(run.count) {
                if traceSpans.count == blockSpansMax {
                    endEntry()
                    finishBlock(&result)
                    beginEntry()
                }
                var reader = unsafe ByteReader(input.bytes, at: input.spansStart + Int(input.spanStarts[index]))
                traceSpans.append(unsafe JournalSpan(&reader, previousTrace: input.traceIDs[index], baseTimestamp: input.baseTimestamp))
                tracePlaces.append(Place(batch: run.batch, position: Int32(reader.position)))
            }
        }
        if !traceSpans.isEmpty { endEntry() }
    }

    /// Adds the spans in `traceSpans` to the block as one trace entry.
    private mutating func appendEntry(_ batches: [HeadBatch], _ result: inout BuiltSegment) {
        var base = UInt64.max
        for index in 0..<traceSpans.count {
            let timestamp = traceSpans[index].timestamp
            if timestamp != 0, timestamp < base { base = timestamp }
        }
        if base == UInt64.max { base = 0 }
        block.traceSpanCounts.append(UInt64(traceSpans.count))
        block.traceBases.append(base)
        let count = traceSpans.count
        var indexByID: [UInt64: Int] = [:]
        if count > 32 {
            indexByID.reserveCapacity(count)
            for index in 0..<count where indexByID[traceSpans[index].id] == nil { indexByID[traceSpans[index].id] = index }
        }
        for index in 0..<count {
            let span = traceSpans[index]
            block.spanIDs.append(span.id)
            block.timestamps.append(span.timestamp == 0 ? 0 : span.timestamp &- base &+ 1)
            block.durations.append(span.duration)
            block.durationMax = max(block.durationMax, span.duration)
            if span.timestamp != 0 {
                block.timestampMin = min(block.timestampMin, span.timestamp)
                block.timestampMax = max(block.timestampMax, span.timestamp)
                clock.note(span.timestamp)
            }
            appendParent(span, index, count, indexByID)
            let place = tracePlaces[index]
            let number = Int(place.batch)
            let shape = shapeNumber(span.shape, number)
            block.shapes.append(UInt64(shape))
            facts.note(duration: span.duration, ofShape: shape)
            let known = tables.shapeInfos[shape]
            if shape == 0 {
                appendPlain(span, batches[number], Int(place.position))
            } else {
                appendPayloads(known, shape, at: Int(place.position), number, batches)
            }
            nodes.append(LinkNode(
                id: span.id, parentID: span.parent, kind: known.kind, isShared: known.flags & SpanFlags.shared.rawValue != 0,
                hasError: known.hasError, localService: Int(known.localService), remoteService: Int(known.remoteService)))
            nodePlaces.append(place)
            nodeShapes.append(Int32(shape))
            nodeTime.note(span.timestamp, isRoot: span.parent == 0 || span.parent == span.id)
        }
        block.spanCount += count
        result.spanCount += count
    }

    /// Counts the calls of the trace in `nodes` and forgets it. Plain rows have no part in it: links of a segment that has some are made
    /// when they are asked for.
    private mutating func linkTrace() {
        // Moved out and back, so that the closures may use the rest of `self`.
        var linker = DependencyLinker()
        swap(&linker, &self.linker)
        let isMerging = linker.needsMerging(nodes)
        if isMerging { for row in nodes.indices { setEndpoint(row) } }
        let bucket = nodeTime.timestamp / SegmentLimits.linkBucketMicroseconds
        linker.connect(nodes, isMerging: isMerging, precedes: { precedes($0, $1) }) { parent, child, isError in
            links.add(bucket: bucket, parent: UInt32(parent), child: UInt32(child), isError: isError)
        }
        swap(&linker, &self.linker)
        nodes.removeAll(keepingCapacity: true)
        nodePlaces.removeAll()
        nodeShapes.removeAll()
        nodeTime = TraceTime()
    }

    private func precedes(_ one: Int, _ other: Int) -> Bool {
        unsafe tables.strings.withText(one - 1) { left in
            unsafe tables.strings.withText(other - 1) { right in unsafe left.lexicographicallyPrecedes(right) }
        }
    }

    /// Reads the parts of a node's local endpoint beside its service: they are a span's first payloads.
    private mutating func setEndpoint(_ row: Int) {
        let shape = tables.shapeInfos[Int(nodeShapes[row])]
        let place = nodePlaces[row]
        var reader = unsafe ByteReader(inputs[Int(place.batch)].bytes, at: Int(place.position))
        for index in 0..<shape.payloadCount {
            let payload = tables.payloads[shape.payloadStart &+ index]
            let key = tables.columnKeys[payload.column] >> 4
            guard key < PayloadKey.firstString else { return }
            let value = JournalValue(&reader, kind: payload.kind)
            nodes[row].local.set(key, value.a, value.b)
        }
    }

    /// 0 = none, 1 = not in this entry (its id is in the list beside), n + 2 = the entry's n-th span.
    @inline(__always)
    private mutating func appendParent(_ span: JournalSpan, _ index: Int, _ count: Int, _ indexByID: [UInt64: Int]) {
        guard span.parent != 0 else { block.parents.append(0); return }
        var found = -1
        if count > 32 {
            found = indexByID[span.parent] ?? -1
        } else {
            var at = 0
            while at < count {
                if traceSpans[at].id == span.parent { found = at; break }
                at &+= 1
            }
        }
        if found >= 0 {
            block.parents.append(UInt64(found + 2))
        } else {
            block.parents.append(1)
            block.externalParents.append(span.parent)
        }
    }

    /// Adds the payloads that begin at `position` of a batch's bytes, and the annotations behind them.
    private mutating func appendPayloads(
        _ shape: SegmentTables.ShapeInfo, _ shapeNumber: Int, at position: Int, _ batchNumber: Int, _ batches: [HeadBatch]
    ) {
        // The row has been walked once, so nothing here fails; the reader checks its bounds all the same.
        var reader = unsafe ByteReader(inputs[batchNumber].bytes, at: position)
        let slot = facts.firstSlot(ofShape: shapeNumber)
        for index in 0..<shape.payloadCount {
            let payload = tables.payloads[shape.payloadStart &+ index]
            let column = payload.column
            let start = reader.position
            switch payload.kind {
            case .text:
                let text = Int(truncatingIfNeeded: reader.varint())
                let number = stringNumber(text, batchNumber)
                columns[column].first.append(UInt64(number))
                if number == 0 { unsafe batches[batchNumber].strings.withText(text) { unsafe columns[column].append(text: $0) } }
                if let slot { facts.note(text: number, tables, at: slot &+ index) }
            case .long:
                let count = reader.count()
                unsafe columns[column].append(text: reader.bytes(count))
            case .uuid, .hex32:
                let high = reader.uint64()
                let low = reader.uint64()
                columns[column].first.append(high)
                columns[column].second.append(low)
                filterHashes.append(BloomFilter.hash(payload.keyHash, high, low))
            case .hex16:
                let value = reader.uint64()
                columns[column].first.append(value)
                filterHashes.append(BloomFilter.hash(payload.keyHash, value, 0))
            case .number:
                let value = reader.varint()
                columns[column].first.append(value)
                if let slot, payload.isTag { facts.note(number: value, at: slot &+ index) }
                if payload.isTag, BloomFilter.covers(.number, value) { filterHashes.append(BloomFilter.hash(payload.keyHash, value, 0)) }
            case .ipv4:
                let value = UInt64(reader.uint32())
                columns[column].first.append(value)
                if payload.isTag { filterHashes.append(BloomFilter.hash(payload.keyHash, value, 0)) }
            case .template:
                let text = Int(truncatingIfNeeded: reader.varint())
                let value = reader.varint()
                let number = stringNumber(text, batchNumber)
                columns[column].first.append(UInt64(number))
                columns[column].second.append(value)
                if let slot { facts.note(template: number, value, tables, at: slot &+ index) }
                if BloomFilter.covers(.template, value) {
                    // With the template: in a busy segment one of some ten thousand numbers is there, but seldom in the same path.
                    let template = number > 0
                        ? tables.stringHashes[number - 1] : unsafe batches[batchNumber].strings.withText(text) { unsafe Mixing.hash($0) }
                    filterHashes.append(BloomFilter.hash(payload.keyHash, value, template))
                }
                if number == 0 { unsafe batches[batchNumber].strings.withText(text) { unsafe columns[column].append(text: $0) } }
            }
            if payload.isAutocomplete {
                var again = unsafe ByteReader(inputs[batchNumber].bytes, at: start)
                noteAutocomplete(tables.shapes[shapeNumber].payloads[index], JournalValue(&again, kind: payload.kind), batches[batchNumber])
            }
        }
        if shape.flags & SpanShape.hasAnnotations != 0 {
            let start = block.annotations.count
            let count = reader.count(bytesEach: 2)
            block.annotations.append(varint: UInt64(count))
            for _ in 0..<count {
                let annotation = JournalAnnotation(&reader)
                block.annotations.append(zigzag: annotation.delta)
                let number = annotation.string > 0 ? stringNumber(annotation.string - 1, batchNumber) : 0
                block.annotations.append(varint: UInt64(number))
                guard number == 0 else { continue }
                if annotation.string > 0 {
                    unsafe batches[batchNumber].strings.withText(annotation.string - 1) { text in
                        block.annotations.append(varint: UInt64(text.count))
                        unsafe block.annotations.append(bytes: text)
                    }
                } else {
                    block.annotations.append(varint: UInt64(annotation.end - annotation.start))
                    unsafe block.annotations.append(
                        bytes: UnsafeRawBufferPointer(rebasing: inputs[batchNumber].bytes[annotation.start..<annotation.end]))
                }
            }
            block.annotationLengths.append(UInt64(block.annotations.count - start))
        }
    }

    private mutating func noteAutocomplete(_ payload: SpanShape.Payload, _ value: JournalValue, _ batch: HeadBatch) {
        guard autocomplete[payload.key, default: []].count < SegmentLimits.autocompleteValuesMax else { return }
        var text: [UInt8] = []
        switch payload.kind {
        case .text: unsafe batch.strings.withText(Int(value.a)) { unsafe text.append(contentsOf: $0) }
        case .template: unsafe batch.strings.withText(Int(value.a)) { unsafe ValueText.append(template: $0, number: value.b, to: &text) }
        case .long: return
        default: ValueText.append(payload.kind, value.a, value.b, to: &text)
        }
        autocomplete[payload.key, default: []].insert(String(decoding: text, as: UTF8.self))
    }

    /// The segment's number + 1 for a batch's string; 0 when the dictionary is full.
    @inline(__always)
    private func stringNumber(_ number: Int, _ batchNumber: Int) -> Int {
        Int(tables.stringMap[inputs[batchNumber].stringMapStart &+ number])
    }

    @inline(__always)
    private func shapeNumber(_ shape: Int, _ batchNumber: Int) -> Int { Int(tables.shapeMap[inputs[batchNumber].shapeMapStart &+ shape]) }

    /// A span with everything spelled out, for what the tables have no room for.
    private mutating func appendPlain(_ span: JournalSpan, _ batch: HeadBatch, _ position: Int) {
        var one = SpanBatch()
        batch.decode(payloadPosition: position, span: span, into: &one)
        guard let row = one.spans.first else { return }
        let local = row.localEndpoint == EndpointRow.absent ? EndpointRow() : one.endpoints[Int(row.localEndpoint)]
        let remote = row.remoteEndpoint == EndpointRow.absent ? EndpointRow() : one.endpoints[Int(row.remoteEndpoint)]
        let start = block.plain.count
        PlainSpan.write(row, local, remote, one, to: &block.plain)
        block.plainLengths.append(UInt64(block.plain.count - start))
        if plainNames.count < SegmentLimits.autocompleteValuesMax {
            plainNames.insert([one.string(local.serviceName), one.string(row.name), one.string(remote.serviceName)])
        }
    }

    private mutating func finishBlock(_ result: inout BuiltSegment) {
        guard block.spanCount > 0 else { return }
        directory.append(SegmentHeader.BlockEntry(
            traceCount: block.traceSpanCounts.count, spanCount: block.spanCount,
            timestampMin: block.timestampMax == 0 ? 0 : block.timestampMin, timestampMax: block.timestampMax,
            durationMax: block.durationMax))
        if block.timestampMax > 0 {
            result.timestampMin = result.timestampMin == 0 ? block.timestampMin : min(result.timestampMin, block.timestampMin)
            result.timestampMax = max(result.timestampMax, block.timestampMax)
        }
        columnValues.note(columns)
        result.blocks.append(block.encode(columns, zstd))
        block.removeAll()
        columns.clear()
    }
}
