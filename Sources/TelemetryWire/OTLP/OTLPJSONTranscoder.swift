import TelemetryModel

/// An OTLP/JSON request as the protobuf bytes of the same request, so that one walker maps both encodings to spans.
///
/// OTLP's JSON (semantics 2.12): lowerCamelCase keys only, trace and span ids in hex of any case, 64-bit integers as strings or
/// numbers, enums as integers (names are taken too), bytes as base64. Unknown fields and null are skipped.
/// The bytes are at most a few times as many as the text: a message costs six at most, and its `{}` with a comma has three.
///
/// What is JSON and not what the schema asks for costs the smallest part that can do without it: an attribute, an event, a link, a scope, a
/// resource, a status, or else its span. Messages are followed with a frame each, not by recursion.
struct OTLPJSONTranscoder {
    private typealias Message = OTLPJSONSchema.Message
    private typealias Kind = OTLPJSONSchema.Kind
    private typealias Scalar = OTLPJSONSchema.Scalar

    /// Messages inside one another. The walker cuts values off before it comes this deep, so nothing is lost here that it would keep.
    private static let depthMax = OTLPTraceDecoder.valueDepthMax + 16

    /// A message that has been begun.
    private struct Frame: BitwiseCopyable {
        var message: Message
        /// Where its JSON begins.
        var start: Int
        /// Where its tag stands in `bytes`; behind it one byte for its length.
        var tagPlace: Int
        /// Its field in the message around it, and whether that is a list of them.
        var number: UInt8
        var isElement: Bool
        /// Whether the message around it can do without it. Members of a value are not: a fault deep inside costs the whole attribute, and
        /// one look back, however deep it lies.
        var isExpendable: Bool

        init(message: Message, start: Int, tagPlace: Int, number: UInt8, isElement: Bool) {
            self.message = message
            self.start = start
            self.tagPlace = tagPlace
            self.number = number
            self.isElement = isElement
            switch message {
            case .span, .event, .link, .resource, .scope, .status, .keyValue, .metric: isExpendable = true
            default: isExpendable = false
            }
        }
    }

    /// What is expected at the cursor.
    private enum Next {
        case member, endOfMember
        case endOfElement(Message, UInt8)
    }

    private var scanner: JSONScanner
    private var frames: [Frame] = []
    private(set) var bytes: [UInt8] = []
    /// Spans left out because a field of theirs is not what OTLP's JSON asks for, and why the first was.
    private(set) var rejectedSpans = 0
    private(set) var firstFault: JSONScanError?
    /// Parts left out of spans for the same reason.
    private(set) var dropped = OTLPDroppedParts()
    private var droppedBeforeSpan = OTLPDroppedParts()

    init(_ buffer: UnsafeRawBufferPointer) {
        scanner = unsafe JSONScanner(buffer.bindMemory(to: UInt8.self))
        bytes.reserveCapacity(buffer.count)
    }

    /// `signal`: spans or metrics.
    mutating func request(of signal: TelemetrySignal = .spans) throws(JSONScanError) {
        frames = [Frame(message: signal == .metrics ? .metricsRequest : .request, start: 0, tagPlace: 0, number: 0, isElement: false)]
        if try scanner.openObject() {
            var next = Next.member
            while !frames.isEmpty {
                do throws(JSONScanError) {
                    switch next {
                    case .member: next = try member()
                    case .endOfMember: next = try endOfMember()
                    case .endOfElement(let message, let number):
                        next = try scanner.hasNextElement() ? begin(message, number, isElement: true) : .endOfMember
                    }
                } catch {
                    next = try leaveOut(error)
                }
            }
        }
        try scanner.expectEnd()
    }

    // MARK: Schema

    /// Number and kind of a field; nil when it is not read.
    private func field(_ message: Message, _ key: JSONString) -> (number: UInt8, kind: Kind)? {
        if key.needsDecoding {
            // `"na\u006de"` is the key `name` as well.
            var text: [UInt8] = []
            scanner.append(key, to: &text)
            return unsafe text.withUnsafeBufferPointer { unsafe OTLPJSONSchema.field(message, JSONScanner($0).whole, JSONScanner($0)) }
        }
        return OTLPJSONSchema.field(message, key, scanner)
    }

    // MARK: Walking

    /// Takes one member of the innermost message, or its beginning when it is a message itself.
    private mutating func member() throws(JSONScanError) -> Next {
        let key = try scanner.key()
        guard let frame = frames.last, try !scanner.takeNull() else { return .endOfMember }
        guard let (number, kind) = field(frame.message, key) else {
            try scanner.skipValue()
            return .endOfMember
        }
        switch kind {
        case .message(let child): return try begin(child, number, isElement: false)
        case .messages(let child): return try scanner.openArray() ? begin(child, number, isElement: true) : .endOfMember
        case .scalar(let scalar):
            try value(number, scalar)
            return .endOfMember
        case .scalars(let scalar):
            guard try scanner.openArray() else { return .endOfMember }
            repeat { try value(number, scalar) } while try scanner.hasNextElement()
            return .endOfMember
        }
    }

    private mutating func endOfMember() throws(JSONScanError) -> Next {
        if try scanner.hasNextMember() { return .member }
        guard let frame = frames.popLast(), !frames.isEmpty else { return .endOfMember }
        close(frame.tagPlace + 1)
        return next(after: frame)
    }

