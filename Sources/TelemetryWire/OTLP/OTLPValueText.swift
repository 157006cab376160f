/// `AnyValue` as text: plain for a tag, JSON inside lists, maps and events.
///
/// Recursion here is bounded: before a list or a map is entered, `OTLPDepthCheck` has refused anything deeper than
/// `OTLPTraceDecoder.nestingDepthMax`.
enum OTLPValueText {
    /// Appends the value of a tag, which lies `depth` messages deep in its request. False when a text in it is not UTF-8.
    static func append(tag body: ProtobufReader, _ range: Range<Int>, depth: Int, to bytes: inout [UInt8]) throws(ProtobufError) -> Bool {
        var reader = ProtobufReader(body, range)
        while try reader.next() {
            // Lists and maps alone can nest. All of the value is looked at, once, before the first of them is followed.
            if reader.wireType == 2, reader.field == 5 || reader.field == 6 {
                try OTLPDepthCheck.check(body, range, .anyValue, depth: depth)
                break
            }
            try reader.skipField()
        }
        return try append(body, range, isNested: false, to: &bytes)
    }

    /// Appends the value in `range`, whose nesting has been checked; the last field of the oneof wins.
    private static func append(_ body: ProtobufReader, _ range: Range<Int>, isNested: Bool, to bytes: inout [UInt8]) throws(ProtobufError) -> Bool {
        let start = bytes.count
        var reader = ProtobufReader(body, range)
        var isEmpty = true
        while try reader.next() {
            bytes.removeSubrange(start...)
            isEmpty = false
            switch reader.field {
            case 1:
                let text = unsafe body.bytes(try reader.bytesField())
                guard unsafe UTF8Text.isValid(text) else { return false }
                if isNested {
                    bytes.append(UInt8(ascii: "\""))
                    unsafe bytes.append(jsonEscaping: text)
                    bytes.append(UInt8(ascii: "\""))
                } else {
                    unsafe bytes.append(contentsOf: text)
                }
            case 2: if try reader.varintField() != 0 { bytes.append(ascii: "true") } else { bytes.append(ascii: "false") }
            case 3: bytes.append(decimal: Int64(bitPattern: try reader.varintField()))
            case 4: FloatText.append(Double(bitPattern: try reader.fixed64Field()), quotesNonFinite: isNested, to: &bytes)
            case 5: if try !list(body, try reader.bytesField(), to: &bytes) { return false }
            case 6: if try !map(body, try reader.bytesField(), to: &bytes) { return false }
            case 7:
                let raw = unsafe body.bytes(try reader.bytesField())
                if isNested { bytes.append(UInt8(ascii: "\"")) }
                unsafe bytes.append(base64: raw)
                if isNested { bytes.append(UInt8(ascii: "\"")) }
            default:
                try reader.skipField()
                isEmpty = true
            }
        }
        if isEmpty, isNested { bytes.append(ascii: "null") }
        return true
    }

    private static func list(_ body: ProtobufReader, _ range: Range<Int>, to bytes: inout [UInt8]) throws(ProtobufError) -> Bool {
        bytes.append(UInt8(ascii: "["))
        var reader = ProtobufReader(body, range)
        var isFirst = true
        while try reader.next() {
            guard reader.field == 1 else {
                try reader.skipField()
                continue
            }
            if !isFirst { bytes.append(UInt8(ascii: ",")) }
            isFirst = false
            if try !append(body, try reader.bytesField(), isNested: true, to: &bytes) { return false }
        }
        bytes.append(UInt8(ascii: "]"))
        return true
    }

    private static func map(_ body: ProtobufReader, _ range: Range<Int>, to bytes: inout [UInt8]) throws(ProtobufError) -> Bool {
        bytes.append(UInt8(ascii: "{"))
        var reader = ProtobufReader(body, range)
        var isFirst = true
        while try reader.next() {
            guard reader.field == 1 else {
                try reader.skipField()
                continue
            }
            if !isFirst { bytes.append(UInt8(ascii: ",")) }
            isFirst = false
            if try !appendMember(body, try reader.bytesField(), to: &bytes) { return false }
        }
        bytes.append(UInt8(ascii: "}"))
        return true
    }

    /// `"key":value` of a `KeyValue` whose nesting has been checked.
    static func appendMember(_ body: ProtobufReader, _ range: Range<Int>, to bytes: inout [UInt8]) throws(ProtobufError) -> Bool {
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
        guard unsafe UTF8Text.isValid(body.bytes(key)) else { return false }
        bytes.append(UInt8(ascii: "\""))
        unsafe bytes.append(jsonEscaping: body.bytes(key))
        bytes.append(ascii: "\":")
        return try append(body, value, isNested: true, to: &bytes)
    }
}
