import Foundation
import Primitives
import TelemetryModel
import TelemetryWire
import Testing

/// Stored spans back in OTLP's terms, as Jaeger's and Tempo's clients read them.
struct OTLPTraceTests {
    private func zipkin(_ json: String) throws -> SpanBatch {
        var batch = SpanBatch()
        _ = try unsafe Array(json.utf8).withUnsafeBytes { unsafe try ZipkinJSONDecoder.decode($0, into: &batch) }
        return batch
    }

    private func otlp(_ json: String) throws -> SpanBatch {
        var batch = SpanBatch()
        _ = try unsafe Array(json.utf8).withUnsafeBytes { unsafe try OTLPTraceDecoder.decodeJSON($0, into: &batch) }
        return batch
    }

    static let sent = """
        {"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"cart"}},\
        {"key":"host.name","value":{"stringValue":"h1"}}]},"scopeSpans":[{"scope":{"name":"lib","version":"1.0"},"spans":[\
        {"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","parentSpanId":"eee19b7ec3c1b173","name":"get /cart",\
        "kind":2,"startTimeUnixNano":"1544712660000001000","endTimeUnixNano":"1544712661000001000","traceState":"a=b",\
        "attributes":[{"key":"http.status_code","value":{"intValue":"500"}},{"key":"cached","value":{"boolValue":false}},\
        {"key":"note","value":{"stringValue":"a \\"quoted\\" <b>\\u0000\\u2028"}}],"droppedAttributesCount":3,\
        "events":[{"timeUnixNano":"1544712660500000000","name":"exception","attributes":[{"key":"exception.message",\
        "value":{"stringValue":"boom"}},{"key":"n","value":{"doubleValue":0.5}}],"droppedAttributesCount":2},\
        {"timeUnixNano":"1544712660600000000","name":"plain"}],\
        "links":[{"traceId":"00000000000000000000000000000001","spanId":"0000000000000002","traceState":"c=d",\
        "attributes":[{"key":"k","value":{"stringValue":"v|{w}"}}]}],\
        "status":{"code":2,"message":"bad gateway"}}]}]}]}
        """

    /// What a sender said in OTLP comes back in OTLP, both encodings.
    @Test func aSpanThatCameByOTLPIsGivenBack() throws {
        let trace = OTLPTrace(try otlp(Self.sent))
        #expect(trace.resources.count == 1 && trace.resources[0].scopes.count == 1)
        #expect(trace.resources[0].attributes == [OTLPAttribute("service.name", .text("cart")), OTLPAttribute("host.name", .text("h1"))])
        #expect(trace.resources[0].scopes[0].name == "lib" && trace.resources[0].scopes[0].version == "1.0")
        let span = trace.resources[0].scopes[0].spans[0]
        #expect(span.status == .error && span.statusMessage == "bad gateway")
        #expect(span.start == 1_544_712_660_000_001_000 && span.end == 1_544_712_661_000_001_000)
        #expect(span.traceState == "a=b" && span.kindName == "server" && span.droppedAttributes == 3)
        #expect(span.attributes.contains(OTLPAttribute("http.status_code", .integer(500))))
        #expect(span.attributes.contains(OTLPAttribute("cached", .boolean(false))))
        #expect(span.events.count == 2)
        #expect(span.events[0].name == "exception" && span.events[0].droppedAttributes == 2)
        #expect(span.events[0].attributes == [OTLPAttribute("exception.message", .text("boom")), OTLPAttribute("n", .double(0.5))])
        #expect(span.events[1].name == "plain" && span.events[1].attributes.isEmpty)
        #expect(span.links.count == 1 && span.links[0].traceID == TraceID(high: 0, low: 1) && span.links[0].spanID == SpanID(2))
        #expect(span.links[0].traceState == "c=d" && span.links[0].attributes == [OTLPAttribute("k", .text("v|{w}"))])

        let json = #"{"resourceSpans":"# + String(decoding: OTLPTraceJSON.resourceSpans([trace], .otlp), as: UTF8.self) + "}"
        try expectSame(OTLPTrace(try otlp(json)), trace)
        try expectSame(OTLPTrace(try decoded(OTLPTraceProtobuf.encode(trace))), trace)
    }

    private func decoded(_ bytes: [UInt8]) throws -> SpanBatch {
        var batch = SpanBatch()
        let outcome = unsafe try OTLPTraceDecoder.decode(bytes.span.bytes, into: &batch)
        #expect(outcome.rejectedSpans == 0)
        return batch
    }

