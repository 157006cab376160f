import TelemetryModel

/// Reads one block of a segment in place. Lives only while its bytes do; confined to one thread.
///
/// Every position is checked when the block is opened, every index when it is used.
@safe
struct SegmentBlock {
    let header: SegmentHeader
    let entry: SegmentHeader.BlockEntry
    private(set) var traceSpanCounts = IntegerColumnReader()
    private(set) var traceBases = IntegerColumnReader()
    private(set) var shapes = IntegerColumnReader()
    private(set) var timestamps = IntegerColumnReader()
    private(set) var durations = IntegerColumnReader()
    private(set) var parents = IntegerColumnReader()
    /// By column number; empty readers where the block has no such column.
    private(set) var first: [IntegerColumnReader]
    private(set) var second: [IntegerColumnReader]

    /// Returns nil for damaged bytes.
    init?(header: SegmentHeader, block: Int, hot: UnsafeRawBufferPointer, checksChecksum: Bool = true) {
        guard block < header.blocks.count, hot.count >= 8 else { return nil }
        self.header = header
        entry = header.blocks[block]
        first = Array(repeating: IntegerColumnReader(), count: header.columnCodes.count)
        second = first
        let body = unsafe UnsafeRawBufferPointer(rebasing: hot[0..<(hot.count - 8)])
        var tail = unsafe ByteReader(hot, at: hot.count - 8)
        if checksChecksum, unsafe tail.uint64() != Mixing.hash(body) { return nil }
        var reader = unsafe ByteReader(body)
        let spans = entry.spanCount
        traceSpanCounts = IntegerColumnReader(&reader, countMax: entry.traceCount)
        traceBases = IntegerColumnReader(&reader, countMax: entry.traceCount)
        shapes = IntegerColumnReader(&reader, countMax: spans)
        timestamps = IntegerColumnReader(&reader, countMax: spans)
        durations = IntegerColumnReader(&reader, countMax: spans)
        parents = IntegerColumnReader(&reader, countMax: spans)
        let valuesMax = spans * SegmentLimits.payloadsPerShapeMax
        for _ in 0..<reader.count(bytesEach: 2) {
            let column = reader.varint()
            guard column < UInt64(header.columnCodes.count) else { return nil }
            first[Int(column)] = IntegerColumnReader(&reader, countMax: valuesMax)
            if header.columnCodes[Int(column)] & 15 == UInt32(ValueKind.template.rawValue) {
                second[Int(column)] = IntegerColumnReader(&reader, countMax: valuesMax)
            }
        }
        guard !reader.failed, shapes.count == spans, timestamps.count == spans, durations.count == spans, parents.count == spans,
            traceSpanCounts.count == entry.traceCount, traceBases.count == entry.traceCount
        else { return nil }
        var total: UInt64 = 0
        for trace in 0..<entry.traceCount { total &+= min(traceSpanCounts[trace], UInt64(spans) + 1) }
        guard total == UInt64(spans) else { return nil }
        guard shapes.isBelow(UInt64(header.shapes.count)) else { return nil }
    }

    /// Microseconds; 0 = absent.
    @inline(__always)
    func timestamp(_ row: Int, base: UInt64) -> UInt64 {
        let delta = timestamps[row]
        return delta == 0 ? 0 : base &+ delta &- 1
    }

    /// First row of a trace entry, and how many.
    func spanRows(ofTrace trace: Int) -> Range<Int> {
        var start = 0
        for earlier in 0..<min(trace, entry.traceCount) { start += Int(traceSpanCounts[earlier]) }
        return start..<start + Int(traceSpanCounts[trace])
    }
}

/// The cold half of a block: ids and text.
@safe
struct SegmentBlockCold {
    private let spanCount: Int
    private var spanIDs: UnsafeRawPointer?
    private var externalParents: UnsafeRawPointer?
    private var externalCount = 0
    /// Offset in the block and count, by column.
    private var fixed: [Int: (offset: Int, count: Int)] = [:]
    private let base: UnsafeRawPointer?
    private var texts: [Int: TextColumn] = [:]
    private var annotations = TextColumn()
    private var plain = TextColumn()

    /// Concatenated values and where each ends.
    struct TextColumn {
        var bytes: [UInt8] = []
        var ends: [Int] = []

        init() {}

