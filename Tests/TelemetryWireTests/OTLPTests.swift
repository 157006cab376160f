import COTLP
import CProtobufC
import TelemetryModel
import TelemetryWire
import Testing

/// A protobuf message written by hand, so that the tests choose every byte.
struct Message {
    var bytes: [UInt8] = []

    static func varint(_ value: UInt64) -> [UInt8] {
        var rest = value
        var bytes: [UInt8] = []
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        return bytes + [UInt8(truncatingIfNeeded: rest)]
    }
    func int(_ field: UInt64, _ value: UInt64) -> Message { Message(bytes: bytes + Self.varint(field << 3) + Self.varint(value)) }
    func fixed(_ field: UInt64, _ value: UInt64) -> Message {
        Message(bytes: bytes + Self.varint(field << 3 | 1) + (0..<8).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) })
    }
    func data(_ field: UInt64, _ value: [UInt8]) -> Message {
        Message(bytes: bytes + Self.varint(field << 3 | 2) + Self.varint(UInt64(value.count)) + value)
    }
    func text(_ field: UInt64, _ value: String) -> Message { data(field, Array(value.utf8)) }
    func message(_ field: UInt64, _ value: Message) -> Message { data(field, value.bytes) }

    static func attribute(_ key: String, _ value: Message) -> Message { Message().text(1, key).message(2, value) }
    static func attribute(_ key: String, _ value: String) -> Message { attribute(key, Message().text(1, value)) }
    static func span(trace: [UInt8] = [UInt8](repeating: 1, count: 16), id: [UInt8] = [UInt8](repeating: 2, count: 8)) -> Message {
        Message().data(1, trace).data(2, id)
    }
    static func request(_ spans: [Message], resource: Message = Message(), scope: Message = Message()) -> Message {
        var scopeSpans = Message().message(1, scope)
        for span in spans { scopeSpans = scopeSpans.message(2, span) }
        // The resource after its spans on purpose: order on the wire is free.
        return Message().message(1, Message().message(2, scopeSpans).message(1, resource))
    }
}

@Suite struct OTLPTests {
    func decode(_ bytes: [UInt8], _ batch: inout SpanBatch) throws -> OTLPDecodeOutcome {
        try unsafe bytes.withUnsafeBytes { unsafe try OTLPTraceDecoder.decode($0, into: &batch) }
    }

    static let full = Message.request(
        [
            Message.span().data(4, [UInt8](repeating: 3, count: 8)).text(5, "GET /Items").int(6, 3).fixed(7, 1_700_000_000_000_001_000)
                .fixed(8, 1_700_000_000_000_001_500)
                .message(9, .attribute("http.method", "GET")).message(9, .attribute("n", Message().int(3, UInt64(bitPattern: -5))))
                .message(9, .attribute("b", Message().int(2, 1))).message(9, .attribute("d", Message().fixed(4, 0.5.bitPattern)))
                .message(
                    9,
                    .attribute("l", Message().message(5, Message().message(1, Message().text(1, "x\"")).message(1, Message().int(3, 7)))))
                .message(9, .attribute("m", Message().message(6, Message().message(1, .attribute("k", "v")))))
                .message(9, .attribute("raw", Message().data(7, [0xFF, 0, 1, 2]))).message(9, .attribute("shared.key", "span"))
                .message(9, .attribute("server.address", "Backend")).message(9, .attribute("server.port", Message().int(3, 8080)))
                .message(9, .attribute("network.peer.address", "10.0.0.9"))
                .message(11, Message().fixed(1, 1_700_000_000_000_001_000).text(2, "plain"))
                .message(11, Message().fixed(1, 1_700_000_000_000_002_000).text(2, "rich").message(3, .attribute("a", Message().int(3, 1))))
                .message(15, Message().text(2, "boom").int(3, 2))
        ],
        resource: Message().message(1, .attribute("service.name", "Frontend")).message(1, .attribute("shared.key", "resource")),
        scope: Message().text(1, "lib").text(2, "1.0"))

