import EventLoops
import Glibc
import HTTP
import HTTPService
@testable import MeshRuntime
import OutlierDetection
import Primitives
@testable import Proxy
import Routing
import Synchronization
import TelemetryModel
import Testing

/// Answers every request with its path; keeps the responders of `/slow` for the test.
private final class Backend: ServiceHandler {
    private let shelf = Mutex<[Responder]>([])

    var waiting: Int { shelf.withLock { $0.count } }

    func release() {
        let held = shelf.withLock { list in
            let taken = list
            list = []
            return taken
        }
        for responder in held { responder.respond(.text(200, "slow")) }
    }

    func handle(_ request: borrowing ServiceRequest, _ responder: Responder) -> ServiceOutcome {
        if request.path == "/slow" {
            shelf.withLock { $0.append(responder) }
            return .later
        }
        return .respond(.text(200, "backend \(request.path)"))
    }
}

/// A proxy of real workers before a real backend, both in this process.
private final class Mesh {
    let backend = Backend()
    let server: ServiceServer
    let group: ProxyGroup
    let port: UInt16
    private let catalogs = Catalogs()
    private var planner: UpstreamPlanner
    private var generation: UInt64 = 0
    private(set) weak var latest: ProxyConfiguration?
    private(set) weak var latestRouting: RoutingSnapshot?

    init(workers: Int = 1, limits: ProxyLimits = ProxyLimits()) throws {
        server = try ServiceServer(name: "backend", endpoints: [loopback], limits: ServiceLimits(), handler: backend)
        port = try freePort()
        let shared = SharedUpstreams(seed: 1)
        planner = UpstreamPlanner(
            shared: shared, catalogs: catalogs, prober: try HealthProber(shared: shared), resolver: try HostResolver())
        let first = try Self.configuration(Self.text(server), outbound: port, catalogs, 1, &planner)
        generation = 1
        latest = first
        latestRouting = first.routing
        group = try ProxyGroup(
            count: workers, limits: limits, ringBytes: 1 << 20, configuration: first, shared: shared, sources: catalogs.sources, seed: 7)
    }

    deinit {
        group.stop()
        group.join()
        server.stop()
    }

    private static func text(_ server: ServiceServer) -> String {
        YAML.service("backend.example", endpoints: ["127.0.0.1"], endpointPort: server.endpoints[0].port)
    }

    private static func configuration(
        _ yaml: String, outbound: UInt16?, _ catalogs: Catalogs, _ generation: UInt64, _ planner: inout UpstreamPlanner
    ) throws -> ProxyConfiguration {
        let routing = try compile(yaml, catalogs: catalogs, generation: generation, outbound: outbound.map { loopback.with(port: $0) })
        return ProxyConfiguration(
            routing: routing, telemetry: TelemetryPlanner.plan(routing, capture: HeaderCapture(), keepsRecords: false),
            pathNormalization: .base, upstreams: planner.plan(routing))
    }

    /// A new configuration, adopted by everybody; nobody here holds it afterwards.
    func reload(extra: String = "", outbound: UInt16?? = nil) throws {
        generation += 1
        let next = try Self.configuration(Self.text(server) + extra, outbound: outbound ?? port, catalogs, generation, &planner)
        latest = next
        latestRouting = next.routing
        group.adopt(next)
        try #require(group.hasAdopted(generation, withinMilliseconds: 20_000))
    }

    func get(_ path: String) throws(HTTPClientError) -> HTTPClientResponse {
        try HTTPClient(endpoint: loopback.with(port: port)).send("GET", path, headers: [("Host", "backend.example")])
    }

    func text(_ path: String) throws -> String { String(decoding: try get(path).body, as: UTF8.self) }

    /// Waits until every worker has given `count` configurations away: from then on it has no reference to them.
    func waitForRetired(_ count: Int) {
        eventually("\(count) configurations are given away") { group.workers.allSatisfy { $0.retiredCount == count } }
    }
}

