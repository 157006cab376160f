import HTTP
import Primitives
import Testing

@Suite struct PathNormalizerTests {
    /// Nil = rejected.
    static func normalize(_ path: [UInt8], _ mode: PathNormalization) -> [UInt8]? {
        // One byte more than promised stays as it was.
        let room = PathNormalizer.growthMax * path.count
        var output = [UInt8](repeating: 0xEE, count: room + 1)
        let result = unsafe path.withUnsafeBytes { path in
            unsafe output.withUnsafeMutableBufferPointer { unsafe PathNormalizer.normalize(path, mode: mode, into: $0.baseAddress!) }
        }
        guard output[room] == 0xEE else { return nil }
        switch result {
        case .rejected: return nil
        case .unchanged: return path
        case .changed(let count): return Array(output[..<count])
        }
    }

    static func normalize(_ path: String, _ mode: PathNormalization) -> String? {
        normalize(Array(path.utf8), mode).map { String(decoding: $0, as: UTF8.self) }
    }

    /// Istio's table of normalisation options, and RFC 3986 5.2.4 and 6.2.2.
    @Test(arguments: [
        ("/a", "/a", "/a", "/a"), ("/a/../b", "/b", "/b", "/b"), ("/a/./b", "/a/b", "/a/b", "/a/b"), ("/a\\b", "/a/b", "/a/b", "/a/b"),
        ("/../b", "/b", "/b", "/b"), ("/a//b", "/a//b", "/a/b", "/a/b"), ("/a///b//", "/a///b//", "/a/b/", "/a/b/"),
        ("/a%2fb", "/a%2fb", "/a%2fb", "/a/b"), ("/a%2Fb", "/a%2Fb", "/a%2Fb", "/a/b"), ("/a%5Cb", "/a%5Cb", "/a%5Cb", "/a/b"),
        ("/a%2f%2Fb", "/a%2f%2Fb", "/a%2f%2Fb", "/a/b"), ("/a%2f..%2fb", "/a%2f..%2fb", "/a%2f..%2fb", "/b"), ("/%61%2D%2e%7E%5f", "/a-.~_", "/a-.~_", "/a-.~_"),
        ("/a%20b%3F", "/a%20b%3F", "/a%20b%3F", "/a%20b%3F"), ("/a/%2e%2E/b", "/b", "/b", "/b"), ("/a/.", "/a/", "/a/", "/a/"), ("/a/..", "/", "/", "/"),
        ("/..", "/", "/", "/"), ("/.", "/", "/", "/"), ("/../../../etc", "/etc", "/etc", "/etc"), ("/a/b/../../../c", "/c", "/c", "/c"),
        ("/.../a", "/.../a", "/.../a", "/.../a"), ("/.a/..b", "/.a/..b", "/.a/..b", "/.a/..b"), ("/a//../b", "/a/b", "/a/b", "/a/b"),
        ("/%252Fa", "/%252Fa", "/%252Fa", "/%252Fa"), ("/%25%32%66", "/%252f", "/%252f", "/%252f"), ("/%", "/%", "/%", "/%"), ("/%2", "/%2", "/%2", "/%2"), ("/%zz", "/%zz", "/%zz", "/%zz"),
        ("/\\..\\x", "/x", "/x", "/x"), ("/a|b{c}\"<^>`", "/a%7Cb%7Bc%7D%22%3C%5E%3E%60", "/a%7Cb%7Bc%7D%22%3C%5E%3E%60", "/a%7Cb%7Bc%7D%22%3C%5E%3E%60"),
        ("/é/%7C", "/%C3%A9/%7C", "/%C3%A9/%7C", "/%C3%A9/%7C"),
    ])
    func table(path: String, base: String, merged: String, decoded: String) {
        #expect(Self.normalize(path, .none) == path)
        #expect(Self.normalize(path, .base) == base)
        #expect(Self.normalize(path, .mergeSlashes) == merged)
        #expect(Self.normalize(path, .decodeAndMergeSlashes) == decoded)
    }

