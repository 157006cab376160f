import Primitives
import TelemetryModel
import TelemetryWire
import Testing

/// Lines of random records in random formats against a plain model that knows nothing of bounds, words and cursors.
@Suite struct AccessLogModelTests {
    struct Sample {
        var record: RequestRecord
        var texts: [[UInt8]?]
        func text(_ slot: Int) -> [UInt8]? { texts[slot].flatMap { $0.isEmpty ? nil : $0 } }
    }
    typealias Model = @Sendable (Sample) -> [UInt8]?

    static func ascii(_ text: String?) -> [UInt8]? { text.map { Array($0.utf8) } }
    static func duration(_ from: UInt64, _ to: UInt64) -> [UInt8]? {
        from == .max || to == .max || to < from ? nil : ascii(String((to - from) / 1_000_000))
    }
    static func endpoint(_ endpoint: SocketEndpoint) -> [UInt8]? {
        if endpoint.family == .unix { return ascii(endpoint.addressText) }
        guard endpoint.family == .ipv4 else { return nil }
        let parts = [24, 16, 8, 0].map { String(endpoint.low >> UInt64($0) & 255) }
        return ascii(parts.joined(separator: ".") + ":\(endpoint.port)")
    }

    static func query(_ path: [UInt8]?) -> [UInt8]? {
        path.flatMap { path in path.firstIndex(of: UInt8(ascii: "?")).map { Array(path[($0 + 1)...]) } }
    }

    /// Operator, whether typed JSON has it as a number, and its value.
    static let operators: [(text: String, isNumber: Bool, value: Model)] = [
        ("%REQ(:METHOD)%", false, { $0.text(0) }), ("%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%", false, { $0.text(1) ?? $0.text(2) }),
        ("%REQ(:AUTHORITY):7%", false, { $0.text(3).map { Array($0.prefix(7)) } }), ("%REQ(USER-AGENT)%", false, { $0.text(4) }),
        ("%REQ(X-A)%", false, { $0.text(8) }), ("%RESP(X-B)%", false, { $0.text(9) }),
        (
            "%REQ_WITHOUT_QUERY(:PATH)%", false,
            { sample in (sample.texts[1] ?? sample.texts[2]).map { Array($0.prefix { $0 != UInt8(ascii: "?") }) } }
        ),
        ("%PATH(NQ:PATH)%", false, { $0.texts[2].map { Array($0.prefix { $0 != UInt8(ascii: "?") }) } }),
        ("%PATH%", false, { $0.text(1) ?? $0.text(2) }),
        ("%QUERY_PARAMS%", false, { query($0.texts[2]) }), ("%QUERY_PARAM(q)%", false, { sample in
            let parameters = query(sample.texts[2])?.split(separator: UInt8(ascii: "&"), omittingEmptySubsequences: false) ?? []
            let halves = parameters.map {
                $0.split(separator: UInt8(ascii: "="), maxSplits: 1, omittingEmptySubsequences: false).map(Array.init)
            }
            // `%XX` does not come up in random texts.
            return halves.first { $0[0] == [UInt8(ascii: "q")] }.map { $0.count > 1 ? $0[1] : [] }
        }),
        ("%UPSTREAM_HOSTS_ATTEMPTED%", false, { endpoint($0.record.upstreamRemote) }),
        ("%ACCESS_LOG_TYPE%", false, { _ in ascii("DownstreamEnd") }),
        ("%RESPONSE_CODE%", true, { ascii(String($0.record.responseCode)) }),
        ("%BYTES_SENT%", true, { ascii(String($0.record.responseBodyBytes)) }),
        ("%BYTES_RECEIVED%", true, { ascii(String($0.record.requestBodyBytes)) }),
        ("%DURATION%", true, { duration(0, $0.record.times.downstreamSendEnd) }),
        (
            "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%", false,
            { duration($0.record.times.upstreamSendBegin, $0.record.times.upstreamReceiveBegin) }
        ),
        ("%UPSTREAM_HOST%", false, { endpoint($0.record.upstreamRemote) }), ("%UPSTREAM_REMOTE_PORT%", true, { sample in
            sample.record.upstreamRemote.family == .ipv4 ? ascii(String(sample.record.upstreamRemote.port)) : nil
        }),
        ("%UPSTREAM_TRANSPORT_FAILURE_REASON%", false, { ascii($0.record.details.connectError.map { "\($0)" }) }),
        ("%RESPONSE_CODE_DETAILS%", false, { sample in
            // The rule that refused it, or why its token was, stands behind them.
            let reason = sample.record.policy.rawValue == 2 ? "default" : "none"
            return ascii(
                sample.record.details.text.map {
                    switch sample.record.details {
                    case .rbacAccessDenied: $0 + "[\(reason)]"
                    case .jwtAccessDenied: $0 + "{\(reason)}"
                    default: $0
                    }
                })
        }),
        ("%CONNECTION_TERMINATION_DETAILS%", false, { _ in nil }),
        (
            "%DOWNSTREAM_REMOTE_PORT%", true,
            { $0.record.downstreamRemote.family == .absent ? nil : ascii(String($0.record.downstreamRemote.port)) }
        ),
        ("%ROUTE_NAME%", false, { $0.record.route.rawValue == 2 ? ascii("default") : nil }),
        ("%REQUESTED_SERVER_NAME%", false, { _ in nil }),
        ("%SPAN_ID%", false, { sample in
            sample.record.spanID.isNone
                ? nil
                : ascii(
                    String(repeating: "0", count: 16 - String(sample.record.spanID.rawValue, radix: 16).count)
                        + String(sample.record.spanID.rawValue, radix: 16))
        }),
        ("%RESPONSE_FLAGS%", false, { sample in
            let names = ResponseFlags.names.filter { sample.record.flags.contains($0.flag) }.map(\.short)
            return ascii(names.isEmpty ? "-" : names.joined(separator: ","))
        }),
        ("%START_TIME(%s.%3f)%", false, { sample in
            let milliseconds = String(sample.record.startUnixNanoseconds / 1_000_000 % 1000)
            let zeros = String(repeating: "0", count: 3 - milliseconds.count)
            return ascii("\(sample.record.startUnixNanoseconds / 1_000_000_000).\(zeros)\(milliseconds)")
        }),
    ]

