internal import Primitives

/// The text of a JSON number (RFC 8259 section 6), whose grammar has been checked: what its value is. Used while the text is there.
struct JSONNumber {
    private let bytes: LentBytes

    init(_ bytes: LentBytes) { self.bytes = bytes }

    /// The value, its fraction cut off; nil when that is outside Int64.
    var wholePart: Int64? {
        let isNegative = bytes[0] == UInt8(ascii: "-")
        let first = isNegative ? 1 : 0
        var point = -1
        var last = first
        while last < bytes.count && bytes[last] | 0x20 != UInt8(ascii: "e") {
            if bytes[last] == UInt8(ascii: ".") { point = last }
            last += 1
        }
        // How many of the digits, and of the zeros behind them, stand in front of the point.
        var places = (point < 0 ? last : point) - first + exponent(from: last)
        var magnitude: UInt64 = 0
        var cursor = first
        while places > 0, cursor < last || magnitude != 0 {
            if cursor == point { cursor += 1 }
            let digit = cursor < last ? UInt64(bytes[cursor] &- 0x30) : 0
            let (product, overflows) = magnitude.multipliedReportingOverflow(by: 10)
            let (sum, isTooLarge) = product.addingReportingOverflow(digit)
            guard !overflows, !isTooLarge else { return nil }
            magnitude = sum
            cursor = min(cursor + 1, last)
            places -= 1
        }
        guard isNegative else { return Int64(exactly: magnitude) }
        return magnitude <= UInt64(Int64.max) + 1 ? Int64(truncatingIfNeeded: 0 &- magnitude) : nil
    }

    /// The exponent, whose `e` stands at `start`, at most a thousand million either way; 0 when there is none.
    private func exponent(from start: Int) -> Int {
        guard start < bytes.count else { return 0 }
        var cursor = start + 1
        let isNegative = bytes[cursor] == UInt8(ascii: "-")
        if isNegative || bytes[cursor] == UInt8(ascii: "+") { cursor += 1 }
        var exponent = 0
        while cursor < bytes.count {
            exponent = min(exponent * 10 + Int(bytes[cursor] &- 0x30), 1_000_000_000)
            cursor += 1
        }
        return isNegative ? -exponent : exponent
    }
}
