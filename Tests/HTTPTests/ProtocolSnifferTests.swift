import HTTP
import Testing

@Suite struct ProtocolSnifferTests {
    static func look(_ text: String) -> ProtocolSniffer.Verdict { unsafe Array(text.utf8).withUnsafeBytes { unsafe ProtocolSniffer.look($0) } }

    @Test(arguments: [
        ("GET / HTTP/1.1\r\n", ProtocolSniffer.Verdict.http), ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", .http), ("M-SEARCH * HTTP/1.1\r\n", .http),
        ("GET / HTTP/1.0\n", .http), ("GET key\r\n", .other), ("get / HTTP/1.1\r\n", .other), ("*1\r\n$4\r\nPING\r\n", .other), ("SSH-2.0-x\r\n", .other),
        ("\0\0\0\u{8}", .other), ("EHLO mail\r\n", .other), ("", .undecided), ("G", .undecided), ("GET", .undecided), ("GET /long", .undecided),
        ("ABCDEFGHIJKLMNOPQRSTUVWXYZ", .other),
    ])
    func verdicts(_ text: String, _ expected: ProtocolSniffer.Verdict) {
        #expect(Self.look(text) == expected)
    }

    /// However the bytes come, no prefix of a request is taken for something else.
    @Test func prefixesOfRequestsAreUndecided() {
        let request = Array("DELETE /a/b?c HTTP/1.1\r\n".utf8)
        for count in 0..<request.count {
            #expect(unsafe request[..<count].withUnsafeBytes { unsafe ProtocolSniffer.look($0) } == .undecided, "\(count)")
        }
    }

    /// A client whose first bytes come in pieces would otherwise be taken for something else than one whose bytes come at once.
    @Test(arguments: [
        String(repeating: "Z", count: 69) + "CAKC @x", "ABCDEFGHIJKLMNOPQRSTUVWX / HTTP/1.1\r\n", "ABCDEFGHIJKLMNOPQRSTUVWXY / HTTP/1.1\r\n",
        "GET /" + String(repeating: "a", count: 8192 - 16) + " HTTP/1.1\r\n", "GET /" + String(repeating: "a", count: 9000) + " HTTP/1.1\r\n",
    ])
    func aVerdictStaysWhateverComesLater(_ text: String) {
        let whole = Self.look(text)
        var first: ProtocolSniffer.Verdict?
        for count in 0...text.utf8.count where first == nil {
            let verdict = Self.look(String(text.prefix(count)))
            if verdict != .undecided { first = verdict }
        }
        #expect((first ?? .undecided) == whole)
    }
}
