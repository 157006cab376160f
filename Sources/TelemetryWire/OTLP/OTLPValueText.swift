/// `AnyValue` as text: plain for a tag, JSON inside lists, maps, events and links.
///
/// Nesting is followed with a frame a level, not by recursion. What lies deeper than `OTLPTraceDecoder.valueDepthMax` messages is not
/// looked at: a mark stands in its place, and the caller is told. Text that is not UTF-8 is repaired as everywhere else.
enum OTLPValueText {
    /// What is written for a list or map that lies too deep.
    static let cutMark: StaticString = "\"\u{2026}\""

    /// What a value holds; of a oneof sent twice the last one counts.
    private enum Content {
        case nothing
        case text(Range<Int>), boolean(Bool), integer(Int64), double(Double), bytes(Range<Int>)
        case list(Range<Int>), map(Range<Int>)
    }

    /// A list, a map, or the attributes of a message, on the way through its elements.
    private struct Frame: BitwiseCopyable {
        var at = 0
        var end = 0
        /// The number of the repeated field that holds the elements.
        var field: UInt32 = 1
        var isMap = false
        var isFirst = true
        /// How many messages deep inside the attribute's value those of its elements lie.
        var valueDepth = 0
    }

    /// Appends the value of a tag. False when something in it lay too deep.
    static func append(tag body: ProtobufReader, _ range: Range<Int>, to bytes: inout [UInt8]) throws(ProtobufError) -> Bool {
        let content = try content(body, range)
        guard let frame = frame(content, inValueAt: 0) else {
            append(scalar: content, body, isNested: false, to: &bytes)
            return true
        }
        bytes.append(UInt8(ascii: frame.isMap ? "{" : "["))
        let isWhole = try append(elementsOf: frame, body, to: &bytes)
        bytes.append(UInt8(ascii: frame.isMap ? "}" : "]"))
        return isWhole
    }

    /// Appends the attributes of the message in `range`, its repeated field `field`, as members of an object without its braces.
    static func append(
        attributes field: UInt32, _ body: ProtobufReader, _ range: Range<Int>, to bytes: inout [UInt8]
    ) throws(ProtobufError) -> Bool {
        try append(
            elementsOf: Frame(at: range.lowerBound, end: range.upperBound, field: field, isMap: true, valueDepth: 0), body, to: &bytes)
    }

    private static func append(elementsOf root: Frame, _ body: ProtobufReader, to bytes: inout [UInt8]) throws(ProtobufError) -> Bool {
        var outer = InlineArray<64, Frame>(repeating: Frame())
        var depth = 0
        var isWhole = true
        var frame = root
        while true {
            var reader = ProtobufReader(body, frame.at..<frame.end)
            var inner: Frame?
            while inner == nil, try reader.next() {
                guard reader.field == frame.field else {
                    try reader.skipField()
                    continue
                }
                var value = try reader.bytesField()
                if !frame.isFirst { bytes.append(UInt8(ascii: ",")) }
                frame.isFirst = false
                if frame.isMap { value = try appendKey(body, value, to: &bytes) }
                let content = try content(body, value)
                inner = self.frame(content, inValueAt: frame.valueDepth)
                if inner == nil { append(scalar: content, body, isNested: true, to: &bytes) }
            }
            frame.at = reader.at
            if let inner, inner.valueDepth > OTLPTraceDecoder.valueDepthMax || depth == outer.count {
                bytes.append(ascii: cutMark)
                isWhole = false
            } else if let inner {
                bytes.append(UInt8(ascii: inner.isMap ? "{" : "["))
                outer[depth] = frame
                depth += 1
                frame = inner
            } else if depth == 0 {
                return isWhole
            } else {
                bytes.append(UInt8(ascii: frame.isMap ? "}" : "]"))
                depth -= 1
                frame = outer[depth]
            }
        }
    }

    /// Where the walk goes on for a list or a map; nil for anything else.
    private static func frame(_ content: Content, inValueAt depth: Int) -> Frame? {
        switch content {
        case .list(let range): Frame(at: range.lowerBound, end: range.upperBound, isMap: false, valueDepth: depth + 2)
        // Between the map and its values stand the members.
        case .map(let range): Frame(at: range.lowerBound, end: range.upperBound, isMap: true, valueDepth: depth + 3)
        default: nil
        }
    }

    /// Appends `"key":` of a `KeyValue` and returns where its value lies, an empty range when it has none.
    private static func appendKey(
        _ body: ProtobufReader, _ range: Range<Int>, to bytes: inout [UInt8]
    ) throws(ProtobufError) -> Range<Int> {
        var key = 0..<0
        var value = 0..<0
        var reader = ProtobufReader(body, range)
        while try reader.next() {
            switch reader.field {
            case 1: key = try reader.bytesField()
            case 2: value = try reader.bytesField()
            default: try reader.skipField()
            }
        }
        bytes.append(UInt8(ascii: "\""))
        unsafe bytes.append(jsonEscaping: body.bytes(key))
        bytes.append(ascii: "\":")
        return value
    }

    private static func content(_ body: ProtobufReader, _ range: Range<Int>) throws(ProtobufError) -> Content {
        var content = Content.nothing
        var reader = ProtobufReader(body, range)
        while try reader.next() {
            switch reader.field {
            case 1: content = .text(try reader.bytesField())
            case 2: content = .boolean(try reader.varintField() != 0)
            case 3: content = .integer(Int64(bitPattern: try reader.varintField()))
            case 4: content = .double(Double(bitPattern: try reader.fixed64Field()))
            case 5: content = .list(try reader.bytesField())
            case 6: content = .map(try reader.bytesField())
            case 7: content = .bytes(try reader.bytesField())
            default: try reader.skipField()
            }
        }
        return content
    }

    private static func append(scalar content: Content, _ body: ProtobufReader, isNested: Bool, to bytes: inout [UInt8]) {
        switch content {
        case .nothing, .list, .map: if isNested { bytes.append(ascii: "null") }
        case .text(let range):
            if isNested {
                bytes.append(UInt8(ascii: "\""))
                unsafe bytes.append(jsonEscaping: body.bytes(range))
                bytes.append(UInt8(ascii: "\""))
            } else {
                unsafe UTF8Text.append(body.bytes(range), to: &bytes)
            }
        case .boolean(let value): if value { bytes.append(ascii: "true") } else { bytes.append(ascii: "false") }
        case .integer(let value): bytes.append(decimal: value)
        case .double(let value): FloatText.append(value, quotesNonFinite: isNested, to: &bytes)
        case .bytes(let range):
            if isNested { bytes.append(UInt8(ascii: "\"")) }
            unsafe bytes.append(base64: body.bytes(range))
            if isNested { bytes.append(UInt8(ascii: "\"")) }
        }
    }
}
