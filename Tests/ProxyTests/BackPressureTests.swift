import Primitives
@testable import Proxy
import Simulation
import Streams
import TelemetryModel
import Testing

/// Whoever reads slowly holds its source back, costs a bounded buffer, and gets every byte all the same.
@Suite struct BackPressureTests {
    private static let size = 2_000_000

    /// Everything that the source has is in the kernel's buffer long before the other side reads: no further event will tell of it.
    private func world(_ name: String, answer: SimulatedAnswer) throws -> (SimulatedProxy, AnyObject) {
        let rules = Mesh.rules("- route: [{destination: {host: a.test}}]")
        let proxy = try SimulatedProxy(Mesh.service("a.test", protocol: name) + rules)
        proxy.network.conditions.bufferBytes = 8 << 20
        if name == "HTTP2" { return (proxy, SimulatedHTTP2Endpoint(proxy.network, at: SimulatedProxy.address(1)) { _, _ in answer }) }
        return (proxy, SimulatedEndpoint(proxy.network, at: SimulatedProxy.address(1)) { _, _ in answer })
    }

    @Test(arguments: [("HTTP", false), ("HTTP", true), ("HTTP2", false), ("HTTP2", true)])
    func aSlowClientGetsEverything(_ name: String, _ isHTTP2: Bool) throws {
        let (proxy, endpoint) = try world(name, answer: SimulatedAnswer(String(repeating: "x", count: Self.size)))
        let usual = proxy.network.conditions
        proxy.network.conditions.bufferBytes = 10_000
        let client = isHTTP2 ? nil : proxy.client()
        let other = isHTTP2 ? proxy.http2Client() : nil
        proxy.network.conditions = usual
        let stream = other?.request()
        client?.get()
        proxy.run(.milliseconds(1))
        (client?.peer ?? other?.peer)?.isReading = false
        proxy.run(.seconds(5))
        #expect(proxy.waitingForClients < 600_000)
        (client?.peer ?? other?.peer)?.isReading = true
        proxy.run(.seconds(20))
        #expect((client?.responses.first ?? other?.response(stream))?.body.count == Self.size)
        #expect(proxy.finished.map(\.record.responseBodyBytes) == [UInt64(Self.size)])
        proxy.expectSettled()
        withExtendedLifetime(endpoint) {}
    }

    @Test(arguments: [false, true])
    func aSlowEndpointGetsEverything(_ isHTTP2: Bool) throws {
        let (proxy, endpoint) = try world("HTTP", answer: SimulatedAnswer("done"))
        let client = isHTTP2 ? nil : proxy.client()
        let other = isHTTP2 ? proxy.http2Client() : nil
        proxy.network.conditions.bufferBytes = 10_000
        proxy.network.conditions.latencyNanoseconds = 1_000_000...1_000_000
        let body = String(repeating: "x", count: Self.size)
        let stream = other?.request("POST", body: body)
        client?.post("/", body)
        proxy.run(.milliseconds(100))
        #expect(proxy.waitingForEndpoints < 1_000_000)
        proxy.run(.seconds(20))
        #expect((client?.responses.first ?? other?.response(stream))?.text == "done")
        #expect((endpoint as? SimulatedEndpoint)?.requests.map(\.body.count) == [Self.size])
        proxy.expectSettled()
    }
}

extension SimulatedProxy {
    /// Bytes that wait for clients, and for endpoints, on their connections.
    fileprivate var waitingForClients: Int {
        worker.traffic.sides.downstreams.connections.identifiers().reduce(0) {
            $0 + worker.traffic.sides.downstreams.connections[$1].stream.output.count
        }
    }

    fileprivate var waitingForEndpoints: Int {
        worker.traffic.sides.upstreams.connections.identifiers().reduce(0) {
            $0 + worker.traffic.sides.upstreams.connections[$1].stream.output.count
        }
    }
}