    @Test(arguments: ["", "a", "*", "%2Fa", "\\a", "/%00", "/a%00b", "/a/%00"])
    func rejected(path: String) {
        for mode in [PathNormalization.none, .base, .mergeSlashes, .decodeAndMergeSlashes] { #expect(Self.normalize(path, mode) == nil) }
    }

    /// A stray percent sign must not make an escape out of what was decoded behind it: `%%34%31` is not `%41`, which the upstream would read as `A`.
    @Test(arguments: [("/%%34%31", "/%2541"), ("/%%30%30", "/%2500"), ("/%4%31", "/%2541"), ("/%%341", "/%2541"), ("/%%32%65", "/%252e"), ("/%%%32%65", "/%%252e")])
    func decodingMakesNoNewEscape(path: String, expected: String) {
        #expect(Self.normalize(path, .base) == expected)
    }

    @Test(arguments: [1, 2, 3, 4] as [UInt64])
    func normalFormIsStable(seed: UInt64) {
        var random = RandomSource(seed: seed)
        let pieces = ["/", "//", ".", "..", "%2e", "%2E", "%2f", "%5c", "%25", "%", "%%", "\\", "a", "4", "1", "%34", "%31", "%30", "%7e", "b", "%zz", "\u{e9}"]
        for _ in 0..<20_000 {
            let path = "/" + (0..<random.below(12)).map { _ in pieces[Int(random.below(UInt32(pieces.count)))] }.joined()
            for mode in [PathNormalization.base, .mergeSlashes, .decodeAndMergeSlashes] {
                guard let once = Self.normalize(path, mode) else {
                    #expect(path.contains("%00"), "seed \(seed): \(path) rejected in \(mode)")
                    continue
                }
                guard let twice = Self.normalize(once, mode), twice == once else {
                    Issue.record("seed \(seed): \(path) is \(once), then \(Self.normalize(once, mode) ?? "rejected") in \(mode)")
                    return
                }
                let segments = once.split(separator: "/", omittingEmptySubsequences: false)
                guard once.hasPrefix("/"), !segments.contains("."), !segments.contains(".."), !once.contains("\\"), mode == .base || !once.contains("//") else {
                    Issue.record("seed \(seed): \(path) is \(once) in \(mode)")
                    return
                }
            }
        }
    }
}

@Suite struct QueryEncodingTests {
    static func encode(_ query: [UInt8], _ mode: PathNormalization = .base) -> String? {
        var output = [UInt8](repeating: 0, count: PathNormalizer.growthMax * query.count)
        let count = unsafe query.withUnsafeBytes { text in
            unsafe output.withUnsafeMutableBufferPointer { out in
                unsafe out.baseAddress.flatMap { unsafe PathNormalizer.encode(query: text, mode: mode, into: $0) }
            }
        }
        return count.map { String(decoding: output[..<$0], as: UTF8.self) }
    }

    /// A byte that is encoded in the path and raw in the query is two names for one thing to whoever reads both.
    @Test func bytesAbove127AreEncodedAsInPaths() {
        #expect(Self.encode(Array("?a=b\u{e9}&\u{20ac}=%zz<>".utf8)) == "?a=b%C3%A9&%E2%82%AC=%zz<>")
        #expect(Self.encode([63, 128, 255]) == "?%80%FF")
        #expect(Self.encode([63, 128, 255], .none) == nil, "as the path, which this mode leaves as it is")
        #expect(Self.encode(Array("?a=b%E9".utf8)) == nil && Self.encode([]) == nil)
    }
}

@Suite struct RequestTargetTests {
    /// `form|authority|path|query`, or nil.
    static func parse(_ target: String, _ method: String = "GET") -> String? {
        let bytes = Array(target.utf8)
        let parsed = unsafe bytes.withUnsafeBytes { target in
            unsafe Array(method.utf8).withUnsafeBytes { unsafe RequestTarget.parse(target, method: $0) }
        }
        guard let parsed else { return nil }
        func text(_ range: Range<Int>) -> String { String(decoding: bytes[range], as: UTF8.self) }
        return "\(parsed.form)\(parsed.isHTTPS ? "s" : "")|\(text(parsed.authority))|\(text(parsed.path))|\(text(parsed.query))"
    }

    @Test(arguments: [
        ("/", "origin||/|"), ("/a/b?c=d?e", "origin||/a/b|?c=d?e"), ("/?", "origin||/|?"), ("//a", "origin||//a|"), ("/a:b@c", "origin||/a:b@c|"),
        ("http://h/p?q", "absolute|h|/p|?q"), ("HTTP://H:8080", "absolute|H:8080||"), ("https://h?q", "absolutes|h||?q"), ("http://[::1]:80/", "absolute|[::1]:80|/|"), ("http://h:/p", "absolute|h|/p|"),
    ])
    func forms(target: String, expected: String) {
        #expect(Self.parse(target) == expected)
    }

