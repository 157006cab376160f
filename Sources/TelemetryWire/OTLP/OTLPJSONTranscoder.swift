import TelemetryModel

/// An OTLP/JSON request as the protobuf bytes of the same request, so that one walker maps both encodings to spans.
///
/// OTLP's JSON (semantics 2.12): lowerCamelCase keys only, trace and span ids in hex of any case, 64-bit integers as strings or
/// numbers, enums as integers (names are taken too), bytes as base64. Unknown fields and null are skipped.
/// The bytes are at most a few times as many as the text: a message costs six at most, and its `{}` with a comma has three.
struct OTLPJSONTranscoder {
    /// Messages of the schema.
    private enum Message: UInt8 {
        case request, resourceSpans, resource, scopeSpans, scope, span, event, status, keyValue, anyValue, list, map
    }

    private enum Kind {
        case message(Message), messages(Message)
        case text, hexadecimal, base64
        case fixed64, integer, boolean, double
        case spanKind, statusCode
    }

    private var scanner: JSONScanner
    private(set) var bytes: [UInt8] = []
    /// Spans left out because a field of theirs is not what OTLP's JSON asks for, and why the first was.
    private(set) var rejectedSpans = 0
    private(set) var firstFault: JSONScanError?

    init(_ buffer: UnsafeRawBufferPointer) {
        scanner = unsafe JSONScanner(buffer.bindMemory(to: UInt8.self))
        bytes.reserveCapacity(buffer.count)
    }

    mutating func request() throws(JSONScanError) {
        try message(.request, depth: 0)
        try scanner.expectEnd()
    }

    // MARK: Schema

    /// Number and kind of a field; nil when it is not read.
    private func field(_ message: Message, _ key: JSONString) -> (number: UInt8, kind: Kind)? {
        func names(_ name: StaticString) -> Bool { scanner.equals(key, name) }
        switch message {
        case .request: if names("resourceSpans") { return (1, .messages(.resourceSpans)) }
        case .resourceSpans:
            if names("resource") { return (1, .message(.resource)) }
            if names("scopeSpans") { return (2, .messages(.scopeSpans)) }
        case .resource: if names("attributes") { return (1, .messages(.keyValue)) }
        case .scopeSpans:
            if names("scope") { return (1, .message(.scope)) }
            if names("spans") { return (2, .messages(.span)) }
        case .scope:
            if names("name") { return (1, .text) }
            if names("version") { return (2, .text) }
        case .span:
            if names("traceId") { return (1, .hexadecimal) }
            if names("spanId") { return (2, .hexadecimal) }
            if names("parentSpanId") { return (4, .hexadecimal) }
            if names("name") { return (5, .text) }
            if names("kind") { return (6, .spanKind) }
            if names("startTimeUnixNano") { return (7, .fixed64) }
            if names("endTimeUnixNano") { return (8, .fixed64) }
            if names("attributes") { return (9, .messages(.keyValue)) }
            if names("events") { return (11, .messages(.event)) }
            if names("status") { return (15, .message(.status)) }
        case .event:
            if names("timeUnixNano") { return (1, .fixed64) }
            if names("name") { return (2, .text) }
            if names("attributes") { return (3, .messages(.keyValue)) }
        case .status:
            if names("message") { return (2, .text) }
            if names("code") { return (3, .statusCode) }
        case .keyValue:
            if names("key") { return (1, .text) }
            if names("value") { return (2, .message(.anyValue)) }
        case .anyValue:
            if names("stringValue") { return (1, .text) }
            if names("boolValue") { return (2, .boolean) }
            if names("intValue") { return (3, .integer) }
            if names("doubleValue") { return (4, .double) }
            if names("arrayValue") { return (5, .message(.list)) }
            if names("kvlistValue") { return (6, .message(.map)) }
            if names("bytesValue") { return (7, .base64) }
        case .list: if names("values") { return (1, .messages(.anyValue)) }
        case .map: if names("values") { return (1, .messages(.keyValue)) }
        }
        return nil
    }

    // MARK: Walking

