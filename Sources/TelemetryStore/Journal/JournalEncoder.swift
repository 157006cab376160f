import TelemetryModel

/// Encodes span batches into journal rows: one dictionary and one table of span shapes per row, then the spans. The layout is
/// drawn in docs/formats/segment.md. A row also serves as the in-memory head, so nothing is encoded twice.
///
/// Confined to the writer thread; buffers are reused between rows.
@safe
struct JournalEncoder: ~Copyable {
    private var strings = StringTable(countMax: Int(Int32.max), bytesMax: Int(UInt32.max))
    private var spans = ByteWriter(capacity: 64 << 10)
    private var shapes = ByteWriter(capacity: 8 << 10)
    private var spanStarts = RawBuffer<UInt32>(capacity: JournalLayout.rowSpansMax)
    private var traceIDs = RawBuffer<TraceID>(capacity: JournalLayout.rowSpansMax)
    private var baseTimestamp: UInt64 = 0
    /// A shape is five words: name, local service, remote service, kind and flags, number of its list of payloads.
    private var signatures = SignatureTable()
    /// Keys and kinds of payloads: thousands of shapes have a handful of lists, and so does each span's search for its shape.
    private var lists = SignatureTable()
    /// The lists that the last two different spans had.
    private var recentLists = (-1, -1)
    private var recentTags = RawBuffer<RecentTag>(capacity: JournalEncoder.recentTagsMax)
    private var scratch = ByteWriter(capacity: 256)

    /// What was last seen at a tag position: most spans of a service list their tags in one order, and some values never change.
    struct RecentTag: BitwiseCopyable {
        var key: Int32 = -1
        var text: Int32 = -1
        var keyPlace = TextRef.empty
        var textPlace = TextRef.empty
    }

    private static let recentTagsMax = 32
    private static let shapeWords = 5

    init() { recentTags.fill(RecentTag(), count: Self.recentTagsMax) }

    var spanCount: Int { spanStarts.count }
    @inline(__always)
    var isFull: Bool { spanStarts.count >= JournalLayout.rowSpansMax || spans.count + strings.byteCount >= JournalLayout.rowBytesMax }

    /// Appends spans `start...` of `batch` until the row is full; returns the index of the first span not taken.
    ///
    /// Rows of `batch` that point outside it are treated as absent, so that a decoder's mistake cannot end the process.
    mutating func append(_ batch: borrowing SpanBatch, from start: Int) -> Int {
        var index = start
        let count = batch.spans.count
        unsafe batch.text.withUnsafeBytes { text in
            unsafe batch.tags.withUnsafeBufferPointer { tags in
                unsafe batch.endpoints.withUnsafeBufferPointer { endpoints in
                    unsafe batch.spans.withUnsafeBufferPointer { spans in
                        while index < count, !isFull {
                            unsafe append(spans[index], text, tags, endpoints, batch.annotations)
                            index &+= 1
                        }
                    }
                }
            }
        }
        return index
    }

    @inline(__always)
    private func piece(_ text: UnsafeRawBufferPointer, _ reference: TextRef) -> UnsafeRawBufferPointer {
        let end = UInt64(reference.offset) &+ UInt64(reference.count)
        guard end <= UInt64(text.count) else { return unsafe UnsafeRawBufferPointer(start: nil, count: 0) }
        return unsafe UnsafeRawBufferPointer(rebasing: text[Int(reference.offset)..<Int(end)])
    }

    /// String number + 1; 0 for the empty string.
    @inline(__always)
    private mutating func number(_ text: UnsafeRawBufferPointer, _ reference: TextRef) -> UInt32 {
        guard reference.count > 0 else { return 0 }
        let bytes = unsafe piece(text, reference)
        guard bytes.count > 0, let number = unsafe strings.intern(bytes) else { return 0 }
        return UInt32(number) &+ 1
    }

    @inline(__always)
    private mutating func keyNumber(_ bytes: UnsafeRawBufferPointer, position: Int) -> UInt32 {
        if position < Self.recentTagsMax {
            let recent = recentTags[position]
            if recent.key >= 0, unsafe strings.isEqual(recent.keyPlace, bytes) { return UInt32(truncatingIfNeeded: recent.key) }
        }
        guard let number = unsafe strings.intern(bytes) else { return 0 }
        if position < Self.recentTagsMax {
            recentTags[position].key = Int32(truncatingIfNeeded: number)
            recentTags[position].keyPlace = strings.reference(number)
        }
        return UInt32(number)
    }

