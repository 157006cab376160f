import OutlierDetection
import Primitives
@testable import Proxy
import Simulation
import Synchronization
import TelemetryModel
import Testing

/// A request sees one configuration (invariant 4 of docs/architecture.md), and a worker that drains ends when its last request does.
@Suite struct ReloadTests {
    private static let old = Mesh.service() + Mesh.rules(
        "- headers: {response: {set: {x-rules: old}}}\n  route: [{destination: {host: a.test}}]\n"
            + "  retries: {attempts: 2, retryOn: 5xx, backoff: 1ms}")
    private static let new = Mesh.service("a.test", [2]) + Mesh.rules(
        "- headers: {response: {set: {x-rules: new}}}\n  route: [{destination: {host: a.test}}]\n  retries: {attempts: 0}")

    @Test func aRequestEndsUnderTheConfigurationItBeganUnder() throws {
        let proxy = try SimulatedProxy(Self.old, capture: "x-old")
        let first = SimulatedEndpoint(proxy.network, at: SimulatedProxy.address(1)) { _, count in
            SimulatedAnswer(status: count == 0 ? 500 : 200).after(.milliseconds(500))
        }
        let second = SimulatedEndpoint(proxy.network, at: SimulatedProxy.address(2))
        let client = proxy.client()
        client.get("/before", fields: [("x-old", "1"), ("x-new", "2")])
        proxy.run(.milliseconds(100))
        try proxy.reload(Self.new, capture: "x-new")
        proxy.run(.milliseconds(100))
        #expect(proxy.worker.traffic.sides.epochs.count == 2)
        // Its retry still goes by the old rules, to the old endpoint, and its record by the old plan.
        proxy.run(.seconds(2))
        client.get("/after", fields: [("x-old", "1"), ("x-new", "2")])
        proxy.run(.seconds(1))
        #expect(client.responses.map { $0["x-rules"] } == ["old", "new"])
        #expect(first.requests.count == 2)
        #expect(second.requests.map(\.target) == ["/after"])
        #expect(proxy.finished.map(\.captured) == ["1", "2"])
        proxy.expectSettled()
        #expect(proxy.held(.connections) == 1, "the old endpoint's connection is not kept")
    }

    /// What waits for its step, its body, its pause or its copy keeps its configuration, however many come meanwhile.
    @Test func manyReloadsEndWithTheirRequests() throws {
        let fault = "- fault: {delay: {percentage: {value: 100}, fixedDelay: 3s}}\n  route: [{destination: {host: a.test}}]\n"
            + "  mirrors: [{destination: {host: b.test}}]"
        let mesh = Mesh.service() + Mesh.service("b.test", [2]) + Mesh.rules(fault)
        let proxy = try SimulatedProxy(mesh)
        let endpoint = SimulatedEndpoint(proxy.network, at: SimulatedProxy.address(1))
        let shadow = SimulatedEndpoint(proxy.network, at: SimulatedProxy.address(2)) { _, _ in .silence }
        var clients: [SimulatedClient] = []
        for round in 0..<5 {
            let client = proxy.client()
            client.send("POST /\(round) HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4\r\n\r\nab")
            clients.append(client)
            proxy.run(.milliseconds(100))
            try proxy.reload(mesh)
        }
        proxy.run(.milliseconds(100))
        #expect(proxy.worker.traffic.sides.epochs.count == 6)
        for client in clients { client.send("cd") }
        proxy.run(.seconds(5))
        #expect(clients.allSatisfy { $0.responses.map(\.status) == [200] })
        #expect(endpoint.requests.map(\.text) == Array(repeating: "abcd", count: 5))
        #expect(shadow.requests.count == 5)
        #expect(proxy.worker.traffic.mirrorTraffic.count == 5)
        #expect(proxy.worker.traffic.sides.epochs.count == 6, "the copies live under them")
        proxy.run(.seconds(20))
        #expect(proxy.worker.traffic.sides.epochs.count == 1)
        proxy.expectSettled()
    }

