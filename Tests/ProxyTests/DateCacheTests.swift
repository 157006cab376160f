import Foundation
import Primitives
@testable import Proxy
import Testing

@Suite struct DateCacheTests {
    private func line(_ cache: inout DateCache, _ seconds: UInt64) -> String {
        var output = ByteBuffer()
        cache.append(to: &output, unixNanoseconds: seconds * 1_000_000_000 + 999_999_999)
        return String(decoding: output.bytes, as: UTF8.self)
    }

    /// RFC 9110's own example, and the ends of the calendar's odd years. A wrong date makes caches keep what is stale.
    @Test(arguments: [
        (0, "Thu, 01 Jan 1970 00:00:00 GMT"), (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
        (951_782_399, "Mon, 28 Feb 2000 23:59:59 GMT"),
        (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"), (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
        (1_735_689_599, "Tue, 31 Dec 2024 23:59:59 GMT"),
    ] as [(UInt64, String)])
    func writesTheDate(_ seconds: UInt64, _ text: String) {
        var cache = DateCache()
        #expect(line(&cache, seconds) == "Date: \(text)\r\n")
    }

    /// Against the platform's calendar, in one cache that sees time jump about.
    @Test func agreesWithTheCalendar() {
        let formatter = DateFormatter()
        formatter.locale = Locale(identifier: "en_US_POSIX")
        formatter.timeZone = TimeZone(identifier: "GMT")
        formatter.dateFormat = "'Date: 'EEE, dd MMM yyyy HH:mm:ss 'GMT'\r\n"
        var random = RandomSource(seed: 11)
        var cache = DateCache()
        for _ in 0..<2000 {
            let seconds = UInt64(random.below(.max)) * 2
            #expect(line(&cache, seconds) == formatter.string(from: Date(timeIntervalSince1970: TimeInterval(seconds))))
        }
    }
}
