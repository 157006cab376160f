import HTTP
import Primitives
import Testing

@Suite struct FieldRulesTests {
    static func test(_ name: String, _ rule: (UnsafeRawBufferPointer) -> Bool) -> Bool { unsafe Array(name.utf8).withUnsafeBytes { unsafe rule($0) } }

    /// RFC 9110 6.5.1, and what proxies and applications believe of a head.
    @Test(arguments: [
        "Content-Length", "Transfer-Encoding", "Host", "Connection", "TE", "Trailer", "Upgrade", "Keep-Alive", "Proxy-Connection", "Proxy-Authorization", "Authorization",
        "Cookie", "Set-Cookie", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "x-forwarded-client-cert", "Forwarded", "Via", "X-Real-IP", "X-Envoy-Internal",
        "x-envoy-attempt-count", "X-Request-Id", "traceparent", "tracestate", "b3", "X-B3-TraceId", "Content-Type", "Content-Encoding", "Content-Range", "Cache-Control",
        "Max-Forwards", "Range", "If-Match", "Expect", "Accept", "Accept-Encoding", "Date", "Age", "Expires", "Location", "Retry-After", "Vary", "Warning",
        "WWW-Authenticate", "Access-Control-Allow-Origin", "Sec-WebSocket-Key", "X-HTTP-Method-Override", "X-Original-URL", "Origin", "Referer",
    ])
    func forbiddenInTrailers(name: String) {
        for text in [name, name.lowercased(), name.uppercased()] { #expect(unsafe Self.test(text) { unsafe FieldRules.isForbiddenInTrailers($0) }, "\(text)") }
    }

    @Test(arguments: [
        "grpc-status", "grpc-message", "grpc-status-details-bin", "x-sum", "ETag", "Authentication-Info", "Content-Digest", "Repr-Digest", "Server-Timing", "x-forwarded",
        "content", "my-cookie", "if", "",
    ])
    func allowedInTrailers(name: String) { #expect(unsafe !Self.test(name) { unsafe FieldRules.isForbiddenInTrailers($0) }) }

    /// RFC 9110 7.6.1: what is for everybody cannot be made a matter of one hop.
    @Test(arguments: ["authorization", "Cookie", "SET-COOKIE", "X-Forwarded-Host", "x-envoy-internal", "Cache-Control", "Content-Digest", "grpc-timeout", "ETag", "From"])
    func endToEnd(name: String) { #expect(unsafe Self.test(name) { unsafe FieldRules.isEndToEnd($0) }) }

    @Test(arguments: ["x-hop", "x-secret", "cookies", "authorization2"])
    func mayBeOfOneHop(name: String) { #expect(unsafe !Self.test(name) { unsafe FieldRules.isEndToEnd($0) }) }

    @Test(arguments: ["transfer_encoding", "Content_Length", "X_Forwarded_For", "x-forwarded_for", "X_ENVOY_anything_at_all_that_is_longer_than_the_table", "x_b3_traceid", "max_forwards"])
    func lookalikes(name: String) { #expect(unsafe Self.test(name) { unsafe HeaderName.isLookalike($0) }) }

    @Test(arguments: ["x_custom", "user_id", "transfer_encoding_", "_host", "content_length_and_much_more_behind_it", "x_envoy", ""])
    func notLookalikes(name: String) { #expect(unsafe !Self.test(name) { unsafe HeaderName.isLookalike($0) }) }
}

@Suite struct UpgradeProtocolsTests {
    @Test func namesAreComparedWithoutCaseAndOthersAreTold() {
        let protocols = UpgradeProtocols(names: ["websocket", "x-raw/1"])
        func choice(_ value: String) -> (UpgradeProtocols.Choice?, others: Bool) {
            var others = false
            let found = unsafe Array(value.utf8).withUnsafeBytes { unsafe protocols?.choice(in: LentBytes($0), others: &others) }
            return (found, others)
        }
        #expect(choice("WebSocket") == (1, false))
        #expect(choice("h2c, websocket") == (1, true))
        #expect(choice(" x-raw/1 ,websocket,") == (3, false))
        #expect(choice("x-raw/2") == (0, true))
        #expect(choice("websockets") == (0, true))
        #expect(choice("") == (0, false))
        var text = ByteBuffer()
        protocols?.append(3, to: &text)
        #expect(unsafe String(decoding: text.readable, as: UTF8.self) == "websocket, x-raw/1")
    }

    /// Requests inside of these would pass no rule.
    @Test(arguments: ["h2c", "H2C", "h2", "HTTP/2.0", "http/1.1", "TLS/1.0", "", "a b", "a,b", "é", "web\r\nsocket"])
    func neverTunnelled(name: String) {
        #expect(UpgradeProtocols.problem(name) != nil)
        #expect(UpgradeProtocols(names: ["websocket", name]) == nil)
    }

    @Test func eightAreEnough() {
        #expect(UpgradeProtocols(names: (0..<8).map { "p\($0)" }) != nil)
        #expect(UpgradeProtocols(names: (0..<9).map { "p\($0)" }) == nil)
        #expect(UpgradeProtocols(names: []) != nil)
    }
}

@Suite struct RequestGlimpseTests {
    static func read(_ text: String) -> [String] {
        let bytes = Array(text.utf8)
        let glimpse = unsafe bytes.withUnsafeBytes { unsafe RequestGlimpse($0) }
        return [glimpse.method, glimpse.target, glimpse.host].map { String(decoding: bytes[$0], as: UTF8.self) }
    }

    @Test(arguments: [
        ("", ["", "", ""]), ("GE", ["GE", "", ""]), ("GET ", ["GET", "", ""]), ("GET /a", ["GET", "/a", ""]), ("\r\nPOST /a?b HTTP/1.1\r\n", ["POST", "/a?b", ""]),
        ("GET / HTTP/1.1\r\nX: y\r\nhOsT:\ta.test:80 \r\nbad", ["GET", "/", "a.test:80"]), ("GET / HTTP/1.1\r\nX-Host: a\r\nHost", ["GET", "/", ""]),
        ("GET  / HTTP/1.1\nHost: a\n", ["GET", "/", "a"]), ("GE(T / HTTP/1.1\r\n", ["", "", ""]), ("\u{16}\u{3}\u{1}", ["", "", ""]),
        (String(repeating: "A", count: 33) + " /", ["", "", ""]),
    ] as [(String, [String])])
    func asFarAsItGoes(text: String, expected: [String]) { #expect(Self.read(text) == expected) }

    @Test func anyBytesAtAll() {
        var random = RandomSource(seed: 3)
        let alphabet = Array("GET / host:\r\n\n \t".utf8) + [0, 127, 200]
        for _ in 0..<20_000 {
            let bytes = (0..<Int(random.below(60))).map { _ in alphabet[Int(random.below(UInt32(alphabet.count)))] }
            let glimpse = unsafe bytes.withUnsafeBytes { unsafe RequestGlimpse($0) }
            for place in [glimpse.method, glimpse.target, glimpse.host] { #expect(place.upperBound <= bytes.count) }
        }
    }
}
