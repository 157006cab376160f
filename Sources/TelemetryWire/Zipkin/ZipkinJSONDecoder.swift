public import TelemetryModel

/// Zipkin v2 JSON to spans, in one pass over the bytes (Zipkin v2 API, `POST /api/v2/spans`; semantics 2.11).
///
/// Normalises as Zipkin does: trace ids padded to 16 or 32 digits and shortened when the upper half is zero, ids padded, names and
/// service names lower-cased, negative times absent, `shared` dropped on CLIENT, a span that is its own parent made a root,
/// annotations sorted and unique, tags unique (the last one wins), unreadable IP addresses ignored, unknown fields skipped, `null`
/// taken as absent. Numbers may stand in strings and strings may be numbers, as Gson reads them for Zipkin.
///
/// Where we differ: Zipkin's own server refuses a body for one bad span in it. Here a span that is JSON but no span is left out, with
/// its reason, and the others are kept. A body that is not JSON to its last byte is refused whole: what stood before the break
/// may itself have lost something.
///
/// Cost: about one pass of the body, and a second one of a refused span; no allocation beyond the batch's own growth, except for names in capital letters outside ASCII
/// and for spans with more than `tagsScannedMax` tags. Any thread; keeps nothing.
public enum ZipkinJSONDecoder {
    /// Above this many tags in one span, repeated keys are found with a hash table instead of by comparing.
    static let tagsScannedMax = 64

    /// Appends the good spans of `body` to `batch` and says how many they were and why others were not. An empty body has none.
    ///
    /// Throws when the body is not JSON, no list, nests too deeply or is of version 1. The batch then is as it was before.
    @discardableResult
    public static func decode(_ body: UnsafeRawBufferPointer, into batch: inout SpanBatch) throws(ZipkinDecodeError) -> ZipkinDecodeOutcome {
        let mark = BatchMark(batch)
        let expected = body.count / 512
        batch.spans.reserveCapacity(batch.spans.count + expected)
        var pass = unsafe ZipkinJSONPass(body)
        do throws(JSONScanError) {
            guard UInt64(batch.text.count) + 3 * UInt64(body.count) < UInt64(UInt32.max) else { throw pass.scanner.error(.bodyTooLarge) }
            try pass.list(into: &batch)
            pass.outcome.acceptedSpans = batch.spans.count - mark.spans
            return pass.outcome
        } catch {
            mark.restore(&batch)
            throw ZipkinDecodeError(
                fault: error.fault, field: pass.field, spanIndex: pass.spanIndex < 0 ? nil : pass.spanIndex, byteOffset: error.offset)
        }
    }

    @discardableResult
    public static func decode(_ body: RawSpan, into batch: inout SpanBatch) throws(ZipkinDecodeError) -> ZipkinDecodeOutcome {
        let result = unsafe body.withUnsafeBytes { buffer -> Result<ZipkinDecodeOutcome, ZipkinDecodeError> in
            do throws(ZipkinDecodeError) { return .success(unsafe try decode(buffer, into: &batch)) } catch { return .failure(error) }
        }
        return try result.get()
    }
}

/// How full a batch was, to go back to it when a body, or a span in one, turns out bad.
struct BatchMark {
    let text: Int
    let spans: Int
    let tags: Int
    let annotations: Int
    let endpoints: Int

    init(_ batch: SpanBatch) {
        text = batch.text.count
        spans = batch.spans.count
        tags = batch.tags.count
        annotations = batch.annotations.count
        endpoints = batch.endpoints.count
    }

    func restore(_ batch: inout SpanBatch) {
        if batch.text.count > text { batch.text.removeSubrange(text...) }
        if batch.spans.count > spans { batch.spans.removeSubrange(spans...) }
        if batch.tags.count > tags { batch.tags.removeSubrange(tags...) }
        if batch.annotations.count > annotations { batch.annotations.removeSubrange(annotations...) }
        if batch.endpoints.count > endpoints { batch.endpoints.removeSubrange(endpoints...) }
    }
}

