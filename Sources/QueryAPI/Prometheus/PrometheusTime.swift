/// Times and durations as parameters of Prometheus' API give them (prometheus.io/docs/prometheus/latest/querying/api, "Format overview").
/// Pure.
enum PrometheusTime {
    /// What `start` and `end` are when they are not given: earlier and later than any sample, in milliseconds since 1970.
    static let earliest: Int64 = -9_223_309_901_257_974
    static let latest: Int64 = 9_223_309_901_257_974

    /// Milliseconds since 1970 from seconds with a fraction or RFC 3339; nil = neither.
    static func milliseconds(_ text: String) -> Int64? {
        if let seconds = number(text) { return scaled(seconds, 1000) }
        switch text {
        case "-292273086-05-16T16:47:06Z": return earliest
        case "292277025-08-18T07:12:54.999999999Z": return latest
        default: return RFC3339.milliseconds(text)
        }
    }

    /// Milliseconds from seconds with a fraction or a duration such as `1h30m`.
    enum Length: Equatable {
        case milliseconds(Int64)
        case overflow
        case none
    }

    static func length(_ text: String) -> Length {
        if let seconds = number(text) {
            guard seconds.magnitude < 9_223_372_036, let value = scaled(seconds, 1000) else { return .overflow }
            return .milliseconds(value)
        }
        return units(text).map { .milliseconds($0) } ?? .none
    }

    /// What Go's ParseFloat takes; NaN and infinities are no times.
    private static func number(_ text: String) -> Double? {
        guard let first = text.utf8.first, first != UInt8(ascii: " "), text.utf8.count <= 64 else { return nil }
        return Double(text)
    }

    private static func scaled(_ value: Double, _ scale: Double) -> Int64? { Int64(exactly: (value * scale).rounded()) }

    /// `1y2w3d4h5m6s7ms`: each unit once, in this order (Prometheus' model.ParseDuration).
    private static func units(_ text: String) -> Int64? {
        let known: [(name: String, milliseconds: Int64)] = [
            ("y", 31_536_000_000), ("w", 604_800_000), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1),
        ]
        if text == "0" { return 0 }
        var rest = Substring(text)
        var next = 0
        var sum: Int64 = 0
        while !rest.isEmpty {
            let digits = rest.prefix { $0 >= "0" && $0 <= "9" }
            rest = rest.dropFirst(digits.count)
            let unit = rest.prefix { $0.isLetter }
            rest = rest.dropFirst(unit.count)
            guard let count = Int64(digits), let place = known.indices.first(where: { known[$0].name == unit }), place >= next else {
                return nil
            }
            next = place + 1
            let (product, isTooLong) = count.multipliedReportingOverflow(by: known[place].milliseconds)
            let (total, isTooMuch) = sum.addingReportingOverflow(product)
            guard !isTooLong, !isTooMuch else { return nil }
            sum = total
        }
        return text.isEmpty ? nil : sum
    }
}

/// Dates of RFC 3339, with a fraction of any length.
enum RFC3339 {
    /// Milliseconds since 1970, cut; nil = it is none.
    static func milliseconds(_ text: String) -> Int64? {
        let bytes = Array(text.utf8)
        guard bytes.count >= 20, bytes.count <= 40, bytes[4] == dash, bytes[7] == dash, bytes[10] | 0x20 == UInt8(ascii: "t"),
            bytes[13] == colon, bytes[16] == colon
        else { return nil }
        guard let year = digits(bytes[0..<4]), let month = digits(bytes[5..<7]), let day = digits(bytes[8..<10]),
            let hour = digits(bytes[11..<13]), let minute = digits(bytes[14..<16]), let second = digits(bytes[17..<19]),
            (1...12).contains(month), (1...days(year, month)).contains(day), hour < 24, minute < 60, second < 60
        else { return nil }
        var place = 19
        var fraction: Int64 = 0
        if bytes[place] == UInt8(ascii: ".") {
            let start = place + 1
            place = bytes[start...].firstIndex { !isDigit($0) } ?? bytes.count
            guard place > start else { return nil }
            let three = Array(bytes[start..<place].prefix(3)) + [UInt8](repeating: UInt8(ascii: "0"), count: max(0, 3 - (place - start)))
            fraction = digits(three[...]) ?? 0
        }
        guard let offset = offsetMinutes(bytes[place...]) else { return nil }
        let minutes = (daysSince1970(year, month, day) * 24 + hour) * 60 + minute - offset
        return (minutes * 60 + second) * 1000 + fraction
    }

    private static let dash = UInt8(ascii: "-")
    private static let colon = UInt8(ascii: ":")

    private static func isDigit(_ byte: UInt8) -> Bool { byte &- UInt8(ascii: "0") < 10 }

    private static func digits(_ bytes: ArraySlice<UInt8>) -> Int64? {
        bytes.reduce(0 as Int64?) { value, byte in isDigit(byte) ? value.map { $0 * 10 + Int64(byte - UInt8(ascii: "0")) } : nil }
    }

    /// `Z` or `+hh:mm`.
    private static func offsetMinutes(_ bytes: ArraySlice<UInt8>) -> Int64? {
        let zone = Array(bytes)
        if zone.count == 1, zone[0] | 0x20 == UInt8(ascii: "z") { return 0 }
        guard zone.count == 6, zone[0] == UInt8(ascii: "+") || zone[0] == dash, zone[3] == colon, let hours = digits(zone[1..<3]),
            let minutes = digits(zone[4..<6]), hours < 24, minutes < 60
        else { return nil }
        return (zone[0] == dash ? -1 : 1) * (hours * 60 + minutes)
    }

    private static func days(_ year: Int64, _ month: Int64) -> Int64 {
        switch month {
        case 2: year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28
        case 4, 6, 9, 11: 30
        default: 31
        }
    }

    /// Of the Gregorian calendar, with years that begin in March.
    private static func daysSince1970(_ year: Int64, _ month: Int64, _ day: Int64) -> Int64 {
        let shifted = month <= 2 ? year - 1 : year
        let era = (shifted >= 0 ? shifted : shifted - 399) / 400
        let yearOfEra = shifted - era * 400
        let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
        return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
    }
}
