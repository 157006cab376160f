internal import TelemetryWire

/// Reads `accessLogFormat` with encoding JSON: one flat object whose values are format strings, keys in the order written.
enum JSONTemplate {
    /// Keys of one template.
    static let fieldsMax = 200

    static func parse(_ text: String) throws(AccessLogFormatError) -> [(key: String, template: String)] {
        var scanner = Scanner(bytes: Array(text.utf8))
        return try scanner.object()
    }

    private struct Scanner {
        let bytes: [UInt8]
        var at = 0

        mutating func object() throws(AccessLogFormatError) -> [(key: String, template: String)] {
            try expect(UInt8(ascii: "{"))
            var fields: [(key: String, template: String)] = []
            skipBlank()
            if peek == UInt8(ascii: "}") { throw error("a JSON access-log format needs at least one field") }
            while true {
                guard fields.count < fieldsMax else { throw error("more than \(fieldsMax) fields") }
                let key = try string()
                try expect(UInt8(ascii: ":"))
                skipBlank()
                guard peek == UInt8(ascii: "\"") else { throw error("the value of \"\(key)\" must be a string such as \"%RESPONSE_CODE%\"") }
                fields.append((key, try string()))
                skipBlank()
                if peek == UInt8(ascii: ",") {
                    at += 1
                    continue
                }
                try expect(UInt8(ascii: "}"))
                skipBlank()
                if at < bytes.count { throw error("text after the object") }
                return fields
            }
        }

        var peek: UInt8? { at < bytes.count ? bytes[at] : nil }

        mutating func skipBlank() {
            while let byte = peek, byte == 32 || (9...13).contains(byte) { at += 1 }
        }

        mutating func expect(_ byte: UInt8) throws(AccessLogFormatError) {
            skipBlank()
            guard peek == byte else { throw error("expected \(Character(UnicodeScalar(byte)))") }
            at += 1
        }

        mutating func string() throws(AccessLogFormatError) -> String {
            try expect(UInt8(ascii: "\""))
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
                case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): out.append(escaped)
                default: throw error("unsupported escape \\\(Character(UnicodeScalar(escaped)))")
                }
            }
            throw error("the string does not end")
        }

        func error(_ message: String) -> AccessLogFormatError { AccessLogFormatError(column: at + 1, message: message) }
    }
}