    private func next(after frame: Frame) -> Next { frame.isElement ? .endOfElement(frame.message, frame.number) : .endOfMember }

    private mutating func begin(_ message: Message, _ number: UInt8, isElement: Bool) throws(JSONScanError) -> Next {
        let isNull = try scanner.takeNull()
        var frame = Frame(message: message, start: scanner.at, tagPlace: bytes.count, number: number, isElement: isElement)
        // A list of values keeps its places.
        if isNull, message != .anyValue { return next(after: frame) }
        switch message {
        case .span: droppedBeforeSpan = dropped
        case .keyValue: frame.isExpendable = frames.last?.message != .map
        default: break
        }
        bytes.append(number << 3 | 2)
        bytes.append(0)
        if isNull { return next(after: frame) }
        if frames.count >= Self.depthMax {
            try scanner.skipValue()
            return next(after: frame)
        }
        frames.append(frame)
        if try scanner.openObject() { return .member }
        frames.removeLast()
        return next(after: frame)
    }

    /// Leaves the innermost message out that can be spared. Throws when there is none, or the text of it is not JSON: then nothing after it
    /// can be trusted to be what was sent.
    private mutating func leaveOut(_ error: JSONScanError) throws(JSONScanError) -> Next {
        guard let index = frames.lastIndex(where: { $0.isExpendable }) else { throw error }
        let frame = frames[index]
        scanner.at = frame.start
        do throws(JSONScanError) {
            try scanner.skipValue()
        } catch let broken {
            // The same place: what was expected there says more than that it is not JSON.
            throw broken.offset == error.offset ? error : broken
        }
        bytes.removeSubrange(frame.tagPlace...)
        frames.removeSubrange(index...)
        if frame.message == .span {
            dropped = droppedBeforeSpan
            rejectedSpans += 1
            if firstFault == nil { firstFault = error }
        } else {
            switch frame.message {
            case .keyValue: dropped.attributes += 1
            case .event: dropped.events += 1
            case .link: dropped.links += 1
            default: dropped.values += 1
            }
            if dropped.firstFault == nil { dropped.firstFault = OTLPDecodeError(fault: error.fault, byteOffset: error.offset) }
        }
        return next(after: frame)
    }

    private mutating func value(_ number: UInt8, _ scalar: Scalar) throws(JSONScanError) {
        switch scalar {
        case .text:
            let text = try scanner.scalarText()
            try delimited(number) { (transcoder) throws(JSONScanError) in transcoder.scanner.append(text, to: &transcoder.bytes) }
        case .hexadecimal: try hexadecimal(number)
        case .base64: try base64(number)
        case .fixed64:
            // Before 1970 is unknown, as zero is.
            let value = UInt64(max(try scanner.integer(), 0))
            fixed64(number, value)
        case .integer: varint(number, UInt64(bitPattern: try scanner.integer()))
        case .count: varint(number, UInt64(max(try scanner.integer(), 0)))
        case .boolean: varint(number, try scanner.boolean() ? 1 : 0)
        case .double: fixed64(number, try double().bitPattern)
        case .spanKind:
            varint(number, try enumeration([
                "SPAN_KIND_UNSPECIFIED", "SPAN_KIND_INTERNAL", "SPAN_KIND_SERVER", "SPAN_KIND_CLIENT", "SPAN_KIND_PRODUCER",
                "SPAN_KIND_CONSUMER",
            ]))
        case .signedFixed64: fixed64(number, UInt64(bitPattern: try scanner.integer()))
        case .zigzag:
            let value = try scanner.integer()
            varint(number, UInt64(bitPattern: value << 1 ^ value >> 63))
        case .temporality:
            varint(number, try enumeration([
                "AGGREGATION_TEMPORALITY_UNSPECIFIED", "AGGREGATION_TEMPORALITY_DELTA", "AGGREGATION_TEMPORALITY_CUMULATIVE",
            ]))
        case .statusCode: varint(number, try enumeration(["STATUS_CODE_UNSET", "STATUS_CODE_OK", "STATUS_CODE_ERROR"]))
        }
    }

    // MARK: Values

    /// An id: two hex digits of any case for each byte. Its length is the walker's to judge.
    private mutating func hexadecimal(_ number: UInt8) throws(JSONScanError) {
        _ = try scanner.peek()
        let start = scanner.at
        let text = try scanner.string()
        guard !text.needsDecoding, text.count % 2 == 0 else { throw JSONScanError(fault: .invalidHex, offset: start) }
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
            guard let first = digits.first, first == UInt8(ascii: "-") || JSONScanner.isDigit(first), let value = Double(text), !value.isNaN
            else {
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

    /// What `body` appends, under a length.
    private mutating func delimited(
        _ number: UInt8, _ body: (inout OTLPJSONTranscoder) throws(JSONScanError) -> Void
    ) throws(JSONScanError) {
        bytes.append(number << 3 | 2)
        let place = bytes.count
        bytes.append(0)
        try body(&self)
        close(place)
    }

    /// Writes the length of all that stands behind `place`. One byte was set aside for it; a longer one moves the message, so that a byte
    /// is moved at most as often as messages nest.
    private mutating func close(_ place: Int) {
        var length = bytes.count - place - 1
        if length < 0x80 {
            bytes[place] = UInt8(length)
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