        init(_ reader: inout ByteReader, _ zstd: ZstdCodec, countMax: Int) {
            let lengths = IntegerColumnReader(&reader, countMax: countMax)
            bytes = zstd.read(&reader, bytesMax: SegmentLimits.blockTextBytesMax)
            guard !reader.failed else { return }
            var end = 0
            ends.reserveCapacity(lengths.count)
            for index in 0..<lengths.count {
                let length = lengths[index]
                guard length <= UInt64(bytes.count - end) else { reader.fail(); return }
                end += Int(length)
                ends.append(end)
            }
        }

        func range(_ index: Int) -> Range<Int> {
            guard index >= 0, index < ends.count else { return 0..<0 }
            return (index == 0 ? 0 : ends[index - 1])..<ends[index]
        }
    }

    /// Without `texts`, only what has a fixed width can be read, and nothing is unpacked.
    init?(
        header: SegmentHeader, block: Int, cold: UnsafeRawBufferPointer, _ zstd: ZstdCodec, checksChecksum: Bool = true,
        texts wantsTexts: Bool = true
    ) {
        guard block < header.blocks.count, cold.count >= 8 else { return nil }
        spanCount = header.blocks[block].spanCount
        unsafe base = cold.baseAddress
        let body = unsafe UnsafeRawBufferPointer(rebasing: cold[0..<(cold.count - 8)])
        var tail = unsafe ByteReader(cold, at: cold.count - 8)
        if checksChecksum, unsafe tail.uint64() != Mixing.hash(body) { return nil }
        var reader = unsafe ByteReader(body)
        unsafe spanIDs = reader.bytes(spanCount * 8).baseAddress
        externalCount = reader.count(bytesEach: 8)
        unsafe externalParents = reader.bytes(externalCount * 8).baseAddress
        let valuesMax = spanCount * SegmentLimits.payloadsPerShapeMax
        for _ in 0..<reader.count(bytesEach: 2) {
            let column = reader.varint()
            guard column < UInt64(header.columnCodes.count) else { return nil }
            let size = header.columnCodes[Int(column)] & 15 == UInt32(ValueKind.hex16.rawValue) ? 8 : 16
            let count = reader.count(bytesEach: size)
            fixed[Int(column)] = (reader.position, count)
            reader.skip(count * size)
        }
        guard wantsTexts else {
            guard !reader.failed else { return nil }
            return
        }
        for _ in 0..<reader.count(bytesEach: 3) {
            let column = reader.varint()
            guard column < UInt64(header.columnCodes.count) else { return nil }
            texts[Int(column)] = TextColumn(&reader, zstd, countMax: valuesMax)
            if reader.failed { return nil }
        }
        annotations = TextColumn(&reader, zstd, countMax: spanCount)
        plain = TextColumn(&reader, zstd, countMax: spanCount)
        guard !reader.failed else { return nil }
    }

    func spanID(_ row: Int) -> UInt64 {
        guard row >= 0, row < spanCount, let base = unsafe spanIDs else { return 0 }
        return UInt64(littleEndian: unsafe base.loadUnaligned(fromByteOffset: row * 8, as: UInt64.self))
    }

    func externalParent(_ index: Int) -> UInt64 {
        guard index >= 0, index < externalCount, let base = unsafe externalParents else { return 0 }
        return UInt64(littleEndian: unsafe base.loadUnaligned(fromByteOffset: index * 8, as: UInt64.self))
    }

    func wideValue(_ column: Int, _ index: Int, isHalf: Bool) -> (UInt64, UInt64) {
        guard let (offset, count) = fixed[column], index >= 0, index < count, let base = unsafe base else { return (0, 0) }
        if isHalf { return (UInt64(littleEndian: unsafe base.loadUnaligned(fromByteOffset: offset + index * 8, as: UInt64.self)), 0) }
        return (
            UInt64(littleEndian: unsafe base.loadUnaligned(fromByteOffset: offset + index * 16, as: UInt64.self)),
            UInt64(littleEndian: unsafe base.loadUnaligned(fromByteOffset: offset + index * 16 + 8, as: UInt64.self))
        )
    }