@Suite struct ProxyGroupTests {
    @Test func forwardsARequest() throws {
        let mesh = try Mesh()
        #expect(mesh.group.hasAdopted(1, withinMilliseconds: 20_000))
        let answer = try mesh.get("/a?b=c")
        #expect(answer.status == 200)
        #expect(String(decoding: answer.body, as: UTF8.self) == "backend /a\n")
        #expect(mesh.group.workers[0].statistics.requestsTotal.load(ordering: .relaxed) == 1)
        let unknown = try HTTPClient(endpoint: loopback.with(port: mesh.port)).send("GET", "/", headers: [("Host", "nobody.example")])
        #expect(unknown.status != 200)
    }

    /// Whoever removes a listener means it: its port is free again, and comes back when the configuration does.
    @Test func aReloadClosesAndOpensListeners() throws {
        let mesh = try Mesh(workers: 2)
        try #require(mesh.group.hasAdopted(1, withinMilliseconds: 20_000))
        #expect(try mesh.text("/a") == "backend /a\n")
        try mesh.reload(outbound: .some(nil))
        #expect(throws: HTTPClientError.self) { try mesh.get("/b") }
        let fd = try Socket.listen(on: loopback.with(port: mesh.port), reusePort: false)
        Socket.close(fd)
        try mesh.reload()
        #expect(try mesh.text("/c") == "backend /c\n")
    }

    /// A request ends under the configuration it began with, even one whose listener is gone: a deployment must not fail what is under way.
    @Test func aRequestOutlivesItsListener() throws {
        let mesh = try Mesh()
        try #require(mesh.group.hasAdopted(1, withinMilliseconds: 20_000))
        let endpoint = loopback.with(port: mesh.port)
        let box = Answer()
        let thread = try WorkerThread(name: "client") {
            box.set(
                Result { () throws(HTTPClientError) in
                    try HTTPClient(endpoint: endpoint).send("GET", "/slow", headers: [("Host", "backend.example")])
                })
        }
        eventually("the backend is asked") { mesh.backend.waiting == 1 }
        try mesh.reload(outbound: .some(nil))
        mesh.backend.release()
        thread.join()
        #expect(try box.value?.get().status == 200)
    }

    /// A configuration with its tables and regular expressions takes longer to free than a worker may pause, and one that is never freed is
    /// a leak with every reload. Therefore: the worker lets go of it but keeps it alive, and whoever calls `freeRetired` frees it there and
    /// then.
    @Test func aRetiredConfigurationIsFreedByTheCallerAndNotByTheWorker() throws {
        let mesh = try Mesh(workers: 2)
        try #require(mesh.group.hasAdopted(1, withinMilliseconds: 20_000))
        #expect(try mesh.text("/a") == "backend /a\n")
        weak let firstConfiguration = mesh.latest
        weak let firstRouting = mesh.latestRouting
        #expect(firstRouting != nil)
        try mesh.reload(extra: YAML.service("other.example"))
        #expect(try mesh.text("/b") == "backend /b\n")
        mesh.waitForRetired(1)
        // All workers are done with it for certain, and still it is there: none of them has freed it.
        #expect(firstConfiguration != nil)
        #expect(firstRouting != nil)
        mesh.group.freeRetired()
        #expect(firstConfiguration == nil)
        #expect(firstRouting == nil)
        #expect(mesh.latestRouting != nil, "the one in use stays")
        #expect(try mesh.text("/c") == "backend /c\n")
        mesh.group.freeRetired()
        #expect(try mesh.text("/d") == "backend /d\n")
    }

