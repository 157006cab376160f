@testable import Collector
import EventLoops
import HTTP
import HTTPService
import Primitives
import Testing
import TelemetryModel
import TelemetryWire

/// A second signal is an addition: a batch, what OTLP says of it, an encoding. Protocols, queues, retrying and counters are there already.
@Suite struct SignalTests {
    private final class Handler: ServiceHandler {
        let http: [String: OTLPHTTPReceiver]
        let grpc: OTLPGRPCReceiver

        init(_ services: [any OTLPService]) {
            http = Dictionary(uniqueKeysWithValues: services.map { ($0.path, OTLPHTTPReceiver($0, bytesMax: 1 << 20)) })
            grpc = OTLPGRPCReceiver(services, ReceiverLimits())
        }

        func open(_ request: borrowing ServiceRequest) -> ServiceOpening { grpc.open(request) ?? .collect }
        func handle(_ request: borrowing ServiceRequest, _ responder: Responder) -> ServiceOutcome {
            http[request.path]?.handle(request, responder) ?? .respond(.text(404, "no such path"))
        }
    }

    private final class Server {
        let spans = FakeSink()
        let points = PointSink()
        let statistics = CollectorStatistics()
        let intake: SignalIntake<PointBatch>
        let server: ServiceServer

        init() throws {
            let limits = ReceiverLimits()
            let unpacker = BodyUnpacker(limits)
            intake = SignalIntake(sink: points, unpacker: unpacker, limits: limits)
            let services: [any OTLPService] = [
                OTLPSignalService(OTLPTraces(), SignalIntake(sink: spans, unpacker: unpacker, limits: limits), statistics),
                OTLPSignalService(OTLPPoints(), intake, statistics),
            ]
            server = try ServiceServer(
                name: "signals", endpoints: [SocketEndpoint(ipv4: 0x7F00_0001, port: 0)], limits: ServiceLimits(),
                handler: Handler(services))
        }

        deinit { server.stop() }

        func post(_ body: [UInt8], headers: [String] = []) throws -> String {
            try exchange(
                server.endpoints[0], httpRequest("POST", "/v1/metrics", type: "application/x-protobuf", headers: headers, body: body))
        }

        func call(_ message: [UInt8], service: String = OTLPPoints.service, method: String = "Export") throws -> HTTP2Answer {
            try http2Exchange(
                server.endpoints[0], "POST", "/\(service)/\(method)", [("content-type", "application/grpc"), ("te", "trailers")],
                body: [0, 0, 0, 0, UInt8(message.count)] + message)
        }

        func total(_ family: String, _ labels: [String: String] = [:]) -> UInt64 { statistics.total(family, labels) }
    }

    @Test func anotherSignalIsReceivedOverBothTransports() throws {
        let server = try Server()
        #expect(try server.post([1, 2, 3]).hasPrefix("HTTP/1.1 200"))
        #expect(try server.post(gzip([4, 255]), headers: ["Content-Encoding: gzip"]).hasSuffix("\u{01}"))
        #expect(try server.post([1], headers: ["Content-Encoding: br"]).hasPrefix("HTTP/1.1 415"))
        let answer = try server.call([5])
        #expect(answer.trailers["grpc-status"] == "0")
        #expect(server.points.stored.map(\.values) == [[1, 2, 3], [4], [5]])
        #expect(server.spans.submissions == 0)

        #expect(server.total("skein_receiver_metric_points_total", ["receiver": "otlp", "transport": "http"]) == 4)
        #expect(server.total("skein_receiver_metric_points_total", ["receiver": "otlp", "transport": "grpc"]) == 1)
        #expect(server.total("skein_receiver_metric_points_rejected_total", ["reason": "invalid"]) == 1)
        #expect(server.total("skein_receiver_requests_total", ["signal": "metrics", "transport": "http", "outcome": "accepted"]) == 1)
        #expect(server.total("skein_receiver_requests_total", ["signal": "metrics", "outcome": "partial"]) == 1)
        #expect(server.total("skein_receiver_requests_total", ["signal": "metrics", "outcome": "unsupported"]) == 1)
        // What is counted of spans has no further label, and nothing of this is in it.
        #expect(server.total("skein_receiver_spans_total") == 0)
        let spans = server.statistics.samples().flatMap(\.samples).filter { !$0.labels.contains { $0.name == "signal" } }
        #expect(spans.filter { $0.labels.contains { $0.name == "outcome" } }.allSatisfy { $0.value == 0 })
    }

