/// HTML as bytes. Everything that is not our own markup goes through `append(escaped:)`: span data is written by strangers.
extension Array where Element == UInt8 {
    /// Text in an element or in a double-quoted attribute. At most `countMax` characters, then an ellipsis.
    mutating func append(escaped text: String, countMax: Int = 256) {
        var count = 0
        for scalar in text.unicodeScalars {
            if count == countMax {
                append(text: "…")
                return
            }
            count += 1
            switch scalar {
            case "&": append(text: "&amp;")
            case "<": append(text: "&lt;")
            case ">": append(text: "&gt;")
            case "\"": append(text: "&quot;")
            case "'": append(text: "&#39;")
            // Controls are invisible, and directional overrides reorder what stands around them.
            case "\u{0}"..."\u{8}", "\u{B}"..."\u{1F}", "\u{7F}"..."\u{9F}", "\u{200E}", "\u{200F}",
                "\u{202A}"..."\u{202E}", "\u{2066}"..."\u{2069}":
                append(text: "\u{FFFD}")
            default: append(contentsOf: Swift.String(scalar).utf8)
            }
        }
    }
}

/// Times and sizes for people.
enum PageText {
    /// `2026-11-23 21:12:18 UTC` of microseconds since 1970 (proleptic Gregorian, days from civil).
    static func time(microseconds: UInt64) -> String {
        let seconds = microseconds / 1_000_000
        let days = Int64(seconds / 86_400)
        let shifted = days + 719_468
        let era = shifted / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let part = (5 * dayOfYear + 2) / 153
        let month = part < 10 ? part + 3 : part - 9
        let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        let time = seconds % 86_400
        return "\(year)-\(two(month))-\(two(dayOfYear - (153 * part + 2) / 5 + 1)) "
            + "\(two(Int64(time / 3600))):\(two(Int64(time / 60 % 60))):\(two(Int64(time % 60))) UTC"
    }

    /// `870 µs`, `12.4 ms`, `3.05 s`.
    static func durationText(microseconds: UInt64) -> String {
        if microseconds < 1000 { return "\(microseconds) µs" }
        if microseconds < 1_000_000 { return decimal(Double(microseconds) / 1000) + " ms" }
        return decimal(Double(microseconds) / 1_000_000) + " s"
    }

    static func bytesText(_ count: UInt64) -> String {
        var value = Double(count)
        for unit in ["B", "KiB", "MiB", "GiB"] {
            if value < 1024 { return (unit == "B" ? "\(count)" : decimal(value)) + " " + unit }
            value /= 1024
        }
        return decimal(value) + " TiB"
    }

    /// `12,345`.
    static func countText(_ number: UInt64) -> String {
        var digits = Array(String(number))
        var at = digits.count - 3
        while at > 0 {
            digits.insert(",", at: at)
            at -= 3
        }
        return String(digits)
    }

    /// Three significant digits at most.
    static func decimal(_ value: Double) -> String {
        let scale: Double = value < 10 ? 100 : (value < 100 ? 10 : 1)
        let scaled = UInt64(max(0, min(value * scale + 0.5, 1e15)))
        let whole = scaled / UInt64(scale)
        let rest = scaled % UInt64(scale)
        if rest == 0 { return "\(whole)" }
        return scale == 100 ? "\(whole).\(two(Int64(rest)))" : "\(whole).\(rest)"
    }

    private static func two(_ value: Int64) -> String { value < 10 ? "0\(value)" : "\(value)" }
}
