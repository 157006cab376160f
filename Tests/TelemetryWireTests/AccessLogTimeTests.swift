import Foundation
@testable import TelemetryWire
import Testing

@Suite struct AccessLogTimeTests {
    private func text(_ seconds: UInt64, _ pattern: [UInt8], _ zone: ZoneReading) -> String {
        var bytes: [UInt8] = []
        AccessLogTime.append(seconds * 1_000_000_000 + 310_000_000, pattern: pattern, zone: zone, to: &bytes)
        return String(decoding: bytes, as: UTF8.self)
    }

    /// A day, a month and a year begin at another moment than in UTC, while `%s` counts the same seconds everywhere.
    @Test(arguments: [
        (-18_000, "EST", "2015-12-31T21:30:00.310-0500", "EST 1451615400"),
        (20_700, "+0545", "2016-01-01T08:15:00.310+0545", "+0545 1451615400"),
        (-34_200, "-0930", "2015-12-31T17:00:00.310-0930", "-0930 1451615400"),
        (0, "UTC", "2016-01-01T02:30:00.310+0000", "UTC 1451615400"),
    ])
    func aZoneShiftsTheDate(_ offset: Int, _ name: String, _ expected: String, _ zoned: String) {
        let zone = ZoneReading(offsetSeconds: offset, name: Array(name.utf8))
        #expect(text(1_451_615_400, AccessLogTime.localPattern, zone) == expected)
        #expect(text(1_451_615_400, Array("%Z %s".utf8), zone) == zoned)
    }

    /// The first hours of 1970 lie in 1969 to the west of Greenwich, which a record's time cannot be: it stays at its beginning.
    @Test func timeBeforeTheEpochIsItsBeginning() {
        #expect(text(0, Array("%Y".utf8), ZoneReading(offsetSeconds: -18_000, name: [])) == "1970")
    }

    @Test func aLongNameIsCut() {
        let zone = ZoneReading(offsetSeconds: 0, name: Array("ANameOfMoreThanSixteen".utf8))
        #expect(text(0, Array("%Z".utf8), zone) == "ANameOfMoreThanS")
    }

    /// Whatever the zone of the machine, readings that are kept agree with the C library's own, forwards and backwards.
    @Test func readingsAreTheCLibrarysOwn() {
        for hour in Array(0..<9000) + [0, 4000, 17] {
            let seconds = 1_451_606_400 + UInt64(hour) * 3600 + 1799
            var time = time_t(seconds)
            var broken = unsafe tm()
            _ = unsafe localtime_r(&time, &broken)
            #expect(unsafe LocalZone.shared.reading(at: seconds).offsetSeconds == broken.tm_gmtoff)
        }
    }
}
