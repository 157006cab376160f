@testable import Collector
import EventLoops
import Primitives
import Synchronization
import Testing
import TelemetryModel
import TelemetryWire

private let accepted = TinyServer.Behaviour.answer("HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")
private func refused(_ status: String, _ headers: String = "") -> TinyServer.Behaviour {
    .answer("HTTP/1.1 \(status)\r\n\(headers)Content-Length: 2\r\n\r\nno")
}

@Suite struct ZipkinExporterTests {
    private func settings(_ port: UInt16) -> ExporterSettings {
        var settings = ExporterSettings(name: "zipkin", host: "127.0.0.1", port: port)
        settings.backoffNanosecondsMin = 1_000_000
        settings.backoffNanosecondsMax = 20_000_000
        settings.connectTimeoutNanoseconds = 5_000_000_000
        return settings
    }

    private func start(_ settings: ExporterSettings, _ statistics: CollectorStatistics, _ said: Said = Said()) throws -> Exporter<SpanBatch>
    {
        try Exporter(settings: settings, encoding: ZipkinEncoding(), statistics: statistics, seed: 1) { said.add($0) }
    }

    private func count(_ statistics: CollectorStatistics, dropped reason: String) -> UInt64 {
        statistics.total("skein_exporter_spans_dropped_total", ["exporter": "zipkin", "reason": reason])
    }

    @Test func sendsJSONThatZipkinReadsOverOneConnection() throws {
        let server = try TinyServer { _, _ in accepted }
        let statistics = CollectorStatistics()
        let exporter = try start(settings(server.endpoint.port), statistics)
        exporter.offer(exampleBatch(3))
        eventually("the first batch never came") { server.bodies.count == 1 }
        exporter.offer(exampleBatch(2, name: "post"))
        eventually("the second batch never came") { server.bodies.count == 2 }
        exporter.stop(withinNanoseconds: 10_000_000_000)
        exporter.stop()
        server.stop()
        var batch = SpanBatch()
        for body in server.bodies {
            let bytes = Array(body.utf8)
            unsafe try ZipkinJSONDecoder.decode(bytes.span.bytes, into: &batch)
        }
        #expect(batch.spans.count == 5)
        #expect(server.connections == 1)
        #expect(statistics.total("skein_exporter_spans_total") == 5)
        #expect(statistics.total("skein_exporter_queue_spans") == 0)
    }

    /// 503, then 429 with a time, then a hung-up connection: all are tried again, and the spans arrive once.
    @Test func triesAgainUntilTheServerRecovers() throws {
        let server = try TinyServer { number, _ in
            switch number {
            case 0: refused("503 Service Unavailable")
            case 1: refused("429 Too Many Requests", "Retry-After: 0\r\n")
            case 2: .hangUp
            default: accepted
            }
        }
        let statistics = CollectorStatistics()
        let said = Said()
        let exporter = try start(settings(server.endpoint.port), statistics, said)
        exporter.offer(exampleBatch(4))
        eventually("never recovered") { statistics.total("skein_exporter_spans_total") == 4 }
        exporter.stop()
        server.stop()
        #expect(statistics.total("skein_exporter_requests_total", ["outcome": "retried"]) >= 2)
        #expect(statistics.total("skein_exporter_spans_dropped_total") == 0)
        // Once when it began to fail and once when it worked again, not for every attempt.
        #expect(said.all.count == 2 && said.all[0].contains("503") && said.all[1].contains("again"))
    }

    @Test func whatTheServerRefusesForGoodIsNotSentAgain() throws {
        let server = try TinyServer { number, _ in number == 0 ? refused("400 Bad Request") : accepted }
        let statistics = CollectorStatistics()
        let exporter = try start(settings(server.endpoint.port), statistics)
        exporter.offer(exampleBatch(4))
        eventually("never dropped") { count(statistics, dropped: "rejected") == 4 }
        exporter.offer(exampleBatch(1))
        exporter.stop(withinNanoseconds: 10_000_000_000)
        server.stop()
        #expect(server.bodies.count == 2)
        #expect(statistics.total("skein_exporter_spans_total") == 1)
    }

    /// Nobody listens: attempts end, the spans are counted, and the next batch is tried all the same.
    @Test func givesUpAfterItsAttempts() throws {
        let closed = try Socket.listen(on: SocketEndpoint(ipv4: 0x7F00_0001, port: 0), reusePort: false)
        let port = Socket.localEndpoint(closed).port
        Socket.close(closed)
        var settings = settings(port)
        settings.attemptsMax = 3
        let statistics = CollectorStatistics()
        let said = Said()
        let exporter = try start(settings, statistics, said)
        exporter.offer(exampleBatch(2))
        eventually("never gave up") { count(statistics, dropped: "attempts_exhausted") == 2 }
        #expect(statistics.total("skein_exporter_requests_total", ["outcome": "retried"]) == 3)
        exporter.stop()
        #expect(said.all.count == 1 && said.all[0].contains("Connection refused"))
    }

