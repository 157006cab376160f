import MeshConfig
import Primitives
import Routing
import Testing

/// AUTO_PASSTHROUGH: the server name tells the cluster.
@Suite struct AutoPassthroughTests {
    private static func gateway(_ hosts: String, _ more: String = "") -> String {
        Mesh.resource(
            "Gateway", "east",
            "servers:\n- port: {number: 15443, name: tls, protocol: TLS}\n  hosts: \(hosts)\n  tls: {mode: AUTO_PASSTHROUGH}\n\(more)")
    }

    private static let rule = Mesh.resource(
        "DestinationRule", "a",
        "host: a.local\ntrafficPolicy: {tls: {mode: ISTIO_MUTUAL}}\nsubsets:\n- {name: v1, labels: {version: v1}}\n"
            + "- {name: v2, labels: {version: v2}}")

    private static let services =
        Mesh.service("a.local", ports: [80, 90], [("10.0.0.1", "v1", 0), ("10.0.0.2", "v2", 0)])
        + Mesh.service("b.other", namespace: "other") + rule

    private static func mesh(_ text: String) -> Mesh { Mesh(services + text) { $0.hasIdentity = true } }

    /// `cluster`, `none`, or `server` for what is decrypted.
    private static func ask(_ mesh: Mesh, _ name: String) -> String {
        let bytes = Array(name.utf8)
        switch unsafe mesh.snapshot.tables.gatewayServer(listener: 1, name: bytes[...]) {
        case .none: return "none"
        case .server: return "server"
        case .passThrough: break
        }
        var draw = RandomSource(seed: 1)
        let here = SocketEndpoint(ipv4: 0x7F00_0001, port: 15443)
        return unsafe bytes.withUnsafeBytes { name in
            switch unsafe mesh.snapshot.tables.decideTCP(
                listener: 1, dialled: here, isTLS: true, serverName: LentBytes(name), draw: &draw)
            {
            case .none: "no route"
            case .noCluster: "no cluster"
            case .cluster(let index, _): mesh.cluster_(Int(index))
            }
        }
    }

    @Test func aNameIsItsCluster() {
        let mesh = Self.mesh(Self.gateway("[\"*.local\"]"))
        #expect(mesh.diagnostics.isEmpty, "\(mesh.diagnostics.map(\.text))")
        for name in ["outbound_.80_._.a.local", "outbound_.90_._.a.local", "outbound_.80_.v1_.a.local", "outbound_.90_.v2_.a.local"] {
            #expect(Self.ask(mesh, name) == name && Self.ask(mesh, name.uppercased()) == name && Self.ask(mesh, name + ".") == name)
        }
        #expect(mesh.addresses("outbound_.80_._.a.local") == ["10.0.0.1:80", "10.0.0.2:80"])
        #expect(mesh.addresses("outbound_.80_.v2_.a.local") == ["10.0.0.2:80"])
        let odd = [
            "", "a.local", "outbound_.81_._.a.local", "outbound_.80_.v3_.a.local", "outbound_.80_._.b.other", "outbound_.80_._.c.local",
            "outbound_.080_._.a.local", "outbound|80||a.local", "outbound_.80_._.", "x.outbound_.80_._.a.local",
        ]
        for name in odd { #expect(Self.ask(mesh, name) == "none", "\(name)") }
    }

    /// The client's TLS is the endpoint's: nothing is wrapped around it, whatever the DestinationRule says of other clients.
    @Test func nothingIsAddedToTheClientsTLS() throws {
        let mesh = Self.mesh(Self.gateway("[\"*.local\"]"))
        let passed = try #require(mesh.cluster(named: "outbound_.80_._.a.local"))
        #expect(passed.dialledSecurity == -1)
        #expect(passed.endpoints.indices.allSatisfy { unsafe mesh.snapshot.tables.endpoint($0).security == -1 })
        let own = try #require(mesh.cluster(named: "outbound|80||a.local"))
        #expect(own.endpoints.indices.allSatisfy { unsafe mesh.snapshot.tables.endpoint($0).security >= 0 })
        #expect(mesh.snapshot.clusterNamed(byServerName: "OUTBOUND_.80_._.a.local", listener: 1) == "outbound_.80_._.a.local")
    }

    /// Whom a server's hosts leave out, nobody reaches; services outside of the mesh never.
    @Test func hostsTellWhoIsReached() {
        #expect(Self.ask(Self.mesh(Self.gateway("[other/*]")), "outbound_.80_._.b.other") == "outbound_.80_._.b.other")
        #expect(Self.ask(Self.mesh(Self.gateway("[other/*]")), "outbound_.80_._.a.local") == "none")
        let external = Self.services.replacing("MESH_INTERNAL", with: "MESH_EXTERNAL")
        #expect(Self.ask(Mesh(external + Self.gateway("[\"*\"]")), "outbound_.80_._.a.local") == "none")
    }

    @Test func otherServersShareThePort() {
        let mesh = Self.mesh(
            Self.gateway(
                "[\"*.local\"]",
                "- port: {number: 15443, name: https, protocol: HTTPS}\n  hosts: [\"*\"]\n  tls: {mode: SIMPLE, credentialName: c}\n"))
        #expect(Self.ask(mesh, "outbound_.80_._.a.local") == "outbound_.80_._.a.local")
        #expect(Self.ask(mesh, "web.example") == "server" && Self.ask(mesh, "outbound_.80_._.c.local") == "server")
    }
}
