internal import TelemetryWire

/// Reads `accessLogFormat` with encoding JSON: an object whose strings are format strings, keys in the order written.
enum JSONTemplate {
    /// Values of one template.
    static let valuesMax = 200
    /// Objects and lists inside one another.
    static let depthMax = 16

    static func parse(_ text: String) throws(AccessLogFormatError) -> [(key: String, value: AccessLogFormat.Value)] {
        var reader = Reader(bytes: Array(text.utf8))
        return try reader.document()
    }

    private struct Reader {
        let bytes: [UInt8]
        var at = 0
        var values = 0

        mutating func document() throws(AccessLogFormatError) -> [(key: String, value: AccessLogFormat.Value)] {
            let members = try object(depth: 1)
            guard !members.isEmpty else {
                at -= 1
                throw error("a JSON access-log format needs at least one field")
            }
            skipBlank()
            if at < bytes.count { throw error("text after the object") }
            return members
        }

        mutating func object(depth: Int) throws(AccessLogFormatError) -> [(key: String, value: AccessLogFormat.Value)] {
            var members: [(key: String, value: AccessLogFormat.Value)] = []
            try expect("{")
            if accept("}") { return members }
            repeat {
                let key = try string()
                try expect(":")
                members.append((key, try value(depth: depth)))
            } while accept(",")
            try expect("}")
            return members
        }

        mutating func list(depth: Int) throws(AccessLogFormatError) -> [AccessLogFormat.Value] {
            var items: [AccessLogFormat.Value] = []
            try expect("[")
            if accept("]") { return items }
            repeat { items.append(try value(depth: depth)) } while accept(",")
            try expect("]")
            return items
        }

        mutating func value(depth: Int) throws(AccessLogFormatError) -> AccessLogFormat.Value {
            values += 1
            guard values <= valuesMax else { throw error("more than \(valuesMax) values") }
            guard depth < depthMax else { throw error("values are nested deeper than \(depthMax)") }
            skipBlank()
            switch peek {
            case UInt8(ascii: "\""): return .template(try string())
            case UInt8(ascii: "{"): return .object(try object(depth: depth + 1))
            case UInt8(ascii: "["): return .list(try list(depth: depth + 1))
            default: return .constant(try constant())
            }
        }

        /// A number or a word, as it stands (RFC 8259 sections 3 and 6).
        mutating func constant() throws(AccessLogFormatError) -> String {
            let start = at
            while let byte = peek, ![UInt8(ascii: ","), UInt8(ascii: "}"), UInt8(ascii: "]")].contains(byte), byte > 32 { at += 1 }
            let text = String(decoding: bytes[start..<at], as: UTF8.self)
            if ["true", "false", "null"].contains(text) || Self.isNumber(bytes[start..<at]) { return text }
            at = start
            throw error("expected a string such as \"%RESPONSE_CODE%\", a number, true, false, null, an object or a list")
        }

        static func isNumber(_ text: ArraySlice<UInt8>) -> Bool {
            var rest = text
            func isDigit(_ byte: UInt8?) -> Bool { byte.map { (0x30...0x39).contains($0) } ?? false }
            func digits() -> Int {
                let count = rest.prefix { isDigit($0) }.count
                rest = rest.dropFirst(count)
                return count
            }
            if rest.first == UInt8(ascii: "-") { rest = rest.dropFirst() }
            let startsWithZero = rest.first == UInt8(ascii: "0")
            let whole = digits()
            guard whole > 0, !startsWithZero || whole == 1 else { return false }
            if rest.first == UInt8(ascii: ".") {
                rest = rest.dropFirst()
                guard digits() > 0 else { return false }
            }
            if let mark = rest.first, mark | 0x20 == UInt8(ascii: "e") {
                rest = rest.dropFirst()
                if let sign = rest.first, sign == UInt8(ascii: "+") || sign == UInt8(ascii: "-") { rest = rest.dropFirst() }
                guard digits() > 0 else { return false }
            }
            return rest.isEmpty
        }

        var peek: UInt8? { at < bytes.count ? bytes[at] : nil }

        mutating func skipBlank() {
            while let byte = peek, byte == 32 || (9...13).contains(byte) { at += 1 }
        }

        mutating func accept(_ character: Unicode.Scalar) -> Bool {
            skipBlank()
            guard peek == UInt8(ascii: character) else { return false }
            at += 1
            return true
        }

        mutating func expect(_ character: Unicode.Scalar) throws(AccessLogFormatError) {
            guard accept(character) else { throw error("expected \(Character(character))") }
        }

        mutating func string() throws(AccessLogFormatError) -> String {
            try expect("\"")
            var out: [UInt8] = []
            while let byte = peek {
                at += 1
                if byte == UInt8(ascii: "\"") { return String(decoding: out, as: UTF8.self) }
                guard byte == UInt8(ascii: "\\") else {
                    out.append(byte)
                    continue
                }
                guard let escaped = peek else { break }
                at += 1
                switch escaped {
                case UInt8(ascii: "n"): out.append(10)
                case UInt8(ascii: "t"): out.append(9)
                case UInt8(ascii: "r"): out.append(13)
                case UInt8(ascii: "b"): out.append(8)
                case UInt8(ascii: "f"): out.append(12)
                case UInt8(ascii: "u"): out.append(contentsOf: String(try unicode()).utf8)
                case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): out.append(escaped)
                default: throw error("unsupported escape \\\(Character(UnicodeScalar(escaped)))")
                }
            }
            throw error("the string does not end")
        }

        /// What `\u` writes; two of them for what is beyond the first 65,536. Half a pair reads as U+FFFD.
        mutating func unicode() throws(AccessLogFormatError) -> Character {
            let first = try hexadecimal()
            if (0xD800..<0xDC00).contains(first), at + 1 < bytes.count, bytes[at] == UInt8(ascii: "\\"),
            bytes[at + 1] == UInt8(ascii: "u") {
                let before = at
                at += 2
                let second = try hexadecimal()
                if (0xDC00..<0xE000).contains(second), let scalar = Unicode.Scalar(0x10000 + (first - 0xD800) << 10 + (second - 0xDC00)) {
                    return Character(scalar)
                }
                at = before
            }
            return Character(Unicode.Scalar(first) ?? "\u{FFFD}")
        }

        mutating func hexadecimal() throws(AccessLogFormatError) -> UInt32 {
            guard at + 4 <= bytes.count, let value = UInt32(String(decoding: bytes[at..<at + 4], as: UTF8.self), radix: 16) else {
                throw error("\\u needs four hexadecimal digits")
            }
            at += 4
            return value
        }

        func error(_ message: String) -> AccessLogFormatError { AccessLogFormatError(column: at + 1, message: message) }
    }
}
