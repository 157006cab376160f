import TelemetryModel
import TelemetryWire
import Testing

/// One odd value costs itself: not its span where that can do without it, and never the batch.
@Suite struct OddValueTests {
    func otlp(_ message: Message, _ batch: inout SpanBatch) throws -> OTLPDecodeOutcome {
        try unsafe message.bytes.withUnsafeBytes { unsafe try OTLPTraceDecoder.decode($0, into: &batch) }
    }
    func otlp(json text: String, _ batch: inout SpanBatch) throws -> OTLPDecodeOutcome {
        let bytes = Array(text.utf8)
        return try unsafe bytes.withUnsafeBytes { unsafe try OTLPTraceDecoder.decodeJSON($0, into: &batch) }
    }
    func request(_ span: String, resource: String = "{}") -> String {
        #"{"resourceSpans":[{"resource":\#(resource),"scopeSpans":[{"spans":[{"traceId":"0102030405060708090a0b0c0d0e0f10","#
            + #""spanId":"0102030405060708",\#(span)}]}]}]}"#
    }
    func tags(_ batch: SpanBatch, _ index: Int = 0) -> [String: String] {
        let row = batch.spans[index]
        let rows = batch.tags[Int(row.tagStart)..<Int(row.tagStart) + Int(row.tagCount)]
        return Dictionary(uniqueKeysWithValues: rows.map { (batch.string($0.key), batch.string($0.value)) })
    }

    // MARK: Text