    private mutating func append(
        _ span: SpanRow, _ text: UnsafeRawBufferPointer, _ tags: UnsafeBufferPointer<TagRow>, _ endpoints: UnsafeBufferPointer<EndpointRow>,
        _ annotations: [AnnotationRow]
    ) {
        let start = spans.count
        let local = Int(span.localEndpoint) < endpoints.count ? unsafe endpoints[Int(span.localEndpoint)] : EndpointRow()
        let remote = Int(span.remoteEndpoint) < endpoints.count ? unsafe endpoints[Int(span.remoteEndpoint)] : EndpointRow()
        let annotationEnd = Int(span.annotationStart) &+ Int(span.annotationCount)
        let annotationCount = annotationEnd <= annotations.count ? Int(span.annotationCount) : 0
        let tagEnd = Int(span.tagStart) &+ Int(span.tagCount)
        let tagCount = tagEnd <= tags.count ? Int(span.tagCount) : 0
        if spanStarts.isEmpty { baseTimestamp = span.timestamp }

        var header: UInt8 = 0
        let sameTrace = !traceIDs.isEmpty && traceIDs[traceIDs.count &- 1] == span.traceID
        if sameTrace { header |= JournalSpanFlags.sameTrace }
        if !span.parentID.isNone { header |= JournalSpanFlags.parent }
        if span.timestamp != 0 { header |= JournalSpanFlags.timestamp }
        if span.duration != 0 { header |= JournalSpanFlags.duration }
        spans.append(header)
        // The shape's number comes after its payloads are known, so it has a fixed width here.
        let shapeAt = spans.count
        spans.append(UInt32(0))
        if !sameTrace {
            spans.append(span.traceID.high)
            spans.append(span.traceID.low)
        }
        spans.append(span.id.rawValue)
        if !span.parentID.isNone { spans.append(span.parentID.rawValue) }
        if span.timestamp != 0 { spans.append(zigzag: Int64(bitPattern: span.timestamp &- baseTimestamp)) }
        if span.duration != 0 { spans.append(varint: span.duration) }

        let listStart = lists.words.count
        let signatureStart = signatures.words.count
        signatures.words.append(unsafe number(text, span.name))
        signatures.words.append(unsafe number(text, local.serviceName))
        signatures.words.append(unsafe number(text, remote.serviceName))
        let spanFlags = span.flags.rawValue & 3 | (annotationCount > 0 ? SpanShape.hasAnnotations : 0)
        signatures.words.append(UInt32(span.kind.rawValue) | UInt32(spanFlags) << 8)
        append(endpoint: local, keyBase: PayloadKey.localIPv4)
        append(endpoint: remote, keyBase: PayloadKey.remoteIPv4)
        for position in 0..<tagCount {
            let tag = unsafe tags[Int(span.tagStart) &+ position]
            let key = unsafe keyNumber(piece(text, tag.key), position: position)
            let kind = unsafe append(value: piece(text, tag.value), position: position)
            lists.words.append((key &+ PayloadKey.firstString) << 4 | UInt32(kind.rawValue))
        }
        if annotationCount > 0 {
            spans.append(varint: UInt64(annotationCount))
            for row in 0..<annotationCount {
                let annotation = annotations[Int(span.annotationStart) + row]
                spans.append(zigzag: Int64(bitPattern: annotation.timestamp &- span.timestamp))
                let value = unsafe piece(text, annotation.value)
                if value.count <= ValueKind.textBytesMax, let number = unsafe strings.intern(value) {
                    spans.append(varint: UInt64(number) + 1)
                } else {
                    spans.append(UInt8(0))
                    spans.append(varint: UInt64(value.count))
                    unsafe spans.append(bytes: value)
                }
            }
        }
        signatures.words.append(UInt32(truncatingIfNeeded: listNumber(from: listStart)))
        let shape = shapeNumber(from: signatureStart)
        spans.patch(UInt32(shape), at: shapeAt)
        spanStarts.append(UInt32(start))
        traceIDs.append(span.traceID)
    }

    @inline(__always)
    private mutating func append(endpoint: EndpointRow, keyBase: UInt32) {
        if endpoint.hasIPv4 {
            lists.words.append(keyBase << 4 | UInt32(ValueKind.ipv4.rawValue))
            spans.append(endpoint.ipv4)
        }
        if endpoint.port != 0 {
            lists.words.append((keyBase &+ 1) << 4 | UInt32(ValueKind.number.rawValue))
            spans.append(varint: UInt64(endpoint.port))
        }
        if endpoint.hasIPv6 {
            lists.words.append((keyBase &+ 2) << 4 | UInt32(ValueKind.hex32.rawValue))
            spans.append(endpoint.ipv6High)
            spans.append(endpoint.ipv6Low)
        }
    }