    /// Recursion follows the schema, which repeats itself in lists and maps only, and is bounded by `nestingDepthMax`.
    private mutating func message(_ message: Message, depth: Int) throws(JSONScanError) {
        guard depth < OTLPTraceDecoder.nestingDepthMax else { throw scanner.error(.tooDeep) }
        guard try scanner.openObject() else { return }
        repeat {
            let key = try scanner.key()
            if try scanner.takeNull() { continue }
            guard !key.hasEscapes, let (number, kind) = field(message, key) else {
                try scanner.skipValue()
                continue
            }
            try value(number, kind, depth)
        } while try scanner.hasNextMember()
    }

    private mutating func value(_ number: UInt8, _ kind: Kind, _ depth: Int) throws(JSONScanError) {
        switch kind {
        case .message(let child): try nested(number, child, depth)
        case .messages(let child):
            guard try scanner.openArray() else { return }
            repeat {
                if child == .span { try span(number, depth) } else { try nested(number, child, depth) }
            } while try scanner.hasNextElement()
        case .text:
            let text = try scanner.string()
            try delimited(number) { (transcoder) throws(JSONScanError) in transcoder.scanner.append(text, to: &transcoder.bytes) }
        case .hexadecimal: try hexadecimal(number)
        case .base64: try base64(number)
        case .fixed64:
            // Before 1970 is unknown, as zero is.
            let value = UInt64(max(try scanner.integer(), 0))
            fixed64(number, value)
        case .integer: varint(number, UInt64(bitPattern: try scanner.integer()))
        case .boolean: varint(number, try scanner.boolean() ? 1 : 0)
        case .double: fixed64(number, try double().bitPattern)
        case .spanKind:
            varint(number, try enumeration([
                "SPAN_KIND_UNSPECIFIED", "SPAN_KIND_INTERNAL", "SPAN_KIND_SERVER", "SPAN_KIND_CLIENT", "SPAN_KIND_PRODUCER", "SPAN_KIND_CONSUMER",
            ]))
        case .statusCode: varint(number, try enumeration(["STATUS_CODE_UNSET", "STATUS_CODE_OK", "STATUS_CODE_ERROR"]))
        }
    }

    /// One bad span costs itself and not its request (OTLP specification, partial success). Throws when the text is not JSON or nests too
    /// deeply: then nothing after it can be trusted to be what was sent.
    private mutating func span(_ number: UInt8, _ depth: Int) throws(JSONScanError) {
        let start = scanner.at
        let place = bytes.count
        do throws(JSONScanError) {
            try nested(number, .span, depth)
        } catch {
            if error.fault == .tooDeep { throw error }
            scanner.at = start
            do throws(JSONScanError) {
                try scanner.skipMembers()
            } catch let broken {
                // The same place: what was expected there says more than that it is not JSON.
                throw broken.offset == error.offset ? error : broken
            }
            bytes.removeSubrange(place...)
            rejectedSpans += 1
            if firstFault == nil { firstFault = error }
        }
    }

    private mutating func nested(_ number: UInt8, _ child: Message, _ depth: Int) throws(JSONScanError) {
        try delimited(number) { (transcoder) throws(JSONScanError) in
            if try transcoder.scanner.takeNull() { return }
            try transcoder.message(child, depth: depth + 1)
        }
    }

    // MARK: Values

    /// An id: two hex digits of any case for each byte. Its length is the walker's to judge.
    private mutating func hexadecimal(_ number: UInt8) throws(JSONScanError) {
        _ = try scanner.peek()
        let start = scanner.at
        let text = try scanner.string()
        guard !text.hasEscapes, text.count % 2 == 0 else { throw JSONScanError(fault: .invalidHex, offset: start) }
        try delimited(number) { (transcoder) throws(JSONScanError) in
            for index in stride(from: text.start, to: text.start + text.count, by: 2) {
                guard let high = Self.digit(transcoder.scanner[index]), let low = Self.digit(transcoder.scanner[index + 1]) else {
                    throw JSONScanError(fault: .invalidHex, offset: index)
                }
                transcoder.bytes.append(high << 4 | low)
            }
        }
    }