    /// `JSON.stringify` writes half a pair when an emoji was cut.
    @Test func halfASurrogatePairIsAReplacementCharacterInEveryString() throws {
        let half = #"cut\ud83d"#
        let batch = try decodeZipkin(
            #"[{"traceId":"a","id":"b","name":"\#(half)","localEndpoint":{"serviceName":"\#(half)"},"#
                + #""remoteEndpoint":{"serviceName":"\udc00"},"annotations":[{"timestamp":1,"value":"\#(half)\u0041"}],"#
                + #""tags":{"\#(half)":"\ud83d\ud83d\ude00"},"\#(half)":1}]"#
        )
        let json = encodeZipkin(batch)
        #expect(json.contains("\"name\":\"cut\u{FFFD}\"") && json.contains("\"localEndpoint\":{\"serviceName\":\"cut\u{FFFD}\"}"))
        #expect(json.contains("\"remoteEndpoint\":{\"serviceName\":\"\u{FFFD}\"}") && json.contains("\"value\":\"cut\u{FFFD}A\""))
        #expect(json.contains("\"tags\":{\"cut\u{FFFD}\":\"\u{FFFD}😀\"}"))

        var spans = SpanBatch()
        let outcome = try otlp(
            json: request(
                #""name":"\#(half)","attributes":[{"key":"\#(half)","value":{"stringValue":"\#(half)"}},"#
                    + #"{"key":"l","value":{"arrayValue":{"values":[{"stringValue":"\#(half)"}]}}}],"events":[{"name":"\#(half)"}]"#,
                resource: #"{"attributes":[{"key":"service.name","value":{"stringValue":"\#(half)"}}]}"#), &spans)
        #expect(outcome.acceptedSpans == 1 && outcome.message.isEmpty)
        #expect(tags(spans) == ["cut\u{FFFD}": "cut\u{FFFD}", "l": "[\"cut\u{FFFD}\"]"])
        #expect(spans.string(spans.spans[0].name) == "cut\u{FFFD}" && spans.string(spans.endpoints[0].serviceName) == "cut\u{FFFD}")
        #expect(spans.string(spans.annotations[0].value) == "cut\u{FFFD}")
    }

    /// The sequences of the Unicode standard's tables 3-8 to 3-11, and what Foundation's decoder, which follows them, makes of them.
    @Test(arguments: [
        [0xC0, 0xAF, 0xE0, 0x80, 0xBF, 0xF0, 0x81, 0x82, 0x41], [0xED, 0xA0, 0x80, 0xED, 0xBF, 0xBF, 0xED, 0xAF, 0x41],
        [0xF4, 0x91, 0x92, 0x93, 0xFF, 0x41, 0x80, 0xBF, 0x42], [0xE1, 0x80, 0xE2, 0xF0, 0x91, 0x92, 0xF1, 0xBF, 0x41], [0xE2, 0x82],
        [0xF0, 0x9F, 0x98],
        [0x41, 0xFF, 0xC3, 0xA9], [0xF0, 0x9F, 0x98, 0x80, 0x80],
    ] as [[UInt8]])
    func whatIsNotUTF8IsRepairedByMaximalSubparts(_ bytes: [UInt8]) throws {
        let expected = String(decoding: bytes, as: UTF8.self)
        var batch = SpanBatch()
        let outcome = try decodeZipkin(Array(#"[{"traceId":"a","id":"b","tags":{"k":""#.utf8) + bytes + Array(#""}}]"#.utf8), into: &batch)
        #expect(outcome.refusedSpans == 0 && tags(batch) == ["k": expected])
        // And with an escape beside it.
        batch = SpanBatch()
        _ = try decodeZipkin(Array(#"[{"traceId":"a","id":"b","tags":{"k":"\u0041"#.utf8) + bytes + Array(#""}}]"#.utf8), into: &batch)
        #expect(tags(batch) == ["k": "A" + expected])

        batch = SpanBatch()
        let value = Message(bytes: Message().data(1, bytes).bytes)
        let list = Message().message(5, Message().message(1, value))
        let span = Message.span().data(3, bytes).data(5, bytes).message(9, Message().data(1, [0x6B] + bytes).message(2, value)).message(
            9, .attribute("l", list))
            .message(11, Message().data(2, bytes)).message(15, Message().data(2, bytes).int(3, 2))
        let accepted = try otlp(
            .request([span], resource: Message().message(1, Message.attribute("service.name", value)), scope: Message().data(1, bytes)),
            &batch)
        #expect(accepted.acceptedSpans == 1 && accepted.message.isEmpty)
        let found = tags(batch)
        #expect(found["k" + expected] == expected && found["l"] == "[\"\(expected)\"]" && found["error"] == expected)
        #expect(found["w3c.tracestate"] == expected && found["otel.scope.name"] == expected)
        #expect(batch.string(batch.annotations[0].value) == expected)
        #expect(
            batch.string(batch.spans[0].name) == expected.lowercased()
                && batch.string(batch.endpoints[0].serviceName) == expected.lowercased())

        batch = SpanBatch()
        let zipkin = Message().message(
            1, Message().data(1, [1]).data(3, [2]).data(5, bytes).message(11, Message().data(1, bytes).data(2, bytes)))
        let read = try unsafe zipkin.bytes.withUnsafeBytes { try unsafe ZipkinProtobufDecoder.decode($0, into: &batch) }
        #expect(read.acceptedSpans == 1 && tags(batch) == [expected: expected])
    }

    /// Every string of two and three bytes out of a small alphabet of interesting ones is repaired as the standard library does.
    @Test func repairsLikeTheStandardLibrary() throws {
        let alphabet: [UInt8] = [0x41, 0x80, 0x9F, 0xA0, 0xBF, 0xC1, 0xC3, 0xE0, 0xE2, 0xED, 0xEF, 0xF0, 0xF1, 0xF4, 0xF5]
        for first in alphabet {
            for second in alphabet {
                for third in alphabet {
                    for fourth in alphabet {
                        let bytes = [first, second, third, fourth]
                        var batch = SpanBatch()
                        _ = try decodeZipkin(
                            Array(#"[{"traceId":"a","id":"b","tags":{"k":""#.utf8) + bytes + Array(#""}}]"#.utf8), into: &batch)
                        #expect(batch.string(batch.tags[0].value) == String(decoding: bytes, as: UTF8.self), "\(bytes)")
                    }
                }
            }
        }
    }

    /// A sender of today writes megabytes into a tag: nothing is cut below the bound of the body.
    @Test func longTextsAreKeptWhole() throws {
        let long = String(repeating: "x", count: 3 << 20)
        var batch = try decodeZipkin(#"[{"traceId":"a","id":"b","tags":{"k":"\#(long)"}}]"#)
        #expect(batch.tags[0].value.count == 3 << 20)
        batch = SpanBatch()
        let outcome = try otlp(.request([Message.span().message(9, .attribute("k", long)).text(5, long)]), &batch)
        #expect(outcome.acceptedSpans == 1 && batch.tags[0].value.count == 3 << 20 && batch.spans[0].name.count == 3 << 20)
    }

    // MARK: Zipkin JSON

    @Test func tagsMayHaveAnyValue() throws {
        let batch = try decodeZipkin(
            #"[{"traceId":"a","id":"b","tags":{"t":true,"f":false,"n":null,"i":7,"d":-1.50,"l":[1, {"a":"\u0041"}],"o":{},"s":"x"}}]"#)
        #expect(tags(batch) == ["t": "true", "f": "false", "i": "7", "d": "-1.50", "l": #"[1, {"a":"\u0041"}]"#, "o": "{}", "s": "x"])
    }

    /// Clocks in JavaScript have fractions of microseconds; they are cut off.
    @Test(arguments: [
        ("1472470996199000.75", 1_472_470_996_199_000), ("0.9", 0), ("-0.5", 0), ("\"12.7\"", 12), ("1.29e1", 12), ("129e-1", 12),
        ("1e-400", 0), ("0e999999999", 0),
        ("9223372036854775807.9", Int.max), ("922337203685477580.79e1", Int.max), ("0.0000000000000000000000009e25", 9),
    ])
    func fractionsAreCutOff(_ text: String, _ expected: Int) throws {
        let batch = try decodeZipkin(#"[{"traceId":"a","id":"b","timestamp":\#(text),"annotations":[{"timestamp":\#(text),"value":"v"}]}]"#)
        #expect(batch.spans[0].timestamp == UInt64(expected) && batch.annotations[0].timestamp == UInt64(expected))
    }

    @Test func fieldsThatNobodyKnowsMayNestAsTheyLike() throws {
        for depth in [63, 64, 65, 127, 128, 129, 1000, 100_000] {
            for (opener, closer) in [("[", "]"), (#"{"a":"#, "}"), (#"[{"a":"#, "}]")] {
                let value = String(repeating: opener, count: depth) + "1" + String(repeating: closer, count: depth)
                let batch = try decodeZipkin(#"[{"traceId":"a","id":"b","x":\#(value),"name":"after","tags":{"k":\#(value)}}]"#)
                #expect(batch.string(batch.spans[0].name) == "after" && batch.string(batch.tags[0].value) == value)
                var spans = SpanBatch()
                #expect(try otlp(json: request(#""x":\#(value),"name":"after""#), &spans).acceptedSpans == 1)
                #expect(spans.string(spans.spans[0].name) == "after")
            }
        }
        // And still has to be JSON, to the last bracket.
        let open = String(repeating: "[", count: 200)
        for broken in [open + String(repeating: "]", count: 199) + "}", open + "1" + String(repeating: "]", count: 198) + "}]"] {
            var batch = SpanBatch()
            #expect(throws: ZipkinDecodeError.self) {
                _ = try decodeZipkin(Array(#"[{"traceId":"a","id":"b","x":\#(broken)}]"#.utf8), into: &batch)
            }
        }
    }

    /// Some senders write an empty parent for a root, and a host's address may be anything.
    @Test func emptyParentsAndAddressesThatAreNone() throws {
        let batch = try decodeZipkin(
            #"[{"traceId":"a","id":"b","parentId":"","localEndpoint":{"serviceName":"x","ipv4":7,"ipv6":true,"port":"80"}}]"#)
        #expect(
            encodeZipkin(batch)
                == #"[{"traceId":"000000000000000a","id":"000000000000000b","localEndpoint":{"serviceName":"x","port":80}}]"#)
        for id in [#""id":"""#, #""traceId":"""#] {
            var spans = SpanBatch()
            let fields = #"{"traceId":"a","id":"b",\#(id)}"#
            #expect(try decodeZipkin(Array("[\(fields)]".utf8), into: &spans).reasons.first?.fault == .emptyIdentifier)
        }
    }

    @Test func aByteOrderMarkInFrontIsSkipped() throws {
        #expect(try decodeZipkin("\u{FEFF}[{\"traceId\":\"a\",\"id\":\"b\"}]").spans.count == 1)
        var batch = SpanBatch()
        #expect(try otlp(json: "\u{FEFF}" + request(#""name":"n""#), &batch).acceptedSpans == 1)
    }

    // MARK: OTLP

    /// 100 nested messages, protobuf's own bound, are followed; what lies deeper is marked and counted, and its neighbours are kept. Stacks
    /// of any height do not matter: nothing recurses.
    @Test func deepValuesAreFollowedToTheBoundAndCutBeyondIt() throws {
        func nested(_ levels: Int) -> (message: Message, json: String) {
            var value = Message().text(1, "x")
            for _ in 0..<levels { value = Message().message(5, Message().message(1, value)) }
            return (value, String(repeating: "[", count: levels) + "\"x\"" + String(repeating: "]", count: levels))
        }
        for levels in [1, 12, 16, 45, 50] {
            let (value, json) = nested(levels)
            var batch = SpanBatch()
            let span = Message.span().message(9, .attribute("a", value)).message(
                11, Message().text(2, "e").message(3, .attribute("a", value)))
                .message(13, Message().message(4, .attribute("a", value)))
            let outcome = try otlp(
                .request(
                    [span], resource: Message().message(1, .attribute("r", value)), scope: Message().message(3, .attribute("s", value))),
                &batch)
            #expect(outcome.acceptedSpans == 1 && outcome.message.isEmpty)
            let found = tags(batch)
            #expect(found["a"] == json && found["r"] == json && found["s"] == json && found["otlp.link.0"] == "|||{\"a\":\(json)}|0")
            #expect(batch.string(batch.annotations[0].value) == "\"e\": {\"a\":\(json)}")
        }
        for levels in [51, 100, 2000] {
            var batch = SpanBatch()
            let span = Message.span().message(9, .attribute("a", nested(levels).message)).message(9, .attribute("b", "kept"))
            let outcome = try otlp(.request([span, Message.span()]), &batch)
            #expect(outcome.acceptedSpans == 2 && outcome.rejectedSpans == 0 && outcome.dropped.values == 1)
            #expect(outcome.message == "left out of the spans that were kept: 1 values")
            #expect(
                tags(batch)["a"] == String(repeating: "[", count: 50) + "\"…\"" + String(repeating: "]", count: 50)
                    && tags(batch)["b"] == "kept")
        }
        // Maps nest three messages a level: map, member, value.
        var value = Message().int(3, 7)
        for _ in 0..<40 { value = Message().message(6, Message().message(1, .attribute("k", value))) }
        var batch = SpanBatch()
        #expect(try otlp(.request([Message.span().message(9, .attribute("a", value))]), &batch).dropped.values == 1)
        #expect(tags(batch)["a"] == String(repeating: "{\"k\":", count: 33) + "\"…\"" + String(repeating: "}", count: 33))
        // A text that looks like nested messages is a text.
        let text = String(repeating: "\u{2a}\u{02}\u{0a}\u{00}", count: 100)
        batch = SpanBatch()
        #expect(try otlp(.request([Message.span().message(9, .attribute("a", text))]), &batch).message.isEmpty)
    }

    @Test func deepValuesInJSONAreThoseOfProtobuf() throws {
        for levels in [1, 16, 45, 50, 51, 60, 1000] {
            let value =
                String(repeating: #"{"arrayValue":{"values":["#, count: levels) + #"{"stringValue":"x"}"#
                + String(repeating: "]}}", count: levels)
            var message = Message().text(1, "x")
            for _ in 0..<levels { message = Message().message(5, Message().message(1, message)) }
            var fromJSON = SpanBatch()
            var fromProtobuf = SpanBatch()
            let outcome = try otlp(json: request(#""attributes":[{"key":"a","value":\#(value)}],"name":"after""#), &fromJSON)
            _ = try otlp(.request([Message.span().message(9, .attribute("a", message))]), &fromProtobuf)
            #expect(outcome.acceptedSpans == 1 && outcome.dropped.values == (levels > 50 ? 1 : 0))
            #expect(tags(fromJSON) == tags(fromProtobuf) && fromJSON.string(fromJSON.spans[0].name) == "after")
        }
    }

    @Test func whatASpanHasTooManyOfIsCountedOnIt() throws {
        var span = Message.span().text(5, "rich")
        for index in 0..<4097 { span = span.message(9, .attribute("k\(index)", "v")) }
        for index in 0..<4098 { span = span.message(11, Message().fixed(1, UInt64(index) * 1000).text(2, "e")) }
        for _ in 0..<1027 { span = span.message(13, Message().data(1, [1])) }
        span = span.int(10, 5)
        var batch = SpanBatch()
        let outcome = try otlp(.request([span, Message.span().text(5, "next")]), &batch)
        #expect(outcome.acceptedSpans == 2 && outcome.rejectedSpans == 0)
        #expect(outcome.message == "left out of the spans that were kept: 1 attributes, 2 events, 3 links")
        let found = tags(batch)
        #expect(found["k0"] == "v" && found["k4095"] == "v" && found["k4096"] == nil && found.count == 4096 + 1024 + 3)
        #expect(
            found["otel.dropped_attributes_count"] == "6" && found["otel.dropped_events_count"] == "2"
                && found["otel.dropped_links_count"] == "3")
        #expect(batch.spans[0].annotationCount == 4096 && batch.string(batch.spans[1].name) == "next" && tags(batch, 1).isEmpty)
    }

    /// A resource's attributes stand once on the wire and as rows on each span: a few kilobytes may not become gigabytes, and no span is
    /// lost for it.
    @Test func aResourceTooLargeForItsSpansIsLeftOffThem() throws {
        var resource = Message().message(1, .attribute("service.name", "shop"))
        for index in 0..<2000 { resource = resource.message(1, .attribute("\(index)", "")) }
        var batch = SpanBatch()
        let outcome = try otlp(.request((0..<500).map { _ in Message.span() }, resource: resource), &batch)
        #expect(outcome.acceptedSpans == 500 && outcome.dropped.attributes > 500_000 && batch.tags.count < 60_000)
        #expect(tags(batch).count == 2000 && tags(batch, 499) == ["otel.dropped_attributes_count": "2000"])
        #expect(batch.string(batch.endpoints[Int(batch.spans[499].localEndpoint)].serviceName) == "shop")
    }

    @Test func oddPartsOfJSONAreLeftOutOfTheirSpan() throws {
        var batch = SpanBatch()
        let outcome = try otlp(
            json: request(
                #""name":true,"attributes":[7,null,{"key":"a","value":{"doubleValue":[]}},"#
                    + #"{"key":"m","value":{"kvlistValue":{"values":[{"key":"x","value":{"intValue":"1.5e99"}}]}}},"#
                    + #"{"key":"b","value":{"stringValue":5}},{"k\u0065y":"c","value":{"bytesValue":"!"}},"#
                    + #"{"k\u0065y":"d","value":{"boolValue":true}}],"events":[{"timeUnixNano":"soon"},"e",{"name":"kept"}],"#
                    + #""links":[{"traceId":"zz"},{"spanId":"01"}],"status":{"code":[]}"#,
                resource: #"{"attributes":[{"key":"r","value":{"boolValue":"yes"}},{"key":"service.name","value":{"stringValue":"shop"}}]}"#
            ), &batch)
        #expect(outcome.acceptedSpans == 1 && outcome.rejectedSpans == 0)
        #expect(tags(batch) == ["b": "5", "d": "true", "otlp.link.0": "|01||{}|0"])
        #expect(batch.annotations.map { batch.string($0.value) } == ["kept"] && batch.string(batch.spans[0].name) == "true")
        #expect(batch.string(batch.endpoints[0].serviceName) == "shop")
        #expect(outcome.dropped.attributes == 5 && outcome.dropped.events == 2 && outcome.dropped.links == 1 && outcome.dropped.values == 1)
        #expect(outcome.message.hasPrefix("left out of the spans that were kept: 5 attributes, 2 events, 1 links, 1 values; at byte "))
        var answer: [UInt8] = []
        OTLPResponse.appendTraceSuccess(outcome, .json, to: &answer)
        #expect(String(decoding: answer, as: UTF8.self).hasPrefix(#"{"partialSuccess":{"rejectedSpans":"0","errorMessage":"left out"#))
        answer = []
        OTLPResponse.appendTraceSuccess(outcome, .protobuf, to: &answer)
        #expect(answer == Message().message(1, Message().text(2, outcome.message)).bytes)

        // A scope or a resource that is none costs itself; a span with a bad id or time costs one span; broken JSON the request.
        batch = SpanBatch()
        let odd =
            #"{"resourceSpans":[{"resource":5,"scopeSpans":[{"scope":[],"spans":[{"traceId":"0102030405060708090a0b0c0d0e0f10","#
                + #""spanId":"0102030405060708"},{"traceId":5},{"endTimeUnixNano":{}}]}]}]}"#
        let partial = try otlp(json: odd, &batch)
        #expect(partial.acceptedSpans == 1 && partial.rejectedSpans == 2 && partial.dropped.values == 2)
        #expect(throws: OTLPDecodeError.self) { _ = try otlp(json: request(#""attributes":[{"key":"a","value":{"intValue":x}}]"#), &batch) }
        #expect(throws: OTLPDecodeError.self) { _ = try otlp(json: #"{"resourceSpans":5}"#, &batch) }
    }

    /// What is skipped is not looked at; what is read has to be protobuf, and a body that is none is refused.
    @Test func brokenMessagesAreRefusedWhereTheyAreRead() throws {
        let broken = Message().text(1, "k").data(2, [0x0A, 9, 1])
        for body: Message in [
            .request([Message.span().message(9, broken)]), .request([Message.span()], resource: Message().message(1, broken)),
            .request([Message.span()], scope: Message().message(3, broken)),
            .request([Message.span().message(11, Message().text(2, "e").message(3, broken))]),
            .request([Message.span().message(13, Message().message(4, broken))]),
            .request([Message.span().message(9, .attribute("a", Message().message(5, Message().data(1, [0x0A, 9, 1]))))]),
        ] {
            var batch = SpanBatch()
            #expect(throws: OTLPDecodeError.self) { _ = try otlp(body, &batch) }
            #expect(batch.spans.isEmpty && batch.text.isEmpty)
        }
        var batch = SpanBatch()
        let unknown = Message.span().data(77, [0x0A, 9, 1]).message(9, .attribute("a", Message().data(88, [0xFF]).text(1, "v")))
        #expect(try otlp(.request([unknown]), &batch).acceptedSpans == 1)
    }
}
