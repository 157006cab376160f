import TelemetryModel

/// What a run of spans has in common: everything but ids, times and payloads.
struct SpanShape: Sendable {
    /// The flag, beside `SpanFlags`, that says annotations follow the payloads.
    static let hasAnnotations: UInt8 = 4

    struct Payload: Sendable {
        /// See `PayloadKey`.
        var key: UInt32
        var kind: ValueKind
    }

    var kind: UInt8 = 0
    var flags: UInt8 = 0
    /// String numbers + 1; 0 = absent.
    var name: UInt32 = 0
    var localService: UInt32 = 0
    var remoteService: UInt32 = 0
    var payloads: [Payload] = []
    /// Number of the list that `payloads` is in its `ShapeList`; equal lists have one number and share their memory.
    var list = 0

    /// Reads one shape; fails the reader on string numbers beyond `stringCount` and on unknown kinds.
    init(_ reader: inout ByteReader, stringCount: Int) {
        kind = reader.byte()
        flags = reader.byte()
        name = SpanShape.stringNumber(&reader, stringCount)
        localService = SpanShape.stringNumber(&reader, stringCount)
        remoteService = SpanShape.stringNumber(&reader, stringCount)
        let count = reader.count()
        payloads.reserveCapacity(count)
        for _ in 0..<count {
            let code = reader.varint()
            guard let kind = ValueKind(rawValue: UInt8(code & 15)), code >> 4 < UInt64(stringCount) + UInt64(PayloadKey.firstString) else {
                reader.fail()
                return
            }
            payloads.append(Payload(key: UInt32(code >> 4), kind: kind))
        }
        if SpanKind(rawValue: kind) == nil { reader.fail() }
    }

    init() {}

    private static func stringNumber(_ reader: inout ByteReader, _ stringCount: Int) -> UInt32 {
        let number = reader.varint()
        guard number <= UInt64(stringCount) else { reader.fail(); return 0 }
        return UInt32(number)
    }
}

/// The shapes of one journal row. Most differ in names only, so their lists of payloads are kept, and mapped to a segment's, once.
struct ShapeList: Sendable {
    var shapes: [SpanShape] = []
    var lists: [[SpanShape.Payload]] = []

    init() {}

    /// Reads as many shapes as the row says; fails the reader on damage.
    init(_ reader: inout ByteReader, stringCount: Int) {
        let count = reader.count(bytesEach: 6)
        shapes.reserveCapacity(count)
        var numbers: [[UInt32]: Int] = [:]
        for _ in 0..<count {
            var shape = SpanShape(&reader, stringCount: stringCount)
            if reader.failed { return }
            let codes = shape.payloads.map { $0.key << 4 | UInt32($0.kind.rawValue) }
            if let known = numbers[codes] {
                shape.list = known
                shape.payloads = lists[known]
            } else {
                shape.list = lists.count
                numbers[codes] = lists.count
                lists.append(shape.payloads)
            }
            shapes.append(shape)
        }
    }
}

/// One journal row in memory: the part of the store that is not yet in a segment. Immutable.
final class HeadBatch: Sendable {
    let bytes: [UInt8]
    let strings: StringList
    let shapes: [SpanShape]
    let payloadLists: [[SpanShape.Payload]]
    /// Offset of each span from `spansStart`.
    let spanStarts: [UInt32]
    let traceIDs: [TraceID]
    let spansStart: Int
    let baseTimestamp: UInt64

    /// Takes over what the encoder knows already.
    init(bytes: [UInt8], _ prefix: Prefix, spanStarts: [UInt32], traceIDs: [TraceID]) {
        self.bytes = bytes
        self.strings = prefix.strings
        self.shapes = prefix.shapes.shapes
        self.payloadLists = prefix.shapes.lists
        self.spansStart = prefix.spansStart
        self.baseTimestamp = prefix.baseTimestamp
        self.spanStarts = spanStarts
        self.traceIDs = traceIDs
    }

    /// Reads a row back from the file. Returns nil for damaged bytes.
    convenience init?(row bytes: [UInt8]) {
        guard bytes.count >= 8 else { return nil }
        let sound = unsafe bytes.withUnsafeBytes { all in
            let body = unsafe UnsafeRawBufferPointer(rebasing: all[0..<(bytes.count - 8)])
            var tail = unsafe ByteReader(all, at: bytes.count - 8)
            return unsafe tail.uint64() == Mixing.hash(body)
        }
        guard sound, let walked = HeadBatch.walk(bytes) else { return nil }
        self.init(bytes: bytes, walked.prefix, spanStarts: walked.spanStarts, traceIDs: walked.traceIDs)
    }

