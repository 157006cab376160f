import MeshConfig
import Primitives
import Routing
import TelemetryModel
import Testing

/// Unix domain sockets wherever Istio's resources name them, compiled.
@Suite struct UnixSocketCompilerTests {
    private static let tcp = Mesh.resource(
        "ServiceEntry", "db",
        "hosts: [db.local]\naddresses: [10.1.0.1]\nresolution: STATIC\nports: [{number: 5432, name: tcp, protocol: TCP}]\n"
            + "endpoints: [{address: 10.0.0.5}]")
        + Mesh.resource(
            "ServiceEntry", "safe",
            "hosts: [safe.local]\nresolution: STATIC\nports: [{number: 8443, name: tls, protocol: TLS}]\nendpoints: [{address: 10.0.0.6}]")

    private static func egress(_ listeners: String) -> String { Mesh.resource("Sidecar", "default", "egress:\n\(listeners)") }

    @Test func bothLayersMeanTheSameLongestPath() { #expect(UnixAddress.pathBytesMax == UnixPathTable.pathBytesMax) }

    @Test func endpointsMayBeSocketsAmongAddresses() throws {
        let name = "outbound|80||a.default.svc.cluster.local"
        let mesh = Mesh(
            Mesh.service("a.default.svc.cluster.local", [("unix:///run/a.sock", "v1", 3), ("10.0.0.1", "v1", 1), ("unix://@a", "v2", 1)])
                + Mesh.resource(
                    "DestinationRule", "a",
                    "host: a\nsubsets: [{name: v2, labels: {version: v2}}]\n"
                        + "trafficPolicy: {loadBalancer: {consistentHash: {useSourceIp: true}}}")
                + Mesh.resource(
                    "VirtualService", "a",
                    "hosts: [a]\nhttp:\n- match: [{uri: {prefix: /v2}}]\n  route: [{destination: {host: a, subset: v2}}]\n"
                        + "- route: [{destination: {host: a}}]"))
        #expect(mesh.diagnostics.map(\.text) == [])
        #expect(mesh.ask("a") == "default -> " + name)
        #expect(mesh.addresses(name) == ["/run/a.sock", "10.0.0.1:80", "@a"])
        let cluster = try #require(mesh.cluster(named: name))
        #expect(cluster.all.totalWeight == 5 && !cluster.isUnresolved)
        #expect(mesh.ask("a", "GET /v2").hasSuffix("outbound|80|v2|a.default.svc.cluster.local"))
        #expect(mesh.addresses("outbound|80|v2|a.default.svc.cluster.local") == ["@a"])
    }

    @Test func workloadsMayBeSockets() {
        let mesh = Mesh(
            Mesh.resource(
                "ServiceEntry", "s",
                "hosts: [s.local]\nresolution: STATIC\nports: [{number: 80, name: http, protocol: HTTP}, {number: 81, name: more, "
                    + "protocol: HTTP}]\nworkloadSelector: {labels: {app: s}}")
                + Mesh.resource("WorkloadEntry", "s1", "address: unix:///run/s1.sock\nlabels: {app: s}"))
        #expect(mesh.diagnostics.map(\.text) == [])
        #expect(mesh.ask("s.local") == "default -> outbound|80||s.local" && mesh.ask("s.local:81") == "default -> outbound|81||s.local")
        // A socket does not tell ports apart: both lead to it.
        #expect(mesh.addresses("outbound|80||s.local") == ["/run/s1.sock"])
        #expect(mesh.addresses("outbound|81||s.local") == ["/run/s1.sock"])
    }

    @Test func theApplicationMayListenOnASocket() {
        let sidecar = Mesh.resource(
            "Sidecar", "default",
            "ingress:\n- port: {number: 9080, name: http, protocol: HTTP}\n  defaultEndpoint: unix:///run/app.sock\n"
                + "- port: {number: 9090, name: grpc, protocol: GRPC}\n  defaultEndpoint: unix://@app")
        let mesh = Mesh(sidecar, labels: ["app": "w"]) { $0.outboundListener = nil }
        #expect(mesh.diagnostics.map(\.text) == [])
        #expect(mesh.snapshot.listeners.map(\.endpoint.description) == ["127.0.0.1:9080", "127.0.0.1:9090"])
        #expect(mesh.ask("whatever") == "default -> inbound|9080||")
        #expect(mesh.addresses("inbound|9080||") == ["/run/app.sock"] && mesh.addresses("inbound|9090||") == ["@app"])
    }

    /// A workload that others reach by its socket has no address to listen on; its proxy must not take the application's own socket for
    /// one.
    @Test func aWorkloadOnASocketListensOnLoopback() {
        let sidecar = Mesh.resource(
            "Sidecar", "default", "ingress:\n- port: {number: 9080, name: http, protocol: HTTP}\n  defaultEndpoint: 127.0.0.1:7000")
        let mesh = Mesh(sidecar, labels: ["app": "w"]) { $0.node.address = "unix:///run/app.sock" }
        #expect(mesh.snapshot.listeners.map(\.endpoint.description) == ["127.0.0.1:15001", "127.0.0.1:9080"])
        let plain = Mesh("", labels: ["app": "w"]) {
            $0.node.address = "unix:///run/app.sock"
            $0.inboundListener = SocketEndpoint(ipv4: 0x7F00_0001, port: 15006)
        }
        #expect(plain.addresses("inbound|0||") == ["/run/app.sock"])
    }

    /// Istio's rule for listenerPort 0: all ports of the hosts, told apart by what the client writes behind the name.
    @Test func anHTTPListenerOnASocketServesEveryPortOfItsHosts() {
        let services = Mesh.service("a.default.svc.cluster.local", ports: [80, 9080]) + Mesh.service("b.default.svc.cluster.local")
        let mesh = Mesh(
            services + Self.tcp
                + Self.egress(
                    "- port: {number: 0, protocol: HTTP, name: uds}\n  bind: unix:///run/proxy.sock\n"
                        + "  hosts: ['./a.default.svc.cluster.local', './db.local']\n- hosts: ['*/*']"))
        #expect(mesh.diagnostics.map(\.text) == [])
        #expect(
            mesh.snapshot.listeners.map { "\($0.name) \($0.endpoint)" } == [
                "outbound 127.0.0.1:15001", "outbound_/run/proxy.sock /run/proxy.sock",
            ])
        #expect(mesh.ask("a", listener: 1) == "default -> outbound|80||a.default.svc.cluster.local")
        #expect(mesh.ask("a:9080", listener: 1) == "default -> outbound|9080||a.default.svc.cluster.local")
        #expect(mesh.ask("a:81", listener: 1) == "404")
        #expect(mesh.ask("b", listener: 1) == "404", "the listener's hosts are all it serves")
        #expect(mesh.ask("b") == "default -> outbound|80||b.default.svc.cluster.local")
    }