    /// Freed under a request that still uses its tables, the worker would read freed memory.
    @Test func aConfigurationLivesAsLongAsItsRequests() throws {
        let mesh = try Mesh()
        try #require(mesh.group.hasAdopted(1, withinMilliseconds: 20_000))
        weak let first = mesh.latestRouting
        let endpoint = loopback.with(port: mesh.port)
        let box = Answer()
        let thread = try WorkerThread(name: "client") {
            box.set(
                Result { () throws(HTTPClientError) in
                    try HTTPClient(endpoint: endpoint).send("GET", "/slow", headers: [("Host", "backend.example")])
                })
        }
        eventually("the backend is asked") { mesh.backend.waiting == 1 }
        for _ in 0..<3 {
            try mesh.reload()
            mesh.group.freeRetired()
        }
        #expect(first != nil, "a request lives under it")
        mesh.backend.release()
        thread.join()
        #expect(try box.value?.get().status == 200)
        eventually("the worker is done with it") { mesh.group.workers[0].retiredCount > 0 }
        #expect(first != nil, "the worker only gives it away")
        mesh.group.freeRetired()
        #expect(first == nil)
    }

    /// Many configurations at once, as with a script that touches files: none may be left over, and all must be freed on this side.
    @Test func aBurstOfReloadsLeavesOneConfiguration() throws {
        let mesh = try Mesh(workers: 2)
        var old: [() -> Bool] = []
        for _ in 0..<30 {
            weak let snapshot = mesh.latestRouting
            old.append { snapshot != nil }
            try mesh.reload()
        }
        mesh.waitForRetired(30)
        #expect(old.allSatisfy { $0() })
        mesh.group.freeRetired()
        #expect(old.count { $0() } == 0)
        #expect(mesh.latestRouting != nil)
        #expect(try mesh.text("/a") == "backend /a\n")
    }

    /// The first signal finishes what is under way, the second one ends it; a supervisor may send either as often as it likes.
    @Test func drainingLetsRequestsFinishAndThenEnds() throws {
        let mesh = try Mesh(workers: 2)
        try #require(mesh.group.hasAdopted(1, withinMilliseconds: 20_000))
        let endpoint = loopback.with(port: mesh.port)
        let box = Answer()
        let thread = try WorkerThread(name: "client") {
            box.set(
                Result { () throws(HTTPClientError) in
                    try HTTPClient(endpoint: endpoint).send("GET", "/slow", headers: [("Host", "backend.example")])
                })
        }
        eventually("the backend is asked") { mesh.backend.waiting == 1 }
        mesh.group.drain()
        eventually("nobody new is let in") { (try? mesh.get("/new")) == nil }
        #expect(!mesh.group.hasEnded)
        mesh.backend.release()
        thread.join()
        #expect(try box.value?.get().status == 200)
        eventually("then the workers end") { mesh.group.hasEnded }
        mesh.group.drain()
        mesh.group.stop()
        mesh.group.join()
        mesh.group.stop()
        mesh.group.join()
        mesh.group.freeRetired()
        #expect(mesh.group.hasEnded)
    }

    @Test func aSecondDrainEndsAtOnce() throws {
        let mesh = try Mesh()
        try #require(mesh.group.hasAdopted(1, withinMilliseconds: 20_000))
        let endpoint = loopback.with(port: mesh.port)
        let box = Answer()
        let thread = try WorkerThread(name: "client") {
            box.set(
                Result { () throws(HTTPClientError) in
                    try HTTPClient(endpoint: endpoint).send("GET", "/slow", headers: [("Host", "backend.example")])
                })
        }
        eventually("the backend is asked") { mesh.backend.waiting == 1 }
        mesh.group.drain()
        mesh.group.drain()
        eventually("the workers end") { mesh.group.hasEnded }
        thread.join()
        #expect(throws: HTTPClientError.self) { _ = try box.value?.get() }
    }

    /// A worker that cannot listen must not be waited for in vain, nor serve on another port.
    @Test func waitingForAConfigurationThatNeverComesEnds() throws {
        let mesh = try Mesh()
        #expect(!mesh.group.hasAdopted(99, withinMilliseconds: 3))
        #expect(mesh.group.hasAdopted(1, withinMilliseconds: 20_000))
    }
}

private final class Answer: Sendable {
    private let state = Mutex<Result<HTTPClientResponse, HTTPClientError>?>(nil)
    var value: Result<HTTPClientResponse, HTTPClientError>? { state.withLock { $0 } }
    func set(_ result: Result<HTTPClientResponse, HTTPClientError>) { state.withLock { $0 = result } }
}
