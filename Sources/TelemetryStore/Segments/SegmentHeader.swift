import TelemetryModel

/// The decoded header of a segment: its dictionary, shapes, columns, block directory, dependency links. Immutable.
final class SegmentHeader: Sendable {
    static let version: UInt8 = 1

    struct BlockEntry: Sendable {
        var traceCount: Int
        var spanCount: Int
        /// Microseconds; 0 when no span of the block has a timestamp.
        var timestampMin: UInt64
        var timestampMax: UInt64
        var durationMax: UInt64
    }

    struct Link: Sendable {
        /// Start of the bucket in units of `SegmentLimits.linkBucketMicroseconds`.
        var bucket: UInt64
        var parent: Int
        var child: Int
        var calls: UInt64
        var errors: UInt64
    }

    let strings: StringList
    let shapes: [SpanShape]
    /// Column of each payload of each shape.
    let shapeColumns: [[Int]]
    /// Key << 4 | kind.
    let columnCodes: [UInt32]
    let blocks: [BlockEntry]
    let links: [Link]
    /// [local service, span name, remote service] of spans kept as plain rows.
    let plainNames: [[String]]
    let autocomplete: [String: [String]]
    /// By column; empty in segments of earlier versions.
    private let columnValues: [ColumnValues]
    let memoryBytes: Int

    /// Returns nil for damaged bytes. `checksChecksum` is off only in tests of this decoder.
    init?(_ bytes: [UInt8], _ zstd: ZstdCodec, checksChecksum: Bool = true) {
        guard let unpacked = SegmentHeader.unpack(bytes, zstd, checksChecksum) else { return nil }
        let parsed = unsafe unpacked.withUnsafeBytes { all in
            var reader = unsafe ByteReader(all)
            return SegmentHeader.parse(&reader)
        }
        guard let parsed else { return nil }
        strings = parsed.strings
        shapes = parsed.shapes
        columnCodes = parsed.columnCodes
        blocks = parsed.blocks
        links = parsed.links
        plainNames = parsed.plainNames
        autocomplete = parsed.autocomplete
        columnValues = parsed.columnValues
        var numbers: [UInt32: Int] = [:]
        for (number, code) in parsed.columnCodes.enumerated() { numbers[code] = number }
        var columns: [[Int]] = []
        columns.reserveCapacity(parsed.shapes.count)
        var known: [[Int]: [Int]] = [:]
        for shape in parsed.shapes {
            var places: [Int] = []
            places.reserveCapacity(shape.payloads.count)
            for payload in shape.payloads {
                guard let number = numbers[payload.key << 4 | UInt32(payload.kind.rawValue)] else { return nil }
                places.append(number)
            }
            if let same = known[places] { places = same } else { known[places] = places }
            columns.append(places)
        }
        shapeColumns = columns
        let lists = known.keys.reduce(0) { $0 + $1.count * 32 + 192 }
        memoryBytes = parsed.strings.bytes.count + parsed.strings.count * 8 + parsed.shapes.count * 48 + lists
            + parsed.blocks.count * 48 + parsed.links.count * 40 + parsed.plainNames.count * 200
            + parsed.autocomplete.values.reduce(0) { $0 + $1.count * 48 } + 1024
            + parsed.columnValues.reduce(0) { if case .few(let values) = $1 { $0 + values.count * 8 + 48 } else { $0 + 16 } }
    }

    private static func unpack(_ bytes: [UInt8], _ zstd: ZstdCodec, _ checksChecksum: Bool) -> [UInt8]? {
        guard bytes.count > 9 else { return nil }
        return unsafe bytes.withUnsafeBytes { all in
            let body = unsafe UnsafeRawBufferPointer(rebasing: all[0..<(all.count - 8)])
            var tail = unsafe ByteReader(all, at: all.count - 8)
            if checksChecksum, unsafe tail.uint64() != Mixing.hash(body) { return nil }
            var reader = unsafe ByteReader(body)
            guard reader.byte() == version else { return nil }
            let unpacked = zstd.read(&reader, bytesMax: SegmentLimits.headerBytesMax)
            return reader.failed ? nil : unpacked
        }
    }

