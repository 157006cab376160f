import MeshConfig
import Primitives
@testable import Proxy
import Routing
import Simulation
import Streams
import TelemetryModel
import Testing

/// Whose requests are counted as whose: the source comes with the connection, the destination with the route.
@Suite struct PeerLabelTests {
    private static let curl = "spiffe://cluster.local/ns/default/sa/curl"

    private func makeProxy() throws -> SimulatedProxy {
        var node = NodeIdentity(name: "reviews-v1", namespace: "default")
        node.labels = ["app": "reviews"]
        node.ports = ["http": 9080]
        return try SimulatedProxy(Mesh.service(), node: node)
    }

    private func expect(_ proxy: SimulatedProxy, _ source: (SourceLabels) -> Bool, _ destination: (DestinationLabels) -> Bool) {
        var keys: [SeriesKey] = []
        proxy.handle.shard.read { keys.append($0.key) }
        #expect(keys.count == 1)
        for key in keys {
            #expect(source(proxy.catalogs.sources.labels(key.labels.source)))
            #expect(destination(proxy.catalogs.labels(key.labels.destination)))
        }
        #expect(proxy.finished.allSatisfy { $0.record.labels == keys.first?.labels })
    }

    /// A principal belongs to the connection: all requests on it carry it, a reload between them changes nothing.
    @Test func aPeersPrincipalGoesWithItsConnection() throws {
        let proxy = try makeProxy()
        let endpoint = SimulatedEndpoint(proxy.network, at: SocketEndpoint(ipv4: 0x7F00_0001, port: 9080))
        let client = proxy.inboundClient(PeerIdentity(uris: [Self.curl, "spiffe://other"]))
        client.send("GET / HTTP/1.1\r\nHost: reviews\r\n\r\n")
        proxy.run(.seconds(1))
        try proxy.reload(Mesh.service())
        client.send("GET / HTTP/1.1\r\nHost: reviews\r\n\r\n")
        proxy.run(.seconds(1))
        #expect(client.responses.map(\.status) == [200, 200])
        expect(proxy, { $0.principal == Self.curl && $0.workload == "" }, { $0.workload == "reviews-v1" })
        #expect(proxy.catalogs.sources.peerCount == 1)
        withExtendedLifetime(endpoint) {}
    }

    @Test func whoShowsNothingIsUnknown() throws {
        let proxy = try makeProxy()
        let endpoint = SimulatedEndpoint(proxy.network, at: SocketEndpoint(ipv4: 0x7F00_0001, port: 9080))
        let client = proxy.inboundClient(nil)
        client.send("GET / HTTP/1.1\r\nHost: reviews\r\n\r\n")
        proxy.run(.seconds(1))
        #expect(client.responses.map(\.status) == [200])
        expect(proxy, { $0 == SourceLabels() }, { $0.workload == "reviews-v1" })
        withExtendedLifetime(endpoint) {}
    }

    /// What goes out is the workload's own: its listener says so, and the endpoint's cluster says whom it is for.
    @Test func whatGoesOutIsTheWorkloads() throws {
        let proxy = try makeProxy()
        let endpoint = SimulatedEndpoint(proxy.network, at: SimulatedProxy.address(1))
        let client = proxy.client()
        client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
        proxy.run(.seconds(1))
        #expect(client.responses.map(\.status) == [200])
        expect(proxy, { $0.workload == "reviews-v1" && $0.app == "reviews" }, { $0.service == "a.test" })
        withExtendedLifetime(endpoint) {}
    }

    /// A request that is refused before it is routed has a source all the same.
    @Test func aRefusedRequestHasASource() throws {
        let proxy = try makeProxy()
        let client = proxy.client()
        client.send("nonsense\r\n\r\n")
        proxy.run(.seconds(1))
        expect(proxy, { $0.workload == "reviews-v1" }, { $0 == DestinationLabels() })
    }
}