/// One pass over one body.
@safe
struct ZipkinJSONPass {
    var scanner: JSONScanner
    var field = ZipkinField.none
    var spanIndex = -1
    var outcome = ZipkinDecodeOutcome()
    /// The bytes of the last endpoint read in each role and the row they made: neighbours in a body mostly repeat them.
    private var lastLocal = EndpointText()
    private var lastRemote = EndpointText()

    struct EndpointText: BitwiseCopyable {
        var start = 0
        var count = 0
        var row = EndpointRow.absent
    }

    init(_ body: UnsafeRawBufferPointer) {
        scanner = unsafe JSONScanner(body.bindMemory(to: UInt8.self))
    }

    mutating func list(into batch: inout SpanBatch) throws(JSONScanError) {
        try scanner.expectEndOrContinue()
        if scanner.isAtEnd { return }
        guard try scanner.peek() == UInt8(ascii: "[") else { throw scanner.error(.expectedList) }
        if try scanner.openArray() {
            repeat {
                spanIndex += 1
                let start = scanner.at
                let mark = BatchMark(batch)
                do throws(JSONScanError) {
                    try span(into: &batch)
                } catch {
                    try refuse(error, from: start, mark, &batch)
                }
            } while try scanner.hasNextElement()
        }
        field = .none
        try scanner.expectEnd()
    }

    private mutating func span(into batch: inout SpanBatch) throws(JSONScanError) {
        var row = SpanRow(traceID: .none, id: .none)
        row.tagStart = UInt32(truncatingIfNeeded: batch.tags.count)
        row.annotationStart = UInt32(truncatingIfNeeded: batch.annotations.count)
        field = .none
        if try scanner.openObject() {
            repeat {
                field = .none
                let key = try scanner.key()
                let known = try Self.known(key, scanner)
                if try scanner.takeNull() { continue }
                field = known
                try value(known, &row, &batch)
            } while try scanner.hasNextMember()
        }
        guard !row.traceID.isNone else { throw missing(.traceID, .missingTraceID) }
        guard !row.id.isNone else { throw missing(.id, .missingID) }
        field = .none
        if row.parentID == row.id { row.parentID = .none }
        if row.kind == .client { row.flags.remove(.shared) }
        finishTags(&row, &batch)
        finishAnnotations(&row, &batch)
        batch.spans.append(row)
    }

    private mutating func missing(_ field: ZipkinField, _ fault: WireFault) -> JSONScanError {
        self.field = field
        return scanner.error(fault)
    }

    /// Leaves out the span that starts at `start` and could not be read because of `error`. Throws when the reason is none of the
    /// span's own: the text is not JSON, nests too deeply or is of version 1.
    @inline(never)
    private mutating func refuse(
        _ error: JSONScanError, from start: Int, _ mark: BatchMark, _ batch: inout SpanBatch
    ) throws(JSONScanError) {
        if error.fault == .receivedV1 { throw error }
        let refused = field
        // What only misses a field has been read to its end.
        if error.fault != .missingTraceID && error.fault != .missingID {
            scanner.at = start
            do throws(JSONScanError) {
                try skipSpan()
            } catch let broken {
                guard broken.offset == error.offset else { throw broken }
                // The same place: what was expected there says more than that it is not JSON.
                field = refused
                throw error
            }
        }
        // What is no object has left nothing; two bytes make one, so this is where a hostile body would be dear.
        if error.fault != .expectedObject || refused != .none {
            mark.restore(&batch)
            forgetEndpoints(from: mark.endpoints)
        }
        outcome.refuse(ZipkinDecodeError(fault: error.fault, field: refused, spanIndex: spanIndex, byteOffset: error.offset))
    }

    /// Takes the span at the cursor whatever its fields hold, as long as it is JSON. Its values may nest as deeply as those of fields
    /// that Zipkin does not know.
    private mutating func skipSpan() throws(JSONScanError) {
        field = .none
        guard try scanner.peek() == UInt8(ascii: "{") else { return try scanner.skipValue() }
        guard try scanner.openObject() else { return }
        repeat {
            field = .none
            let key = try scanner.key()
            field = try Self.known(key, scanner)
            try scanner.skipValue()
        } while try scanner.hasNextMember()
    }

