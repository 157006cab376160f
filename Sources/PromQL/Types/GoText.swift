/// Texts as Go's `strconv.Quote` writes and `strconv.Unquote` reads them.
public enum GoText {
    /// In double quotes, with escapes.
    public static func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars { result += escaped(scalar) }
        return result + "\""
    }

    private static func escaped(_ scalar: UnicodeScalar) -> String {
        switch scalar {
        case "\"": "\\\""
        case "\\": "\\\\"
        case "\u{07}": "\\a"
        case "\u{08}": "\\b"
        case "\u{0C}": "\\f"
        case "\n": "\\n"
        case "\r": "\\r"
        case "\t": "\\t"
        case "\u{0B}": "\\v"
        case _ where scalar.value < 0x20 || scalar.value == 0x7F: "\\x" + hex(scalar.value, digits: 2)
        case _ where isPrintable(scalar): String(scalar)
        case _ where scalar.value < 0x10000: "\\u" + hex(scalar.value, digits: 4)
        default: "\\U" + hex(scalar.value, digits: 8)
        }
    }

    /// A character in single quotes, as `%q` writes a rune.
    static func quoted(character: UnicodeScalar) -> String {
        let text = character == "'" ? "\\'" : character == "\"" ? "\"" : escaped(character)
        return "'\(text)'"
    }

    private static func hex(_ value: UInt32, digits: Int) -> String {
        let text = String(value, radix: 16)
        return String(repeating: "0", count: max(0, digits - text.utf8.count)) + text
    }

    /// Go's `IsPrint`, but for characters without a category.
    private static func isPrintable(_ scalar: UnicodeScalar) -> Bool {
        if scalar.isASCII { return true }
        switch scalar.properties.generalCategory {
        case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator, .spaceSeparator: return false
        default: return true
        }
    }

    /// What a literal of the language stands for: in backticks as it is, in double or single quotes with escapes. Nil when it is none.
    public static func unquoted(_ literal: String) -> String? {
        let bytes = Array(literal.utf8)
        guard bytes.count >= 2, let quote = bytes.first, quote == bytes.last else { return nil }
        let inner = bytes[1..<bytes.count - 1]
        if quote == UInt8(ascii: "`") { return inner.contains(quote) ? nil : String(decoding: inner, as: UTF8.self) }
        guard quote == UInt8(ascii: "\"") || quote == UInt8(ascii: "'"), !inner.contains(UInt8(ascii: "\n")) else { return nil }
        var result: [UInt8] = []
        var rest = inner
        while let byte = rest.popFirst() {
            if byte == quote { return nil }
            if byte != UInt8(ascii: "\\") { result.append(byte); continue }
            guard let meant = unescape(&rest, quote: quote) else { return nil }
            result += meant
        }
        return String(validating: result, as: UTF8.self)
    }

    private static func unescape(_ rest: inout ArraySlice<UInt8>, quote: UInt8) -> [UInt8]? {
        guard let kind = rest.popFirst() else { return nil }
        switch UnicodeScalar(kind) {
        case "a": return [0x07]
        case "b": return [0x08]
        case "f": return [0x0C]
        case "n": return [0x0A]
        case "r": return [0x0D]
        case "t": return [0x09]
        case "v": return [0x0B]
        case "\\": return [kind]
        case "x": return number(&rest, digits: 2, radix: 16).flatMap { UInt8(exactly: $0) }.map { [$0] }
        case "u": return number(&rest, digits: 4, radix: 16).flatMap(UnicodeScalar.init).map { Array(String($0).utf8) }
        case "U": return number(&rest, digits: 8, radix: 16).flatMap(UnicodeScalar.init).map { Array(String($0).utf8) }
        case "0", "1", "2", "3", "4", "5", "6", "7":
            guard let low = number(&rest, digits: 2, radix: 8), let byte = UInt8(exactly: UInt32(kind - 0x30) * 64 + low) else {
                return nil
            }
            return [byte]
        default: return kind == quote ? [kind] : nil
        }
    }

    private static func number(_ rest: inout ArraySlice<UInt8>, digits: Int, radix: Int) -> UInt32? {
        let text = rest.prefix(digits)
        guard text.count == digits, text.allSatisfy({ $0 != UInt8(ascii: "+") && $0 != UInt8(ascii: "-") }) else { return nil }
        rest = rest.dropFirst(digits)
        return UInt32(String(decoding: text, as: UTF8.self), radix: radix)
    }

    /// Whether a name can stand without quotes (`[a-zA-Z_][a-zA-Z0-9_]*`).
    static func isPlainLabelName(_ name: String) -> Bool {
        guard let first = name.utf8.first, !(0x30...0x39).contains(first) else { return false }
        return name.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x41...0x5A).contains($0) || (0x61...0x7A).contains($0) || $0 == 0x5F }
    }
}