    @inline(__always)
    private mutating func append(value text: UnsafeRawBufferPointer, position: Int) -> ValueKind {
        if position < Self.recentTagsMax {
            let recent = recentTags[position]
            if recent.text >= 0, unsafe strings.isEqual(recent.textPlace, text) {
                spans.append(varint: UInt64(truncatingIfNeeded: recent.text))
                return .text
            }
        }
        let value = unsafe ClassifiedValue(text)
        switch value.kind {
        case .text:
            let number = unsafe strings.intern(text)
            spans.append(varint: UInt64(number ?? 0))
            // Only what has been classified as text may be taken for it by its bytes alone.
            if let number, position < Self.recentTagsMax {
                recentTags[position].text = Int32(truncatingIfNeeded: number)
                recentTags[position].textPlace = strings.reference(number)
            }
        case .long:
            spans.append(varint: UInt64(text.count))
            unsafe spans.append(bytes: text)
        case .uuid, .hex32:
            spans.append(value.a)
            spans.append(value.b)
        case .hex16: spans.append(value.a)
        case .number: spans.append(varint: value.a)
        case .ipv4: spans.append(UInt32(truncatingIfNeeded: value.a))
        case .template:
            scratch.removeAll()
            unsafe scratch.append(short: UnsafeRawBufferPointer(rebasing: text[0..<value.digitsStart]))
            scratch.append(UInt8(0))
            unsafe scratch.append(short: UnsafeRawBufferPointer(rebasing: text[value.digitsEnd...]))
            let number = unsafe scratch.withBytes { unsafe strings.intern($0) } ?? 0
            spans.append(varint: UInt64(number))
            spans.append(varint: value.a)
        }
        return value.kind
    }

    /// The number of the list of payloads at the end of `lists.words`.
    @inline(__always)
    private mutating func listNumber(from start: Int) -> Int {
        let (first, second) = recentLists
        if first >= 0, lists.isEqual(first, from: start) {
            lists.words.truncate(to: start)
            return first
        }
        if second >= 0, lists.isEqual(second, from: start) {
            lists.words.truncate(to: start)
            recentLists = (second, first)
            return second
        }
        let number = lists.find(from: start) ?? lists.insert(from: start)
        recentLists = (number, first)
        return number
    }

    /// The number of the shape whose signature is at the end of `signatures`.
    private mutating func shapeNumber(from start: Int) -> Int {
        if let known = signatures.find(from: start) { return known }
        let number = signatures.insert(from: start)
        let kindAndFlags = signatures.words[start + 3]
        shapes.append(UInt8(truncatingIfNeeded: kindAndFlags))
        shapes.append(UInt8(truncatingIfNeeded: kindAndFlags >> 8))
        for field in 0..<3 { shapes.append(varint: UInt64(signatures.words[start + field])) }
        let payloads = lists.wordRange(Int(signatures.words[start + 4]))
        shapes.append(varint: UInt64(payloads.count))
        for at in payloads { shapes.append(varint: UInt64(lists.words[at])) }
        return number
    }

    /// The finished row, and an empty encoder for the next. Call with at least one span.
    mutating func finish() -> HeadBatch? {
        var row = ByteWriter(capacity: spans.count + strings.byteCount + shapes.count + 64 + 2 * strings.count)
        row.append(JournalLayout.version)
        row.append(varint: UInt64(spanStarts.count))
        row.append(baseTimestamp)
        strings.write(to: &row)
        row.append(varint: UInt64(signatures.count))
        unsafe shapes.withBytes { unsafe row.append(bytes: $0) }
        let spansStart = row.count
        unsafe spans.withBytes { unsafe row.append(bytes: $0) }
        row.append(unsafe row.withBytes { unsafe Mixing.hash($0) })
        let batch = HeadBatch(
            bytes: row.array(), HeadBatch.Prefix(
                strings: strings.stringList(), shapes: shapeList(), spansStart: spansStart, baseTimestamp: baseTimestamp,
                spanCount: spanStarts.count),
            spanStarts: spanStarts.array(), traceIDs: traceIDs.array())
        removeAll()
        return batch
    }

    /// What `shapes` says, as a reader of it would have it.
    private func shapeList() -> ShapeList {
        var result = ShapeList()
        result.lists = (0..<lists.count).map { number in
            lists.wordRange(number).compactMap { at in
                let word = lists.words[at]
                return ValueKind(rawValue: UInt8(truncatingIfNeeded: word & 15)).map { SpanShape.Payload(key: word >> 4, kind: $0) }
            }
        }
        result.shapes.reserveCapacity(signatures.count)
        for number in 0..<signatures.count {
            let start = number * Self.shapeWords
            var shape = SpanShape()
            shape.name = signatures.words[start]
            shape.localService = signatures.words[start + 1]
            shape.remoteService = signatures.words[start + 2]
            shape.kind = UInt8(truncatingIfNeeded: signatures.words[start + 3])
            shape.flags = UInt8(truncatingIfNeeded: signatures.words[start + 3] >> 8)
            shape.list = Int(signatures.words[start + 4])
            shape.payloads = result.lists[shape.list]
            result.shapes.append(shape)
        }
        return result
    }

    mutating func removeAll() {
        strings.removeAll()
        spans.removeAll()
        spans.shrink(toCapacity: 1 << 20)
        shapes.removeAll()
        shapes.shrink(toCapacity: 1 << 20)
        spanStarts.removeAll()
        traceIDs.removeAll()
        signatures.removeAll()
        lists.removeAll()
        recentLists = (-1, -1)
        recentTags.fill(RecentTag(), count: Self.recentTagsMax)
    }
}
