import EventLoops
import Foundation
import HTTPService
import Primitives
import QueryAPI
import Synchronization
import TelemetryModel
import TelemetryWire
import Testing

/// Where the fixtures of the suite lie, and how golden files are compared: with `SKEIN_WRITE_GOLDEN=1` they are written instead.
enum Fixtures {
    static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().appending(path: "Fixtures/QueryAPI")

    static func expectGolden(_ name: String, _ bytes: [UInt8]) throws {
        let file = root.appending(path: name)
        if ProcessInfo.processInfo.environment["SKEIN_WRITE_GOLDEN"] == "1" { try Data(bytes).write(to: file) }
        let expected = [UInt8](try Data(contentsOf: file))
        #expect(bytes == expected, "\(name) differs from the golden file; got:\n\(String(decoding: bytes.prefix(4000), as: UTF8.self))")
    }

    static func bytes(_ name: String) throws -> [UInt8] { [UInt8](try Data(contentsOf: root.appending(path: name))) }
}

/// Spans from Zipkin JSON, one batch for each trace, in the order of their first span.
func spans(_ json: [UInt8]) throws -> [SpanBatch] {
    var all = SpanBatch()
    _ = try unsafe json.withUnsafeBytes { unsafe try ZipkinJSONDecoder.decode($0, into: &all) }
    var order: [TraceID] = []
    for span in all.spans where !order.contains(span.traceID) { order.append(span.traceID) }
    return order.map { id in
        var one = all
        one.spans = all.spans.filter { $0.traceID == id }
        return one
    }
}

/// A store that keeps traces in memory and answers exactly what it is told; the model of the tests.
final class MemoryTraceStore: TraceQuerying {
    struct State {
        var traces: [SpanBatch] = []
        var names: [String] = []
        var links: [DependencyLink] = []
        var values: [String: [String]] = [:]
        var statistics = StoreStatistics()
        var failure: QueryFailure?
        var queries: [TraceQuery] = []
        var dependencyCalls: [[UInt64]] = []
    }

    let state: Mutex<State>

    init(_ traces: [SpanBatch] = [], services: [String] = []) {
        var state = State()
        state.traces = traces
        state.names = services
        self.state = Mutex(state)
    }

    private func read<Value: Sendable>(_ body: (inout State) -> sending Value) throws -> Value {
        if let failure = state.withLock({ $0.failure }) { throw failure }
        return state.withLock { body(&$0) }
    }

    func services() throws -> [String] { try read { $0.names } }
    func spanNames(service: String) throws -> [String] { try read { $0.names.contains(service) ? ["get /\(service)", "post"] : [] } }
    func remoteServices(service: String) throws -> [String] { try read { $0.names.contains(service) ? ["db"] : [] } }
    func trace(_ id: TraceID) throws -> SpanBatch { try read { $0.traces.first { $0.spans.first?.traceID == id } ?? SpanBatch() } }
    func traces(_ ids: [TraceID]) throws -> [SpanBatch] { try ids.map { try trace($0) }.filter { !$0.spans.isEmpty } }
    func search(_ query: TraceQuery) throws -> [SpanBatch] { try find(query).traces }
    func find(_ query: TraceQuery) throws -> FoundTraces {
        try read { state in
            state.queries.append(query)
            let read = query.traits.isEmpty ? state.traces.prefix(query.limit) : state.traces.prefix(query.readMax)
            let found = read.filter { trace in query.traits.allSatisfy { $0.isMet(by: trace) } }
            return FoundTraces(traces: Array(found.prefix(query.limit)), readCount: read.count)
        }
    }
    func dependencies(endTimestamp: UInt64, lookback: UInt64) throws -> [DependencyLink] {
        try read { state in
            state.dependencyCalls.append([endTimestamp, lookback])
            return state.links
        }
    }
    func autocompleteValues(key: String) throws -> [String] { try read { $0.values[key] ?? [] } }
    func statistics() -> StoreStatistics { state.withLock { $0.statistics } }
}

/// All handlers of the target behind a real server on a port that the system chose.
final class TestServer: Sendable {
    final class Handler: ServiceHandler {
        let parts: [@Sendable (borrowing ServiceRequest, Responder) -> ServiceOutcome?]

        init(_ parts: [@Sendable (borrowing ServiceRequest, Responder) -> ServiceOutcome?]) { self.parts = parts }

        func handle(_ request: borrowing ServiceRequest, _ responder: Responder) -> ServiceOutcome {
            for part in parts { if let outcome = part(request, responder) { return outcome } }
            return .respond(.text(404, "nobody's path"))
        }
    }

    static let nowMilliseconds: UInt64 = 1_790_000_000_000

    let store: MemoryTraceStore
    let pool: QueryPool
    let server: ServiceServer
    let shard = REDShard(seriesMax: 64)
    let catalogs = Catalogs()
    let metrics = SelfMetrics()
    let exemplars = RequestExemplars()

    init(_ store: MemoryTraceStore = MemoryTraceStore(), pool given: QueryPool? = nil, hints: [EndpointHint] = []) throws {
        self.store = store
        let pool = try given ?? QueryPool()
        self.pool = pool
        var options = ZipkinOptions(version: "1.2.3")
        options.autocompleteKeys = ["region", "env"]
        let zipkin = ZipkinAPI(store: store, pool: pool, options: options, nowMilliseconds: { Self.nowMilliseconds })
        let exposition = MetricsExposition(shards: [shard], catalogs: catalogs, selfMetrics: metrics, pool: pool, exemplars: exemplars)
        let assets = PageAssets()
        let landing = LandingPage(
            store: store, pool: pool, assets: assets, version: "1.2.3", hints: { hints }, nowMilliseconds: { Self.nowMilliseconds })
        let list = TraceListAPI(store: store, pool: pool, nowMilliseconds: { Self.nowMilliseconds })
        let readiness = Box(Readiness.ready)
        let admin = AdminAPI(readiness: { readiness.value.withLock { $0 } }, dump: Self.dump)
        self.readinessBox = readiness
        let handler = Handler([
            { zipkin.handle($0, $1) }, { exposition.handle($0, $1) }, { landing.handle($0, $1) }, { admin.handle($0, $1) },
            { assets.handle($0, $1) }, { list.handle($0, $1) },
        ])
        let loopback = SocketEndpoint(ipv4: 0x7F00_0001, port: 0)
        server = try ServiceServer(name: "test", endpoints: [loopback], limits: ServiceLimits(), handler: handler)
    }

    final class Box: Sendable {
        let value: Mutex<Readiness>
        init(_ value: Readiness) { self.value = Mutex(value) }
    }
    let readinessBox: Box

    static func dump() -> ConfigurationDump {
        var dump = ConfigurationDump()
        dump.generation = 7
        dump.version = "1.2.3"
        dump.listeners = [[("name", "outbound"), ("address", "127.0.0.1:15001")]]
        dump.routes = [[("name", "a \"quoted\" route\n")]]
        return dump
    }

    func send(_ method: String, _ target: String, headers: [(name: String, value: String)] = []) throws -> HTTPClientResponse {
        try HTTPClient(endpoint: server.endpoints[0]).send(method, target, headers: headers)
    }

    func get(_ target: String) throws -> HTTPClientResponse { try send("GET", target) }

    deinit {
        server.stop()
        pool.stop()
    }
}

extension HTTPClientResponse {
    var text: String { String(decoding: body, as: UTF8.self) }
}
