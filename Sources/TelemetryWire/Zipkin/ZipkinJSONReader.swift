import TelemetryModel

/// The parts that spans of both versions of Zipkin's JSON are made of: identifiers, texts, endpoints.
@safe
struct ZipkinJSONReader {
    var scanner: JSONScanner
    /// The bytes of the last endpoint read in each role and the row they made: neighbours in a body mostly repeat them.
    private var lastLocal = EndpointText()
    private var lastRemote = EndpointText()

    private struct EndpointText: BitwiseCopyable {
        var start = 0
        var count = 0
        var row = EndpointRow.absent
    }

    init(_ body: UnsafeRawBufferPointer) {
        scanner = unsafe JSONScanner(body.bindMemory(to: UInt8.self))
    }

    /// The field of a key, `.none` for one that Zipkin does not know. What only the other version has gives its span away.
    @inline(__always)
    func field(of key: JSONString, _ version: ZipkinJSONDecoder.Version) throws(JSONScanError) -> ZipkinField {
        let field = key.needsDecoding ? decodedField(key) : Self.field(key, scanner)
        switch field {
        case .binaryAnnotations where version == .v2: throw JSONScanError(fault: .receivedV1, offset: key.start)
        case .localEndpoint, .remoteEndpoint, .tags:
            if version == .v1 { throw JSONScanError(fault: .receivedV2, offset: key.start) }
        default: break
        }
        return field
    }

    @inline(__always)
    private static func field(_ key: JSONString, _ scanner: JSONScanner) -> ZipkinField {
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
        case 17: return scanner.equals(key, "binaryAnnotations") ? .binaryAnnotations : .none
        default: return .none
        }
    }

    /// `"i\u0064"` is the key `id` as well.
    @inline(never)
    private func decodedField(_ key: JSONString) -> ZipkinField {
        var bytes: [UInt8] = []
        scanner.append(key, to: &bytes)
        return unsafe bytes.withUnsafeBufferPointer { unsafe Self.field(JSONScanner($0).whole, JSONScanner($0)) }
    }

    mutating func traceID() throws(JSONScanError) -> TraceID {
        let identifier = try self.identifier(digitsMax: 32)
        if identifier.high | identifier.low == 0 { throw scanner.error(.identifierAllZeros) }
        return TraceID(high: identifier.high, low: identifier.low)
    }

    mutating func spanID() throws(JSONScanError) -> SpanID {
        let id = SpanID(try identifier(digitsMax: 16).low)
        if id.isNone { throw scanner.error(.identifierAllZeros) }
        return id
    }

    /// Zeros say that there is no parent, and so does a text without digits, which some senders have for their roots.
    mutating func parentID() throws(JSONScanError) -> SpanID {
        if try scanner.peek() == UInt8(ascii: "\""), scanner.at + 1 < scanner.count, scanner[scanner.at + 1] == UInt8(ascii: "\"") {
            scanner.at += 2
            return .none
        }
        return SpanID(try identifier(digitsMax: 16).low)
    }

    private mutating func identifier(digitsMax: Int) throws(JSONScanError) -> (high: UInt64, low: UInt64) {
        let start = try stringStart()
        let text = try scanner.scalarText()
        func fail(_ fault: WireFault) -> JSONScanError { JSONScanError(fault: fault, offset: start) }
        guard !text.needsDecoding else { throw fail(.identifierNotLowerHex) }
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

    mutating func stringStart() throws(JSONScanError) -> Int {
        _ = try scanner.peek()
        return scanner.at
    }

    @inline(__always)
    func store(_ string: JSONString, _ batch: inout SpanBatch) -> TextRef {
        let offset = batch.text.count
        scanner.append(string, to: &batch.text)
        return TextRef(offset: UInt32(truncatingIfNeeded: offset), count: UInt32(truncatingIfNeeded: batch.text.count &- offset))
    }

    mutating func lowercasedText(_ batch: inout SpanBatch) throws(JSONScanError) -> TextRef {
        let string = try scanner.scalarText()
        let reference = store(string, &batch)
        TextCase.lowercase(reference, isASCII: string.isASCII, &batch.text)
        return TextRef(offset: reference.offset, count: UInt32(truncatingIfNeeded: batch.text.count) &- reference.offset)
    }

    /// The value of a tag: a string, the text of a number or a boolean, the JSON of a list or an object; nil for `null`.
    @inline(__always)
    mutating func value(_ batch: inout SpanBatch) throws(JSONScanError) -> TextRef? {
        switch try scanner.peek() {
        case UInt8(ascii: "n"):
            try scanner.takeLiteral("null")
            return nil
        case UInt8(ascii: "{"), UInt8(ascii: "["):
            let start = scanner.at
            try scanner.skipValue()
            let offset = batch.text.count
            unsafe UTF8Text.append(UnsafeRawBufferPointer(start: scanner.base + start, count: scanner.at - start), to: &batch.text)
            return TextRef(offset: UInt32(truncatingIfNeeded: offset), count: UInt32(truncatingIfNeeded: batch.text.count &- offset))
        default: return store(try scanner.scalarText(), &batch)
        }
    }

    /// An annotation, with the endpoint that it has in version 1.
    mutating func annotation(
        hasEndpoint: Bool, _ batch: inout SpanBatch
    ) throws(JSONScanError) -> (timestamp: UInt64, value: TextRef, endpoint: UInt32) {
        var timestamp: Int64?
        var value: TextRef?
        var endpoint = EndpointRow.absent
        if try scanner.openObject() {
            repeat {
                let key = try scanner.key()
                if try scanner.takeNull() { continue }
                if scanner.equals(key, "timestamp") {
                    timestamp = try scanner.integer()
                } else if scanner.equals(key, "value") {
                    value = store(try scanner.scalarText(), &batch)
                } else if hasEndpoint, scanner.equals(key, "endpoint") {
                    endpoint = try self.endpoint(isLocal: true, &batch)
                } else {
                    try scanner.skipValue()
                }
            } while try scanner.hasNextMember()
        }
        guard let timestamp, let value else { throw scanner.error(.incompleteAnnotation) }
        return (UInt64(max(timestamp, 0)), value, endpoint)
    }

    // MARK: Endpoints

    mutating func endpoint(isLocal: Bool, _ batch: inout SpanBatch) throws(JSONScanError) -> UInt32 {
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
                    address(try scanner.scalarText(), &row)
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
    mutating func forgetEndpoints(from count: Int) {
        if lastLocal.row != EndpointRow.absent, lastLocal.row >= count { lastLocal = EndpointText() }
        if lastRemote.row != EndpointRow.absent, lastRemote.row >= count { lastRemote = EndpointText() }
    }

    private func address(_ text: JSONString, _ row: inout EndpointRow) {
        guard !text.needsDecoding else { return }
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
