/// A moment's parts in UTC, from seconds since 1970 (proleptic Gregorian, as Go's `time`).
struct Calendar {
    let year: Int
    /// 1…12
    let month: Int
    /// 1…31
    let day: Int
    /// 1…366
    let dayOfYear: Int
    /// 0 = Sunday
    let weekday: Int
    let hour: Int
    let minute: Int

    /// Years beyond ±1e11 are clamped.
    init(seconds: Int64) {
        let seconds = min(max(seconds, -1 << 61), 1 << 61)
        let days = Int((Double(seconds) / 86_400).rounded(.down).magnitude < 0x1p40 ? Self.floored(seconds, 86_400) : seconds / 86_400)
        let rest = Int(seconds - Int64(days) * 86_400)
        hour = rest / 3600
        minute = rest / 60 % 60
        weekday = ((days + 4) % 7 + 7) % 7
        // Days from 0000-03-01 in eras of 400 years (Howard Hinnant, "chrono-compatible low-level date algorithms").
        let shifted = days + 719_468
        let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayFromMarch = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let monthFromMarch = (5 * dayFromMarch + 2) / 153
        day = dayFromMarch - (153 * monthFromMarch + 2) / 5 + 1
        month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
        year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        let isLeap = Self.isLeap(year)
        dayOfYear = month <= 2 ? dayFromMarch - 305 : dayFromMarch + 60 + (isLeap ? 1 : 0)
    }

    /// As RFC 3339 has it, to the minute: `2026-11-28T10:00Z`.
    var text: String {
        func padded(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
        return "\(year)-\(padded(month))-\(padded(day))T\(padded(hour)):\(padded(minute))Z"
    }

    private static func floored(_ value: Int64, _ divisor: Int64) -> Int64 {
        let quotient = value / divisor
        return value % divisor < 0 ? quotient - 1 : quotient
    }

    private static func isLeap(_ year: Int) -> Bool { year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) }

    var daysInMonth: Int {
        switch month {
        case 2: Self.isLeap(year) ? 29 : 28
        case 4, 6, 9, 11: 30
        default: 31
        }
    }

    static func function(named name: String) -> ((Calendar) -> Int)? {
        switch name {
        case "year": { $0.year }
        case "month": { $0.month }
        case "day_of_month": { $0.day }
        case "day_of_week": { $0.weekday }
        case "day_of_year": { $0.dayOfYear }
        case "days_in_month": { $0.daysInMonth }
        case "hour": { $0.hour }
        case "minute": { $0.minute }
        default: nil
        }
    }
}