    /// Whether a fixed-width column has a value anywhere.
    func contains(_ column: Int, _ a: UInt64, _ b: UInt64, isHalf: Bool) -> Bool {
        guard let (offset, count) = fixed[column], let base = unsafe base else { return false }
        let start = unsafe base + offset
        if isHalf {
            for index in 0..<count where unsafe UInt64(
                littleEndian: start.loadUnaligned(fromByteOffset: index &* 8, as: UInt64.self)) == a {
                return true
            }
            return false
        }
        for index in 0..<count where unsafe UInt64(littleEndian: start.loadUnaligned(fromByteOffset: index &* 16, as: UInt64.self)) == a {
            if unsafe UInt64(littleEndian: start.loadUnaligned(fromByteOffset: index &* 16 &+ 8, as: UInt64.self)) == b { return true }
        }
        return false
    }

    /// Whether the block has any text of a column beside the dictionary.
    func hasTexts(_ column: Int) -> Bool { texts[column] != nil }

    func append(text column: Int, _ index: Int, to batch: inout SpanBatch) {
        guard let text = texts[column] else { return }
        batch.text.append(contentsOf: text.bytes[text.range(index)])
    }

    func textBytes(_ column: Int, _ index: Int) -> [UInt8] {
        guard let text = texts[column] else { return [] }
        return Array(text.bytes[text.range(index)])
    }

    func withAnnotations(_ index: Int, _ body: (inout ByteReader) -> Void) { read(annotations, index, body) }

    func withPlain(_ index: Int, _ body: (inout ByteReader) -> Void) { read(plain, index, body) }

    private func read(_ column: TextColumn, _ index: Int, _ body: (inout ByteReader) -> Void) {
        let range = column.range(index)
        unsafe column.bytes.withUnsafeBytes { all in
            var reader = unsafe ByteReader(UnsafeRawBufferPointer(rebasing: all[range]))
            body(&reader)
        }
    }
}

/// Decodes the spans of trace entries of one block.
struct SegmentBlockDecoder {
    private let block: SegmentBlock
    private let cold: SegmentBlockCold
    /// Values consumed so far per column: integer or wide, and text.
    private var ranks: [Int]
    private var textRanks: [Int]
    private var annotationRank = 0
    private var plainRank = 0
    private var externalRank = 0
    private var row = 0
    /// Rows of each shape among those skipped; all zero between two skips.
    private var shapeCounts: [Int]

    init(_ block: SegmentBlock, _ cold: SegmentBlockCold) {
        self.block = block
        self.cold = cold
        ranks = [Int](repeating: 0, count: block.header.columnCodes.count)
        textRanks = ranks
        shapeCounts = [Int](repeating: 0, count: block.header.shapes.count)
    }

    /// Decodes rows `rows`, which belong to the trace entry starting at `rows.lowerBound`. Entries must be asked for in ascending order.
    mutating func decode(_ rows: Range<Int>, base: UInt64, traceID: TraceID, into batch: inout SpanBatch) {
        skip(to: rows.lowerBound)
        for row in rows { decode(row, in: rows, base, traceID, &batch) }
    }

    /// Advances the ranks over rows that nobody asked for.
    private mutating func skip(to target: Int) {
        let header = block.header
        var seen: [Int] = []
        while row < target {
            let shape = Int(block.shapes[row])
            if shapeCounts[shape] == 0 { seen.append(shape) }
            shapeCounts[shape] += 1
            if block.parents[row] == 1 { externalRank += 1 }
            row += 1
        }
        // Text that overflowed the dictionary is rare, so its ranks are found by looking only at columns that have some.
        for shape in seen {
            let count = shapeCounts[shape]
            shapeCounts[shape] = 0
            if shape == 0 { plainRank += count; continue }
            if header.shapes[shape].flags & SpanShape.hasAnnotations != 0 { annotationRank += count }
            for column in header.shapeColumns[shape] {
                let kind = header.columnCodes[column] & 15
                if kind == UInt32(ValueKind.long.rawValue) {
                    textRanks[column] += count
                } else {
                    if cold.hasTexts(column) {
                        for value in ranks[column]..<(ranks[column] + count) where block.first[column][value] == 0 {
                            textRanks[column] += 1
                        }
                    }
                    ranks[column] += count
                }
            }
        }
    }