    /// By the rules of the format's page, one scalar at a time; bad bytes are found by decoding one byte more and more.
    static func escape(_ bytes: [UInt8], isJSON: Bool) -> [UInt8] {
        var out: [UInt8] = []
        var at = 0
        while at < bytes.count {
            var length = 0
            for candidate in 1...4 where length == 0 && at + candidate <= bytes.count {
                if String(validating: bytes[at..<at + candidate], as: UTF8.self)?.unicodeScalars.count == 1 { length = candidate }
            }
            let hex = String(bytes[at], radix: 16)
            let twoDigits = hex.count < 2 ? "0" + hex : hex
            guard length > 0 else {
                out += Array((isJSON ? "\u{FFFD}" : "\\x" + twoDigits).utf8)
                at += 1
                continue
            }
            let scalar = String(decoding: bytes[at..<at + length], as: UTF8.self).unicodeScalars.first?.value ?? 0
            if isJSON {
                switch scalar {
                case 0x22: out += Array("\\\"".utf8)
                case 0x5C: out += Array("\\\\".utf8)
                case 8: out += Array("\\b".utf8)
                case 9: out += Array("\\t".utf8)
                case 10: out += Array("\\n".utf8)
                case 12: out += Array("\\f".utf8)
                case 13: out += Array("\\r".utf8)
                case 0..<0x20: out += Array("\\u00\(twoDigits)".utf8)
                case 0x2028: out += Array("\\u2028".utf8)
                case 0x2029: out += Array("\\u2029".utf8)
                default: out += bytes[at..<at + length]
                }
            } else if scalar < 0x20 || scalar == 0x22 || scalar == 0x5C || scalar == 0x7F {
                out += Array(("\\x" + twoDigits).utf8)
            } else if scalar >= 0x80, scalar < 0xA0 {
                // Both bytes of a C1 control, one escape each.
                out += Array(bytes[at..<at + length].map { "\\x" + String($0, radix: 16) }.joined().utf8)
            } else {
                out += bytes[at..<at + length]
            }
            at += length
        }
        return out
    }

    static func number(_ random: inout SeededRandom) -> UInt64 {
        let bits = random.next(65)
        return bits == 64 ? .max : UInt64(random.next(Int.max)) >> UInt64(63 - min(bits, 63))
    }

    static func text(_ random: inout SeededRandom) -> [UInt8]? {
        switch random.next(6) {
        case 0: return random.next(2) == 0 ? nil : []
        case 1: return (0..<random.next(40)).map { _ in UInt8(random.next(256)) }
        case 2:
            let pieces = ["é", "\u{2028}", "\u{2029}", "\u{85}", "😀", "\"", "\\", "\u{7f}", "a", "/path?q=1", "\u{1}", "\n"]
            return (0..<random.next(20)).flatMap { _ in Array(pieces[random.next(pieces.count)].utf8) }
        case 3 where random.next(20) == 0: return [UInt8](repeating: UInt8(random.next(32)), count: 5000)
        default: return (0..<random.next(70)).map { _ in UInt8(0x61 + random.next(26)) }
        }
    }

