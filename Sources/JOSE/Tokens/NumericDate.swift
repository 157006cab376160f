internal import Primitives

/// A NumericDate (RFC 7519 2): seconds since 1970 as a JSON number, which may have a fraction, an exponent or hundreds of digits.
enum NumericDate {
    /// Whole seconds, rounded down; what is beyond Int64 is its nearest value. `text` is a number of JSON's grammar.
    static func seconds(_ text: LentBytes) -> Int64 {
        var place = 0
        let isNegative = text[0] == UInt8(ascii: "-")
        if isNegative { place = 1 }
        let start = place
        var end = place
        // Digits before the decimal point, once the exponent has moved it.
        var whole: Int?
        while end < text.count, text[end] | 0x20 != UInt8(ascii: "e") {
            if text[end] == UInt8(ascii: ".") { whole = end - start }
            end += 1
        }
        let point = (whole ?? end - start) + exponent(text.from(end))
        var value: UInt64 = 0
        var digits = 0
        var hasFraction = false
        while place < end {
            if text[place] != UInt8(ascii: ".") {
                let digit = UInt64(text[place] &- 48)
                if digits < point { value = appended(value, digit) } else if digit != 0 { hasFraction = true }
                digits += 1
            }
            place += 1
        }
        while digits < point, value != 0, value != .max {
            value = appended(value, 0)
            digits += 1
        }
        guard isNegative else { return Int64(clamping: value) }
        let (down, overflow) = value.addingReportingOverflow(hasFraction ? 1 : 0)
        if overflow || down > UInt64(Int64.max) { return .min }
        return -Int64(clamping: down)
    }

    /// Stays at the largest value.
    private static func appended(_ value: UInt64, _ digit: UInt64) -> UInt64 {
        let (scaled, overflow) = value.multipliedReportingOverflow(by: 10)
        let (sum, carry) = scaled.addingReportingOverflow(digit)
        return overflow || carry ? .max : sum
    }

    /// Of `e+12`, or nothing. Larger ones are a million, which is beyond every number of digits that a token has room for.
    private static func exponent(_ text: LentBytes) -> Int {
        var value = 0
        var isNegative = false
        for index in 0..<text.count {
            switch text[index] {
            case UInt8(ascii: "-"): isNegative = true
            case UInt8(ascii: "0")...UInt8(ascii: "9"): value = min(1_000_000, value * 10 + Int(text[index] &- 48))
            default: break
            }
        }
        return isNegative ? -value : value
    }
}
