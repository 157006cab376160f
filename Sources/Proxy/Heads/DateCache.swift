internal import Primitives

/// The `Date` line, formatted once a second (RFC 9110 5.6.7).
struct DateCache {
    private var second: UInt64 = .max
    private var line = InlineArray<37, UInt8>(repeating: 0)

    /// Appends `Date: Sun, 06 Nov 1994 08:49:37 GMT` and its line end.
    mutating func append(to buffer: inout ByteBuffer, unixNanoseconds: UInt64) {
        let now = unixNanoseconds / 1_000_000_000
        if now != second {
            second = now
            format()
        }
        unsafe withUnsafeBytes(of: line) { unsafe buffer.append($0) }
    }

    private mutating func format() {
        let days = Int(second / 86_400)
        let time = Int(second % 86_400)
        // Civil date from days since 1970, with years that begin in March.
        let shifted = days + 719_468
        let era = shifted / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let monthIndex = (5 * dayOfYear + 2) / 153
        let day = dayOfYear - (153 * monthIndex + 2) / 5 + 1
        let month = monthIndex < 10 ? monthIndex + 3 : monthIndex - 9
        let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        var position = 0
        func put(_ text: StaticString, from start: Int = 0, _ count: Int, _ line: inout InlineArray<37, UInt8>, _ position: inout Int) {
            for index in 0..<count {
                line[position] = unsafe text.utf8Start[start + index]
                position += 1
            }
        }
        func put(_ value: Int, digits: Int, _ line: inout InlineArray<37, UInt8>, _ position: inout Int) {
            var rest = value
            for index in stride(from: digits - 1, through: 0, by: -1) {
                line[position + index] = 48 + UInt8(truncatingIfNeeded: rest % 10)
                rest /= 10
            }
            position += digits
        }
        put("Date: ", 6, &line, &position)
        put("ThuFriSatSunMonTueWed", from: days % 7 * 3, 3, &line, &position)
        put(", ", 2, &line, &position)
        put(day, digits: 2, &line, &position)
        put(" ", 1, &line, &position)
        put("JanFebMarAprMayJunJulAugSepOctNovDec", from: (month - 1) * 3, 3, &line, &position)
        put(" ", 1, &line, &position)
        put(year, digits: 4, &line, &position)
        put(" ", 1, &line, &position)
        put(time / 3600, digits: 2, &line, &position)
        put(":", 1, &line, &position)
        put(time / 60 % 60, digits: 2, &line, &position)
        put(":", 1, &line, &position)
        put(time % 60, digits: 2, &line, &position)
        put(" GMT\r\n", 6, &line, &position)
    }
}
