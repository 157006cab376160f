// Links libm, which converting floating-point numbers needs.
import Glibc

/// Floating-point numbers in the shortest form that Go's `strconv.ParseFloat` reads back, as Prometheus expects them.
enum FloatText {
    /// Appends the shortest text that reads back as `value`: `0.25`, `12`, `1000000`, `1e+16`, `1e-07`, `+Inf`, `-Inf`, `NaN`.
    ///
    /// Whole numbers below 1e15 are written out, where Go's `'g'` form would print `1e+06`: every parser takes both.
    static func append(_ value: Double, quotesNonFinite: Bool = false, to bytes: inout [UInt8]) {
        if !value.isFinite {
            if quotesNonFinite { bytes.append(UInt8(ascii: "\"")) }
            if value.isNaN {
                bytes.append(ascii: "NaN")
            } else if value > 0 {
                bytes.append(ascii: "+Inf")
            } else {
                bytes.append(ascii: "-Inf")
            }
            if quotesNonFinite { bytes.append(UInt8(ascii: "\"")) }
            return
        }
        // Most values are small integers.
        if value.magnitude < 1e15, let integer = Int64(exactly: value), integer != 0 || value.sign == .plus {
            bytes.append(decimal: integer)
            return
        }
        // Swift's description has the same shortest digits; only the placing differs: `1e+21`, `1.5e-05`, `3.0`.
        var text = value.description
        text.withUTF8 { digits in
            var end = digits.count
            var exponent = digits.count
            for index in digits.indices where unsafe digits[index] | 0x20 == UInt8(ascii: "e") { exponent = index }
            end = exponent
            if end >= 2, unsafe digits[end - 1] == UInt8(ascii: "0"), unsafe digits[end - 2] == UInt8(ascii: ".") { end -= 2 }
            unsafe bytes.append(contentsOf: digits[..<end])
            guard exponent < digits.count else { return }
            bytes.append(UInt8(ascii: "e"))
            unsafe bytes.append(digits[exponent + 1] == UInt8(ascii: "-") ? UInt8(ascii: "-") : UInt8(ascii: "+"))
            var first = exponent + 1
            while first < digits.count, unsafe !JSONScanner.isDigit(digits[first]) { first += 1 }
            if digits.count - first == 1 { bytes.append(UInt8(ascii: "0")) }
            unsafe bytes.append(contentsOf: digits[first...])
        }
    }
}
