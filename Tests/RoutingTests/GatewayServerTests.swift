import MeshConfig
import Primitives
import Routing
import Testing

/// Which server of a port takes a TLS connection, and what that server serves.
@Suite struct GatewayServerTests {
    private static func server(_ name: String, _ hosts: [String], tls: String = "{mode: SIMPLE, credentialName: c}") -> String {
        let list = hosts.map { "\"\($0)\"" }.joined(separator: ", ")
        return "- {port: {number: 443, name: \(name), protocol: HTTPS}, hosts: [\(list)], tls: \(tls)}\n"
    }

    private static func gateway(_ servers: String, _ name: String = "front") -> String {
        Mesh.resource("Gateway", name, "servers:\n\(servers)")
    }

    /// The listener of the gateway, which follows that of the services.
    private static let port = 1

    private static func choose(_ mesh: Mesh, _ name: String) -> String {
        switch unsafe mesh.snapshot.tables.gatewayServer(listener: port, name: Array(name.utf8)[...]) {
        case .none: return "none"
        case .passThrough: return "passed"
        case .server(let server):
            let text = mesh.snapshot.gatewaySecurities[Int(server.security)].server
            return String(text.split(separator: " ").last ?? "")
        }
    }

    /// Random sets of hosts against the rule as people say it: the exact name, else the longest wildcard, else `*`.
    @Test func theMostSpecificNameWins() {
        let seed = UInt64.random(in: 1...UInt64.max)
        var random = RandomSource(seed: seed)
        let labels = ["a", "b", "c"]
        func pick(_ count: Int) -> Int { Int(random.next() % UInt64(count)) }
        func host() -> String { (0...pick(3)).map { _ in labels[pick(3)] }.joined(separator: ".") + ".x" }
        for round in 0..<30 {
            var owners: [String: String] = [:]
            var servers = ""
            for index in 0..<(1 + pick(6)) {
                let hosts = Array(Set((0...pick(4)).map { _ in pick(10) == 0 ? "*" : pick(2) == 0 ? "*.\(host())" : host() })).sorted()
                servers += Self.server("s\(index)", hosts)
                for name in hosts where owners[name] == nil { owners[name] = "s\(index)" }
            }
            let mesh = Mesh(Mesh.service("a.local") + Self.gateway(servers))
            #expect(mesh.errors.isEmpty, "\(mesh.errors)")
            for _ in 0..<50 {
                let asked = pick(10) == 0 ? "" : host()
                let parts = asked.split(separator: ".").map(String.init)
                let wildcards = parts.indices.dropFirst().map { "*." + parts[$0...].joined(separator: ".") }
                let candidates = (asked.isEmpty ? [] : [asked] + wildcards) + ["*"]
                let expected = candidates.compactMap { owners[$0] }.first ?? "none"
                #expect(Self.choose(mesh, asked) == expected, "seed \(seed), round \(round), \(asked), \(owners)")
                #expect(Self.choose(mesh, asked.uppercased()) == expected, "seed \(seed), round \(round), \(asked)")
                if !asked.isEmpty { #expect(Self.choose(mesh, asked + ".") == expected, "seed \(seed), round \(round), \(asked).") }
            }
        }
    }

    private static let rule = Mesh.resource(
        "VirtualService", "all", "hosts: [a.x, b.x]\ngateways: [front]\nhttp:\n- route: [{destination: {host: a.local}}]")

    /// A connection for one server does not reach the hosts of another, whatever its requests say.
    @Test func aServerServesItsOwnHosts() throws {
        let mesh = Mesh(Mesh.service("a.local") + Self.gateway(Self.server("one", ["a.x"]) + Self.server("two", ["b.x"])) + Self.rule)
        for (name, other) in [("a.x", "b.x"), ("b.x", "a.x")] {
            let row = try #require(mesh.snapshot.securedServer(listener: Self.port, serverName: name)).row
            #expect(row >= mesh.snapshot.listeners.count)
            #expect(mesh.ask(name, listener: row, isHTTPS: true) == "default -> outbound|80||a.local")
            #expect(mesh.ask(other, listener: row, isHTTPS: true) == "404")
        }
        #expect(Set(mesh.snapshot.describeRoutes().filter { $0.listener.hasPrefix("gateway") }.flatMap(\.hosts)) == ["a.x", "b.x"])
    }

    /// The longest odd names that a client can send.
    @Test func oddNamesFindNothing() {
        let mesh = Mesh(Mesh.service("a.local") + Self.gateway(Self.server("one", ["a.x", "*.y"])))
        for name in [".", "..", "*", "*.y", ".y", "a.x\0", "a.x..", String(repeating: "a", count: 70_000), "\u{FFFD}"] {
            let expected = name == "*.y" ? "one" : "none"
            #expect(Self.choose(mesh, name) == expected, "\(name.prefix(20))")
        }
    }

    @Test func hostsThatTwoTakeAreSaid() {
        let mesh = Mesh(
            Mesh.service("a.local") + Self.gateway(Self.server("one", ["a.x"])) + Self.gateway(Self.server("two", ["a.x", "b.x"]), "back"))
        #expect(mesh.diagnostics.filter { $0.code == "SKN0319" }.count == 1)
        #expect(Self.choose(mesh, "a.x") == "one" && Self.choose(mesh, "b.x") == "two")
    }

    private static func key(_ mesh: Mesh, _ name: String) -> UInt64? {
        let choice = unsafe mesh.snapshot.tables.gatewayServer(listener: port, name: Array(name.utf8)[...])
        guard case .server(let server) = choice else { return nil }
        return server.key
    }

    /// A connection goes on under a new configuration where the same clients are let in, and only there.
    @Test(arguments: [
        ("{mode: MUTUAL, credentialName: c}", true), ("{mode: MUTUAL, credentialName: c, minProtocolVersion: TLSV1_3}", true),
        ("{mode: SIMPLE, credentialName: c}", false), ("{mode: OPTIONAL_MUTUAL, credentialName: c}", false),
        ("{mode: MUTUAL, credentialName: d}", false), ("{mode: MUTUAL, credentialName: c, subjectAltNames: [name]}", false),
        ("{mode: MUTUAL, credentialName: c, caCertCredentialName: e}", false),
    ])
    func whoIsLetInIsPartOfTheServer(tls: String, isSame: Bool) throws {
        func mesh(_ tls: String, more: String = "") -> Mesh {
            Mesh(Mesh.service("a.local") + Self.gateway(more + Self.server("one", ["a.x"], tls: tls)))
        }
        let before = try #require(Self.key(mesh("{mode: MUTUAL, credentialName: c}"), "a.x"))
        // Its place among the servers is another.
        let after = mesh(tls, more: Self.server("zero", ["z.x"]))
        #expect((unsafe after.snapshot.tables.gatewayServer(listener: Self.port, key: before) != nil) == isSame)
    }

    /// Plain TCP cannot stand beside servers that decrypt; what passes through can.
    @Test func whatOnePortCannotServeIsLeftOut() {
        let tcp = "- {port: {number: 443, name: tcp, protocol: TCP}, hosts: [\"*\"]}\n"
        let through = "- {port: {number: 443, name: through, protocol: TLS}, hosts: [\"*.y\"], tls: {mode: PASSTHROUGH}}\n"
        let rule = Mesh.resource(
            "VirtualService", "pass",
            "hosts: [\"*.y\"]\ngateways: [front]\ntls:\n- match: [{sniHosts: [p.y]}]\n  route: [{destination: {host: a.local}}]")
        let mesh = Mesh(Mesh.service("a.local") + Self.gateway(Self.server("one", ["a.x"]) + tcp + through) + rule)
        #expect(mesh.diagnostics.filter { $0.code == "SKN0315" }.count == 1)
        #expect(Self.choose(mesh, "p.y") == "passed" && Self.choose(mesh, "q.y") == "none" && Self.choose(mesh, "a.x") == "one")
    }
}
