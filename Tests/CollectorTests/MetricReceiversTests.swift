@testable import Collector
import EventLoops
import Glibc
import HTTPService
import Primitives
import Synchronization
import TelemetryModel
import Testing

/// OTLP metrics and remote write as their senders meet them.
@Suite struct MetricReceiversTests {
    /// Stores, refuses or waits, as the test says.
    final class SeriesSink: BatchSink {
        typealias Completion = @Sendable (Result<Void, BatchRejection>) -> Void
        enum Mode { case store, hold, refuse }

        private let state = Mutex((mode: Mode.store, stored: [SeriesBatch](), held: [Completion]()))
        let isHolding: Signal

        init() throws { isHolding = try Signal() }

        var stored: [SeriesBatch] { state.withLock { $0.stored } }
        func set(_ mode: Mode) { state.withLock { $0.mode = mode } }

        func submit(_ batch: consuming SeriesBatch, completion: @escaping Completion) {
            let batch = batch
            let mode = state.withLock { state in
                switch state.mode {
                case .store: state.stored.append(batch)
                case .hold: state.held.append(completion)
                case .refuse: break
                }
                return state.mode
            }
            switch mode {
            case .store: completion(.success(()))
            case .hold: isHolding.raise()
            case .refuse: completion(.failure(.overloaded))
            }
        }

        func refuseHeld() {
            let held = state.withLock { state in
                defer { state.held = [] }
                return state.held
            }
            for completion in held { completion(.failure(.overloaded)) }
        }

        /// Values of a series, by the metric's name.
        func values(_ name: String) -> [Double] {
            stored.flatMap { batch in
                batch.points.filter { point in
                    let identity = batch.identities[Int(point.identity)]
                    let bytes = Array(batch.identityBytes[Int(identity.offset)..<Int(identity.offset + identity.count)])
                    return (try? SeriesIdentityReader(bytes).labels())?[LabelSet.metricName] == name
                }.map(\.value)
            }
        }
    }

    final class Handler: ServiceHandler {
        let receivers: Receivers

        init(_ receivers: Receivers) { self.receivers = receivers }

        func open(_ request: borrowing ServiceRequest) -> ServiceOpening { receivers.open(request) ?? .collect }
        func handle(_ request: borrowing ServiceRequest, _ responder: Responder) -> ServiceOutcome {
            receivers.handle(request, responder) ?? .respond(.text(404, "no such path"))
        }
    }

    final class Server {
        let sink: SeriesSink
        let statistics = CollectorStatistics()
        let server: ServiceServer

        init() throws {
            sink = try SeriesSink()
            server = try ServiceServer(
                name: "metrics", endpoints: [SocketEndpoint(ipv4: 0x7F00_0001, port: 0)], limits: ServiceLimits(),
                handler: Handler(Receivers(sink: FakeSink(), metrics: sink, statistics: statistics)))
        }

        deinit { server.stop() }

        func post(_ json: String) throws -> String {
            try exchange(server.endpoints[0], httpRequest("POST", "/v1/metrics", type: "application/json", body: Array(json.utf8)))
        }

        func write(_ body: [UInt8]) throws -> String {
            try exchange(
                server.endpoints[0],
                httpRequest(
                    "POST", "/api/v1/write", type: "application/x-protobuf;proto=io.prometheus.write.v2.Request",
                    headers: ["Content-Encoding: snappy"], body: body))
        }
    }

    /// An increase of the counter `c` by `value` between two seconds.
    static func delta(_ value: Int, from start: Int, to time: Int) -> String {
        let point = #"{"startTimeUnixNano":"\#(start)000000000","timeUnixNano":"\#(time)000000000","asInt":"\#(value)"}"#
        let metric = #"{"name":"c","sum":{"aggregationTemporality":1,"isMonotonic":true,"dataPoints":[\#(point)]}}"#
        return #"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[\#(metric)]}]}]}"#
    }

    @Test func increasesThatTheStoreRefusedCountOnceWhenTheyComeAgain() throws {
        let server = try Server()
        #expect(try server.post(Self.delta(5, from: 10, to: 20)).hasPrefix("HTTP/1.1 200"))
        server.sink.set(.refuse)
        #expect(try server.post(Self.delta(3, from: 20, to: 30)).hasPrefix("HTTP/1.1 503"))
        #expect(try server.post(Self.delta(3, from: 20, to: 30)).hasPrefix("HTTP/1.1 503"))
        server.sink.set(.store)
        #expect(try server.post(Self.delta(3, from: 20, to: 30)).hasPrefix("HTTP/1.1 200"))
        #expect(server.sink.values("c_total") == [5, 8])
        // The sender did not get the answer and sends it again.
        let again = try server.post(Self.delta(3, from: 20, to: 30))
        #expect(again.hasPrefix("HTTP/1.1 200") && again.contains(#""rejectedDataPoints":"1""#))
        #expect(again.contains("newest point of its series"))
        #expect(server.sink.values("c_total") == [5, 8])
        #expect(server.statistics.total("skein_delta_points_refused_total", ["reason": "out_of_order"]) == 1)
    }