    /// The longest there are, made of what takes most room when escaped.
    static let paths = [
        "/run/app.sock", "@abstract", "/" + String(repeating: "\"", count: 106), "/" + String(repeating: "\\", count: 106),
        "@" + String(repeating: "\u{2028}", count: 35),
        "/" + String(repeating: "\u{85}", count: 53),
    ]

    static func sample(_ random: inout SeededRandom) -> Sample {
        var record = RequestRecord()
        record.startUnixNanoseconds = number(&random) >> 1
        record.times.downstreamSendEnd = number(&random)
        record.times.upstreamSendBegin = number(&random)
        record.times.upstreamReceiveBegin = number(&random)
        record.requestBodyBytes = number(&random)
        record.responseBodyBytes = number(&random)
        record.responseCode = UInt16(random.next(1000))
        record.spanID = SpanID(random.next(4) == 0 ? 0 : number(&random))
        record.flags = ResponseFlags(rawValue: random.next(2) == 0 ? 0 : UInt32(random.next(1 << 23)))
        record.route = NameID(UInt32(random.next(2) == 0 ? 2 : random.next(2) * 9))
        record.details = ResponseCodeDetails.allCases[random.next(ResponseCodeDetails.allCases.count)]
        record.policy = NameID(UInt32(random.next(2) * 2))
        if random.next(3) > 0 {
            record.upstreamRemote = SocketEndpoint(ipv4: UInt32(random.next(1 << 32)), port: UInt16(random.next(65536)))
        }
        if random.next(3) == 0, let path = try? SocketEndpoint(unixPath: paths[random.next(paths.count)]) { record.upstreamRemote = path }
        if random.next(3) > 0 {
            record.downstreamRemote = SocketEndpoint(ipv6High: number(&random), ipv6Low: 1, port: UInt16(random.next(65536)))
        }
        return Sample(record: record, texts: (0..<10).map { _ in text(&random) })
    }

    @Test(arguments: [UInt64(0x5EED), 0xACCE55, 0x10C]) func linesAreTheModelsLines(seed: UInt64) throws {
        var random = SeededRandom(state: seed)
        let capture = HeaderCapture(requestHeaders: ["x-a"], responseHeaders: ["x-b"])
        for round in 0..<700 {
            let style = random.next(3)
            let fields = (0...random.next(6)).map { _ in
                (0...(random.next(2) * random.next(4))).map { _ in random.next(Self.operators.count) }
            }
            let separators = fields.map { $0.map { _ in random.next(2) == 0 ? "" : "<\"é>" } }
            func template(_ index: Int) -> String {
                zip(fields[index], separators[index]).map { Self.operators[$0].text + $1 }.joined()
            }
            let format: AccessLogFormat
            if style == 0 {
                format = try .text(fields.indices.map(template).joined())
            } else {
                format = try .json(fields.indices.map { ("k\($0)", .template(template($0))) }, typed: style == 1)
            }
            let program = format.program(capture: capture)
            var output: [UInt8] = []
            var expected: [UInt8] = []
            for _ in 0..<3 {
                let sample = Self.sample(&random)
                for index in fields.indices {
                    if style > 0 { expected += Array("\(index == 0 ? "{" : ",")\"k\(index)\":".utf8) }
                    let isWhole = style == 1 && fields[index].count == 1 && separators[index][0].isEmpty
                    var field: [UInt8] = []
                    var isNull = false
                    for (choice, separator) in zip(fields[index], separators[index]) {
                        let value = Self.operators[choice].value(sample)
                        if value == nil, isWhole { isNull = true }
                        field += value.map { Self.escape($0, isJSON: style > 0) } ?? Array("-".utf8)
                        field += style > 0 ? Self.escape(Array(separator.utf8), isJSON: true) : Array(separator.utf8)
                    }
                    let isBare = style == 0 || isWhole && Self.operators[fields[index][0]].isNumber
                    expected += isNull ? Array("null".utf8) : isBare ? field : Array("\"".utf8) + field + Array("\"".utf8)
                }
                expected += Array((style > 0 ? "}\n" : "\n").utf8)
                let entry = recordBytes(sample.record, sample.texts)
                let span = unsafe entry.span.bytes
                guard let view = RequestRecordView(span) else {
                    Issue.record("the entry is not a record")
                    return
                }
                program.append(view, names: exampleNames, emitUnixNanoseconds: 0, to: &output)
            }
            let (written, wanted) = (String(decoding: output, as: UTF8.self), String(decoding: expected, as: UTF8.self))
            #expect(output == expected, "seed \(seed) round \(round): \(written) is not \(wanted)")
            if output != expected { return }
        }
    }
}