    private struct Parsed {
        var strings = StringList()
        var shapes: [SpanShape] = []
        var columnCodes: [UInt32] = []
        var blocks: [BlockEntry] = []
        var links: [Link] = []
        var plainNames: [[String]] = []
        var autocomplete: [String: [String]] = [:]
        var columnValues: [ColumnValues] = []
    }

    private static func parse(_ reader: inout ByteReader) -> Parsed? {
        var parsed = Parsed()
        parsed.strings = StringList(&reader)
        let shapeCount = reader.count(bytesEach: 6)
        guard shapeCount <= SegmentLimits.standard.shapesMax else { return nil }
        // Thousands of shapes differ in names only; lists of payloads that are equal share their memory.
        var lists: [[UInt32]: [SpanShape.Payload]] = [:]
        for _ in 0..<shapeCount {
            var shape = SpanShape(&reader, stringCount: parsed.strings.count)
            if reader.failed { return nil }
            let codes = shape.payloads.map { $0.key << 4 | UInt32($0.kind.rawValue) }
            if let known = lists[codes] { shape.payloads = known } else { lists[codes] = shape.payloads }
            parsed.shapes.append(shape)
        }
        let columnCount = reader.count()
        guard columnCount <= SegmentLimits.standard.columnsMax else { return nil }
        for _ in 0..<columnCount {
            guard let code = UInt32(exactly: reader.varint()), ValueKind(rawValue: UInt8(code & 15)) != nil else { return nil }
            parsed.columnCodes.append(code)
        }
        for _ in 0..<reader.count(bytesEach: 26) {
            let traceCount = reader.varint()
            let spanCount = reader.varint()
            guard traceCount <= spanCount, spanCount <= UInt64(SegmentLimits.blockSpansMax) else { return nil }
            parsed.blocks.append(BlockEntry(
                traceCount: Int(traceCount), spanCount: Int(spanCount), timestampMin: reader.uint64(), timestampMax: reader.uint64(),
                durationMax: reader.uint64()))
        }
        for _ in 0..<reader.count(bytesEach: 5) {
            let bucket = reader.varint()
            let parent = reader.varint()
            let child = reader.varint()
            guard parent > 0, parent <= UInt64(parsed.strings.count), child > 0, child <= UInt64(parsed.strings.count) else { return nil }
            parsed.links.append(Link(
                bucket: bucket, parent: Int(parent) - 1, child: Int(child) - 1, calls: reader.varint(), errors: reader.varint()))
        }
        for _ in 0..<reader.count(bytesEach: 3) { parsed.plainNames.append([text(&reader), text(&reader), text(&reader)]) }
        for _ in 0..<reader.count(bytesEach: 2) {
            let key = text(&reader)
            parsed.autocomplete[key] = (0..<reader.count()).map { _ in text(&reader) }
        }
        // Headers of earlier versions end here, and their programs read no further.
        if reader.remaining > 0 {
            let count = reader.count()
            guard count <= parsed.columnCodes.count else { return nil }
            for _ in 0..<count { parsed.columnValues.append(ColumnValues(&reader)) }
        }
        return reader.failed ? nil : parsed
    }

    private static func text(_ reader: inout ByteReader) -> String {
        unsafe String(decoding: reader.bytes(reader.count()), as: UTF8.self)
    }

    /// Whether `links` are the calls of all its traces: spans kept as plain rows have no part in them, and a full table leaves some out.
    var hasAllLinks: Bool { plainNames.isEmpty && links.count < SegmentLimits.linksMax }

    /// Which values a column has in the segment.
    func values(ofColumn column: Int) -> ColumnValues { column < columnValues.count ? columnValues[column] : .unknown }

    /// Index of the block that holds the segment's n-th trace entry, and the entry's place in it.
    func place(ofTrace number: Int) -> (block: Int, entry: Int)? {
        var rest = number
        for (index, block) in blocks.enumerated() {
            if rest < block.traceCount { return (index, rest) }
            rest -= block.traceCount
        }
        return nil
    }
}
