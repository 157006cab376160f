@testable import Collector
import Compression
import EventLoops
import HTTPService
import Primitives
import Testing
import TelemetryModel
import TelemetryWire

private final class Handler: ServiceHandler {
    let receivers: Receivers
    init(_ receivers: Receivers) { self.receivers = receivers }

    func handle(_ request: borrowing ServiceRequest, _ responder: Responder) -> ServiceOutcome {
        receivers.handle(request, responder) ?? .respond(.text(404, "no such path"))
    }
}

@Suite struct ReceiversTests {
    private final class Server {
        let sink = FakeSink()
        let statistics = CollectorStatistics()
        let receivers: Receivers
        let server: ServiceServer

        init(limits: ReceiverLimits = ReceiverLimits()) throws {
            receivers = Receivers(sink: sink, statistics: statistics, limits: limits)
            server = try ServiceServer(
                name: "receivers", endpoints: [SocketEndpoint(ipv4: 0x7F00_0001, port: 0)], limits: ServiceLimits(),
                handler: Handler(receivers))
        }

        deinit { server.stop() }

        func send(
            _ method: String, _ path: String, type: String? = nil, headers: [String] = [], body: [UInt8] = []
        ) throws -> (status: Int, head: String, body: String) {
            let answer = try exchange(server.endpoints[0], httpRequest(method, path, type: type, headers: headers, body: body))
            let parts = answer.split(separator: "\r\n\r\n", maxSplits: 1, omittingEmptySubsequences: false)
            let status = Int(answer.dropFirst("HTTP/1.1 ".count).prefix(3)) ?? 0
            return (status, String(parts[0]).lowercased(), parts.count > 1 ? String(parts[1]) : "")
        }

        func zipkin(_ text: String, headers: [String] = []) throws -> (status: Int, head: String, body: String) {
            try send("POST", "/api/v2/spans", type: "application/json", headers: headers, body: Array(text.utf8))
        }
    }

    private let span = #"[{"traceId":"000000000000000a","id":"000000000000000b","name":"get","kind":"SERVER","timestamp":1,"duration":2}]"#

    /// An `ExportTraceServiceRequest` with one span for each id; an id of another length than 8 bytes is refused by OTLP's rules.
    private func otlp(spanIDs: [[UInt8]]) -> [UInt8] {
        func field(_ number: UInt8, _ bytes: [UInt8]) -> [UInt8] { [number << 3 | 2, UInt8(bytes.count)] + bytes }
        let spans = spanIDs.flatMap { id in
            field(2, field(1, [UInt8](repeating: 7, count: 16)) + field(2, id) + field(5, Array("get".utf8)))
        }
        return field(1, field(2, spans))
    }

    private let goodID = [UInt8](repeating: 9, count: 8)

    // MARK: Zipkin

    @Test(arguments: ["/api/v2/spans", "/zipkin/api/v2/spans"])
    func zipkinSpansAreAcceptedOnBothPaths(path: String) throws {
        let server = try Server()
        let answer = try server.send("POST", path, type: "application/json", body: Array(span.utf8))
        #expect(answer.status == 202 && answer.body.isEmpty)
        #expect(answer.head.contains("access-control-allow-origin: *"))
        #expect(server.sink.stored.first?.spans.first?.id == SpanID(11))
        #expect(server.statistics.total("skein_receiver_spans_total", ["receiver": "zipkin", "transport": "http"]) == 1)
        #expect(server.statistics.total("skein_receiver_bytes_total", ["receiver": "zipkin"]) == UInt64(span.utf8.count))
    }

    @Test func emptyBodiesAreAcceptedWithoutTroublingTheSink() throws {
        let server = try Server()
        #expect(try server.zipkin("").status == 202)
        #expect(try server.zipkin("[]").status == 202)
        #expect(try server.send("POST", "/api/v2/spans", headers: ["Content-Encoding: gzip"]).status == 202)
        #expect(server.sink.submissions == 0)
    }

    @Test func gzipBodiesAreDecoded() throws {
        let server = try Server()
        for coding in ["gzip", "GZIP", "x-gzip"] {
            let answer = try server.send(
                "POST", "/api/v2/spans", type: "application/json", headers: ["Content-Encoding: \(coding)"], body: gzip(Array(span.utf8)))
            #expect(answer.status == 202)
        }
        #expect(server.sink.spans == 3)
    }

