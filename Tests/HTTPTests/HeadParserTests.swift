import HTTP
import Primitives
import Testing

@Suite struct HeadParserTests {
    /// Each file's name starts with its verdict. Pieces must not change it, wherever they are cut.
    @Test func corpusIsJudgedTheSameHoweverItArrives() {
        #expect(Corpus.heads.count > 80)
        for (name, bytes) in Corpus.heads {
            let whole = read(bytes)
            let verdict =
                switch whole.result {
                case .complete: "complete"
                case .incomplete: "incomplete"
                case .failed(let error): "\(error)"
                }
            #expect(name.hasPrefix(verdict + "."), "\(name) is \(verdict)")
            for cut in stride(from: 0, through: bytes.count, by: max(1, bytes.count / 700)) where read(bytes, cuts: [cut]) != whole {
                Issue.record("\(name) cut at \(cut): \(read(bytes, cuts: [cut])), whole: \(whole)")
            }
            if bytes.count < 700 { #expect(read(bytes, cuts: Array(0..<bytes.count)) == whole, "\(name) byte by byte") }
        }
    }

    /// A request error has an example in the corpus; `malformedStatusLine` is a response's.
    @Test func everyErrorHasAnExample() {
        for error in HeadError.allCases where error != .malformedStatusLine {
            #expect(Corpus.heads.contains { $0.name.hasPrefix("\(error).") }, "\(error)")
            #expect([400, 414, 431, 501, 505].contains(error.status) && error.reason.utf8CodeUnitCount > 10)
        }
    }

    @Test(arguments: [1, 2, 3, 4] as [UInt64])
    func mutatedHeadsHaveOneReading(seed: UInt64) {
        var random = RandomSource(seed: seed)
        let seeds = Corpus.heads.filter { $0.bytes.count < 400 }.map(\.bytes) + [
            Array("POST /a?b=c HTTP/1.1\r\nHost: x.y:80\r\nContent-Length: 12\r\nConnection: keep-alive, TE\r\nX-B3-Sampled: 1\r\n\r\n".utf8),
            Array("GET http://h/p HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nAccept: */*\r\nUser-Agent: some longer value here\r\n\r\n".utf8),
        ]
        let interesting: [UInt8] = [0, 9, 10, 13, 32, 34, 43, 44, 45, 48, 58, 59, 127, 128, 255]
        var accepted = 0
        for _ in 0..<15_000 {
            var bytes = seeds[Int(random.below(UInt32(seeds.count)))]
            for _ in 0..<1 + random.below(3) {
                let place = Int(random.below(UInt32(bytes.count + 1)))
                let byte = random.below(2) == 0 ? interesting[Int(random.below(UInt32(interesting.count)))] : UInt8(truncatingIfNeeded: random.next())
                switch random.below(5) {
                case 0: bytes.insert(byte, at: place)
                case 1: if place < bytes.count { bytes.remove(at: place) }
                case 2: if place < bytes.count { bytes[place] = byte }
                case 3: bytes.insert(contentsOf: [13, 10], at: place)
                default: if place < bytes.count { bytes.append(contentsOf: bytes[place...]) }
                }
            }
            let ours = read(bytes)
            let obvious = obviousReading(bytes)
            if ours.result == .complete { accepted += 1 }
            guard (ours.result == .complete ? ours : nil) == obvious else {
                Issue.record("seed \(seed): \(latinText(bytes).debugDescription): \(ours), obviously \(obvious.map(\.description) ?? "refused")")
                return
            }
            let cut = Int(random.below(UInt32(bytes.count + 1)))
            guard read(bytes, cuts: [cut]) == ours else {
                Issue.record("seed \(seed): \(latinText(bytes).debugDescription) cut at \(cut) differs")
                return
            }
        }
        #expect(accepted > 800, "too few mutations stay valid to mean anything")
    }

    func latinText(_ bytes: [UInt8]) -> String { unsafe bytes.withUnsafeBytes { unsafe latin(LentBytes($0)) } }

    @Test func randomBytesNeverTrap() {
        var random = RandomSource(seed: 11)
        let alphabet = Array("GET /HTP1.0:\r\n\r\n\r\n \t,chunked".utf8) + [0, 127, 200]
        for _ in 0..<20_000 {
            let bytes = (0..<Int(random.below(80))).map { _ in alphabet[Int(random.below(UInt32(alphabet.count)))] }
            let crlf = bytes + [13, 10, 13, 10]
            for kind in [Kind.request, .response, .trailers] { _ = read(crlf, kind: kind, cuts: [bytes.count]) }
        }
    }

    @Test(arguments: [
        ("HTTP/1.1 200 OK\r\n\r\n", 200, "OK"), ("HTTP/1.0 404 \r\n\r\n", 404, ""), ("HTTP/1.1 204\r\n\r\n", 204, ""),
        ("HTTP/1.1 999 a b\tc\r\nX: y\r\n\r\n", 999, "a b\tc"),
    ])
    func responses(text: String, status: Int, reason: String) {
        let reading = read(text, kind: .response)
        #expect(reading.result == .complete && reading.status == status && reading.reason == reason)
        #expect(reading.byteCount == text.utf8.count)
    }

    @Test(arguments: [
        "HTTP/1.1 20 OK\r\n\r\n", "HTTP/1.1 2000 OK\r\n\r\n", "HTTP/1.1 099 OK\r\n\r\n", "HTTP/1.1  200 OK\r\n\r\n", "HTTP/2 200 OK\r\n\r\n",
        "HTTP/1.1 200OK\r\n\r\n", "http/1.1 200 OK\r\n\r\n", "200 OK\r\n\r\n", "HTTP/1.1 +20 OK\r\n\r\n", "HTTP/1.1 200 O\rK\r\n\r\n", "HTTP/1.1 200 O\u{0}K\r\n\r\n",
        "\r\nHTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1\r\n\r\n", "HTTP/1.1 \r\n\r\n", "A\r\n\r\n",
    ])
    func malformedResponses(text: String) {
        #expect(read(text, kind: .response).result == .failed(.malformedStatusLine))
    }

    @Test func trailers() {
        #expect(read("\r\n", kind: .trailers).byteCount == 2)
        #expect(read("A: b\r\nC: d\r\n\r\nrest", kind: .trailers).fields == [["A", "b"], ["C", "d"]])
        #expect(read("\r", kind: .trailers).result == .incomplete)
        #expect(read("A: b\n\r\n", kind: .trailers).result == .failed(.bareLineFeed))
        #expect(read("A : b\r\n\r\n", kind: .trailers).result == .failed(.malformedFieldName))
        // One long line or many short ones: the section is too large, and 431 says so.
        #expect(read("A: " + String(repeating: "b", count: 9000), kind: .trailers).result == .failed(.headTooLarge))
        #expect(read(String(repeating: "A: b\r\n", count: 2000), kind: .trailers).result == .failed(.headTooLarge))
    }

    /// The search for the end looks at each byte once: feeding N bytes one at a time must not cost N passes.
    @Test func feedingByteByByteIsLinear() {
        func cost(_ count: Int) -> UInt64 {
            let bytes = Array("GET / HTTP/1.1\r\nHost: a\r\nA: ".utf8) + [UInt8](repeating: 97, count: count)
            var head = MessageHead()
            let limits = HTTPLimits()
            var scan = HeadScan()
            let before = SystemClock.threadCPUNanoseconds()
            unsafe bytes.withUnsafeBytes { buffer in
                for end in 1...bytes.count {
                    let piece = unsafe UnsafeRawBufferPointer(rebasing: buffer[..<end])
                    _ = unsafe HeadParser.parseRequest(piece, scan: &scan, limits: limits, into: &head)
                }
            }
            return SystemClock.threadCPUNanoseconds() - before
        }
        _ = cost(1000)
        // Ten times the bytes: linear is 10, quadratic 100. CPU time of this thread, the best of five.
        let small = (0..<5).map { _ in cost(5000) }.min() ?? 0
        let large = (0..<5).map { _ in cost(50_000) }.min() ?? 0
        #expect(large < small * 40, "\(small) ns for 5,000 bytes, \(large) ns for 50,000")
    }

    /// More than a count of 16 bits can say is refused, not cut short.
    /// A name that the table of first places had no room for would end the process.
    @Test func everyKnownNameHasAPlace() {
        #expect(HeaderName(rawValue: UInt8(HeaderName.count)) == nil)
        #expect(HeaderName(rawValue: UInt8(HeaderName.count - 1)) != nil)
        let reading = read(Array("GET / HTTP/1.1\r\nHost: a\r\nX-Envoy-Internal: true\r\nx-envoy-: 1\r\nx-envoy: 1\r\n\r\n".utf8))
        #expect(reading.fields.count == 4)
        func lookup(_ text: String) -> HeaderName { unsafe Array(text.utf8).withUnsafeBytes { unsafe HeaderName.lookup($0) } }
        #expect(lookup("X-ENVOY-max-retries") == .envoyOther)
        #expect(lookup("x-envoy-attempt-count") == .envoyAttemptCount)
        #expect(lookup("x-envoy-") == .other)
        #expect(lookup("x-custom-header") == .other)
    }

    /// Names are compared eight bytes at a time: another byte anywhere in one must make another name of it, and the case of letters none.
    @Test(arguments: [
        ("te", HeaderName.te), ("b3", .b3), ("host", .host), ("expect", .expect), ("upgrade", .upgrade), ("x-b3-flags", .b3Flags),
        ("traceparent", .traceparent), ("x-b3-traceid", .b3TraceID), ("content-length", .contentLength),
        ("x-forwarded-for", .forwardedFor), ("proxy-connection", .proxyConnection), ("transfer-encoding", .transferEncoding),
        ("x-envoy-upstream-service-time", .upstreamServiceTime),
    ])
    func oneByteMakesAnotherName(text: String, name: HeaderName) {
        func lookup(_ bytes: [UInt8]) -> HeaderName { unsafe bytes.withUnsafeBytes { unsafe HeaderName.lookup($0) } }
        let bytes = Array(text.utf8)
        #expect(lookup(bytes) == name)
        #expect(lookup(Array(text.uppercased().utf8)) == name)
        for place in bytes.indices {
            for byte in UInt8.min...UInt8.max {
                var other = bytes
                other[place] = byte
                let isSame = ASCII.lower(byte) == bytes[place]
                #expect((lookup(other) == name) == isSame, "byte \(byte) at \(place) of \(text)")
            }
        }
    }

    @Test func endlessFieldName() {
        var limits = HTTPLimits()
        limits.headBytesMax = 1 << 20
        let text = "GET / HTTP/1.1\r\nHost: a\r\n" + String(repeating: "n", count: 70_000) + ": v\r\n\r\n"
        #expect(read(text, limits: limits).result == .failed(.headTooLarge))
        limits.fieldCountMax = 10_000
        #expect(limits.problem != nil)
        let many = "GET / HTTP/1.1\r\nHost: a\r\n" + String(repeating: "a:\r\n", count: 500) + "\r\n"
        #expect(read(many, limits: limits).result == .failed(.tooManyFields))
    }

    @Test(arguments: [
        ("HTTP/1.1", "", true), ("HTTP/1.0", "", false), ("HTTP/1.0", "Connection: Keep-Alive\r\n", true), ("HTTP/1.1", "Connection: close\r\n", false),
        ("HTTP/1.1", "Connection: keep-alive\r\nConnection: x, CLOSE\r\n", false),
    ])
    func keepsAlive(version: String, fields: String, expected: Bool) {
        var head = MessageHead()
        var scan = HeadScan()
        let bytes = Array("GET / \(version)\r\nHost: a\r\n\(fields)\r\n".utf8)
        unsafe bytes.withUnsafeBytes { _ = unsafe HeadParser.parseRequest($0, scan: &scan, limits: HTTPLimits(), into: &head) }
        #expect(head.keepsAlive == expected)
    }
}

@Suite struct BodyFramingTests {
    static func response(_ text: String, toHEAD: Bool = false) -> BodyFraming {
        var head = MessageHead()
        var scan = HeadScan()
        unsafe Array((text + "\r\n").utf8).withUnsafeBytes { _ = unsafe HeadParser.parseResponse($0, scan: &scan, limits: HTTPLimits(), into: &head) }
        return BodyFraming.response(head, toHEAD: toHEAD)
    }

    /// RFC 9112 6.3, in its order.
    @Test func responses() {
        #expect(Self.response("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n", toHEAD: true) == .none)
        for status in [100, 101, 199, 204, 304] { #expect(Self.response("HTTP/1.1 \(status) x\r\nContent-Length: 5\r\n") == .none) }
        #expect(Self.response("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n") == .chunked)
        #expect(Self.response("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n") == .length(5))
        #expect(Self.response("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n") == .none)
        #expect(Self.response("HTTP/1.1 200 OK\r\n") == .untilClose)
    }

    @Test func requests() {
        func request(_ text: String) -> BodyFraming {
            var head = MessageHead()
            var scan = HeadScan()
            unsafe Array(("POST / HTTP/1.1\r\nHost: a\r\n" + text + "\r\n").utf8).withUnsafeBytes {
                _ = unsafe HeadParser.parseRequest($0, scan: &scan, limits: HTTPLimits(), into: &head)
            }
            return BodyFraming.request(head)
        }
        #expect(request("") == .none && request("Content-Length: 0\r\n") == .none)
        #expect(request("Content-Length: 7\r\n") == .length(7) && request("Transfer-Encoding: chunked\r\n") == .chunked)
    }
}