    struct Prefix {
        var strings: StringList
        var shapes: ShapeList
        var spansStart: Int
        var baseTimestamp: UInt64
        var spanCount: Int
    }

    static func parsePrefix(_ bytes: [UInt8]) -> Prefix? {
        unsafe bytes.withUnsafeBytes { all in
            var reader = unsafe ByteReader(all)
            guard reader.byte() == JournalLayout.version else { return nil }
            let spanCount = reader.count(bytesEach: 13)
            let baseTimestamp = reader.uint64()
            let strings = StringList(&reader)
            let shapes = ShapeList(&reader, stringCount: strings.count)
            guard !reader.failed else { return nil }
            return Prefix(strings: strings, shapes: shapes, spansStart: reader.position, baseTimestamp: baseTimestamp, spanCount: spanCount)
        }
    }

    /// Checks every span once, so that later decoding of the same bytes cannot fail. Open to tests without the checksum.
    static func walk(_ bytes: [UInt8]) -> (prefix: Prefix, spanStarts: [UInt32], traceIDs: [TraceID])? {
        guard let prefix = parsePrefix(bytes) else { return nil }
        let shapes = prefix.shapes.shapes
        return unsafe bytes.withUnsafeBytes { all in
            var reader = unsafe ByteReader(all, at: prefix.spansStart)
            var starts: [UInt32] = []
            var traceIDs: [TraceID] = []
            var previous = TraceID.none
            for _ in 0..<prefix.spanCount {
                let start = reader.position - prefix.spansStart
                let span = JournalSpan(&reader, previousTrace: previous, baseTimestamp: prefix.baseTimestamp)
                guard !reader.failed, span.shape < shapes.count else { return nil }
                previous = span.traceID
                let shape = shapes[span.shape]
                for payload in shape.payloads {
                    let value = JournalValue(&reader, kind: payload.kind)
                    if value.usesString, value.a >= UInt64(prefix.strings.count) { return nil }
                }
                if shape.flags & SpanShape.hasAnnotations != 0 {
                    for _ in 0..<reader.count(bytesEach: 2) {
                        let annotation = JournalAnnotation(&reader)
                        if annotation.string > prefix.strings.count || reader.failed { return nil }
                    }
                }
                guard !reader.failed else { return nil }
                starts.append(UInt32(start))
                traceIDs.append(span.traceID)
            }
            return (prefix, starts, traceIDs)
        }
    }

    var spanCount: Int { spanStarts.count }
    /// Roughly what the batch keeps in memory.
    var memoryBytes: Int {
        bytes.count + strings.bytes.count + 8 * strings.count + 20 * spanCount + 48 * shapes.count
            + payloadLists.reduce(0) { $0 + 32 + 8 * $1.count }
    }

    func contains(_ traceID: TraceID) -> Bool { traceIDs.contains(traceID) }

    /// Appends every span of `traceID` to `batch`.
    func collect(_ traceID: TraceID, _ groups: TraceGrouping, into batch: inout SpanBatch) {
        for index in 0..<traceIDs.count where traceIDs[index].low == traceID.low && (!groups.isStrict || traceIDs[index] == traceID) {
            decode(index, into: &batch)
        }
    }

    /// Calls `body` with each span as the linker needs it.
    func linkNodes(_ services: inout ServiceNumbers, _ body: (TraceID, LinkNode, UInt64) -> Void) {
        let errorKey = strings.find(Array("error".utf8)).map { UInt32($0) + PayloadKey.firstString }
        let known = shapes.map { shape in
            LinkNode(
                id: 0, parentID: 0, kind: shape.kind, isShared: shape.flags & SpanFlags.shared.rawValue != 0,
                hasError: shape.payloads.contains { $0.key == errorKey },
                localService: Int(services.number(strings.string(Int(shape.localService) - 1))),
                remoteService: Int(services.number(strings.string(Int(shape.remoteService) - 1))))
        }
        unsafe bytes.withUnsafeBytes { all in
            for index in 0..<spanCount {
                var reader = unsafe ByteReader(all, at: spansStart + Int(spanStarts[index]))
                let span = JournalSpan(&reader, previousTrace: traceIDs[index], baseTimestamp: baseTimestamp)
                guard span.shape < shapes.count else { continue }
                var node = known[span.shape]
                node.id = span.id
                node.parentID = span.parent == span.id ? 0 : span.parent
                // The endpoint's parts are a span's first payloads.
                for payload in shapes[span.shape].payloads {
                    guard payload.key < PayloadKey.firstString else { break }
                    let value = JournalValue(&reader, kind: payload.kind)
                    node.local.set(payload.key, value.a, value.b)
                }
                body(span.traceID, node, span.timestamp)
            }
        }
    }

