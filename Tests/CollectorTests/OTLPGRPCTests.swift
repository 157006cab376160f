@testable import Collector
import Compression
import EventLoops
import HTTP
import HTTPService
import Primitives
import Testing
import TelemetryModel
import TelemetryWire

private let tracesExportPath = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"

private final class Handler: ServiceHandler {
    let receivers: Receivers
    init(_ receivers: Receivers) { self.receivers = receivers }

    func open(_ request: borrowing ServiceRequest) -> ServiceOpening { receivers.open(request) ?? .collect }

    func handle(_ request: borrowing ServiceRequest, _ responder: Responder) -> ServiceOutcome {
        receivers.handle(request, responder) ?? .respond(.text(404, "no such path"))
    }
}

@Suite struct OTLPGRPCTests {
    private final class Server {
        let sink = FakeSink()
        let statistics = CollectorStatistics()
        let server: ServiceServer

        init(limits: ReceiverLimits = ReceiverLimits(), service: ServiceLimits = ServiceLimits()) throws {
            let receivers = Receivers(sink: sink, statistics: statistics, limits: limits)
            server = try ServiceServer(
                name: "receivers", endpoints: [SocketEndpoint(ipv4: 0x7F00_0001, port: 0)], limits: service, handler: Handler(receivers))
        }

        deinit { server.stop() }

        func call(
            _ message: [UInt8], path: String = tracesExportPath, type: String? = "application/grpc", fields: [(String, String)] = [],
            compressed: UInt8 = 0, prefix: [UInt8]? = nil
        ) throws -> HTTP2Answer {
            let count = message.count
            let usual: [UInt8] = [compressed, UInt8(count >> 24), UInt8(count >> 16 & 255), UInt8(count >> 8 & 255), UInt8(count & 255)]
            return try http2Exchange(
                server.endpoints[0], "POST", path, (type.map { [("content-type", $0)] } ?? []) + [("te", "trailers")] + fields,
                body: (prefix ?? usual) + message)
        }
    }

    /// An `ExportTraceServiceRequest` with one span for each id; an id of another length than 8 bytes is refused by OTLP's rules.
    private func otlp(spanIDs: [[UInt8]]) -> [UInt8] {
        func field(_ number: UInt8, _ bytes: [UInt8]) -> [UInt8] { [number << 3 | 2, UInt8(bytes.count)] + bytes }
        let trace = field(1, [UInt8](repeating: 7, count: 16))
        let spans = spanIDs.flatMap { id in field(2, trace + field(2, id) + field(5, Array("get".utf8))) }
        return field(1, field(2, spans))
    }

    private let goodID = [UInt8](repeating: 9, count: 8)

    @Test(arguments: ["application/grpc", "application/grpc+proto"])
    func storesSpansAndSaysSo(type: String) throws {
        let server = try Server()
        let answer = try server.call(otlp(spanIDs: [goodID]), type: type)
        #expect(answer.status == 200 && answer.fields["content-type"] == "application/grpc")
        #expect(answer.body == [0, 0, 0, 0, 0] && answer.trailers == ["grpc-status": "0"])
        #expect(server.sink.stored.first?.spans.count == 1)
        #expect(server.statistics.total("skein_receiver_spans_total", ["receiver": "otlp", "transport": "grpc"]) == 1)
        #expect(server.statistics.total("skein_receiver_requests_total", ["transport": "grpc", "outcome": "accepted"]) == 1)
        #expect(server.statistics.total("skein_receiver_bytes_total", ["transport": "grpc"]) == UInt64(otlp(spanIDs: [goodID]).count + 5))
        #expect(server.statistics.total("skein_receiver_requests_total", ["transport": "http"]) == 0)
    }

    @Test func anEmptyRequestIsASuccess() throws {
        let server = try Server()
        #expect(try server.call([]).trailers["grpc-status"] == "0")
        #expect(server.sink.submissions == 0)
    }

    @Test func tellsOfSpansThatWereRefused() throws {
        let server = try Server()
        let answer = try server.call(otlp(spanIDs: [goodID, [1, 2]]))
        #expect(answer.trailers["grpc-status"] == "0")
        // Field 1, `partial_success`, in which field 1 is the number of spans refused.
        let message = Array(answer.body.dropFirst(5))
        #expect(message.first == 0x0A && Array(message.dropFirst(2).prefix(2)) == [0x08, 1])
        #expect(server.sink.spans == 1)
        #expect(server.statistics.total("skein_receiver_requests_total", ["transport": "grpc", "outcome": "partial"]) == 1)
    }

    @Test func unpacksMessagesThatSayTheyAreGzip() throws {
        let server = try Server()
        let packed = gzip(otlp(spanIDs: [goodID]))
        #expect(try server.call(packed, fields: [("grpc-encoding", "gzip")], compressed: 1).trailers["grpc-status"] == "0")
        // The encoding is of the messages that are flagged.
        #expect(try server.call(otlp(spanIDs: [goodID]), fields: [("grpc-encoding", "gzip")]).trailers["grpc-status"] == "0")
        #expect(server.sink.spans == 2)
        #expect(try server.call(packed, compressed: 1).fields["grpc-status"] == "13")
        #expect(try server.call([1, 2, 3], fields: [("grpc-encoding", "gzip")], compressed: 1).fields["grpc-status"] == "3")
        let other = try server.call(packed, fields: [("grpc-encoding", "snappy")], compressed: 1)
        #expect(other.fields["grpc-status"] == "12" && other.fields["grpc-accept-encoding"] == "identity,gzip")
        #expect(other.fields["grpc-message"]?.contains("snappy") == true)
        #expect(server.sink.spans == 2)
    }