    @Test(arguments: ["port: {protocol: HTTP}", "port: {number: 0, protocol: HTTP}"]) func theNumberMayBeLeftOut(_ port: String) {
        let mesh = Mesh(Mesh.service("a.local") + Self.egress("- \(port)\n  bind: unix://@proxy\n  hosts: ['*/*']")) 
        #expect(mesh.diagnostics.map(\.text) == [])
        #expect(mesh.snapshot.listeners.map(\.endpoint.description) == ["@proxy"], "as with ports alone: no common listener")
        #expect(mesh.ask("a.local") == "default -> outbound|80||a.local")
    }

    /// Who connects to a path has dialled no address, so a service's own addresses keep nobody out.
    @Test func aTCPListenerOnASocketLeadsToTheServicesOfItsHosts() {
        let mesh = Mesh(
            Mesh.service("a.local") + Self.tcp
                + Self.egress("- port: {number: 0, protocol: TCP, name: uds}\n  bind: unix:///run/db.sock\n  hosts: ['*/*']"))
        #expect(mesh.diagnostics.map(\.text) == [])
        #expect(TCPRoutingTests.decide(mesh, "-", 0) == "outbound|5432||db.local")
        #expect(
            TCPRoutingTests.decide(mesh, "-", 0, name: "safe.local") == "outbound|8443||safe.local",
            "by its server name, before what takes everything")
        #expect(TCPRoutingTests.decide(mesh, "-", 0, name: "other") == "outbound|5432||db.local")
    }

    /// What the table of paths refuses (it is full, or loading let something through) is an error of the configuration, which the last good
    /// one survives.
    @Test func aPathThatHasNoPlaceIsAnError() {
        let mesh = Mesh(Mesh.service("a.local", [("unix://relative", "v1", 0)]))
        let found = mesh.errors.filter { $0.code == "SKN0317" }
        #expect(found.map(\.message) == ["the socket \"relative\" cannot be used: it is neither an absolute path nor @name"])
        #expect(mesh.addresses("outbound|80||a.local") == [])
    }

    @Test func aGatewayMayListenOnASocket() {
        let mesh = Mesh(
            Mesh.service("a.local")
                + Mesh.resource(
                    "Gateway", "g",
                    "servers:\n- port: {number: 0, name: http, protocol: HTTP}\n  bind: unix:///run/gateway.sock\n  hosts: ['*']")
                + Mesh.resource("VirtualService", "a", "hosts: [a.local]\ngateways: [g]\nhttp: [{route: [{destination: {host: a.local}}]}]")
        )
        #expect(mesh.diagnostics.map(\.text) == [])
        #expect(mesh.snapshot.listeners.map(\.endpoint.description) == ["127.0.0.1:15001", "/run/gateway.sock"])
        #expect(mesh.ask("a.local", listener: 1) == "default -> outbound|80||a.local")
    }
}