    @Test func aSecondRequestOfASeriesThatWaitsComesAgain() throws {
        let server = try Server()
        server.sink.set(.hold)
        // Its answer is not waited for.
        let first = try Socket.connect(to: server.server.endpoints[0])
        defer { Socket.close(first) }
        let request = httpRequest("POST", "/v1/metrics", type: "application/json", body: Array(Self.delta(5, from: 10, to: 20).utf8))
        var writable = pollfd(fd: first, events: Int16(POLLOUT), revents: 0)
        #expect(unsafe poll(&writable, 1, 20_000) == 1)
        _ = unsafe request.withUnsafeBytes { unsafe Socket.write(first, $0) }
        #expect(server.sink.isHolding.wait(deadline: SystemClock.monotonicNow() + 20_000_000_000))
        let second = try server.post(Self.delta(3, from: 20, to: 30))
        #expect(second.hasPrefix("HTTP/1.1 503") && second.contains("Retry-After: 1"))
        server.sink.set(.store)
        server.sink.refuseHeld()
        #expect(try server.post(Self.delta(3, from: 20, to: 30)).hasPrefix("HTTP/1.1 200"))
        #expect(server.sink.values("c_total") == [3], "what was refused is in no total")
        #expect(server.statistics.total("skein_delta_requests_held_total") == 1)
    }

    /// A request that is no OTLP behind its first points leaves nothing behind.
    @Test func increasesOfAMalformedRequestAreNotCounted() throws {
        let server = try Server()
        var body = Self.delta(5, from: 10, to: 20)
        body.removeLast(1)
        #expect(try server.post(body).hasPrefix("HTTP/1.1 400"))
        #expect(try server.post(Self.delta(2, from: 10, to: 20)).hasPrefix("HTTP/1.1 200"))
        #expect(server.sink.values("c_total") == [2])
    }

    /// Remote write 2.0: how much was written is said with every answer.
    @Test func remoteWriteSaysWhatWasWritten() throws {
        let server = try Server()
        // One symbol table, one series `up`, one sample 1 at 5 ms, as one literal of a snappy block.
        let plain: [UInt8] = [34, 0, 34, 8] + Array("__name__".utf8) + [34, 2, 117, 112]
            + [42, 17, 10, 2, 1, 2, 18, 11, 9, 0, 0, 0, 0, 0, 0, 0xF0, 0x3F, 16, 5]
        let written = try server.write([UInt8(plain.count), UInt8(plain.count - 1) << 2] + plain)
        #expect(written.hasPrefix("HTTP/1.1 204") && written.contains("X-Prometheus-Remote-Write-Samples-Written: 1"), "\(written)")
        #expect(written.contains("-Histograms-Written: 0") && written.contains("-Exemplars-Written: 0"))
        #expect(server.sink.values("up") == [1])
        for mode in [SeriesSink.Mode.refuse, .store] {
            server.sink.set(mode)
            let body = mode == .refuse ? plain : Array(plain.dropLast())
            let refused = try server.write([UInt8(body.count), UInt8(body.count - 1) << 2] + body)
            #expect(refused.hasPrefix(mode == .refuse ? "HTTP/1.1 503" : "HTTP/1.1 400"), "\(refused)")
            #expect(refused.contains("X-Prometheus-Remote-Write-Samples-Written: 0"))
        }
    }

    /// One body must not become many times its size: each point of a resource has all of its promoted labels.
    @Test func aBodysSeriesHaveABound() {
        let wide = LabelSet("m", ["l": ""]).labels + [LabelSet.Label("big", String(repeating: "x", count: 15_000))]
        let point = MetricPoint(labels: LabelSet(wide), kind: .gauge, time: 1, value: .number(1))
        var points = MetricPoints()
        var batch = SeriesBatch()
        var reason: String?
        var taken = 0
        while reason == nil, taken < 100_000 {
            reason = points.take(point, into: &batch)
            taken += 1
        }
        #expect(reason?.contains("256 MiB") == true && batch.byteCount < MetricPoints.bytesMax + 1_000_000)
    }
}
