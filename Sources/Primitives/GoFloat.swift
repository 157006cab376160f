internal import Glibc

/// Numbers as Go's `strconv.FormatFloat` writes them, in the fewest digits that read back the same: what Prometheus' users see.
public enum GoFloat {
    /// Format 'f': never an exponent. `0.1`, `1000000`, `+Inf`, `NaN`.
    public static func plain(_ value: Double) -> String {
        guard let number = Digits(value) else { return special(value) }
        var text = number.isNegative ? "-" : ""
        let digits = number.digits
        if number.point <= 0 {
            text += digits.isEmpty ? "0" : "0." + String(repeating: "0", count: -number.point) + string(digits[...])
        } else if digits.count <= number.point {
            text += string(digits[...]) + String(repeating: "0", count: number.point - digits.count)
        } else {
            text += string(digits[..<number.point]) + "." + string(digits[number.point...])
        }
        return text
    }

    /// Format 'g', `%g` and `%v`: an exponent below 1e-4 and from 1e+06 on.
    public static func general(_ value: Double) -> String {
        guard let number = Digits(value) else { return special(value) }
        let exponent = number.point - 1
        let isShort = number.digits.isEmpty || (exponent >= -4 && exponent < 6)
        return isShort ? plain(value) : scientific(value)
    }

    /// Format 'e': `1.5e-07`.
    public static func scientific(_ value: Double) -> String {
        guard let number = Digits(value) else { return special(value) }
        let digits = number.digits
        let head = digits.isEmpty ? "0" : string(digits[..<1])
        let tail = digits.count > 1 ? "." + string(digits[1...]) : ""
        let exponent = digits.isEmpty ? 0 : number.point - 1
        let size = String(exponent.magnitude)
        return (number.isNegative ? "-" : "") + head + tail + (exponent < 0 ? "e-" : "e+") + (size.utf8.count < 2 ? "0" + size : size)
    }

    private static func special(_ value: Double) -> String { value.isNaN ? "NaN" : value > 0 ? "+Inf" : "-Inf" }
    private static func string(_ digits: ArraySlice<UInt8>) -> String { String(decoding: digits, as: UTF8.self) }

    /// The shortest digits of a finite number, without zeros at either end: `digits` = [1, 5], `point` = 1 is 1.5.
    private struct Digits {
        var digits: [UInt8] = []
        /// Digits before the point; may be negative or behind the last digit.
        var point = 0
        var isNegative: Bool

        init?(_ value: Double) {
            guard value.isFinite else { return nil }
            isNegative = value.sign == .minus
            var exponent = 0
            var seenPoint = false
            let parts = value.magnitude.description.split(separator: "e")
            if parts.count == 2 { exponent = Int(parts[1]) ?? 0 }
            for byte in (parts.first ?? "").utf8 {
                if byte == UInt8(ascii: ".") { seenPoint = true; continue }
                digits.append(byte)
                if !seenPoint { point += 1 }
            }
            while digits.last == UInt8(ascii: "0") { digits.removeLast() }
            let zeros = digits.prefix { $0 == UInt8(ascii: "0") }.count
            digits.removeFirst(zeros)
            point = digits.isEmpty ? 0 : point - zeros + exponent
        }
    }
}