    private mutating func decode(_ row: Int, in rows: Range<Int>, _ base: UInt64, _ traceID: TraceID, _ batch: inout SpanBatch) {
        self.row = row + 1
        let header = block.header
        let number = Int(block.shapes[row])
        let shape = header.shapes[number]
        var parent: UInt64 = 0
        let parentCode = block.parents[row]
        if parentCode == 1 {
            parent = cold.externalParent(externalRank)
            externalRank += 1
        } else if parentCode > 1, parentCode - 2 < UInt64(rows.count) {
            parent = cold.spanID(rows.lowerBound + Int(parentCode - 2))
        }
        var assembler = SpanAssembler(traceID: traceID, id: SpanID(cold.spanID(row)), parentID: SpanID(parent), batch: batch)
        assembler.row.timestamp = block.timestamp(row, base: base)
        assembler.row.duration = block.durations[row]
        if number == 0 {
            cold.withPlain(plainRank) { PlainSpan.read(&$0, &assembler, into: &batch) }
            plainRank += 1
            assembler.finish(&batch)
            return
        }
        assembler.row.kind = SpanKind(rawValue: shape.kind) ?? .unspecified
        assembler.row.flags = SpanFlags(rawValue: shape.flags & 3)
        if shape.name > 0 { assembler.row.name = append(string: Int(shape.name) - 1, &batch) }
        if shape.localService > 0 { assembler.local.serviceName = append(string: Int(shape.localService) - 1, &batch) }
        if shape.remoteService > 0 { assembler.remote.serviceName = append(string: Int(shape.remoteService) - 1, &batch) }
        for (index, payload) in shape.payloads.enumerated() {
            decode(payload, header.shapeColumns[number][index], &assembler, &batch)
        }
        if shape.flags & SpanShape.hasAnnotations != 0 {
            let timestamp = assembler.row.timestamp
            cold.withAnnotations(annotationRank) { decodeAnnotations(&$0, timestamp, &batch) }
            annotationRank += 1
        }
        assembler.finish(&batch)
    }

    private mutating func decode(_ payload: SpanShape.Payload, _ column: Int, _ assembler: inout SpanAssembler, _ batch: inout SpanBatch) {
        var key = TextRef.empty
        if payload.key >= PayloadKey.firstString { key = append(string: Int(payload.key - PayloadKey.firstString), &batch) }
        let start = batch.text.count
        let rank = ranks[column]
        if payload.kind != .long { ranks[column] += 1 }
        var a: UInt64 = 0
        var b: UInt64 = 0
        switch payload.kind {
        case .text:
            let number = Int(clamping: block.first[column][rank])
            if number == 0 {
                cold.append(text: column, textRanks[column], to: &batch)
                textRanks[column] += 1
            } else {
                _ = append(string: number - 1, &batch)
            }
        case .long:
            cold.append(text: column, textRanks[column], to: &batch)
            textRanks[column] += 1
        case .template:
            let number = Int(clamping: block.first[column][rank])
            let value = block.second[column][rank]
            if number == 0 {
                let template = cold.textBytes(column, textRanks[column])
                textRanks[column] += 1
                unsafe template.withUnsafeBytes { unsafe ValueText.append(template: $0, number: value, to: &batch.text) }
            } else {
                unsafe block.header.strings.withText(number - 1) { unsafe ValueText.append(template: $0, number: value, to: &batch.text) }
            }
        case .uuid, .hex32: (a, b) = cold.wideValue(column, rank, isHalf: false)
        case .hex16: (a, b) = cold.wideValue(column, rank, isHalf: true)
        case .number, .ipv4: a = block.first[column][rank]
        }
        if payload.key < PayloadKey.firstString {
            assembler.setEndpoint(payload.key, a, b)
            return
        }
        ValueText.append(payload.kind, a, b, to: &batch.text)
        batch.tags.append(TagRow(key: key, value: TextRef(from: start, to: batch.text.count)))
    }

    private func decodeAnnotations(_ reader: inout ByteReader, _ timestamp: UInt64, _ batch: inout SpanBatch) {
        for _ in 0..<reader.count(bytesEach: 2) {
            let delta = reader.zigzag()
            let number = Int(clamping: reader.varint())
            var value: TextRef
            if number > 0 {
                value = append(string: number - 1, &batch)
            } else {
                let start = batch.text.count
                unsafe batch.text.append(contentsOf: reader.bytes(reader.count()))
                value = TextRef(from: start, to: batch.text.count)
            }
            batch.annotations.append(AnnotationRow(timestamp: timestamp &+ UInt64(bitPattern: delta), value: value))
        }
    }

    private func append(string number: Int, _ batch: inout SpanBatch) -> TextRef {
        let start = batch.text.count
        unsafe block.header.strings.withText(number) { unsafe batch.text.append(contentsOf: $0) }
        return TextRef(from: start, to: batch.text.count)
    }
}
