/// Durations as Go's `time.ParseDuration` takes them, which Jaeger and Tempo do: `1.5s`, `1h30m`, `100us`; in TraceQL also `d`, `w`, `y`.
enum GoDuration {
    private static let units: [(name: String, nanoseconds: Double)] = [
        ("ns", 1), ("us", 1e3), ("µs", 1e3), ("μs", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 6e10), ("h", 3.6e12), ("d", 8.64e13),
        ("w", 6.048e14), ("y", 3.1536e16),
    ]

    /// Nanoseconds, at least 0 and below 2^63; nil = the text is no duration. `0` needs no unit.
    static func nanoseconds(_ text: String) -> Double? {
        if text == "0" { return 0 }
        var rest = Substring(text)
        guard !rest.isEmpty, text.utf8.count <= 64 else { return nil }
        var sum = 0.0
        while !rest.isEmpty {
            let digits = rest.prefix { $0.isASCII && $0.isNumber || $0 == "." }
            rest = rest.dropFirst(digits.count)
            let name = rest.prefix { !($0.isASCII && $0.isNumber) && $0 != "." }
            rest = rest.dropFirst(name.count)
            guard let number = Double(digits), let unit = units.first(where: { $0.name == name }) else { return nil }
            sum += number * unit.nanoseconds
        }
        return sum.isFinite && sum < 9.2e18 ? sum : nil
    }
}