    /// Errors are in the head, with nothing behind it: clients read the status there only then.
    @Test func errorsAreTrailersOnly() throws {
        let server = try Server()
        let malformed = try server.call([0xFF, 0xFF])
        #expect(malformed.status == 200 && malformed.body.isEmpty && malformed.trailers.isEmpty)
        #expect(malformed.fields["grpc-status"] == "3" && malformed.fields["grpc-message"]?.contains("ExportTraceServiceRequest") == true)
        let metrics = try server.call([], path: "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export")
        #expect(metrics.fields["grpc-status"] == "12" && metrics.fields["grpc-message"]?.contains("TraceService/Export") == true)
        #expect(try server.call([], path: "/opentelemetry.proto.collector.trace.v1.TraceService/Stream").fields["grpc-status"] == "12")
        #expect(try server.call([], type: "application/grpc+json").fields["grpc-status"] == "12")
        #expect(try server.call([1], prefix: [0, 0, 0, 0, 9]).fields["grpc-status"] == "3")
        #expect(try server.call([1, 2], prefix: [0, 0, 0, 0, 1]).fields["grpc-status"] == "3")
        #expect(try server.call([1], prefix: [7, 0, 0, 0, 1]).fields["grpc-status"] == "3")
        let json = try server.call([], type: "application/json")
        #expect(json.status == 415 && json.fields["grpc-status"] == nil)
        #expect(try server.call([], type: nil).status == 415)
        let endpoint = server.server.endpoints[0]
        let old = try exchange(endpoint, httpRequest("POST", tracesExportPath, type: "application/grpc"))
        #expect(old.hasPrefix("HTTP/1.1 505"))
        #expect(try http2Exchange(endpoint, "GET", tracesExportPath, [("content-type", "application/grpc")]).status == 405)
        #expect(server.sink.submissions == 0)
    }

    /// By its own length, before it is there; once unpacked; and by the server's own bound. None says to try again.
    @Test func messagesTooLargeAreFinal() throws {
        var limits = ReceiverLimits()
        limits.bodyBytesMax = 100_000
        var service = ServiceLimits()
        service.bodyBytesMax = 50_000
        let server = try Server(limits: limits, service: service)
        let said = try server.call([1], prefix: [0, 0x7F, 0xFF, 0xFF, 0xFF])
        let packed = try #require(Gzip.encode([UInt8](repeating: 32, count: 100_001)))
        let unpacked = try server.call(packed, fields: [("grpc-encoding", "gzip")], compressed: 1)
        let held = try server.call([UInt8](repeating: 0, count: 60_000))
        for answer in [said, unpacked, held] {
            #expect(answer.fields["grpc-status"] == "8" && answer.fields["grpc-message"]?.contains("100000 bytes") == true)
            #expect(answer.fields["grpc-status-details-bin"] == nil)
        }
        #expect(server.statistics.total("skein_receiver_requests_total", ["transport": "grpc", "outcome": "too_large"]) == 3)
    }

    /// Back-pressure: UNAVAILABLE with the delay where clients look for it; the same spans sent again are stored.
    @Test func aStoreThatHasNoRoomSaysWhenToTryAgain() throws {
        let server = try Server()
        for (rejection, seconds) in [(BatchRejection.overloaded, UInt8(1)), (.unavailable(reason: "disk full"), 5)] {
            server.sink.mode = .fail(rejection)
            let answer = try server.call(otlp(spanIDs: [goodID]))
            #expect(answer.fields["grpc-status"] == "14" && answer.body.isEmpty)
            #expect(answer.fields["grpc-message"]?.contains("nothing of the request was kept") == true)
            let details = base64Bytes(answer.fields["grpc-status-details-bin"] ?? "")
            // Status.code, then at the end Any.value = RetryInfo { retry_delay { seconds } }.
            let code: [UInt8] = [0x08, 14]
            let delay: [UInt8] = [0x0A, 2, 0x08, seconds]
            #expect(Array(details.prefix(2)) == code)
            #expect(Array(details.suffix(6)) == [0x12, 4] + delay)
            #expect(String(decoding: details, as: UTF8.self).contains("type.googleapis.com/google.rpc.RetryInfo"))
            #expect(base64Bytes(answer.fields["google.rpc.retryinfo-bin"] ?? "") == delay)
        }
        #expect(server.statistics.total("skein_receiver_spans_rejected_total", ["transport": "grpc"]) == 2)
        server.sink.mode = .store
        #expect(try server.call(otlp(spanIDs: [goodID])).trailers["grpc-status"] == "0")
    }

    @Test func aMessageBehindItsDeadlineIsNotKept() throws {
        let server = try Server()
        #expect(try server.call(otlp(spanIDs: [goodID]), fields: [("grpc-timeout", "0n")]).fields["grpc-status"] == "4")
        #expect(try server.call(otlp(spanIDs: [goodID]), fields: [("grpc-timeout", "10S")]).trailers["grpc-status"] == "0")
        #expect(server.sink.spans == 1)
        #expect(server.statistics.total("skein_receiver_requests_total", ["outcome": "deadline_exceeded"]) == 1)
    }

    @Test func answersHealthChecks() throws {
        let server = try Server()
        let service = Array("opentelemetry.proto.collector.trace.v1.TraceService".utf8)
        let named: [UInt8] = [0x0A, UInt8(service.count)] + service
        for request in [[], named] {
            let answer = try server.call(request, path: OTLPGRPCReceiver.healthPath)
            #expect(answer.trailers["grpc-status"] == "0" && answer.body == [0, 0, 0, 0, 2, 0x08, 1])
        }
        #expect(try server.call([0x0A, 1, 0x61], path: OTLPGRPCReceiver.healthPath).fields["grpc-status"] == "5")
        #expect(try server.call([0xFF], path: OTLPGRPCReceiver.healthPath).fields["grpc-status"] == "5")
    }
}
