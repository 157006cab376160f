import HTTP
import Testing

@Suite struct StatusTextTests {
    /// Every status that the proxy itself answers with has its phrase (RFC 9110 15); `Unknown` on a 503 would send people looking for a
    /// bug.
    @Test(arguments: [
        (200, "OK"), (301, "Moved Permanently"), (307, "Temporary Redirect"), (308, "Permanent Redirect"),
        (400, "Bad Request"),
        (403, "Forbidden"), (404, "Not Found"), (408, "Request Timeout"),
        (413, "Content Too Large"), (414, "URI Too Long"), (426, "Upgrade Required"),
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
