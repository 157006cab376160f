/// Durations as Prometheus writes them: `1h30m`, `250ms`; years, weeks, days, hours, minutes, seconds, milliseconds, each once and in this
/// order (common/model, `ParseDuration`).
public enum PromDuration {
    public enum Problem: Error, Hashable, Sendable {
        case empty
        case malformed
        case outOfRange
    }

    private static let units: [(name: String, milliseconds: Int64, isExact: Bool)] = [
        ("y", 365 * 86_400_000, true), ("w", 7 * 86_400_000, true), ("d", 86_400_000, false), ("h", 3_600_000, false), ("m", 60_000, false),
        ("s", 1_000, false), ("ms", 1, false),
    ]
    /// What Go's nanoseconds in 64 bits hold.
    static let millisecondsMax = Int64.max / 1_000_000

    /// Milliseconds; "0" is 0.
    public static func parse(_ text: String) throws(Problem) -> Int64 {
        if text == "0" { return 0 }
        guard !text.isEmpty else { throw .empty }
        var rest = text.utf8[...]
        var total: Int64 = 0
        var next = 0
        while !rest.isEmpty {
            let digits = rest.prefix { (0x30...0x39).contains($0) }
            rest = rest[digits.endIndex...]
            let name = rest.prefix { !(0x30...0x39).contains($0) }
            rest = rest[name.endIndex...]
            guard !digits.isEmpty, let unit = units[next...].firstIndex(where: { Array($0.name.utf8) == Array(name) }) else {
                throw .malformed
            }
            next = unit + 1
            guard let count = Int64(Substring(digits)) else { throw .outOfRange }
            let (part, overflow) = count.multipliedReportingOverflow(by: units[unit].milliseconds)
            guard !overflow, part <= millisecondsMax, total + part <= millisecondsMax else { throw .outOfRange }
            total += part
        }
        return total
    }

    /// The reason in Prometheus' words.
    static func reason(_ problem: Problem, _ text: String) -> String {
        switch problem {
        case .empty: "empty duration string"
        case .malformed: "not a valid duration string: \(GoText.quoted(text))"
        case .outOfRange: "duration out of range"
        }
    }

    /// Years and weeks only where they are exact. The sign is the caller's.
    public static func text(milliseconds: Int64) -> String {
        guard milliseconds != 0 else { return "0s" }
        var rest = milliseconds
        var text = ""
        for unit in units where rest >= unit.milliseconds && !(unit.isExact && rest % unit.milliseconds != 0) {
            text += "\(rest / unit.milliseconds)\(unit.name)"
            rest %= unit.milliseconds
        }
        return text
    }
}