    @Test(arguments: [false, true])
    func aWorkerDrainsToItsEnd(_ isHTTP2: Bool) throws {
        let proxy = try SimulatedProxy(Mesh.service())
        let endpoint = SimulatedEndpoint(proxy.network, at: SimulatedProxy.address(1)) { _, _ in
            SimulatedAnswer("late").after(.seconds(2))
        }
        let idle = proxy.client()
        let client = proxy.client()
        let other = proxy.http2Client()
        let stream = isHTTP2 ? other.request() : nil
        if !isHTTP2 { client.get() }
        proxy.run(.milliseconds(100))
        proxy.send(.drain)
        proxy.run(.milliseconds(100))
        #expect(idle.isEnded)
        #expect(!proxy.hasStopped)
        proxy.run(.seconds(3))
        if isHTTP2 {
            #expect(other.response(stream)?.text == "late")
            #expect(other.sawGoAway)
        } else {
            #expect(client.responses.map(\.text) == ["late"])
            #expect(client.responses.first?["connection"] == "close")
        }
        proxy.run(.seconds(5))
        #expect(proxy.hasStopped)
        proxy.expectEmpty()
        withExtendedLifetime(endpoint) {}
    }

    /// A request that takes longer than draining may is given up with the worker.
    @Test func drainingHasAnEnd() throws {
        let proxy = try SimulatedProxy(Mesh.service() + Mesh.rules("- route: [{destination: {host: a.test}}]\n  timeout: 0s"))
        let endpoint = SimulatedEndpoint(proxy.network, at: SimulatedProxy.address(1)) { _, _ in .silence }
        let client = proxy.client()
        client.get()
        proxy.run(.milliseconds(100))
        proxy.send(.drain)
        proxy.run(.seconds(29))
        #expect(!proxy.hasStopped)
        proxy.run(.seconds(2))
        #expect(proxy.hasStopped)
        withExtendedLifetime((endpoint, client)) {}
    }

    /// After another process has taken over, an idle connection may bring one more request and is told that it was the last.
    @Test func aHandOverWaitsForOneMoreRequest() throws {
        let proxy = try SimulatedProxy(Mesh.service())
        let endpoint = SimulatedEndpoint(proxy.network, at: SimulatedProxy.address(1))
        let client = proxy.client()
        let silent = proxy.client()
        client.get()
        proxy.run(.milliseconds(100))
        proxy.send(.handOver)
        proxy.run(.seconds(1))
        #expect(!client.isEnded)
        client.get()
        proxy.run(.seconds(1))
        #expect(client.responses.map { $0["connection"] } == [nil, "close"])
        #expect(client.isEnded)
        #expect(!silent.isEnded)
        proxy.run(.seconds(5))
        #expect(silent.isEnded)
        #expect(proxy.hasStopped)
        #expect(endpoint.requests.count == 2)
        #expect(proxy.finished.count == 2)
    }

    /// A cluster that may have one connection serves its requests one after the other, in the order in which they came.
    @Test func requestsWaitInLineForAConnection() throws {
        let policy = Mesh.policy("  connectionPool: {tcp: {maxConnections: 1}, http: {http1MaxPendingRequests: 2}}")
        let rules = Mesh.rules("- route: [{destination: {host: a.test}}]\n  retries: {attempts: 0}")
        let proxy = try SimulatedProxy(Mesh.service() + rules + policy)
        let endpoint = SimulatedEndpoint(proxy.network, at: SimulatedProxy.address(1)) { _, _ in
            SimulatedAnswer().after(.milliseconds(300))
        }
        let clients = (0..<4).map { _ in proxy.client() }
        for (number, client) in clients.enumerated() {
            client.get("/\(number)")
            proxy.run(.milliseconds(20))
        }
        proxy.run(.milliseconds(100))
        #expect(proxy.held(.connections) == 1)
        #expect(proxy.held(.pending) == 2)
        #expect(clients[3].responses.map(\.status) == [503], "the line is full")
        proxy.run(.seconds(2))
        #expect(endpoint.requests.map(\.target) == ["/0", "/1", "/2"])
        #expect(endpoint.connectionCount == 1)
        #expect(proxy.finished.first?.record.flags == .upstreamOverflow)
        proxy.expectSettled()
    }
}