    @Test func chunkedBodiesAreDecoded() throws {
        let server = try Server()
        let head = "POST /api/v2/spans HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
        let text = head + String(span.utf8.count, radix: 16) + "\r\n" + span + "\r\n0\r\n\r\n"
        #expect(try exchange(server.server.endpoints[0], Array(text.utf8)).hasPrefix("HTTP/1.1 202"))
        #expect(server.sink.spans == 1)
    }

    @Test func badBodiesAreRefusedWithTheReason() throws {
        let server = try Server()
        let malformed = try server.zipkin(#"[{"traceId":"xyz","id":"b"}]"#)
        #expect(malformed.status == 400 && malformed.body.contains("lower-hex") && malformed.body.contains("traceId"))
        let coding = try server.zipkin(span, headers: ["Content-Encoding: br"])
        #expect(coding.status == 415 && coding.body.contains("gzip"))
        let notGzip = try server.zipkin(span, headers: ["Content-Encoding: gzip"])
        #expect(notGzip.status == 400 && notGzip.body.contains("Content-Encoding"))
        let thrift = try server.send("POST", "/api/v2/spans", type: "application/x-thrift", body: [10, 0])
        #expect(thrift.status == 415 && thrift.body.contains("JSON") && thrift.body.contains("application/x-protobuf"))
        #expect(server.sink.submissions == 0)
        #expect(server.statistics.total("skein_receiver_requests_total", ["outcome": "malformed"]) == 2)
        #expect(server.statistics.total("skein_receiver_requests_total", ["outcome": "unsupported"]) == 2)
        // And the next good one is taken as if nothing had been.
        #expect(try server.zipkin(span).status == 202)
    }

    /// A sender with one bad span in a batch loses that one, is told which and why, and every span is counted once.
    @Test func aBadSpanCostsItselfAndNotItsBatch() throws {
        let server = try Server()
        let answer = try server.zipkin(
            #"[{"traceId":"a","id":"1"},{"traceId":"a","id":"0xff"},{"traceId":"a","id":"2"},{"id":"3"},"#
                + #"{"traceId":"a","id":"4","duration":[]}]"#
        )
        #expect(answer.status == 400 && answer.head.contains("access-control-allow-origin: *"))
        #expect(answer.body.hasPrefix("3 of 5 spans refused, 2 stored"))
        #expect(answer.body.contains("span 1, field id, byte 46: ") && answer.body.contains("accepted are the digits 0-9 and a-f"))
        #expect(answer.body.contains("span 3, field traceId") && answer.body.contains("span 4, field duration"))
        #expect(server.sink.stored.flatMap(\.spans).map(\.id) == [SpanID(1), SpanID(2)])
        // Broken JSON: nothing of it can be trusted to be complete.
        #expect(try server.zipkin(#"[{"traceId":"a","id":"5"},{"traceId":"a"},{"#).status == 400)
        #expect(try server.zipkin(#"[null]"#).status == 400)
        #expect(server.sink.spans == 2)
        let zipkin = ["receiver": "zipkin"]
        #expect(server.statistics.total("skein_receiver_spans_total", zipkin) == 2)
        #expect(server.statistics.total("skein_receiver_spans_rejected_total", zipkin.merging(["reason": "invalid"]) { $1 }) == 4)
        #expect(server.statistics.total("skein_receiver_requests_total", zipkin.merging(["outcome": "partial"]) { $1 }) == 1)
        #expect(server.statistics.total("skein_receiver_requests_total", zipkin.merging(["outcome": "malformed"]) { $1 }) == 2)
    }

    /// The answer waits for the store also when it is 400, and says so when the store has no room.
    @Test func goodSpansOfABadBatchAreNotAcknowledgedUnstored() throws {
        let server = try Server()
        server.sink.mode = .fail(.overloaded)
        let answer = try server.zipkin(#"[{"traceId":"a","id":"1"},{"traceId":"a"}]"#)
        #expect(answer.status == 503 && answer.body.contains("nothing of the request was kept"))
        #expect(server.statistics.total("skein_receiver_spans_rejected_total", ["reason": "invalid"]) == 1)
        #expect(server.statistics.total("skein_receiver_spans_rejected_total", ["reason": "overloaded"]) == 1)
    }

    /// A few kilobytes that unpack to gigabytes must cost the bound and no more.
    @Test func bodiesLargerThanTheBoundOnceUnpackedAreRefused() throws {
        var limits = ReceiverLimits()
        limits.bodyBytesMax = 100_000
        let server = try Server(limits: limits)
        let large = [UInt8](repeating: 32, count: 100_001)
        #expect(try server.send("POST", "/api/v2/spans", headers: ["Content-Encoding: gzip"], body: gzip(large)).status == 413)
        #expect(try server.send("POST", "/api/v2/spans", body: large).status == 413)
        let otlp = try server.send(
            "POST", "/v1/traces", type: "application/x-protobuf", headers: ["Content-Encoding: gzip"], body: gzip(large))
        #expect(otlp.status == 413 && otlp.head.contains("application/x-protobuf"))
        let packed = unsafe large.withUnsafeBytes { unsafe ZstdContext().compress($0, level: 3) }
        #expect(packed.count < 100)
        #expect(try server.send("POST", "/api/v2/spans", headers: ["Content-Encoding: zstd"], body: packed).status == 413)
        #expect(server.statistics.total("skein_receiver_requests_total", ["outcome": "too_large"]) == 4)
    }

    @Test func otherMethodsAndVersionsAreToldWhatToDo() throws {
        let server = try Server()
        let put = try server.send("PUT", "/api/v2/spans")
        #expect(put.status == 405 && put.head.contains("allow: get, post, options"))
        // GET on that path is the query API's.
        #expect(try server.send("GET", "/api/v2/spans").status == 404)
        let thrift = try server.send("POST", "/api/v1/spans", type: "application/x-thrift", body: Array("[]".utf8))
        #expect(thrift.status == 415 && thrift.body.contains("Zipkin v1 JSON") && thrift.body.contains("/api/v2/spans"))
        #expect(try server.send("POST", "/api/v1/spans", type: "application/x-protobuf").status == 415)
        #expect(try server.send("GET", "/api/v1/spans").head.contains("allow: post, options"))
        let preflight = try server.send("OPTIONS", "/api/v2/spans", headers: ["Access-Control-Request-Headers: content-type,b3"])
        #expect(preflight.status == 204 && preflight.head.contains("access-control-allow-headers: content-type,b3"))
        #expect(preflight.head.contains("access-control-allow-methods: post, options"))
        #expect(try server.send("DELETE", "/v1/traces").head.contains("allow: post, options"))
        #expect(try server.send("POST", "/elsewhere").status == 404)
    }

    /// Invariant 3: nobody is told yes before the sink has said yes.
    @Test func nothingIsAcknowledgedBeforeTheSinkHasIt() throws {
        let server = try Server()
        server.sink.mode = .hold
        let answers = Said()
        let port = server.server.endpoints[0]
        let body = Array(span.utf8)
        let client = try WorkerThread(name: "client") {
            answers.add((try? exchange(port, httpRequest("POST", "/api/v2/spans", body: body))) ?? "failed")
        }
        eventually("the batch never came") { server.sink.heldCount == 1 }
        // The server is not blocked by it: others are answered meanwhile.
        #expect(try server.zipkin("[]").status == 202)
        #expect(answers.all.isEmpty)
        server.sink.release()
        client.join()
        #expect(answers.all.first?.hasPrefix("HTTP/1.1 202") == true)
    }

    @Test func aFullOrFailingStoreAsksToComeBack() throws {
        let server = try Server()
        server.sink.mode = .fail(.overloaded)
        let busy = try server.zipkin(span)
        #expect(busy.status == 503 && busy.head.contains("retry-after: 1"))
        server.sink.mode = .fail(.unavailable(reason: "No space left on device"))
        let full = try server.zipkin(span)
        #expect(full.status == 503 && full.head.contains("retry-after: 5") && full.body.contains("No space left on device"))
        let otlp = try server.send("POST", "/v1/traces", type: "application/x-protobuf", body: otlp(spanIDs: [goodID]))
        #expect(otlp.status == 503 && otlp.head.contains("retry-after: 5") && otlp.head.contains("content-type: application/x-protobuf"))
        #expect(otlp.body.utf8.first == 8)
        #expect(server.statistics.total("skein_receiver_spans_rejected_total", ["reason": "overloaded"]) == 1)
        #expect(server.statistics.total("skein_receiver_spans_rejected_total", ["reason": "unavailable"]) == 2)
        server.sink.mode = .store
        #expect(try server.zipkin(span).status == 202)
    }

    /// Batches are used again: nothing of an earlier request may show up in a later one.
    @Test func reusedBatchesHoldNothingOld() throws {
        let server = try Server()
        for index in 1...20 {
            let text = #"[{"traceId":"a","id":"\#(index)","name":"n\#(index)","tags":{"k":"v\#(index)"}}]"#
            #expect(try server.zipkin(text).status == 202)
            _ = try server.zipkin("[{\"traceId\":\"a\",\"id\":\"b\",\"tags\":{\"half\":\"read\"}")
        }
        let names = server.sink.stored.flatMap { batch in batch.spans.map { batch.string($0.name) } }
        #expect(names == (1...20).map { "n\($0)" })
        #expect(server.sink.stored.allSatisfy { $0.tags.count == 1 && $0.spans.count == 1 })
    }

    @Test func zipkinProtobufIsAccepted() throws {
        let server = try Server()
        func field(_ number: UInt8, _ bytes: [UInt8]) -> [UInt8] { [number << 3 | 2, UInt8(bytes.count)] + bytes }
        let span = field(1, field(1, [UInt8](repeating: 1, count: 16)) + field(3, goodID) + field(5, Array("get".utf8)))
        for type in ["application/x-protobuf", "application/protobuf"] {
            #expect(try server.send("POST", "/api/v2/spans", type: type, body: span).status == 202)
        }
        #expect(try server.send("POST", "/api/v2/spans", type: "application/x-protobuf").status == 202)
        #expect(server.sink.spans == 2 && server.sink.stored[0].spans[0].id == SpanID(0x0909_0909_0909_0909))
        let partial = try server.send("POST", "/api/v2/spans", type: "application/x-protobuf", body: span + field(1, field(1, [1])))
        #expect(partial.status == 400 && partial.body.contains("1 of 2 spans refused, 1 stored") && server.sink.spans == 3)
        let json = try server.send("POST", "/api/v2/spans", type: "application/x-protobuf", body: Array(self.span.utf8))
        #expect(json.status == 400 && json.body == "Expected a PROTO3 encoded list\n")
        #expect(try server.send("POST", "/api/v2/spans", type: "application/json", body: span).status == 400)
    }

    @Test(arguments: ["/api/v1/spans", "/zipkin/api/v1/spans"]) func zipkinVersion1IsAccepted(path: String) throws {
        let server = try Server()
        let host = #"{"serviceName":"a"}"#
        let body =
            #"[{"traceId":"a","id":"b","name":"get","annotations":[{"timestamp":1,"value":"cs","endpoint":\#(host)},"#
                + #"{"timestamp":3,"value":"cr","endpoint":\#(host)}],"binaryAnnotations":[]}]"#
        #expect(try server.send("POST", path, type: "application/json", body: Array(body.utf8)).status == 202)
        let span = try #require(server.sink.stored.first?.spans.first)
        #expect(span.kind == .client && span.timestamp == 1 && span.duration == 2)
        let later = try server.send("POST", path, body: Array(#"[{"traceId":"a","id":"b","tags":{}}]"#.utf8))
        #expect(later.status == 400 && later.body == "Expected a JSON_V1 encoded list, but received: JSON_V2\n")
        let wrong = try server.zipkin(body)
        #expect(wrong.status == 400 && wrong.body == "Expected a JSON_V2 encoded list, but received: JSON_V1\n")
    }

    @Test func zstdBodiesAreDecoded() throws {
        let server = try Server()
        let body = unsafe Array(span.utf8).withUnsafeBytes { unsafe ZstdContext().compress($0, level: 3) }
        for coding in ["zstd", "ZSTD"] {
            #expect(try server.send("POST", "/api/v2/spans", headers: ["Content-Encoding: \(coding)"], body: body).status == 202)
        }
        let otlp = unsafe otlp(spanIDs: [goodID]).withUnsafeBytes { unsafe ZstdContext().compress($0, level: 3) }
        #expect(
            try server.send("POST", "/v1/traces", type: "application/x-protobuf", headers: ["Content-Encoding: zstd"], body: otlp).status
                == 200)
        #expect(server.sink.spans == 3)
        let broken = try server.zipkin(span, headers: ["Content-Encoding: zstd"])
        #expect(broken.status == 400 && broken.body.contains("Content-Encoding"))
        #expect(try server.send("POST", "/api/v2/spans", headers: ["Content-Encoding: zstd"]).status == 202)
    }

    /// A beacon brings credentials, and its browser asks for the origin's name and not for `*`; reads stay as they are.
    @Test(arguments: ["/api/v2/spans", "/api/v1/spans", "/v1/traces", "/v1/traces/", "/zipkin/api/v2/spans/"])
    func beaconsOfBrowsersAreLetIn(path: String) throws {
        let server = try Server()
        let origin = "Origin: https://shop.test"
        func allows(_ head: String) -> Bool {
            head.contains("access-control-allow-origin: https://shop.test") && head.contains("access-control-allow-credentials: true")
                && head.contains("vary: origin")
        }
        let preflight = try server.send(
            "OPTIONS", path, headers: [origin, "Access-Control-Request-Method: POST", "Access-Control-Request-Headers: content-type"])
        #expect(preflight.status == 204 && allows(preflight.head) && preflight.head.contains("access-control-allow-headers: content-type"))
        // The answers too, good or bad, or the page's console calls each one a failure.
        let isOTLP = path.hasPrefix("/v1")
        let sent = try server.send("POST", path, type: "application/json", headers: [origin], body: Array((isOTLP ? "{}" : "[]").utf8))
        #expect(sent.status == (isOTLP ? 200 : 202) && allows(sent.head))
        for bad in [[origin, "Content-Encoding: br"], [origin]] {
            let refused = try server.send("POST", path, type: "application/json", headers: bad, body: Array("!".utf8))
            #expect(refused.status >= 400 && allows(refused.head))
        }
        server.sink.mode = .fail(.overloaded)
        if path.hasPrefix("/api/v2") {
            let busy = try server.send("POST", path, headers: [origin], body: Array(span.utf8))
            #expect(busy.status == 503 && allows(busy.head))
        }
        let plain = try server.send("OPTIONS", path)
        #expect(plain.head.contains("access-control-allow-origin: *") && !plain.head.contains("credentials"))
        // What a preflight asks for a read is the query API's to say.
        let read = try server.send("OPTIONS", path, headers: [origin, "Access-Control-Request-Method: GET"])
        #expect((read.status == 404) == path.contains("/api/v2/"))
    }

    @Test(arguments: ["/api/v2/spans/", "/zipkin/api/v2/spans/", "/api/v1/spans/"]) func aSlashBehindThePathChangesNothing(
        path: String
    ) throws {
        let server = try Server()
        #expect(try server.send("POST", path, body: Array(#"[{"traceId":"a","id":"b"}]"#.utf8)).status == 202)
        #expect(try server.send("POST", "/v1/traces/", type: "application/x-protobuf", body: otlp(spanIDs: [goodID])).status == 200)
        #expect(server.sink.spans == 2)
        #expect(try server.send("POST", path + "/").status == 404)
    }

    // MARK: OTLP

    /// What a span has too many of costs the rest of it only, and is said in the answer and in a metric.
    @Test func partsLeftOutAreCountedAndSaid() throws {
        let server = try Server()
        let attributes = (0..<4099).map { #"{"key":"k\#($0)","value":{"stringValue":"v"}}"# }.joined(separator: ",")
        let body =
            #"{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"0102030405060708090a0b0c0d0e0f10","spanId":"0102030405060708","#
                + #""attributes":[\#(attributes)],"links":[5]}]}]}]}"#
        let answer = try server.send("POST", "/v1/traces", type: "application/json", body: Array(body.utf8))
        #expect(answer.status == 200 && answer.body.contains("3 attributes, 1 links") && answer.body.contains(#""rejectedSpans":"0""#))
        #expect(server.sink.spans == 1)
        func dropped(_ part: String) -> UInt64 {
            server.statistics.total("skein_receiver_parts_dropped_total", ["receiver": "otlp", "transport": "http", "part": part])
        }
        #expect(dropped("attributes") == 3 && dropped("links") == 1 && dropped("events") == 0 && dropped("values") == 0)
        #expect(server.statistics.total("skein_receiver_requests_total", ["receiver": "otlp", "outcome": "accepted"]) == 1)
    }

    @Test func otlpSpansAreAccepted() throws {
        let server = try Server()
        let body = otlp(spanIDs: [goodID])
        let plain = try server.send("POST", "/v1/traces", type: "application/x-protobuf", body: body)
        #expect(plain.status == 200 && plain.body.isEmpty && plain.head.contains("content-type: application/x-protobuf"))
        let packed = try server.send(
            "POST", "/v1/traces", type: "application/x-protobuf", headers: ["Content-Encoding: gzip"], body: gzip(body))
        #expect(packed.status == 200)
        #expect(try server.send("POST", "/v1/traces", type: "application/x-protobuf").status == 200)
        #expect(server.sink.spans == 2)
        #expect(server.statistics.total("skein_receiver_spans_total", ["receiver": "otlp"]) == 2)
    }

    @Test func otlpRejectsSpansOneByOne() throws {
        let server = try Server()
        let answer = try server.send("POST", "/v1/traces", type: "application/x-protobuf", body: otlp(spanIDs: [goodID, [1, 2]]))
        #expect(answer.status == 200)
        #expect(answer.body.contains("1 of 2 spans rejected"))
        #expect(server.sink.spans == 1)
        #expect(server.statistics.total("skein_receiver_spans_rejected_total", ["receiver": "otlp", "reason": "invalid"]) == 1)
        // With no good span there is nothing to store, and still an answer that says why.
        let none = try server.send("POST", "/v1/traces", type: "application/x-protobuf", body: otlp(spanIDs: [[1]]))
        #expect(none.status == 200 && none.body.contains("1 of 1 spans rejected"))
        for outcome in ["partial", "malformed"] {
            #expect(server.statistics.total("skein_receiver_requests_total", ["receiver": "otlp", "outcome": outcome]) == 1)
        }
    }

    @Test func otlpJSONIsAcceptedAndAnsweredInJSON() throws {
        let server = try Server()
        func send(_ text: String) throws -> (status: Int, head: String, body: String) {
            let answer = try server.send("POST", "/v1/traces", type: "application/json; charset=utf-8", body: Array(text.utf8))
            return (Int(answer.status), answer.head, answer.body)
        }
        let span = #"{"traceId":"0102030405060708090A0b0c0d0e0f10","spanId":"0102030405060708","name":"n"}"#
        let good = try send(#"{"resourceSpans":[{"scopeSpans":[{"spans":[\#(span)]}]}]}"#)
        #expect(good.status == 200 && good.body == "{}" && good.head.contains("content-type: application/json"))
        let half = try send(#"{"resourceSpans":[{"scopeSpans":[{"spans":[\#(span),{"traceId":"01"}]}]}]}"#)
        #expect(half.status == 200 && half.body.contains(#""rejectedSpans":"1""#))
        let notHex = try send(#"{"resourceSpans":[{"scopeSpans":[{"spans":[\#(span),{"traceId":"xy"}]}]}]}"#)
        #expect(notHex.status == 200 && notHex.body.contains(#""rejectedSpans":"1""#) && notHex.body.contains("not hexadecimal"))
        let bad = try send(#"{"resourceSpans":["#)
        #expect(bad.status == 400 && bad.body.hasPrefix(#"{"code":3,"#) && bad.body.contains("at byte"))
        #expect(server.sink.spans == 3)
    }

    @Test func otlpErrorsCarryAStatusInTheRequestsEncoding() throws {
        let server = try Server()
        let malformed = try server.send("POST", "/v1/traces", type: "application/x-protobuf", body: [10, 200])
        #expect(malformed.status == 400 && malformed.head.contains("content-type: application/x-protobuf"))
        // google.rpc.Status: field 1 = code 3, field 2 = the message.
        #expect(Array(malformed.body.utf8.prefix(3)) == [8, 3, 18])
        let text = try server.send("POST", "/v1/traces", type: "text/plain", body: [1])
        #expect(text.status == 415 && text.head.contains("content-type: application/json") && text.body.contains("application/x-protobuf"))
    }

    @Test func receivedSpansCanBeForwarded() throws {
        let server = try Server()
        let target = try TinyServer { _, _ in .answer("HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n") }
        let exporter = try Exporter(
            settings: ExporterSettings(name: "upstream", host: "127.0.0.1", port: target.endpoint.port), encoding: ZipkinEncoding(),
            statistics: server.statistics
        ) { _ in }
        server.receivers.forward(to: [exporter])
        // The sender comes back with what was refused: forwarded now, it would arrive twice.
        server.sink.mode = .fail(.overloaded)
        #expect(try server.zipkin(span).status == 503)
        server.sink.mode = .store
        #expect(try server.zipkin(span).status == 202)
        exporter.stop(withinNanoseconds: 10_000_000_000)
        target.stop()
        #expect(target.bodies.count == 1 && target.bodies[0].contains("000000000000000b"))
        #expect(server.statistics.total("skein_exporter_spans_total", ["exporter": "upstream"]) == 1)
    }
}