    @Test func refusalsOfAnotherSignalSayWhatTheySayOfSpans() throws {
        let server = try Server()
        server.points.refuse(.overloaded)
        let answer = try server.post([1])
        #expect(answer.hasPrefix("HTTP/1.1 503") && answer.contains("Retry-After: 1\r\n"))
        server.points.refuse(.unavailable(reason: "disk full"))
        #expect(try server.call([1]).fields["grpc-status"] == "14")
        #expect(server.total("skein_receiver_metric_points_rejected_total", ["reason": "overloaded"]) == 1)
        #expect(server.total("skein_receiver_metric_points_rejected_total", ["reason": "unavailable"]) == 1)
        let unknown = try server.call([], method: "Stream")
        #expect(unknown.fields["grpc-message"]?.contains("TraceService/Export, ") == true)
        #expect(unknown.fields["grpc-message"]?.contains("MetricsService/Export and grpc.health") == true)
    }

    private func settings(_ port: UInt16) -> ExporterSettings {
        var settings = ExporterSettings(name: "mimir", host: "127.0.0.1", port: port)
        settings.backoffNanosecondsMin = 1_000_000
        settings.backoffNanosecondsMax = 20_000_000
        return settings
    }

    /// Queue, connection and retrying are the exporter's; path, fields, body and the meaning of a status are the encoding's.
    @Test func anExporterTakesAnotherEncoding() throws {
        let server = try TinyServer { number, _ in
            .answer(
                "HTTP/1.1 \(["409 Conflict", "204 No Content", "429 Too Many Requests", "204 No Content"][min(number, 3)])\r\n"
                    + "Content-Length: 0\r\n\r\n")
        }
        let statistics = CollectorStatistics()
        let said = Said()
        let exporter = try Exporter(
            settings: settings(server.endpoint.port), encoding: LineEncoding(), statistics: statistics, seed: 1) { said.add($0) }
        exporter.offer(PointBatch([1, 2]))
        eventually("never delivered") { statistics.total("skein_exporter_metric_points_total", ["exporter": "mimir"]) == 2 }
        exporter.offer(PointBatch([3]))
        eventually("never refused") { statistics.total("skein_exporter_metric_points_dropped_total", ["reason": "rejected"]) == 1 }
        exporter.stop()
        server.stop()
        #expect(server.bodies == ["1;2;", "1;2;", "3;"])
        #expect(server.heads[0].hasPrefix("POST /api/v1/write HTTP/1.1\r\n"))
        #expect(server.heads[0].contains("\r\nContent-Type: text/x-lines\r\nX-Lines-Version: 0.1.0\r\n"))
        #expect(server.heads[0].contains("\r\nContent-Length: 4"))
        #expect(statistics.total("skein_exporter_requests_total", ["signal": "metrics", "outcome": "retried"]) == 1)
        #expect(statistics.total("skein_exporter_spans_total") == 0)
        #expect(said.all.contains { $0.contains("takes metric points again") })
    }

    /// What receivers take of another signal goes to its exporters as well.
    @Test func anotherSignalIsForwarded() throws {
        let target = try TinyServer { _, _ in .answer("HTTP/1.1 204 No Content\r\n\r\n") }
        let server = try Server()
        let exporter = try Exporter(
            settings: settings(target.endpoint.port), encoding: LineEncoding(), statistics: server.statistics) { _ in }
        server.intake.forward(to: [exporter])
        _ = try server.post([8])
        eventually("never forwarded") { target.bodies == ["8;"] }
        exporter.stop()
        target.stop()
    }

    @Test func aQueueIsBoundedInItemsAndBytesAndCountsWhatItDrops() {
        let statistics = CollectorStatistics()
        let counters = ExporterCounters("x", .metrics, statistics)
        func queue(items: Int, bytes: Int) -> SignalQueue<PointBatch> {
            SignalQueue(
                itemsMax: items, bytesMax: bytes,
                counters: SignalQueue.Counters(waiting: counters.waiting, full: counters.queueFull, stopped: counters.shutdown))
        }
        let small = queue(items: 4, bytes: 1 << 20)
        #expect(small.take(itemsMax: 10).isEmpty)
        // Only the first wakes a taker that sleeps.
        #expect(small.offer(PointBatch([1, 2])))
        #expect(!small.offer(PointBatch([3])))
        #expect(!small.offer(PointBatch([4, 5])))
        #expect(counters.queueFull.value == 2 && counters.waiting.value == 3)
        #expect(small.take(itemsMax: 1).map(\.values) == [[1, 2]])
        small.stop()
        #expect(!small.offer(PointBatch([6])))
        #expect(counters.shutdown.value == 1)
        #expect(small.take(itemsMax: 10).map(\.values) == [[3]])
        let narrow = queue(items: 1000, bytes: 3)
        _ = narrow.offer(PointBatch([1, 2]))
        _ = narrow.offer(PointBatch([1, 2]))
        #expect(counters.queueFull.value == 4)
        #expect(statistics.total("skein_exporter_metric_points_dropped_total", ["reason": "queue_full"]) == 4)
    }
}
