/// Durations as Istio reads them: Go's time.ParseDuration, `300ms`, `1.5s`, `1h2m`, `-1s`, `0`. Result in nanoseconds.
enum GoDuration {
    /// Nil when the text is not a duration or does not fit 64 bits of nanoseconds (292 years).
    static func nanoseconds(_ text: String) -> Int64? {
        var rest = Array(text.utf8)[...]
        guard rest.count <= 64 else { return nil }
        var negative = false
        if let first = rest.first, first == UInt8(ascii: "-") || first == UInt8(ascii: "+") {
            negative = first == UInt8(ascii: "-")
            rest = rest.dropFirst()
        }
        if rest.elementsEqual([UInt8(ascii: "0")]) { return 0 }
        guard !rest.isEmpty else { return nil }
        var total: Int64 = 0
        while !rest.isEmpty {
            guard let term = term(&rest) else { return nil }
            let (sum, overflow) = total.addingReportingOverflow(term)
            if overflow { return nil }
            total = sum
        }
        return negative ? -total : total
    }

    private static func term(_ rest: inout ArraySlice<UInt8>) -> Int64? {
        var whole: Int64 = 0
        var digits = 0
        while let digit = rest.first, (0x30...0x39).contains(digit) {
            let (scaled, over) = whole.multipliedReportingOverflow(by: 10)
            let (sum, over2) = scaled.addingReportingOverflow(Int64(digit &- 0x30))
            if over || over2 { return nil }
            whole = sum
            digits += 1
            rest = rest.dropFirst()
        }
        var fraction: Double = 0
        if rest.first == UInt8(ascii: ".") {
            rest = rest.dropFirst()
            var scale = 0.1
            while let digit = rest.first, (0x30...0x39).contains(digit) {
                fraction += Double(digit &- 0x30) * scale
                scale /= 10
                digits += 1
                rest = rest.dropFirst()
            }
        }
        guard digits > 0 else { return nil }
        let unitBytes = rest.prefix { $0 != UInt8(ascii: ".") && !(0x30...0x39).contains($0) }
        guard let unit = units[String(decoding: unitBytes, as: UTF8.self)] else { return nil }
        rest = rest.dropFirst(unitBytes.count)
        let (scaled, over) = whole.multipliedReportingOverflow(by: unit)
        let (sum, over2) = scaled.addingReportingOverflow(Int64((fraction * Double(unit)).rounded()))
        return over || over2 ? nil : sum
    }

    private static let units: [String: Int64] = [
        "ns": 1, "us": 1_000, "\u{B5}s": 1_000, "\u{3BC}s": 1_000, "ms": 1_000_000, "s": 1_000_000_000,
        "m": 60_000_000_000, "h": 3_600_000_000_000,
    ]
}
