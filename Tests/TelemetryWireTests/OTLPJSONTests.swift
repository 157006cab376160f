import TelemetryModel
import TelemetryWire
import Testing

@Suite struct OTLPJSONTests {
    func decode(_ json: String, _ batch: inout SpanBatch) throws -> OTLPDecodeOutcome {
        let bytes = Array(json.utf8)
        return try unsafe bytes.withUnsafeBytes { unsafe try OTLPTraceDecoder.decodeJSON($0, into: &batch) }
    }
    func decode(_ message: Message, _ batch: inout SpanBatch) throws -> OTLPDecodeOutcome {
        try unsafe message.bytes.withUnsafeBytes { unsafe try OTLPTraceDecoder.decode($0, into: &batch) }
    }

    static let full =
        #"{"unknown":{"a":[1,{"b":null}]},"resourceSpans":[{"scopeSpans":[{"scope":{"name":"lib","version":"1.0"},"#
            + #""spans":[{"traceId":"01010101010101010101010101010101","spanId":"0202020202020202","parentSpanId":"0303030303030303","#
            + #""name":"GET /Items","kind":"SPAN_KIND_CLIENT","startTimeUnixNano":"1700000000000001000","#
            + #""endTimeUnixNano":1700000000000001500,"flags":257,"attributes":[{"key":"http.method","value":{"stringValue":"GET"}},"#
            + #"{"key":"n","value":{"intValue":"-5"}},{"key":"b","value":{"boolValue":true}},{"key":"d","value":{"doubleValue":0.5}},"#
            + #"{"key":"l","value":{"arrayValue":{"values":[{"stringValue":"x\""},{"intValue":7}]}}},"#
            + #"{"key":"m","value":{"kvlistValue":{"values":[{"key":"k","value":{"stringValue":"v"}}]}}},"#
            + #"{"key":"raw","value":{"bytesValue":"/wABAg=="}},{"key":"shared.key","value":{"stringValue":"span"}},"#
            + #"{"key":"server.address","value":{"stringValue":"Backend"}},{"key":"server.port","value":{"intValue":8080}},"#
            + #"{"key":"network.peer.address","value":{"stringValue":"10.0.0.9"}}],"events":[{"timeUnixNano":"1700000000000001000","#
            + #""name":"plain"},{"timeUnixNano":"1700000000000002000","name":"rich","attributes":[{"key":"a","value":{"intValue":"1"}}]}],"#
            + #""status":{"message":"boom","code":2}}]}],"resource":{"attributes":[{"key":"service.name","#
            + #""value":{"stringValue":"Frontend"}},{"key":"shared.key","value":{"stringValue":"resource"}}]}}]}"#

    @Test func sameSpanAsInProtobuf() throws {
        var fromJSON = SpanBatch()
        var fromProtobuf = SpanBatch()
        #expect(try decode(Self.full, &fromJSON) == decode(OTLPTests.full, &fromProtobuf))
        #expect(fromJSON.spans.count == 1 && encodeZipkin(fromJSON) == encodeZipkin(fromProtobuf))
    }

