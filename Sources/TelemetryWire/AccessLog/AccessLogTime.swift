/// Wall-clock time as access logs print it: ISO 8601 UTC with milliseconds by default, else a strftime pattern (semantics 2.1).
enum AccessLogTime {
    struct Civil {
        var year = 1970
        var month = 1
        var day = 1
        var hour = 0
        var minute = 0
        var second = 0
        var dayOfWeek = 4
        var dayOfYear = 1
    }

    /// Proleptic Gregorian date of a count of seconds since 1970 (days-from-civil arithmetic on 400-year eras).
    static func civil(_ unixSeconds: UInt64) -> Civil {
        var civil = Civil()
        let days = Int(unixSeconds / 86_400)
        let rest = Int(unixSeconds % 86_400)
        civil.hour = rest / 3600
        civil.minute = rest / 60 % 60
        civil.second = rest % 60
        civil.dayOfWeek = (days + 4) % 7
        let shifted = days + 719_468
        let era = shifted / 146_097
        let dayOfEra = shifted % 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let marchDay = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let marchMonth = (5 * marchDay + 2) / 153
        civil.day = marchDay - (153 * marchMonth + 2) / 5 + 1
        civil.month = marchMonth < 10 ? marchMonth + 3 : marchMonth - 9
        civil.year = yearOfEra + era * 400 + (civil.month <= 2 ? 1 : 0)
        let isLeap = civil.year % 4 == 0 && (civil.year % 100 != 0 || civil.year % 400 == 0)
        let before: InlineArray<12, Int> = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334]
        civil.dayOfYear = before[civil.month - 1] + civil.day + (isLeap && civil.month > 2 ? 1 : 0)
        return civil
    }

    /// The most that a time in this pattern takes, bytes: no specifier takes more than thirteen times its own bytes (`%c`: 24 and 2).
    static func bytesMax(_ pattern: [UInt8]) -> Int { pattern.isEmpty ? 24 : 13 * (pattern.count + 1) }

    private static func appendDate(_ civil: Civil, _ separator: StaticString, to bytes: inout [UInt8]) {
        bytes.append(decimal: UInt64(civil.year), width: 4)
        bytes.append(ascii: separator)
        bytes.append(decimal: UInt64(civil.month), width: 2)
        bytes.append(ascii: separator)
        bytes.append(decimal: UInt64(civil.day), width: 2)
    }

    private static func appendClock(_ civil: Civil, to bytes: inout [UInt8]) {
        bytes.append(decimal: UInt64(civil.hour), width: 2)
        bytes.append(UInt8(ascii: ":"))
        bytes.append(decimal: UInt64(civil.minute), width: 2)
        bytes.append(UInt8(ascii: ":"))
        bytes.append(decimal: UInt64(civil.second), width: 2)
    }

    /// The specifiers that `append` knows, for error messages.
    static let specifiers =
        "strftime's (%a %A %b %B %c %C %d %D %e %F %g %G %h %H %I %j %k %l %m %M %n %p %P %r %R %s %S %t %T %u %U %V %w %W %x %X %y %Y "
            + "%z %Z %%, "
        + "with -, _, 0, ^, #, a width, E or O), %f, %1f to %9f and %N for fractions, %E1S to %E9S, %E*S, %E1f to %E9f, %E*f, %E4Y, %ET, "
            + "%Ez, %E*z and %:z"

    /// Whether every `%` of the pattern starts a known specifier.
    static func isValid(_ pattern: [UInt8]) -> Bool {
        var at = 0
        while at < pattern.count {
            if pattern[at] == UInt8(ascii: "%") {
                guard let specifier = TimeSpecifier(pattern, at: at) else { return false }
                at = specifier.end
            } else {
                at += 1
            }
        }
        return true
    }

    /// Of the local operators where none is given, as Envoy prints it (`%Y-%m-%dT%H:%M:%E3S%z` in Abseil's words).
    static let localPattern = Array("%Y-%m-%dT%H:%M:%S.%3f%z".utf8)

    /// A strftime pattern in UTC or the given zone, with Envoy's fractions and Abseil's `%E` forms (`TimeSpecifier`).
    static func append(_ unixNanoseconds: UInt64, pattern: [UInt8], zone: ZoneReading = .utc, to bytes: inout [UInt8]) {
        let seconds = unixNanoseconds / 1_000_000_000
        let nanoseconds = unixNanoseconds % 1_000_000_000
        let civil = civil(UInt64(clamping: Int(clamping: seconds) + zone.offsetSeconds))
        var at = 0
        while at < pattern.count {
            guard pattern[at] == UInt8(ascii: "%"), let specifier = TimeSpecifier(pattern, at: at) else {
                bytes.append(pattern[at])
                at += 1
                continue
            }
            at = specifier.end
            switch specifier.kind {
            case .plain(UInt8(ascii: "z")): zone.appendOffset(to: &bytes)
            case .plain(UInt8(ascii: "Z")): zone.appendName(to: &bytes)
            case .plain(let letter): append(letter, civil, seconds, nanoseconds, to: &bytes)
            case .fraction(let digits): append(fraction: nanoseconds, digits: digits, to: &bytes)
            case .secondsWithFraction(let digits):
                bytes.append(decimal: UInt64(civil.second), width: 2)
                if digits == nil, nanoseconds == 0 { continue }
                if digits != 0 { bytes.append(UInt8(ascii: ".")) }
                append(fraction: nanoseconds, digits: digits, to: &bytes)
            case .offset(let hasSeconds): zone.appendOffset(withColon: true, withSeconds: hasSeconds, to: &bytes)
            case .library(let text): StrftimeText.append(text, civil, zone, to: &bytes)
            }
        }
    }

    /// `digits` nil: as many as it needs, at least one.
    private static func append(fraction nanoseconds: UInt64, digits: Int?, to bytes: inout [UInt8]) {
        var width = digits ?? 9
        var fraction = nanoseconds
        for _ in 0..<max(9 - width, 0) { fraction /= 10 }
        if digits == nil {
            while width > 1, fraction % 10 == 0 {
                fraction /= 10
                width -= 1
            }
        }
        if width > 0 { bytes.append(decimal: fraction, width: min(width, 9)) }
        for _ in 0..<max(width - 9, 0) { bytes.append(UInt8(ascii: "0")) }
    }

    private static func append(_ specifier: UInt8, _ civil: Civil, _ seconds: UInt64, _ nanoseconds: UInt64, to bytes: inout [UInt8]) {
        let days = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"]
        let months = [
            "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December",
        ]
        let hour12 = UInt64(civil.hour % 12 == 0 ? 12 : civil.hour % 12)
        switch specifier {
        case UInt8(ascii: "Y"): bytes.append(decimal: UInt64(civil.year))
        case UInt8(ascii: "y"): bytes.append(decimal: UInt64(civil.year % 100), width: 2)
        case UInt8(ascii: "m"): bytes.append(decimal: UInt64(civil.month), width: 2)
        case UInt8(ascii: "d"): bytes.append(decimal: UInt64(civil.day), width: 2)
        case UInt8(ascii: "e"):
            if civil.day < 10 { bytes.append(0x20) }
            bytes.append(decimal: UInt64(civil.day))
        case UInt8(ascii: "H"): bytes.append(decimal: UInt64(civil.hour), width: 2)
        case UInt8(ascii: "I"): bytes.append(decimal: hour12, width: 2)
        case UInt8(ascii: "M"): bytes.append(decimal: UInt64(civil.minute), width: 2)
        case UInt8(ascii: "S"): bytes.append(decimal: UInt64(civil.second), width: 2)
        case UInt8(ascii: "p"): if civil.hour < 12 { bytes.append(ascii: "AM") } else { bytes.append(ascii: "PM") }
        case UInt8(ascii: "j"): bytes.append(decimal: UInt64(civil.dayOfYear), width: 3)
        case UInt8(ascii: "a"): bytes.append(contentsOf: days[civil.dayOfWeek].utf8.prefix(3))
        case UInt8(ascii: "A"): bytes.append(contentsOf: days[civil.dayOfWeek].utf8)
        case UInt8(ascii: "b"), UInt8(ascii: "h"): bytes.append(contentsOf: months[civil.month - 1].utf8.prefix(3))
        case UInt8(ascii: "B"): bytes.append(contentsOf: months[civil.month - 1].utf8)
        case UInt8(ascii: "F"): appendDate(civil, "-", to: &bytes)
        case UInt8(ascii: "T"): appendClock(civil, to: &bytes)
        case UInt8(ascii: "R"):
            bytes.append(decimal: UInt64(civil.hour), width: 2)
            bytes.append(UInt8(ascii: ":"))
            bytes.append(decimal: UInt64(civil.minute), width: 2)
        case UInt8(ascii: "D"):
            for (index, part) in [civil.month, civil.day, civil.year % 100].enumerated() {
                if index > 0 { bytes.append(UInt8(ascii: "/")) }
                bytes.append(decimal: UInt64(part), width: 2)
            }
        case UInt8(ascii: "s"): bytes.append(decimal: seconds)
        case UInt8(ascii: "f"), UInt8(ascii: "N"): bytes.append(decimal: nanoseconds, width: 9)
        case UInt8(ascii: "n"): bytes.append(0x0A)
        case UInt8(ascii: "t"): bytes.append(0x09)
        default: bytes.append(UInt8(ascii: "%"))
        }
    }
}