    func decode(_ index: Int, into batch: inout SpanBatch) {
        let (span, position) = unsafe bytes.withUnsafeBytes { all in
            var reader = unsafe ByteReader(all, at: spansStart + Int(spanStarts[index]))
            let span = JournalSpan(&reader, previousTrace: traceIDs[index], baseTimestamp: baseTimestamp)
            return (span, reader.position)
        }
        decode(payloadPosition: position, span: span, into: &batch)
    }

    /// Appends a span whose fixed part has been read already and whose payloads start at `payloadPosition`.
    func decode(payloadPosition: Int, span: JournalSpan, into batch: inout SpanBatch) {
        unsafe bytes.withUnsafeBytes { all in
            var reader = unsafe ByteReader(all, at: payloadPosition)
            guard span.shape < shapes.count else { return }
            let shape = shapes[span.shape]
            var assembler = SpanAssembler(traceID: span.traceID, id: SpanID(span.id), parentID: SpanID(span.parent), batch: batch)
            assembler.row.timestamp = span.timestamp
            assembler.row.duration = span.duration
            assembler.row.kind = SpanKind(rawValue: shape.kind) ?? .unspecified
            assembler.row.flags = SpanFlags(rawValue: shape.flags & 3)
            if shape.name > 0 { assembler.row.name = append(string: Int(shape.name) - 1, &batch) }
            if shape.localService > 0 { assembler.local.serviceName = append(string: Int(shape.localService) - 1, &batch) }
            if shape.remoteService > 0 { assembler.remote.serviceName = append(string: Int(shape.remoteService) - 1, &batch) }
            for payload in shape.payloads {
                let value = JournalValue(&reader, kind: payload.kind)
                if payload.key < PayloadKey.firstString {
                    assembler.setEndpoint(payload.key, value.a, value.b)
                    continue
                }
                let key = append(string: Int(payload.key - PayloadKey.firstString), &batch)
                let start = batch.text.count
                switch payload.kind {
                case .text: unsafe strings.withText(Int(value.a)) { unsafe batch.text.append(contentsOf: $0) }
                case .long: unsafe batch.text.append(contentsOf: all[value.start..<value.end])
                case .template: unsafe strings.withText(Int(value.a)) { unsafe ValueText.append(
                    template: $0, number: value.b, to: &batch.text) }
                default: ValueText.append(payload.kind, value.a, value.b, to: &batch.text)
                }
                batch.tags.append(TagRow(key: key, value: TextRef(from: start, to: batch.text.count)))
            }
            if shape.flags & SpanShape.hasAnnotations != 0 {
                for _ in 0..<reader.count(bytesEach: 2) {
                    let annotation = JournalAnnotation(&reader)
                    let start = batch.text.count
                    if annotation.string > 0 {
                        unsafe strings.withText(annotation.string - 1) { unsafe batch.text.append(contentsOf: $0) }
                    } else {
                        unsafe batch.text.append(contentsOf: all[annotation.start..<annotation.end])
                    }
                    batch.annotations.append(AnnotationRow(
                        timestamp: span.timestamp &+ UInt64(bitPattern: annotation.delta),
                        value: TextRef(from: start, to: batch.text.count)))
                }
            }
            assembler.finish(&batch)
        }
    }

    private func append(string number: Int, _ batch: inout SpanBatch) -> TextRef {
        let start = batch.text.count
        unsafe strings.withText(number) { unsafe batch.text.append(contentsOf: $0) }
        return TextRef(from: start, to: batch.text.count)
    }
}

extension TextRef {
    init(from start: Int, to end: Int) { self.init(offset: UInt32(clamping: start), count: UInt32(clamping: end - start)) }
}

extension ValueText {
    /// The kinds that need no string.
    static func append(_ kind: ValueKind, _ a: UInt64, _ b: UInt64, to text: inout [UInt8]) {
        switch kind {
        case .uuid: append(uuid: a, b, to: &text)
        case .hex16: append(hex: a, digits: 16, to: &text)
        case .hex32:
            append(hex: a, digits: 16, to: &text)
            append(hex: b, digits: 16, to: &text)
        case .number: append(number: a, to: &text)
        case .ipv4: append(ipv4: a, to: &text)
        case .text, .long, .template: break
        }
    }
}

/// The fixed part of a span in a journal row.
struct JournalSpan {
    var shape: Int
    var traceID: TraceID
    var id: UInt64
    var parent: UInt64 = 0
    var timestamp: UInt64 = 0
    var duration: UInt64 = 0

