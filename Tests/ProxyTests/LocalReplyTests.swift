import Foundation
import Primitives
@testable import Proxy
import Testing

@Suite struct StatusTextTests {
    /// Every status that the proxy itself answers with has its phrase (RFC 9110 15); `Unknown` on a 503 would send people looking for a bug.
    @Test(arguments: [
        (200, "OK"), (301, "Moved Permanently"), (307, "Temporary Redirect"), (308, "Permanent Redirect"), (400, "Bad Request"), (403, "Forbidden"),
        (404, "Not Found"), (408, "Request Timeout"), (413, "Content Too Large"), (414, "URI Too Long"), (426, "Upgrade Required"),
        (429, "Too Many Requests"), (431, "Request Header Fields Too Large"), (500, "Internal Server Error"), (501, "Not Implemented"),
        (502, "Bad Gateway"), (503, "Service Unavailable"), (504, "Gateway Timeout"), (505, "HTTP Version Not Supported"),
    ] as [(UInt16, String)])
    func namesWhatTheProxyAnswers(_ status: UInt16, _ phrase: String) { #expect("\(StatusText.reason(status))" == phrase) }

    /// Configured statuses (direct responses, faults) can be anything; the phrase must then still be one line of text.
    @Test func everyStatusHasSomePhrase() {
        for status in UInt16(0)...1000 {
            let phrase = "\(StatusText.reason(status))"
            #expect(!phrase.isEmpty && phrase.utf8.allSatisfy { (0x20..<0x7F).contains($0) }, "\(status)")
        }
    }
}

@Suite struct GRPCStatusTests {
    /// gRPC clients decide by these whether to retry (statuscodes and http-grpc-status-mapping in grpc/doc).
    @Test(arguments: [(400, 13), (401, 16), (403, 7), (404, 12), (429, 14), (502, 14), (503, 14), (504, 14), (500, 2), (418, 2), (200, 2)] as [(UInt16, UInt8)])
    func followsTheMappingForHTTP(_ http: UInt16, _ code: UInt8) { #expect(GRPCStatus.code(forHTTP: http) == code) }

    /// RED series count by HTTP status: a gRPC failure that looked like 200 would be invisible there, a cancellation no server error.
    @Test func onlyZeroCountsAsSuccess() {
        #expect(GRPCStatus.http(0) == 200)
        for code in UInt8(1)...255 { #expect((400...599).contains(GRPCStatus.http(code)), "\(code)") }
        #expect(GRPCStatus.http(1) == 499)
        #expect(GRPCStatus.http(14) == 503)
    }
}

@Suite struct DateCacheTests {
    private func line(_ cache: inout DateCache, _ seconds: UInt64) -> String {
        var output = ByteBuffer()
        cache.append(to: &output, unixNanoseconds: seconds * 1_000_000_000 + 999_999_999)
        return String(decoding: output.bytes, as: UTF8.self)
    }

    /// RFC 9110's own example, and the ends of the calendar's odd years. A wrong date makes caches keep what is stale.
    @Test(arguments: [
        (0, "Thu, 01 Jan 1970 00:00:00 GMT"), (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"), (951_782_399, "Mon, 28 Feb 2000 23:59:59 GMT"),
        (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"), (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"), (1_735_689_599, "Tue, 31 Dec 2024 23:59:59 GMT"),
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