    @Test(arguments: [
        "", "a", "*", "a/b", "?q", "#", "/a#b", "/a?b#c", "http://", "http:///p", "http://?q", "http://u@h/", "http://u:p@h/", "http://h#f", "http://a,b/",
        "http://:80/", "http://a:x/", "http://a:0/", "http://a:80:80/", "http://[::1/", "http://a]/", "http://%zz/", "ftp://h/", "http:/h", "http//h", "https:h", "h:80", "http://h\u{e9}/",
    ])
    func refused(target: String) {
        #expect(Self.parse(target) == nil)
    }

    @Test func methodsWithTheirOwnForm() {
        #expect(Self.parse("*", "OPTIONS") == "asterisk||*|")
        #expect(Self.parse("h:443", "CONNECT") == "authority|h:443||")
        #expect(Self.parse("h", "CONNECT") == nil && Self.parse("h:", "CONNECT") == nil && Self.parse("u@h:1", "CONNECT") == nil)
        #expect(Self.parse("/p", "CONNECT") == nil && Self.parse("", "CONNECT") == nil && Self.parse("http://h/", "CONNECT") == nil)
        #expect(Self.parse("*", "options") == nil)
    }
}

@Suite struct HeaderNameTests {
    static let names: [(String, HeaderName)] = [
        ("host", .host), ("connection", .connection), ("content-length", .contentLength), ("transfer-encoding", .transferEncoding), ("expect", .expect),
        ("upgrade", .upgrade), ("te", .te), ("trailer", .trailer), ("keep-alive", .keepAlive), ("proxy-connection", .proxyConnection),
        ("proxy-authorization", .proxyAuthorization), ("proxy-authenticate", .proxyAuthenticate), ("user-agent", .userAgent),
        ("x-forwarded-for", .forwardedFor), ("x-forwarded-proto", .forwardedProto), ("x-request-id", .requestID), ("b3", .b3), ("x-b3-traceid", .b3TraceID),
        ("x-b3-spanid", .b3SpanID), ("x-b3-parentspanid", .b3ParentSpanID), ("x-b3-sampled", .b3Sampled), ("x-b3-flags", .b3Flags),
        ("traceparent", .traceparent), ("tracestate", .tracestate), ("http2-settings", .http2Settings), ("x-envoy-upstream-service-time", .upstreamServiceTime),
        ("x-envoy-attempt-count", .envoyAttemptCount), ("x-envoy-original-path", .envoyOriginalPath), ("content-encoding", .contentEncoding),
        ("content-type", .contentType), ("accept", .accept), ("accept-encoding", .acceptEncoding), ("date", .date), ("server", .server), ("max-forwards", .maxForwards),
        ("x-forwarded-client-cert", .forwardedClientCert),
    ]

    /// Of names that are none of the above.
    static func fallback(_ bytes: [UInt8]) -> HeaderName {
        bytes.count > 8 && bytes.map(ASCII.lower).starts(with: "x-envoy-".utf8) ? .envoyOther : .other
    }

    static func lookup(_ bytes: [UInt8]) -> HeaderName { unsafe bytes.withUnsafeBytes { unsafe HeaderName.lookup($0) } }

    @Test func everyNameInAnyCaseAndNothingElse() {
        #expect(Self.names.count == HeaderName.count - 2)
        var random = RandomSource(seed: 5)
        for (text, name) in Self.names {
            let bytes = Array(text.utf8)
            #expect(Self.lookup(bytes) == name, "\(text)")
            for _ in 0..<20 {
                let mixed = bytes.map { byte in byte >= 97 && byte <= 122 && random.below(2) == 0 ? byte - 32 : byte }
                #expect(Self.lookup(mixed) == name)
            }
            // One byte away is another name: a smuggled `Content_Length` must not be recognised.
            for place in bytes.indices {
                for byte in UInt8.min...UInt8.max where ASCII.lower(byte) != bytes[place] {
                    var other = bytes
                    other[place] = byte
                    let expected = Self.names.first { Array($0.0.utf8) == other.map(ASCII.lower) }?.1 ?? Self.fallback(other)
                    guard Self.lookup(other) == expected else {
                        Issue.record("\(other) is taken for \(Self.lookup(other))")
                        return
                    }
                }
            }
            for other in [Array(bytes.dropLast()), bytes + [97]] { #expect(Self.lookup(other) == Self.fallback(other)) }
        }
        #expect(Self.lookup([]) == .other)
    }
}