    private static func digit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte &- 0x30
        case UInt8(ascii: "a")...UInt8(ascii: "f"), UInt8(ascii: "A")...UInt8(ascii: "F"): (byte | 0x20) &- 0x57
        default: nil
        }
    }

    /// Standard or URL-safe alphabet, with or without padding, as protobuf's JSON mapping takes them.
    private mutating func base64(_ number: UInt8) throws(JSONScanError) {
        _ = try scanner.peek()
        let start = scanner.at
        let text = try scanner.string()
        var encoded: [UInt8] = []
        scanner.append(text, to: &encoded)
        while encoded.last == UInt8(ascii: "=") { encoded.removeLast() }
        guard encoded.count % 4 != 1 else { throw JSONScanError(fault: .invalidBase64, offset: start) }
        try delimited(number) { (transcoder) throws(JSONScanError) in
            var group: UInt32 = 0
            var bits = 0
            for byte in encoded {
                guard let value = Self.sextet(byte) else { throw JSONScanError(fault: .invalidBase64, offset: start) }
                group = group << 6 | UInt32(value)
                bits += 6
                if bits >= 8 {
                    bits -= 8
                    transcoder.bytes.append(UInt8(truncatingIfNeeded: group >> UInt32(bits)))
                }
            }
        }
    }

    private static func sextet(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"): byte &- 65
        case UInt8(ascii: "a")...UInt8(ascii: "z"): byte &- 71
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte &+ 4
        case UInt8(ascii: "+"), UInt8(ascii: "-"): 62
        case UInt8(ascii: "/"), UInt8(ascii: "_"): 63
        default: nil
        }
    }

    /// A number, or a string that holds one or `NaN`, `Infinity`, `-Infinity`.
    private mutating func double() throws(JSONScanError) -> Double {
        let isString = try scanner.peek() == UInt8(ascii: "\"")
        let start = scanner.at
        var digits: [UInt8] = []
        if isString {
            let text = try scanner.string()
            scanner.append(text, to: &digits)
        } else {
            try scanner.skipNumber()
            for index in start..<scanner.at { digits.append(scanner[index]) }
        }
        let text = String(decoding: digits, as: UTF8.self)
        switch text {
        case "NaN": return .nan
        case "Infinity": return .infinity
        case "-Infinity": return -.infinity
        default:
            guard let first = digits.first, first == UInt8(ascii: "-") || JSONScanner.isDigit(first), let value = Double(text), !value.isNaN else {
                throw JSONScanError(fault: .expectedNumber, offset: start)
            }
            return value
        }
    }

    /// An integer, or one of `names`, whose index is its number. Unknown ones count as unspecified.
    private mutating func enumeration(_ names: [String]) throws(JSONScanError) -> UInt64 {
        if try scanner.peek() == UInt8(ascii: "\"") {
            let start = scanner.at
            let text = try scanner.string()
            var bytes: [UInt8] = []
            scanner.append(text, to: &bytes)
            if let index = names.firstIndex(where: { $0.utf8.elementsEqual(bytes) }) { return UInt64(index) }
            guard let first = bytes.first, JSONScanner.isDigit(first) else { return 0 }
            scanner.at = start
        }
        return UInt64(bitPattern: try scanner.integer())
    }

    // MARK: Protobuf

    private mutating func varint(_ number: UInt8, _ value: UInt64) {
        bytes.append(number << 3)
        var rest = value
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(truncatingIfNeeded: rest))
    }

    private mutating func fixed64(_ number: UInt8, _ value: UInt64) {
        bytes.append(number << 3 | 1)
        for shift in stride(from: UInt64(0), to: 64, by: 8) { bytes.append(UInt8(truncatingIfNeeded: value >> shift)) }
    }

    /// What `body` appends, under a length. One byte is set aside for it; a longer one moves the message, so that a byte is moved at
    /// most as often as messages nest.
    private mutating func delimited(
        _ number: UInt8, _ body: (inout OTLPJSONTranscoder) throws(JSONScanError) -> Void
    ) throws(JSONScanError) {
        bytes.append(number << 3 | 2)
        let place = bytes.count
        bytes.append(0)
        try body(&self)
        var length = bytes.count - place - 1
        if length < 0x80 {
            bytes[place] = UInt8(truncatingIfNeeded: length)
            return
        }
        var digits: [UInt8] = []
        while length >= 0x80 {
            digits.append(UInt8(truncatingIfNeeded: length) | 0x80)
            length >>= 7
        }
        digits.append(UInt8(truncatingIfNeeded: length))
        bytes.replaceSubrange(place...place, with: digits)
    }
}