    @inline(__always)
    init(_ reader: inout ByteReader, previousTrace: TraceID, baseTimestamp: UInt64) {
        let header = reader.byte()
        shape = Int(reader.uint32())
        traceID = previousTrace
        if header & JournalSpanFlags.sameTrace == 0 {
            let high = reader.uint64()
            traceID = TraceID(high: high, low: reader.uint64())
        }
        id = reader.uint64()
        if header & JournalSpanFlags.parent != 0 { parent = reader.uint64() }
        if header & JournalSpanFlags.timestamp != 0 { timestamp = baseTimestamp &+ UInt64(bitPattern: reader.zigzag()) }
        if header & JournalSpanFlags.duration != 0 { duration = reader.varint() }
    }
}

/// One payload in a journal row.
struct JournalValue {
    /// The payload, or the string number for text and template.
    var a: UInt64 = 0
    /// The low half, or a template's number.
    var b: UInt64 = 0
    /// Place of long text in the row.
    var start = 0
    var end = 0
    private(set) var usesString = false

    @inline(__always)
    init(_ reader: inout ByteReader, kind: ValueKind) {
        switch kind {
        case .text:
            a = reader.varint()
            usesString = true
        case .long:
            let count = reader.count()
            start = reader.position
            reader.skip(count)
            end = reader.position
        case .uuid, .hex32:
            a = reader.uint64()
            b = reader.uint64()
        case .hex16: a = reader.uint64()
        case .number: a = reader.varint()
        case .ipv4: a = UInt64(reader.uint32())
        case .template:
            a = reader.varint()
            b = reader.varint()
            usesString = true
        }
    }
}

struct JournalAnnotation {
    var delta: Int64
    /// String number + 1, or 0 when the text is in place.
    var string: Int
    var start = 0
    var end = 0

    init(_ reader: inout ByteReader) {
        delta = reader.zigzag()
        let number = reader.varint()
        string = Int(clamping: number)
        if number == 0 {
            let count = reader.count()
            start = reader.position
            reader.skip(count)
            end = reader.position
        }
    }
}

/// Puts a decoded span into a batch: rows of tags and annotations are appended in between `init` and `finish`.
struct SpanAssembler {
    var row: SpanRow
    var local = EndpointRow()
    var remote = EndpointRow()

    init(traceID: TraceID, id: SpanID, parentID: SpanID, batch: borrowing SpanBatch) {
        row = SpanRow(traceID: traceID, id: id)
        row.parentID = parentID
        row.tagStart = UInt32(clamping: batch.tags.count)
        row.annotationStart = UInt32(clamping: batch.annotations.count)
    }

    mutating func setEndpoint(_ key: UInt32, _ a: UInt64, _ b: UInt64) {
        switch key {
        case PayloadKey.localIPv4: set(ipv4: a, &local)
        case PayloadKey.localPort: local.port = UInt16(truncatingIfNeeded: a)
        case PayloadKey.localIPv6: set(ipv6: a, b, &local)
        case PayloadKey.remoteIPv4: set(ipv4: a, &remote)
        case PayloadKey.remotePort: remote.port = UInt16(truncatingIfNeeded: a)
        case PayloadKey.remoteIPv6: set(ipv6: a, b, &remote)
        default: break
        }
    }

    private func set(ipv4: UInt64, _ endpoint: inout EndpointRow) {
        endpoint.ipv4 = UInt32(truncatingIfNeeded: ipv4)
        endpoint.hasIPv4 = true
    }

    private func set(ipv6 high: UInt64, _ low: UInt64, _ endpoint: inout EndpointRow) {
        endpoint.ipv6High = high
        endpoint.ipv6Low = low
        endpoint.hasIPv6 = true
    }

    private func lacksAll(_ endpoint: EndpointRow) -> Bool {
        endpoint.serviceName.isEmpty && !endpoint.hasIPv4 && !endpoint.hasIPv6 && endpoint.port == 0
    }

    mutating func finish(_ batch: inout SpanBatch) {
        if !lacksAll(local) {
            row.localEndpoint = UInt32(clamping: batch.endpoints.count)
            batch.endpoints.append(local)
        }
        if !lacksAll(remote) {
            row.remoteEndpoint = UInt32(clamping: batch.endpoints.count)
            batch.endpoints.append(remote)
        }
        row.tagCount = UInt32(clamping: batch.tags.count) - row.tagStart
        row.annotationCount = UInt32(clamping: batch.annotations.count) - row.annotationStart
        batch.spans.append(row)
    }
}