    /// The server hangs: the queue stays within its bounds, what does not fit is counted, and stopping does not wait for it.
    @Test func stalledServerCostsABoundedQueueAndStopsInTime() throws {
        let server = try TinyServer { _, _ in .hang }
        var settings = settings(server.endpoint.port)
        settings.queueItemsMax = 100
        let statistics = CollectorStatistics()
        let exporter = try start(settings, statistics)
        exporter.offer(exampleBatch(10))
        eventually("never sent") { server.bodies.count == 1 }
        for _ in 0..<30 { exporter.offer(exampleBatch(10)) }
        #expect(count(statistics, dropped: "queue_full") == 200)
        let before = SystemClock.monotonicNow()
        exporter.stop(withinNanoseconds: 200_000_000)
        #expect(SystemClock.monotonicNow().nanoseconds(since: before) < 5_000_000_000)
        eventually("not all were counted") { count(statistics, dropped: "shutdown") == 110 }
        exporter.offer(exampleBatch(1))
        #expect(count(statistics, dropped: "shutdown") == 111)
        server.stop()
    }

    @Test func stopFlushesWhatWaits() throws {
        let server = try TinyServer { _, _ in accepted }
        let statistics = CollectorStatistics()
        let exporter = try start(settings(server.endpoint.port), statistics)
        for _ in 0..<20 { exporter.offer(exampleBatch(100)) }
        exporter.stop(withinNanoseconds: 20_000_000_000)
        server.stop()
        #expect(statistics.total("skein_exporter_spans_total") == 2000)
    }

    /// A server closes kept connections when it likes: that is no failure, and costs no pause.
    @Test func aConnectionClosedBetweenRequestsIsReplaced() throws {
        let server = try TinyServer { _, _ in
            .answer("HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n2\r\nok\r\n0\r\n\r\n")
        }
        let statistics = CollectorStatistics()
        let exporter = try start(settings(server.endpoint.port), statistics)
        for number in 1...5 {
            exporter.offer(exampleBatch(1))
            eventually("a batch never came") { statistics.total("skein_exporter_spans_total") == UInt64(number) }
        }
        exporter.stop()
        server.stop()
        #expect(server.connections == 5)
        #expect(statistics.total("skein_exporter_requests_total", ["outcome": "retried"]) == 0)
    }

    @Test func namesAreResolved() throws {
        let server = try TinyServer { _, _ in accepted }
        var settings = settings(server.endpoint.port)
        settings.host = "localhost"
        let statistics = CollectorStatistics()
        let exporter = try start(settings, statistics)
        exporter.offer(exampleBatch(1))
        exporter.stop(withinNanoseconds: 10_000_000_000)
        server.stop()
        #expect(statistics.total("skein_exporter_spans_total") == 1)
    }

    @Test func answersThatAreNoHTTPAreFailures() throws {
        let server = try TinyServer { number, _ in number == 0 ? .answer("SSH-2.0-nonsense\r\n\r\n") : accepted }
        let statistics = CollectorStatistics()
        let exporter = try start(settings(server.endpoint.port), statistics)
        exporter.offer(exampleBatch(1))
        eventually("never recovered") { statistics.total("skein_exporter_spans_total") == 1 }
        exporter.stop()
        server.stop()
        #expect(statistics.total("skein_exporter_requests_total", ["outcome": "retried"]) == 1)
    }

    /// A status is all that counts: an answer whose body does not end, or is not worth reading, is taken at its head and costs the
    /// connection. Waiting for it would send the same spans again.
    @Test(arguments: [
        ("HTTP/1.1 202 Accepted\r\n\r\n", 3), ("HTTP/1.1 202 Accepted\r\nContent-Length: 2000000\r\n\r\n", 3),
        ("HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 3),
        ("HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\nHTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", 3),
        ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n", 1),
        ("HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n", 1),
    ])
    func onlyAWholeAnswerKeepsTheConnection(_ answer: String, connections: Int) throws {
        let server = try TinyServer { _, _ in .answer(answer) }
        let statistics = CollectorStatistics()
        let exporter = try start(settings(server.endpoint.port), statistics)
        for number in 1...3 {
            exporter.offer(exampleBatch(1))
            eventually("a batch never came") { statistics.total("skein_exporter_spans_total") == UInt64(number) }
        }
        exporter.stop()
        server.stop()
        #expect(server.connections == connections)
        #expect(server.bodies.count == 3)
        #expect(statistics.total("skein_exporter_requests_total", ["outcome": "retried"]) == 0)
    }
}
