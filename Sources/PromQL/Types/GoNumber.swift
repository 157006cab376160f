internal import Glibc

/// Numbers as Go reads them in Prometheus: `strconv.ParseInt(text, 0, 64)`, else `strconv.ParseFloat`.
enum GoNumber {
    /// Nil for what is no number, or too large for one.
    static func parse(_ text: String) -> Double? {
        let lower = text.lowercased()
        if ["inf", "+inf", "infinity", "+infinity"].contains(lower) { return .infinity }
        if ["-inf", "-infinity"].contains(lower) { return -.infinity }
        if lower == "nan" { return .nan }
        let plain = lower.filter { $0 != "_" }
        if let whole = integer(plain) { return Double(whole) }
        guard plain.utf8.allSatisfy({ isNumberPart($0) }), let value = Double(plain), value.isFinite else { return nil }
        return value
    }

    /// A leading zero means octal digits, as in Go.
    private static func integer(_ text: String) -> Int64? {
        if text.hasPrefix("0x") { return Int64(text.dropFirst(2), radix: 16) }
        if text.hasPrefix("0o") { return Int64(text.dropFirst(2), radix: 8) }
        if text.hasPrefix("0b") { return Int64(text.dropFirst(2), radix: 2) }
        if text.hasPrefix("0"), text.utf8.count > 1 { return Int64(text.dropFirst(), radix: 8) }
        return Int64(text)
    }

    private static func isNumberPart(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) || [".", "e", "+", "-"].contains(UnicodeScalar(byte))
    }
}