    /// Random requests written in both encodings give the same spans and the same outcome.
    @Test(arguments: [UInt64(0x07E1), 0xB0DE]) func randomRequestsAgreeWithProtobuf(seed: UInt64) throws {
        var random = SeededRandom(state: seed)
        func value(_ depth: Int) -> (json: String, message: Message) {
            switch random.next(depth > 4 ? 5 : 7) {
            case 0:
                let text = String(repeating: ["x", "é", "\\\"", "\\u00e9\\n"][random.next(4)], count: random.next(200))
                let plain = text.replacingEscapes
                return (#"{"stringValue":"\#(text)"}"#, Message().text(1, plain))
            case 1:
                let number = random.next(1 << 62) - (1 << 61)
                return (
                    random.next(2) == 0 ? #"{"intValue":"\#(number)"}"# : #"{"intValue":\#(number)}"#,
                    Message().int(3, UInt64(bitPattern: Int64(number))))
            case 2:
                let number = Double(random.next(1 << 40)) / 1024
                return (#"{"doubleValue":\#(number)}"#, Message().fixed(4, number.bitPattern))
            case 3: return (#"{"boolValue":false}"#, Message().int(2, 0))
            case 4: return ("{}", Message())
            case 5:
                let items = (0..<random.next(4)).map { _ in value(depth + 1) }
                return (
                    #"{"arrayValue":{"values":[\#(items.map(\.json).joined(separator: ","))]}}"#,
                    Message().message(5, items.reduce(Message()) { $0.message(1, $1.message) })
                )
            default:
                let items = (0..<random.next(4)).map { _ in attribute(depth + 1) }
                return (
                    #"{"kvlistValue":{"values":[\#(items.map(\.json).joined(separator: ", "))]}}"#,
                    Message().message(6, items.reduce(Message()) { $0.message(1, $1.message) })
                )
            }
        }
        func attribute(_ depth: Int) -> (json: String, message: Message) {
            let key = "key-\(random.next(5))"
            let value = value(depth)
            return (#"{"key":"\#(key)","value":\#(value.json)}"#, Message.attribute(key, value.message))
        }
        for round in 0..<300 {
            var json: [String] = []
            var messages: [Message] = []
            for _ in 0..<random.next(5) {
                let trace = (0..<(random.next(9) == 0 ? 3 : 16)).map { _ in UInt8(random.next(256)) }
                let id = (0..<8).map { _ in UInt8(random.next(255) + 1) }
                func hex(_ bytes: [UInt8]) -> String {
                    let text = bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16, uppercase: random.next(2) == 0) }.joined()
                    return text
                }
                let kind = random.next(6)
                let start = random.next(1 << 60)
                let attributes = (0..<random.next(6)).map { _ in attribute(0) }
                json.append(
                    #"{"traceId":"\#(hex(trace))","spanId":"\#(hex(id))","kind":\#(kind),"startTimeUnixNano":"\#(start)","#
                        + #""attributes":[\#(attributes.map(\.json).joined(separator: ","))],"status":{"code":\#(kind % 3)},"later":[]}"#
                )
                var span = Message.span(trace: trace, id: id).int(6, UInt64(kind)).fixed(7, UInt64(start))
                for attribute in attributes { span = span.message(9, attribute.message) }
                messages.append(span.message(15, Message().int(3, UInt64(kind % 3))))
            }
            var fromJSON = SpanBatch()
            var fromProtobuf = SpanBatch()
            let text = #"{"resourceSpans":[{"resource":{},"scopeSpans":[{"scope":{},"spans":[\#(json.joined(separator: ","))]}]}]}"#
            #expect(try decode(text, &fromJSON) == decode(Message.request(messages), &fromProtobuf), "seed \(seed) round \(round)")
            #expect(encodeZipkin(fromJSON) == encodeZipkin(fromProtobuf), "seed \(seed) round \(round)")
        }
    }

    @Test func corpusIsAcceptedOrRefusedAsNamed() throws {
        let corpus = try Fixtures.corpus("OTLPJSON")
        #expect(!corpus.isEmpty)
        for (name, bytes) in corpus {
            var batch = SpanBatch()
            do {
                let outcome = try unsafe bytes.withUnsafeBytes { unsafe try OTLPTraceDecoder.decodeJSON($0, into: &batch) }
                // `r_` is what only JSON can get wrong: the span is rejected and its request read.
                #expect(name.hasPrefix("y_") || name.hasPrefix("r_"), "\(name) was accepted")
                #expect((outcome.firstFault != nil) == name.hasPrefix("r_"), "\(name)")
            } catch {
                #expect(name.hasPrefix("n_"), "\(name) was refused: \(error)")
                #expect(batch.spans.isEmpty && batch.text.isEmpty)
            }
        }
    }

    /// An id that is not hex, or a text where a number belongs, costs one span; text that is no JSON costs the request.
    @Test func aBadSpanCostsItselfOnly() throws {
        let good = #"{"traceId":"0102030405060708090a0b0c0d0e0f10","spanId":"0102030405060708","name":"good"}"#
        func request(_ spans: String) -> String { #"{"resourceSpans":[{"scopeSpans":[{"spans":[\#(spans)]}]}]}"# }
        for bad in [#"{"traceId":"zz"}"#, #"{"startTimeUnixNano":"soon","attributes":[{"key":"k"}]}"#, "7", "[]", #"{"attributes":5}"#] {
            var batch = SpanBatch()
            let outcome = try decode(request("\(good),\(bad),\(good)"), &batch)
            #expect(outcome.acceptedSpans == 2 && outcome.rejectedSpans == 1, "\(bad)")
            #expect(outcome.message.hasPrefix("1 of 3 spans rejected; at byte "), "\(outcome.message)")
            #expect(batch.spans.map { batch.string($0.name) } == ["good", "good"])
        }
        var batch = SpanBatch()
        #expect(throws: OTLPDecodeError.self) {
            _ = try decode(request(#"\#(good),{"traceId":"zz","spanId":nope}"#), &batch)
        }
        #expect(batch.spans.isEmpty && batch.text.isEmpty)
    }

    @Test func corpusOfProtobufIsAcceptedOrRefusedAsNamed() throws {
        let corpus = try Fixtures.corpus("OTLPTrace")
        #expect(!corpus.isEmpty)
        for (name, bytes) in corpus {
            var batch = SpanBatch()
            let isRead = (try? unsafe bytes.withUnsafeBytes { unsafe try OTLPTraceDecoder.decode($0, into: &batch) }) != nil
            #expect(isRead == name.hasPrefix("y_"), "\(name)")
        }
    }

    @Test func corpusOfFormatsIsAcceptedOrRefusedAsNamed() throws {
        let corpus = try Fixtures.corpus("AccessLogFormat")
        #expect(!corpus.isEmpty)
        for (name, bytes) in corpus {
            let isRead = (try? AccessLogFormat.text(String(decoding: bytes, as: UTF8.self))) != nil
            #expect(isRead == name.hasPrefix("y_"), "\(name)")
        }
    }
}

extension String {
    /// The few JSON escapes that these tests write.
    fileprivate var replacingEscapes: String {
        var out = ""
        var rest = self[...]
        while let first = rest.first {
            if rest.hasPrefix("\\\"") {
                out += "\""
                rest = rest.dropFirst(2)
            } else if rest.hasPrefix("\\u00e9\\n") {
                out += "é\n"
                rest = rest.dropFirst(8)
            } else {
                out.append(first)
                rest = rest.dropFirst()
            }
        }
        return out
    }
}
