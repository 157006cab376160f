import OutlierDetection
import Primitives
@testable import Proxy
import Simulation
import Streams
import TelemetryModel
import Testing

/// A request that is switched to another protocol: its bytes, and how each side ends it.
@Suite struct TunnelTests {
    private final class Switched {
        let proxy: SimulatedProxy
        let endpoint: SimulatedEndpoint
        let client: SimulatedClient

        /// `isFar`: the client takes 300 bytes in a tenth of a second.
        init(limits: ProxyLimits = ProxyLimits(), isFar: Bool = false) throws {
            proxy = try SimulatedProxy(Mesh.service(), limits: limits)
            endpoint = SimulatedEndpoint(proxy.network, at: SimulatedProxy.address(1)) { _, _ in
                SimulatedAnswer(status: 101, fields: [("Upgrade", "websocket"), ("Connection", "Upgrade")])
            }
            let usual = proxy.network.conditions
            if isFar {
                proxy.network.conditions.bufferBytes = 300
                proxy.network.conditions.latencyNanoseconds = .milliseconds(50)...(.milliseconds(50))
            }
            client = proxy.client()
            proxy.network.conditions = usual
            client.get("/chat", fields: [("Connection", "Upgrade"), ("Upgrade", "websocket")])
            proxy.run(.milliseconds(900))
        }

        /// The endpoint says something in the new protocol.
        func said(_ text: String) {
            endpoint.peers.first?.send(text)
            proxy.run(.milliseconds(10))
        }
    }

    @Test func bytesPassBothWays() throws {
        let world = try Switched()
        #expect(world.client.responses.map(\.status) == [101])
        #expect(world.proxy.worker.traffic.tunnelTraffic.tunnels.count == 1)
        #expect(world.proxy.worker.traffic.requests.count == 0)
        #expect(world.proxy.held(.requests) == 1)
        world.said("hello")
        #expect(world.client.raw == Array("hello".utf8))
        world.client.send("a word")
        world.proxy.run(.milliseconds(10))
        world.endpoint.peers.first?.close()
        world.client.peer.close()
        world.proxy.run(.seconds(1))
        #expect(world.proxy.finished.map(\.record.responseCode) == [101])
        #expect(world.proxy.finished.first?.record.requestBodyBytes == 6)
        #expect(world.proxy.finished.first?.record.responseBodyBytes == 5)
        world.proxy.expectEmpty()
    }

    /// One side may end while the other goes on; the second end ends the tunnel.
    @Test func sidesEndOneByOne() throws {
        let world = try Switched()
        world.endpoint.peers.first?.end()
        world.proxy.run(.milliseconds(100))
        #expect(world.client.isEnded)
        #expect(world.proxy.finished.isEmpty)
        world.client.send("still here")
        world.proxy.run(.milliseconds(100))
        world.client.peer.close()
        world.proxy.run(.seconds(1))
        #expect(world.proxy.finished.map(\.record.requestBodyBytes) == [10])
        world.proxy.expectEmpty()
    }

    @Test func aResetEndsBothSides() throws {
        let world = try Switched()
        world.client.peer.reset()
        world.proxy.run(.seconds(1))
        #expect(world.proxy.finished.first?.record.flags == .downstreamConnectionTermination)
        #expect(world.endpoint.peers.first?.sawEnd == true || world.endpoint.peers.first?.sawReset == true)
        world.proxy.expectEmpty()
    }

    @Test func silenceEndsIt() throws {
        var limits = ProxyLimits()
        limits.streamIdleTimeoutNanoseconds = .seconds(5)
        let world = try Switched(limits: limits)
        world.proxy.run(.seconds(4))
        world.said("x")
        world.proxy.run(.milliseconds(4_900))
        #expect(world.proxy.finished.isEmpty)
        world.proxy.run(.milliseconds(200))
        #expect(world.proxy.finished.first?.record.flags == .streamIdleTimeout)
        #expect(world.client.isEnded)
        world.proxy.run(.seconds(1))
        world.proxy.expectEmpty()
    }

    /// A client that reads slowly holds its endpoint back, and gets every byte all the same.
    @Test func aSlowClientHoldsTheEndpointBack() throws {
        let world = try Switched()
        world.client.peer.isReading = false
        let text = String(repeating: "0123456789", count: 200_000)
        world.endpoint.peers.first?.send(text)
        world.proxy.run(.seconds(2))
        let kept = world.proxy.worker.traffic.sides.downstreams.connections.identifiers().map {
            world.proxy.worker.traffic.sides.downstreams.connections[$0].stream.output.count
        }
        #expect(kept.allSatisfy { $0 < 1 << 20 })
        world.client.peer.isReading = true
        world.proxy.run(.seconds(10))
        #expect(world.client.raw.count == text.utf8.count)
        #expect(world.client.raw == Array(text.utf8))
    }

    /// Both sides have ended, and a client takes what is left slowly: as long as it takes some, it is not idle, and nothing is cut off.
    @Test func whatIsLeftIsTakenSlowly() throws {
        var limits = ProxyLimits()
        limits.streamIdleTimeoutNanoseconds = .seconds(1)
        let world = try Switched(limits: limits, isFar: true)
        world.client.peer.end()
        world.endpoint.peers.first?.send(String(repeating: "0123456789", count: 3_000))
        world.endpoint.peers.first?.end()
        world.proxy.run(.seconds(60))
        #expect(world.client.raw.count == 30_000)
        #expect(world.client.isEnded)
        #expect(world.proxy.finished.map(\.record.flags) == [[]])
        #expect(world.proxy.finished.first?.record.responseBodyBytes == 30_000)
        world.proxy.expectEmpty()
    }
}