    private mutating func value(_ known: ZipkinField, _ row: inout SpanRow, _ batch: inout SpanBatch) throws(JSONScanError) {
        switch known {
        case .traceID:
            let identifier = try self.identifier(digitsMax: 32)
            row.traceID = TraceID(high: identifier.high, low: identifier.low)
            if row.traceID.isNone { throw scanner.error(.identifierAllZeros) }
        case .id:
            row.id = SpanID(try identifier(digitsMax: 16).low)
            if row.id.isNone { throw scanner.error(.identifierAllZeros) }
        case .parentID: row.parentID = SpanID(try identifier(digitsMax: 16).low)
        case .kind: row.kind = try kind()
        case .name: row.name = try lowercasedText(&batch)
        case .timestamp: row.timestamp = UInt64(max(try scanner.integer(), 0))
        case .duration: row.duration = UInt64(max(try scanner.integer(), 0))
        case .localEndpoint: row.localEndpoint = try endpoint(isLocal: true, &batch)
        case .remoteEndpoint: row.remoteEndpoint = try endpoint(isLocal: false, &batch)
        case .annotations: try annotations(&batch)
        case .tags: try tags(&batch)
        case .debug: if try scanner.boolean() { row.flags.insert(.debug) }
        case .shared: if try scanner.boolean() { row.flags.insert(.shared) }
        case .none: try scanner.skipValue()
        }
    }

    /// The field of a key, `.none` for one that Zipkin does not know. `binaryAnnotations` gives a v1 span away.
    @inline(__always)
    private static func known(_ key: JSONString, _ scanner: JSONScanner) throws(JSONScanError) -> ZipkinField {
        if key.hasEscapes { return try knownUnescaped(key, scanner) }
        switch key.count {
        case 2: return scanner.equals(key, "id") ? .id : .none
        case 4:
            if scanner.equals(key, "name") { return .name }
            if scanner.equals(key, "tags") { return .tags }
            return scanner.equals(key, "kind") ? .kind : .none
        case 5: return scanner.equals(key, "debug") ? .debug : .none
        case 6: return scanner.equals(key, "shared") ? .shared : .none
        case 7: return scanner.equals(key, "traceId") ? .traceID : .none
        case 8:
            if scanner.equals(key, "parentId") { return .parentID }
            return scanner.equals(key, "duration") ? .duration : .none
        case 9: return scanner.equals(key, "timestamp") ? .timestamp : .none
        case 11: return scanner.equals(key, "annotations") ? .annotations : .none
        case 13: return scanner.equals(key, "localEndpoint") ? .localEndpoint : .none
        case 14: return scanner.equals(key, "remoteEndpoint") ? .remoteEndpoint : .none
        case 17:
            if scanner.equals(key, "binaryAnnotations") { throw JSONScanError(fault: .receivedV1, offset: key.start) }
            return .none
        default: return .none
        }
    }

    /// `"i\u0064"` is the key `id` as well.
    @inline(never)
    private static func knownUnescaped(_ key: JSONString, _ scanner: JSONScanner) throws(JSONScanError) -> ZipkinField {
        var bytes: [UInt8] = []
        scanner.append(key, to: &bytes)
        let result = unsafe bytes.withUnsafeBufferPointer { buffer -> Result<ZipkinField, JSONScanError> in
            let plain = JSONString(start: 0, count: buffer.count, hasEscapes: false, isASCII: true)
            do throws(JSONScanError) { return .success(unsafe try known(plain, JSONScanner(buffer))) } catch { return .failure(error) }
        }
        return try result.get()
    }

    private mutating func identifier(digitsMax: Int) throws(JSONScanError) -> (high: UInt64, low: UInt64) {
        let start = try stringStart()
        let text = try textOrNumber()
        func fail(_ fault: WireFault) -> JSONScanError { JSONScanError(fault: fault, offset: start) }
        guard !text.hasEscapes else { throw fail(.identifierNotLowerHex) }
        guard text.count > 0 else { throw fail(.emptyIdentifier) }
        guard text.count <= digitsMax else { throw fail(.identifierTooLong) }
        if text.count & 15 == 0, let first = hex16(text.start) {
            if text.count == 16 { return (0, first) }
            if let second = hex16(text.start + 16) { return (first, second) }
        }
        var high: UInt64 = 0
        var low: UInt64 = 0
        for index in text.start..<text.start + text.count {
            let digit: UInt8
            switch scanner[index] {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = scanner[index] &- 0x30
            case UInt8(ascii: "a")...UInt8(ascii: "f"): digit = scanner[index] &- 0x57
            default: throw fail(.identifierNotLowerHex)
            }
            high = high << 4 | low >> 60
            low = low << 4 | UInt64(digit)
        }
        return (high, low)
    }

