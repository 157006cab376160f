import Foundation
import TelemetryModel
import TelemetryWire
import Testing

/// Where the fixtures of the suite lie.
enum Fixtures {
    static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().appending(path: "Fixtures")

    static func corpus(_ name: String) throws -> [(name: String, bytes: [UInt8])] {
        let folder = root.appending(path: "Corpus").appending(path: name)
        return try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted().map { file in
            (file, [UInt8](try Data(contentsOf: folder.appending(path: file))))
        }
    }
}

/// A small generator whose seed stands in the test, so that a failure can be run again.
struct SeededRandom {
    var state: UInt64
    mutating func next(_ bound: Int) -> Int {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return Int(state >> 1) % bound
    }
}

func decodeZipkin(_ bytes: [UInt8], into batch: inout SpanBatch) throws -> ZipkinDecodeOutcome {
    try unsafe bytes.withUnsafeBytes { unsafe try ZipkinJSONDecoder.decode($0, into: &batch) }
}

/// The spans of a body in which none may be refused.
func decodeZipkin(_ text: String) throws -> SpanBatch {
    var batch = SpanBatch()
    let outcome = try decodeZipkin(Array(text.utf8), into: &batch)
    if let reason = outcome.reasons.first { throw reason }
    return batch
}

func encodeZipkin(_ batch: SpanBatch) -> String {
    var bytes: [UInt8] = []
    ZipkinJSONEncoder.appendList(batch, to: &bytes)
    return String(decoding: bytes, as: UTF8.self)
}

@Suite struct ZipkinJSONTests {
    /// The span of Zipkin's own tests, in its own field order: what goes in comes out, byte for byte.
    static let golden =
        #"[{"traceId":"7180c278b62e8f6a216a2aea45d08fc9","parentId":"6b221d5bc9e6496c","id":"5b4185666d50f68b","kind":"CLIENT","#
            + #""name":"get","timestamp":1472470996199000,"duration":207000,"localEndpoint":{"serviceName":"frontend","ipv4":"127.0.0.1"},"#
            + #""remoteEndpoint":{"serviceName":"backend","ipv4":"192.168.99.101","ipv6":"2001:db8::c001","port":9000},"#
            + #""annotations":[{"timestamp":1472470996238000,"value":"foo"},{"timestamp":1472470996403000,"value":"bar"}],"#
            + #""tags":{"clnt/finagle.version":"6.45.0","http.path":"/api"},"debug":true}]"#

    @Test func goldenSpanRoundTrips() throws {
        #expect(encodeZipkin(try decodeZipkin(Self.golden)) == Self.golden)
    }

    /// `y_` is accepted, `n_` is refused whole, and in `r_` one span or more is refused and what is good is kept.
    @Test func corpusIsAcceptedOrRefusedAsNamed() throws {
        for (name, bytes) in try Fixtures.corpus("ZipkinJSON") {
            var batch = SpanBatch()
            _ = batch.append(text: "kept")
            do {
                let outcome = try decodeZipkin(bytes, into: &batch)
                #expect(name.hasPrefix(outcome.refusedSpans == 0 ? "y_" : "r_"), "\(name) was accepted: \(outcome)")
                #expect(outcome.acceptedSpans == batch.spans.count, "\(name)")
                #expect(outcome.reasons.count == min(outcome.refusedSpans, ZipkinDecodeOutcome.reasonsMax), "\(name)")
            } catch {
                #expect(name.hasPrefix("n_"), "\(name): \(error)")
                // A refused body leaves nothing behind.
                #expect(batch.text == Array("kept".utf8) && batch.spans.isEmpty && batch.tags.isEmpty && batch.endpoints.isEmpty)
            }
        }
    }

