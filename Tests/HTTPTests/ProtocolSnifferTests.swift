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

    static func hello(name: String, protocols: [String] = []) -> [UInt8] {
        func number(_ value: Int) -> [UInt8] { [UInt8(value >> 8), UInt8(value & 255)] }
        let host = Array(name.utf8)
        var extensions: [UInt8] = []
        if !name.isEmpty { extensions += [0, 0] + number(host.count + 5) + number(host.count + 3) + [0] + number(host.count) + host }
        let list = protocols.flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) }
        if !protocols.isEmpty { extensions += [0, 16] + number(list.count + 2) + number(list.count) + list }
        let body = [3, 3] + [UInt8](repeating: 7, count: 32) + [0] + number(2) + [19, 1] + [1, 0] + number(extensions.count) + extensions
        let handshake = [1, 0] + number(body.count) + body
        return [0x16, 3, 1] + number(handshake.count) + handshake
    }

    @Test func serverNamesAndIstiosProtocols() {
        for (name, protocols, istio) in [("a.example", ["h2"], false), ("", [], false), ("x.y", ["istio", "h2"], true), ("b.c", ["istio-http/1.1"], true)] {
            let bytes = Self.hello(name: name, protocols: protocols)
            unsafe bytes.withUnsafeBytes { buffer in
                guard case .hello(let range, let offers) = unsafe ClientHello.parse(buffer) else {
                    Issue.record("no hello: \(name)")
                    return
                }
                #expect(unsafe String(decoding: buffer[range], as: UTF8.self) == name && offers == istio)
                for count in 0..<buffer.count { #expect(unsafe ClientHello.parse(UnsafeRawBufferPointer(rebasing: buffer[..<count])) == .incomplete) }
            }
        }
    }

    /// Lengths that lie are no way out of the bytes.
    @Test func mutatedHellosAreHarmless() {
        let seed = UInt64.random(in: 1...UInt64.max)
        var random = Generator(seed: seed)
        for _ in 0..<20_000 {
            var bytes = Self.hello(name: "some.name.example", protocols: ["h2", "istio"])
            for _ in 0..<Int.random(in: 1...4, using: &random) { bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random) }
            unsafe bytes.withUnsafeBytes { buffer in
                if case .hello(let name, _) = unsafe ClientHello.parse(buffer) { #expect(name.upperBound <= buffer.count, "seed \(seed)") }
            }
        }
    }

    struct Generator: RandomNumberGenerator {
        var state: UInt64
        init(seed: UInt64) { state = seed }
        mutating func next() -> UInt64 {
            state &+= 0x9E37_79B9_7F4A_7C15
            var z = state
            z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
            z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
            return z ^ (z >> 31)
        }
    }
}