    @inline(__always)
    private func hex16(_ start: Int) -> UInt64? {
        let first = unsafe UInt64(bigEndian: UnsafeRawPointer(scanner.base + start).loadUnaligned(as: UInt64.self))
        let second = unsafe UInt64(bigEndian: UnsafeRawPointer(scanner.base + start + 8).loadUnaligned(as: UInt64.self))
        guard let high = HexCodec.decode8(first), let low = HexCodec.decode8(second) else { return nil }
        return high << 32 | low
    }

    private mutating func stringStart() throws(JSONScanError) -> Int {
        _ = try scanner.peek()
        return scanner.at
    }

    /// A string, or a number's text as it stands.
    @inline(__always)
    private mutating func textOrNumber() throws(JSONScanError) -> JSONString {
        let byte = try scanner.peek()
        if byte == UInt8(ascii: "-") || JSONScanner.isDigit(byte) {
            let start = scanner.at
            try scanner.skipNumber()
            return JSONString(start: start, count: scanner.at - start, hasEscapes: false, isASCII: true)
        }
        return try scanner.string()
    }

    private mutating func kind() throws(JSONScanError) -> SpanKind {
        let start = try stringStart()
        let text = try scanner.string()
        if !text.hasEscapes {
            if scanner.equals(text, "SERVER") { return .server }
            if scanner.equals(text, "CLIENT") { return .client }
            if scanner.equals(text, "PRODUCER") { return .producer }
            if scanner.equals(text, "CONSUMER") { return .consumer }
        }
        throw JSONScanError(fault: .unknownKind, offset: start)
    }

    @inline(__always)
    private func store(_ string: JSONString, _ batch: inout SpanBatch) -> TextRef {
        let offset = batch.text.count
        scanner.append(string, to: &batch.text)
        return TextRef(offset: UInt32(truncatingIfNeeded: offset), count: UInt32(truncatingIfNeeded: batch.text.count &- offset))
    }

    private mutating func lowercasedText(_ batch: inout SpanBatch) throws(JSONScanError) -> TextRef {
        let string = try textOrNumber()
        let reference = store(string, &batch)
        TextCase.lowercase(reference, isASCII: string.isASCII, &batch.text)
        return TextRef(offset: reference.offset, count: UInt32(truncatingIfNeeded: batch.text.count) &- reference.offset)
    }

    // MARK: Endpoints

    private mutating func endpoint(isLocal: Bool, _ batch: inout SpanBatch) throws(JSONScanError) -> UInt32 {
        _ = try scanner.peek()
        let start = scanner.at
        var last = isLocal ? lastLocal : lastRemote
        if last.count > 0, scanner.repeats(last.start, last.count) {
            scanner.at = start + last.count
            return last.row
        }
        var row = EndpointRow()
        if try scanner.openObject() {
            repeat {
                let key = try scanner.key()
                if try scanner.takeNull() { continue }
                if scanner.equals(key, "serviceName") {
                    row.serviceName = try lowercasedText(&batch)
                } else if scanner.equals(key, "ipv4") || scanner.equals(key, "ipv6") {
                    address(try scanner.string(), &row)
                } else if scanner.equals(key, "port") {
                    let portStart = scanner.at
                    let port = try scanner.integer()
                    guard port <= 65535 else { throw JSONScanError(fault: .portOutOfRange, offset: portStart) }
                    row.port = UInt16(max(port, 0))
                } else {
                    try scanner.skipValue()
                }
            } while try scanner.hasNextMember()
        }
        let isEmpty = row.serviceName.isEmpty && !row.hasIPv4 && !row.hasIPv6 && row.port == 0
        last = EndpointText(start: start, count: scanner.at - start, row: EndpointRow.absent)
        if !isEmpty {
            last.row = UInt32(truncatingIfNeeded: batch.endpoints.count)
            batch.endpoints.append(row)
        }
        if isLocal { lastLocal = last } else { lastRemote = last }
        return last.row
    }