    /// A bad span costs itself: its neighbours come out as if it had not been there, whatever of it had been read already.
    @Test func goodSpansAroundBadOnesAreKept() throws {
        let good = Self.golden.dropFirst().dropLast()
        for (name, bytes) in try Fixtures.corpus("ZipkinJSON") where name.hasPrefix("r_") {
            let inner = String(decoding: bytes, as: UTF8.self).drop { $0 != "[" }.dropFirst().reversed().drop { $0 != "]" }.dropFirst()
            let bad = String(inner.reversed())
            var alone = SpanBatch()
            var among = SpanBatch()
            let expected = try decodeZipkin(bytes, into: &alone)
            let outcome = try decodeZipkin(Array("[\(good),\(bad),\(good),\(bad),\(good)]".utf8), into: &among)
            #expect(outcome.acceptedSpans == 3 + 2 * expected.acceptedSpans && outcome.refusedSpans == 2 * expected.refusedSpans, "\(name)")
            #expect(
                outcome.reasons.first.map { ($0.fault.rawValue, $0.field, $0.spanIndex) }! == expected.reasons.first.map {
                    ($0.fault.rawValue, $0.field, $0.spanIndex! + 1)
                }!)
            let between = expected.acceptedSpans == 0 ? "" : "\(encodeZipkin(alone).dropFirst().dropLast()),"
            #expect(encodeZipkin(among) == "[\(good),\(between)\(good),\(between)\(good)]", "\(name)")
        }
    }

    /// JSON that breaks after a bad span is refused for the break, and all of it.
    @Test func brokenJSONRefusesTheBodyWhateverStoodBefore() {
        func error(_ text: String) -> ZipkinDecodeError? {
            var batch = SpanBatch()
            do {
                let outcome = try decodeZipkin(Array(text.utf8), into: &batch)
                Issue.record("accepted: \(outcome)")
            } catch {
                #expect(batch.spans.isEmpty && batch.text.isEmpty && batch.endpoints.isEmpty)
                return error as? ZipkinDecodeError
            }
            return nil
        }
        let good = #"{"traceId":"a","id":"b"}"#
        #expect(error("[\(good),{\"id\":\"b\"},\(good)")?.fault == .unexpectedEnd)
        #expect(error("[\(good),{\"id\":\"b\"},\(good)] x")?.fault == .trailingBytes)
        let late = error(#"[{"traceId":"!","id":"b","name":"\x"}]"#)
        #expect(late?.fault == .invalidEscape && late?.field == .name && late?.spanIndex == 0)
        // Where both are at one place, what was expected there is said.
        let same = error(#"[{"traceId":"a","id":"b","timestamp":yes}]"#)
        #expect(same?.fault == .expectedInteger && same?.field == .timestamp && same?.byteOffset == 37)
    }

    @Test func refusedSpansAreToldOneByOneUpToABound() throws {
        var batch = SpanBatch()
        let bad = (0..<7).map { _ in #"{"traceId":"a","id":"b","timestamp":true}"# }.joined(separator: ",")
        let outcome = try decodeZipkin(Array(#"[{"traceId":"a","id":"b"},\#(bad),{"traceId":"a"}]"#.utf8), into: &batch)
        let lines = outcome.message.split(separator: "\n")
        #expect(lines.count == 7)
        #expect(lines.first == "8 of 9 spans refused, 1 stored, which need not be sent again")
        #expect(lines[1] == "span 1, field timestamp, byte 62: expected an integer, as a number or in a string")
        #expect(lines.last == "and 3 more")
        #expect(try decodeZipkin(Array(#"[{"traceId":"a"}]"#.utf8), into: &batch).message
            == "1 of 1 spans refused, none stored\nspan 0, field id, byte 16: id is missing; accepted are 1 to 16 lower-hex digits")
    }

    @Test func normalisesAsZipkinDoes() throws {
        let text = #"""
            [{"traceId":"0000000000000000000000000000abcd","id":"1","parentId":"1","name":"GET /Ünï","kind":"CLIENT","shared":true,
              "timestamp":-5,"duration":-1,"localEndpoint":{"serviceName":"FrontEnd","port":0},"remoteEndpoint":{"serviceName":""},
              "annotations":[{"timestamp":9,"value":"b"},{"timestamp":2,"value":"z"},{"timestamp":9,"value":"a"},
                {"timestamp":2,"value":"z"}],
              "tags":{"b":"1","a":2,"b":"3","c":-1.50}},
             {"traceId":"12345678901234567","id":"b","parentId":"0000","kind":"SERVER","shared":true,"debug":false}]
            """#
        let expected =
            #"[{"traceId":"000000000000abcd","id":"0000000000000001","kind":"CLIENT","name":"get /ünï","#
                + #""localEndpoint":{"serviceName":"frontend"},"annotations":[{"timestamp":2,"value":"z"},{"timestamp":9,"value":"a"},"#
                + #"{"timestamp":9,"value":"b"}],"tags":{"a":"2","b":"3","c":"-1.50"}},"#
                + #"{"traceId":"00000000000000012345678901234567","id":"000000000000000b","kind":"SERVER","shared":true}]"#
        #expect(encodeZipkin(try decodeZipkin(text)) == expected)
    }

    @Test func escapesAreDecodedAndWrittenAsZipkinWritesThem() throws {
        let text = #"[{"traceId":"a","id":"b","tags":{"k":"\u0041\ud83d\ude00\u2028\u2029\"\\\/\b\f\n\r\t\u0001\u00e9"}}]"#
        let batch = try decodeZipkin(text)
        #expect(batch.string(batch.tags[0].value) == "A😀\u{2028}\u{2029}\"\\/\u{8}\u{c}\n\r\t\u{1}é")
        #expect(encodeZipkin(batch).hasSuffix(#""tags":{"k":"A😀\u2028\u2029\"\\/\b\f\n\r\t\u0001é"}}]"#))
    }

    @Test(arguments: [
        ("1472470996199000", 1_472_470_996_199_000), ("1.472470996199e15", 1_472_470_996_199_000), ("\"12\"", 12), ("12.000", 12),
        ("1200e-2", 12), ("9223372036854775807", Int.max), ("0.0e5", 0), ("-9223372036854775808", 0), ("120E+1", 1200),
    ])
    func integersMayBeWrittenInAnyForm(_ text: String, _ expected: Int) throws {
        #expect(try decodeZipkin(#"[{"traceId":"a","id":"b","timestamp":\#(text)}]"#).spans[0].timestamp == UInt64(expected))
    }

    @Test func errorsSayWhatAndWhere() {
        func message(_ text: String) -> String {
            do {
                _ = try decodeZipkin(text)
                return "accepted"
            } catch { return "\(error)" }
        }
        #expect(message("{}") == "Expected a JSON_V2 encoded list")
        #expect(message(#"[{"traceId":"a","id":"b","binaryAnnotations":[]}]"#) == "Expected a JSON_V2 encoded list, but received: JSON_V1")
        #expect(
            message(#"[{"traceId":"a","id":"b"},{"traceId":"a","id":"b","timestamp":1.}]"#)
                == "invalid number at byte 64, span 1, field timestamp reading List<Span> from json")
        #expect(message(#"[{"traceId":"A","id":"b"}]"#).contains("lower-hex"))
    }

    @Test func addressesAreReadAndWrittenCanonically() throws {
        for (text, expected) in [
            ("2001:DB8:0:0:0:0:0:1", "2001:db8::1"), ("::", "::"), ("::1", "::1"), ("1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"),
            ("1::", "1::"), ("1:0:0:2:0:0:0:3", "1:0:0:2::3"), ("fe80::1:0:0:5", "fe80::1:0:0:5"), ("1:0:3:4:5:6:7:8", "1:0:3:4:5:6:7:8"),
        ] {
            let json = encodeZipkin(try decodeZipkin(#"[{"traceId":"a","id":"b","localEndpoint":{"ipv6":"\#(text)"}}]"#))
            #expect(json.contains(#""ipv6":"\#(expected)""#), "\(text) gave \(json)")
        }
        for text in ["1:2", ":::", "1::2::3", "1:2:3:4:5:6:7:8:9", ":1", "1:", "12345::", "256.1.1.1", "1.2.3", "1.2.3.4.5", "g::", ""] {
            #expect(try decodeZipkin(#"[{"traceId":"a","id":"b","localEndpoint":{"ipv4":"\#(text)"}}]"#).endpoints.isEmpty, "\(text)")
        }
    }

    @Test func manyTagsStayUniqueWithTheLastValue() throws {
        let tags = (0..<500).map { #""k\#($0 % 100)":"\#($0)""# }.joined(separator: ",")
        let batch = try decodeZipkin(#"[{"traceId":"a","id":"b","tags":{\#(tags)}}]"#)
        #expect(batch.tags.count == 100 && batch.string(batch.tags[7].value) == "407")
    }

    @Test func listsOfListsFollowTheRanges() throws {
        let batch = try decodeZipkin(#"[{"traceId":"a","id":"1"},{"traceId":"a","id":"2"},{"traceId":"b","id":"3"}]"#)
        var bytes: [UInt8] = []
        ZipkinJSONEncoder.appendLists(batch, traces: [0..<2, 2..<3], to: &bytes)
        let text = String(decoding: bytes, as: UTF8.self)
        #expect(
            text
                == #"[[{"traceId":"000000000000000a","id":"0000000000000001"},{"traceId":"000000000000000a","id":"0000000000000002"}],"#
                    + #"[{"traceId":"000000000000000b","id":"0000000000000003"}]]"#
        )
    }

    /// Whatever is done to a good body, the decoder returns, and what it accepts it can write and read again.
    @Test func mutatedBodiesNeverTrapAndRoundTrip() throws {
        let seed: UInt64 = 0xC0FFEE
        var random = SeededRandom(state: seed)
        var accepted = 0
        var refused = 0
        for _ in 0..<20_000 {
            var bytes = Array(Self.golden.utf8)
            for _ in 0...random.next(3) {
                let at = random.next(bytes.count)
                switch random.next(4) {
                case 0: bytes[at] = UInt8(random.next(256))
                case 1: bytes.remove(at: at)
                case 2: bytes.insert(Array("\"\\{}[]:,0e-.nulltrue".utf8)[random.next(20)], at: at)
                default: bytes.removeSubrange(at..<min(at + random.next(20), bytes.count))
                }
            }
            var batch = SpanBatch()
            guard let outcome = try? decodeZipkin(bytes, into: &batch) else { continue }
            #expect(outcome.acceptedSpans == batch.spans.count, "seed \(seed)")
            refused += outcome.refusedSpans
            accepted += 1
            let text = encodeZipkin(batch)
            #expect(encodeZipkin(try decodeZipkin(text)) == text, "seed \(seed)")
        }
        #expect(accepted > 1000 && refused > 1000)
    }
}