    private func expectSame(_ first: OTLPTrace, _ second: OTLPTrace, _ note: Comment = "") throws {
        #expect(
            OTLPTraceJSON.resourceSpans([first], .otlp) == OTLPTraceJSON.resourceSpans([second], .otlp), note)
    }

    /// Tempo's JSON has ids in base64 and enumerations by name; OTLP's has hex and numbers.
    @Test func theDialectsDifferInIdsAndEnumerations() throws {
        let batch = try zipkin(
            #"[{"traceId":"463ac35c9f6413ad48485a3953bb6124","id":"48485a3953bb6124","kind":"CLIENT","name":"a","tags":{"error":"x"}}]"#)
        let plain = String(decoding: OTLPTraceJSON.resourceSpans([OTLPTrace(batch)], .plain), as: UTF8.self)
        #expect(plain.contains(#""traceId":"RjrDXJ9kE61ISFo5U7thJA==","spanId":"SEhaOVO7YSQ=""#))
        #expect(plain.contains(#""kind":"SPAN_KIND_CLIENT""#) && plain.contains(#""status":{"message":"x","code":"STATUS_CODE_ERROR"}"#))
        let otlp = String(decoding: OTLPTraceJSON.resourceSpans([OTLPTrace(batch)], .otlp), as: UTF8.self)
        #expect(otlp.contains(#""traceId":"463ac35c9f6413ad48485a3953bb6124","spanId":"48485a3953bb6124""#))
        #expect(otlp.contains(#""kind":3"#) && otlp.contains(#""status":{"message":"x","code":2}"#))
    }

    /// Endpoints of Zipkin's become attributes, unless a tag has said it already.
    @Test func endpointsBecomeAttributes() throws {
        let batch = try zipkin(
            """
            [{"traceId":"a","id":"b","kind":"CLIENT","localEndpoint":{"serviceName":"web","ipv4":"10.0.0.1","port":80},\
            "remoteEndpoint":{"serviceName":"db","ipv6":"2001:db8::1","port":5432},"tags":{"peer.service":"other"}}]
            """)
        let span = OTLPSpan(batch.spans[0], of: batch)
        #expect(span.service == "web")
        #expect(
            Set(span.attributes) == [
                OTLPAttribute("peer.service", .text("other")), OTLPAttribute("network.local.address", .text("10.0.0.1")),
                OTLPAttribute("network.local.port", .integer(80)), OTLPAttribute("network.peer.address", .text("2001:db8::1")),
                OTLPAttribute("network.peer.port", .integer(5432)),
            ])
    }

    /// A type is read from a tag's text only where the text can be had back.
    @Test(arguments: [
        ("1", OTLPValue.integer(1)), ("-7", .integer(-7)), ("007", .text("007")), ("+1", .text("+1")), ("1.0", .text("1.0")),
        ("9007199254740991", .integer(9_007_199_254_740_991)), ("9007199254740992", .text("9007199254740992")), ("-0", .text("-0")),
        ("true", .boolean(true)), ("True", .text("True")), ("", .text("")),
    ])
    func tagsHaveTypes(_ text: String, _ value: OTLPValue) { #expect(OTLPValue(tag: text) == value) }

    /// Zipkin's two halves of one span have one id; who reads by ids must see both, and what is below the server stays below it.
    @Test func halvesOfASharedSpanGetTheirOwnIds() throws {
        let batch = try zipkin(
            """
            [{"traceId":"a","id":"1","kind":"CLIENT","localEndpoint":{"serviceName":"web"}},\
            {"traceId":"a","id":"1","kind":"SERVER","shared":true,"localEndpoint":{"serviceName":"api"}},\
            {"traceId":"a","id":"2","parentId":"1","localEndpoint":{"serviceName":"api"}},\
            {"traceId":"a","id":"3","parentId":"1","localEndpoint":{"serviceName":"web"}},\
            {"traceId":"a","id":"9","shared":true,"localEndpoint":{"serviceName":"alone"}}]
            """)
        let (trace, changed) = UniqueSpanIDs.applied(to: batch)
        #expect(changed == [1])
        #expect(Set(trace.spans.map(\.id)).count == 5)
        #expect(trace.spans[1].parentID == SpanID(1) && trace.spans[2].parentID == trace.spans[1].id)
        #expect(trace.spans[3].parentID == SpanID(1) && trace.spans[4].id == SpanID(9))
        #expect(UniqueSpanIDs.applied(to: batch).trace.spans[1].id == trace.spans[1].id)
    }

    /// Whatever stands in a tag or an annotation is written without a trap, and as JSON and protobuf that our own decoders read alike.
    @Test func anythingStoredIsWritten() throws {
        let seed = UInt64.random(in: 1...UInt64.max)
        var random = SeededRandom(state: seed)
        let pieces = [
            "\"", "}", "{", "|", "\\", ":", "\": {", "a", "1", "\u{0}", "\u{202E}", "😀", "<script>", "null", "-", "[[",
            "0123456789abcdef",
            "00000000000000000000000000000001|0000000000000002||{", "}|0", "e99",
        ]
        func text() -> String { (0..<random.next(6)).map { _ in pieces[random.next(pieces.count)] }.joined() }
        func number() -> UInt64 { (UInt64(random.next(Int.max)) << 1) >> UInt64(random.next(64)) }
        let keys = [
            "otlp.link.0", "error", "otel.status_code", "otel.scope.name", "host.name", "x", "otel.dropped_events_count", "service.name",
        ]
        for _ in 0..<300 {
            var batch = SpanBatch()
            var row = SpanRow(traceID: TraceID(high: number(), low: number() | 1), id: SpanID(number() | 1))
            row.timestamp = number()
            row.duration = number()
            row.name = batch.append(text: text())
            for key in keys where random.next(2) == 0 {
                batch.tags.append(TagRow(key: batch.append(text: key), value: batch.append(text: text())))
            }
            row.tagCount = UInt32(batch.tags.count)
            for _ in 0..<random.next(3) {
                batch.annotations.append(AnnotationRow(timestamp: number(), value: batch.append(text: text())))
            }
            row.annotationCount = UInt32(batch.annotations.count)
            batch.spans.append(row)
            let trace = OTLPTrace(batch)
            for dialect in [OTLPTraceJSON.Dialect.otlp, .plain] {
                let json = OTLPTraceJSON.resourceSpans([trace], dialect)
                #expect(throws: Never.self, "seed \(seed): \(String(decoding: json, as: UTF8.self))") {
                    try JSONSerialization.jsonObject(with: Data(json))
                }
            }
            _ = try decoded(OTLPTraceProtobuf.encode(trace))
        }
    }
}