    /// Rows from `count` on are gone with the span that made them.
    private mutating func forgetEndpoints(from count: Int) {
        if lastLocal.row != EndpointRow.absent, lastLocal.row >= count { lastLocal = EndpointText() }
        if lastRemote.row != EndpointRow.absent, lastRemote.row >= count { lastRemote = EndpointText() }
    }

    private func address(_ text: JSONString, _ row: inout EndpointRow) {
        guard !text.hasEscapes else { return }
        switch unsafe AddressText.parse(UnsafeBufferPointer(start: scanner.base + text.start, count: text.count)) {
        case .ipv4(let address):
            row.ipv4 = address
            row.hasIPv4 = true
        case .ipv6(let high, let low):
            row.ipv6High = high
            row.ipv6Low = low
            row.hasIPv6 = true
        case nil: break
        }
    }

    // MARK: Tags and annotations

    private mutating func tags(_ batch: inout SpanBatch) throws(JSONScanError) {
        guard try scanner.openObject() else { return }
        repeat {
            let key = store(try scanner.key(), &batch)
            switch try scanner.peek() {
            case UInt8(ascii: "n"), UInt8(ascii: "t"), UInt8(ascii: "f"), UInt8(ascii: "{"), UInt8(ascii: "["):
                throw scanner.error(.tagWithoutValue)
            default: break
            }
            batch.tags.append(TagRow(key: key, value: store(try textOrNumber(), &batch)))
        } while try scanner.hasNextMember()
    }

    private mutating func annotations(_ batch: inout SpanBatch) throws(JSONScanError) {
        guard try scanner.openArray() else { return }
        repeat {
            var timestamp: Int64?
            var value: TextRef?
            if try scanner.openObject() {
                repeat {
                    let key = try scanner.key()
                    if try scanner.takeNull() { continue }
                    if scanner.equals(key, "timestamp") {
                        timestamp = try scanner.integer()
                    } else if scanner.equals(key, "value") {
                        value = store(try textOrNumber(), &batch)
                    } else {
                        try scanner.skipValue()
                    }
                } while try scanner.hasNextMember()
            }
            guard let timestamp, let value else { throw scanner.error(.incompleteAnnotation) }
            batch.annotations.append(AnnotationRow(timestamp: UInt64(max(timestamp, 0)), value: value))
        } while try scanner.hasNextElement()
    }

    private func finishTags(_ row: inout SpanRow, _ batch: inout SpanBatch) {
        SpanRows.uniqueTags(from: Int(row.tagStart), &batch)
        row.tagCount = UInt32(truncatingIfNeeded: batch.tags.count) &- row.tagStart
    }

    private func finishAnnotations(_ row: inout SpanRow, _ batch: inout SpanBatch) {
        SpanRows.sortAnnotations(from: Int(row.annotationStart), &batch)
        row.annotationCount = UInt32(truncatingIfNeeded: batch.annotations.count) &- row.annotationStart
    }
}

extension JSONScanner {
    /// Skips white space when nothing else is left, so that a blank body counts as empty.
    mutating func expectEndOrContinue() throws(JSONScanError) {
        let start = at
        do {
            try expectEnd()
        } catch {
            at = start
        }
    }

    /// Whether the bytes at the cursor are the same as the `length` bytes at `start`.
    func repeats(_ start: Int, _ length: Int) -> Bool {
        guard count - at >= length else { return false }
        var index = 0
        while length - index >= 8 {
            let old = unsafe UnsafeRawPointer(base + start + index).loadUnaligned(as: UInt64.self)
            let new = unsafe UnsafeRawPointer(base + at + index).loadUnaligned(as: UInt64.self)
            if old != new { return false }
            index += 8
        }
        while index < length {
            if self[start + index] != self[at + index] { return false }
            index += 1
        }
        return true
    }
}