    @Test func mapsASpanToZipkinAsTheSpecificationSays() throws {
        var batch = SpanBatch()
        let outcome = try decode(Self.full.bytes, &batch)
        #expect(outcome.acceptedSpans == 1 && outcome.rejectedSpans == 0 && outcome.message.isEmpty)
        var bytes: [UInt8] = []
        ZipkinJSONEncoder.appendList(batch, to: &bytes)
        #expect(
            String(decoding: bytes, as: UTF8.self)
                == #"[{"traceId":"01010101010101010101010101010101","parentId":"0303030303030303","id":"0202020202020202","kind":"CLIENT","#
                    + #""name":"get /items","timestamp":1700000000000001,"duration":1,"localEndpoint":{"serviceName":"frontend"},"#
                    + #""remoteEndpoint":{"serviceName":"backend","ipv4":"10.0.0.9","port":8080},"#
                    + #""annotations":[{"timestamp":1700000000000001,"value":"plain"},"#
                    + #"{"timestamp":1700000000000002,"value":"\"rich\": {\"a\":1}"}],"#
                    + #""tags":{"b":"true","d":"0.5","error":"boom","http.method":"GET","l":"[\"x\\\"\",7]","m":"{\"k\":\"v\"}","n":"-5","#
                    + #""network.peer.address":"10.0.0.9","otel.library.name":"lib","otel.library.version":"1.0","otel.scope.name":"lib","#
                    + #""otel.scope.version":"1.0","otel.status_code":"ERROR","otel.status_description":"boom","raw":"/wABAg==","#
                    + #""server.address":"Backend","server.port":"8080","shared.key":"span"}}]"#
        )
    }

    @Test func invalidSpansAreCountedAndTheRestKept() throws {
        let spans = [
            Message.span(), Message.span(trace: []), Message.span(trace: [UInt8](repeating: 0, count: 16)), Message.span(id: [1]),
            Message.span(id: [UInt8](repeating: 0, count: 8)), Message.span().data(4, [1]), Message.span().text(5, "last"),
        ]
        var batch = SpanBatch()
        let outcome = try decode(Message.request(spans).bytes, &batch)
        #expect(outcome.acceptedSpans == 2 && outcome.rejectedSpans == 5 && batch.spans.count == 2)
        #expect(outcome.message == "5 of 7 spans rejected; the first because its trace_id is not 16 bytes")
        #expect(batch.string(batch.spans[1].name) == "last" && batch.string(batch.endpoints[0].serviceName) == "unknown_service")
        var json: [UInt8] = []
        OTLPResponse.appendTraceSuccess(outcome, .json, to: &json)
        #expect(
            String(decoding: json, as: UTF8.self)
                == #"{"partialSuccess":{"rejectedSpans":"5","errorMessage":"5 of 7 spans rejected; the first because its trace_id is not "#
                    + #"16 bytes"}}"#
        )
        var protobuf: [UInt8] = []
        OTLPResponse.appendTraceSuccess(outcome, .protobuf, to: &protobuf)
        #expect(protobuf == Message().message(1, Message().int(1, 5).text(2, outcome.message)).bytes)
    }

    @Test func emptyRequestsSucceedAndSayNothing() throws {
        var batch = SpanBatch()
        for body in [[], Message.request([]).bytes, Message().message(1, Message()).bytes] {
            let outcome = try decode(body, &batch)
            #expect(outcome == OTLPDecodeOutcome())
            var bytes: [UInt8] = []
            OTLPResponse.appendTraceSuccess(outcome, .protobuf, to: &bytes)
            #expect(bytes.isEmpty)
        }
        var status: [UInt8] = []
        OTLPResponse.appendStatus(code: 3, message: "no", .json, to: &status)
        #expect(String(decoding: status, as: UTF8.self) == #"{"code":3,"message":"no"}"#)
        status = []
        OTLPResponse.appendStatus(code: 3, message: "no", .protobuf, to: &status)
        #expect(status == Message().int(1, 3).text(2, "no").bytes)
    }

    /// Texts are references into a copy of the body, whatever was in the batch before.
    @Test func aBatchTakesSeveralBodies() throws {
        var batch = SpanBatch()
        _ = try decode(Self.full.bytes, &batch)
        let once = batch
        #expect(throws: OTLPDecodeError.self) { _ = try decode(Array(Self.full.bytes.dropLast()), &batch) }
        #expect(batch.text == once.text && batch.tags.count == once.tags.count && batch.endpoints.count == once.endpoints.count)
        _ = try decode(Self.full.bytes, &batch)
        func tags(_ row: SpanRow) -> [String] {
            (0..<Int(row.tagCount)).map { index in
                let tag = batch.tags[Int(row.tagStart) + index]
                return batch.string(tag.key) + "=" + batch.string(tag.value)
            }
        }
        let half = batch.spans.count / 2
        #expect(half == once.spans.count)
        for index in 0..<half {
            #expect(tags(batch.spans[index]) == tags(batch.spans[half + index]))
            #expect(batch.string(batch.spans[index].name) == batch.string(batch.spans[half + index].name))
        }
    }

    /// Attributes that are not short ASCII texts, and more of them than are gathered before they go to the batch.
    @Test func attributesOfAnyFormAreTheSameInLongLists() throws {
        let forms: [(Message, String)] = [
            (.attribute("", ""), "="), (.attribute("k", ""), "k="), (.attribute("ключ", "значение"), "ключ=значение"),
            (.attribute("k1", String(repeating: "x", count: 125)), "k1=" + String(repeating: "x", count: 125)),
            (.attribute("k2", String(repeating: "x", count: 126)), "k2=" + String(repeating: "x", count: 126)),
            (.attribute("k3", String(repeating: "x", count: 400)), "k3=" + String(repeating: "x", count: 400)),
            (.attribute(String(repeating: "k", count: 127), "v"), String(repeating: "k", count: 127) + "=v"),
            (.attribute(String(repeating: "k", count: 128), "v"), String(repeating: "k", count: 128) + "=v"),
            (Message().message(2, Message().text(1, "value first")).text(1, "k4"), "k4=value first"),
            (Message().text(1, "k5"), "k5="), (Message().text(1, "k6").message(2, Message()), "k6="),
            (Message().text(1, "k7").message(2, Message().text(1, "a").text(1, "b")), "k7=b"),
            (Message().text(1, "k8").message(2, Message().text(1, "a")).int(9, 1), "k8=a"),
        ]
        var span = Message.span()
        var wanted: [String] = []
        for (form, text) in forms {
            span = span.message(9, form)
            wanted.append(text)
        }
        for number in 0..<90 {
            span = span.message(9, .attribute("number-\(number)", "\(number)"))
            wanted.append("number-\(number)=\(number)")
        }
        var batch = SpanBatch()
        let outcome = try decode(Message.request([span, span]).bytes, &batch)
        #expect(outcome.acceptedSpans == 2)
        for row in batch.spans {
            let tags = (0..<Int(row.tagCount)).map { index in
                let tag = batch.tags[Int(row.tagStart) + index]
                return batch.string(tag.key) + "=" + batch.string(tag.value)
            }
            #expect(tags == wanted)
        }
    }

    @Test func brokenMessagesThrowAndLeaveTheBatchAlone() throws {
        for body: [UInt8] in [
            [0x0A], [0x0A, 5, 1], [0x0A, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1], [0x00], [0x0B], [0x07], [0x09, 1],
            [0x0D, 1],
            [UInt8](repeating: 0xFF, count: 12), Array("{\"resourceSpans\":[]}".utf8),
        ] {
            var batch = SpanBatch()
            #expect(throws: OTLPDecodeError.self, "\(body)") { _ = try decode(body, &batch) }
            #expect(batch.spans.isEmpty && batch.text.isEmpty)
        }
    }

    @Test func mutatedRequestsNeverTrap() throws {
        let seed: UInt64 = 0xBADC0DE
        var random = SeededRandom(state: seed)
        for _ in 0..<20_000 {
            var bytes = Self.full.bytes
            for _ in 0...random.next(4) { bytes[random.next(bytes.count)] = UInt8(random.next(256)) }
            bytes.removeLast(random.next(8) == 0 ? random.next(bytes.count) : 0)
            var batch = SpanBatch()
            guard let outcome = try? decode(bytes, &batch) else {
                #expect(batch.text.isEmpty, "seed \(seed)")
                continue
            }
            #expect(batch.spans.count == outcome.acceptedSpans, "seed \(seed)")
            var output: [UInt8] = []
            ZipkinJSONEncoder.appendList(batch, to: &output)
            var again = SpanBatch()
            _ = try decodeZipkin(output, into: &again)
            #expect(again.spans.count == batch.spans.count, "seed \(seed)")
        }
    }

    /// protobuf-c reads the same bytes by generated code: both must see the same spans.
    @Test func protobufCAgrees() throws {
        var random = SeededRandom(state: 0x0DDB411)
        for _ in 0..<300 {
            let spans = (0..<random.next(6)).map { index in
                var span = Message.span(trace: (0..<16).map { _ in UInt8(random.next(255) + 1) }).text(
                    5, "op-\(index)-\(random.next(1000))")
                for key in 0..<random.next(12) { span = span.message(9, .attribute("key-\(key)", "value-\(random.next(1000))")) }
                return span.fixed(7, UInt64(random.next(1 << 40)))
            }
            let body = Message.request(spans).bytes
            var batch = SpanBatch()
            let outcome = try decode(body, &batch)
            #expect(outcome.acceptedSpans == spans.count)
            guard let root = unsafe otlp__export_trace_service_request__unpack(nil, body.count, body) else {
                Issue.record("protobuf-c refuses the body")
                return
            }
            defer { unsafe otlp__export_trace_service_request__free_unpacked(root, nil) }
            var seen = 0
            for resourceIndex in unsafe 0..<root.pointee.n_resource_spans {
                guard let resource = unsafe root.pointee.resource_spans[resourceIndex] else { continue }
                for scopeIndex in unsafe 0..<resource.pointee.n_scope_spans {
                    guard let scope = unsafe resource.pointee.scope_spans[scopeIndex] else { continue }
                    for spanIndex in unsafe 0..<scope.pointee.n_spans {
                        guard let span = unsafe scope.pointee.spans[spanIndex] else { continue }
                        let row = batch.spans[seen]
                        let name = unsafe String(cString: span.pointee.name)
                        let attributeCount = unsafe span.pointee.n_attributes
                        let start = unsafe span.pointee.start_time_unix_nano
                        let firstTraceByte = unsafe span.pointee.trace_id.data[0]
                        #expect(name == batch.string(row.name) && attributeCount == Int(row.tagCount) && start / 1000 == row.timestamp)
                        #expect(firstTraceByte == UInt8(truncatingIfNeeded: row.traceID.high >> 56))
                        if attributeCount > 0, let attribute = unsafe span.pointee.attributes[attributeCount - 1] {
                            let value = unsafe String(cString: attribute.pointee.value.pointee.string_value)
                            #expect(value == batch.string(batch.tags[Int(row.tagStart) + attributeCount - 1].value))
                        }
                        seen += 1
                    }
                }
            }
            #expect(seen == batch.spans.count)
        }
    }
}
