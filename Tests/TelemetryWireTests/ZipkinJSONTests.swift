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

func decodeZipkin(_ bytes: [UInt8], into batch: inout SpanBatch) throws -> Int {
    try unsafe bytes.withUnsafeBytes { unsafe try ZipkinJSONDecoder.decode($0, into: &batch) }
}

func decodeZipkin(_ text: String) throws -> SpanBatch {
    var batch = SpanBatch()
    _ = try decodeZipkin(Array(text.utf8), into: &batch)
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
        #"[{"traceId":"7180c278b62e8f6a216a2aea45d08fc9","parentId":"6b221d5bc9e6496c","id":"5b4185666d50f68b","kind":"CLIENT","name":"get","timestamp":1472470996199000,"duration":207000,"localEndpoint":{"serviceName":"frontend","ipv4":"127.0.0.1"},"remoteEndpoint":{"serviceName":"backend","ipv4":"192.168.99.101","ipv6":"2001:db8::c001","port":9000},"annotations":[{"timestamp":1472470996238000,"value":"foo"},{"timestamp":1472470996403000,"value":"bar"}],"tags":{"clnt/finagle.version":"6.45.0","http.path":"/api"},"debug":true}]"#

    @Test func goldenSpanRoundTrips() throws {
        #expect(encodeZipkin(try decodeZipkin(Self.golden)) == Self.golden)
    }

    @Test func corpusIsAcceptedOrRefusedAsNamed() throws {
        for (name, bytes) in try Fixtures.corpus("ZipkinJSON") {
            var batch = SpanBatch()
            _ = batch.append(text: "kept")
            do {
                _ = try decodeZipkin(bytes, into: &batch)
                #expect(name.hasPrefix("y_"), "\(name) was accepted")
            } catch {
                #expect(name.hasPrefix("n_"), "\(name): \(error)")
                // A refused body leaves nothing behind.
                #expect(batch.text == Array("kept".utf8) && batch.spans.isEmpty && batch.tags.isEmpty && batch.endpoints.isEmpty)
            }
        }
    }

    @Test func normalisesAsZipkinDoes() throws {
        let text = #"""
            [{"traceId":"0000000000000000000000000000abcd","id":"1","parentId":"1","name":"GET /Ünï","kind":"CLIENT","shared":true,
              "timestamp":-5,"duration":-1,"localEndpoint":{"serviceName":"FrontEnd","port":0},"remoteEndpoint":{"serviceName":""},
              "annotations":[{"timestamp":9,"value":"b"},{"timestamp":2,"value":"z"},{"timestamp":9,"value":"a"},{"timestamp":2,"value":"z"}],
              "tags":{"b":"1","a":2,"b":"3","c":-1.50}},
             {"traceId":"12345678901234567","id":"b","parentId":"0000","kind":"SERVER","shared":true,"debug":false}]
            """#
        let expected =
            #"[{"traceId":"000000000000abcd","id":"0000000000000001","kind":"CLIENT","name":"get /ünï","localEndpoint":{"serviceName":"frontend"},"annotations":[{"timestamp":2,"value":"z"},{"timestamp":9,"value":"a"},{"timestamp":9,"value":"b"}],"tags":{"a":"2","b":"3","c":"-1.50"}},{"traceId":"00000000000000012345678901234567","id":"000000000000000b","kind":"SERVER","shared":true}]"#
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
            message(#"[{"traceId":"a","id":"b"},{"traceId":"a","id":"b","timestamp":true}]"#)
                == "expected an integer at byte 62, span 1, field timestamp reading List<Span> from json")
        #expect(message(#"[{"id":"b"}]"#).hasPrefix("traceId is missing at byte 11, span 0"))
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
                == #"[[{"traceId":"000000000000000a","id":"0000000000000001"},{"traceId":"000000000000000a","id":"0000000000000002"}],[{"traceId":"000000000000000b","id":"0000000000000003"}]]"#
        )
    }

    /// Whatever is done to a good body, the decoder returns, and what it accepts it can write and read again.
    @Test func mutatedBodiesNeverTrapAndRoundTrip() throws {
        let seed: UInt64 = 0xC0FFEE
        var random = SeededRandom(state: seed)
        var accepted = 0
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
            guard (try? decodeZipkin(bytes, into: &batch)) != nil else { continue }
            accepted += 1
            let text = encodeZipkin(batch)
            #expect(encodeZipkin(try decodeZipkin(text)) == text, "seed \(seed)")
        }
        #expect(accepted > 1000)
    }
}
