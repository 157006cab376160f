import MeshConfig
import Primitives
import Routing
import TelemetryModel
import Testing

/// TLS of a Sidecar's own at an ingress port, and what PeerAuthentication leaves of it.
@Suite struct SidecarTLSTests {
    private static let workload = Mesh.resource("WorkloadEntry", "me", "address: 127.0.0.1\nlabels: {app: w}")

    private static func sidecar(_ tls: String, _ spoken: String = "HTTPS") -> String {
        Mesh.resource(
            "Sidecar", "s",
            "workloadSelector: {labels: {app: w}}\ningress:\n- port: {number: 9443, name: out, protocol: \(spoken)}\n"
                + "  defaultEndpoint: 127.0.0.1:8080\n  tls: \(tls)\n")
    }

    private static func policy(_ spec: String) -> String {
        Mesh.resource("PeerAuthentication", "p", "selector: {matchLabels: {app: w}}\n\(spec)")
            .replacing("networking.istio.io/v1", with: "security.istio.io/v1")
    }

    private static let simple = "{mode: SIMPLE, serverCertificate: /c, privateKey: /k}"
    private static let off = policy("mtls: {mode: STRICT}\nportLevelMtls: {9443: {mode: DISABLE}}")

    private static func mesh(_ text: String, identity: Bool = true, allows: Bool = false) -> Mesh {
        Mesh(workload + text, labels: ["app": "w"]) {
            $0.outboundListener = nil
            $0.hasIdentity = identity
            $0.allowsUnenforced = allows
        }
    }

    private static func decrypts(_ mesh: Mesh) -> Bool { unsafe mesh.snapshot.tables.choosesByServerName(listener: 0) }

    /// Whatever name the client asks for, it is for the one application; requests are the port's, not those of a gateway.
    @Test func everyNameIsTheApplications() throws {
        for identity in [true, false] {
            let mesh = Self.mesh(Self.sidecar(Self.simple) + Self.off, identity: identity, allows: true)
            #expect(mesh.errors.isEmpty, "\(mesh.errors.map(\.text))")
            #expect(Self.decrypts(mesh))
            for name in ["", "web.example", "outbound_.80_._.x"] {
                let server = try #require(mesh.snapshot.securedServer(listener: 0, serverName: name))
                #expect(server.text.hasPrefix("Sidecar default/s, ingress port 9443: SIMPLE with /c"))
                #expect(mesh.ask("any.example", listener: server.row, isHTTPS: true) == "default -> inbound|9443||")
                let entry = unsafe mesh.snapshot.tables.listener(server.row)
                #expect(entry.side == .inbound && !entry.isEdge && entry.workloadPort == 9443 && entry.mode == .http)
            }
        }
        let tcp = Self.mesh(Self.sidecar(Self.simple, "TLS") + Self.off)
        let row = try #require(tcp.snapshot.securedServer(listener: 0, serverName: "x")).row
        #expect(unsafe tcp.snapshot.tables.listener(row).mode == .tcp)
    }

    /// As in Istio: with STRICT the port is the mesh's alone, with PERMISSIVE plaintext would be taken.
    @Test func theMeshComesFirst() {
        let strict = Self.mesh(Self.sidecar(Self.simple) + Self.policy("mtls: {mode: STRICT}"))
        #expect(strict.diagnostics.contains { $0.code == "SKN0327" && $0.message.contains("portLevelMtls: {9443: {mode: DISABLE}}") })
        #expect(strict.errors.isEmpty && !Self.decrypts(strict))
        for text in ["", Self.policy("mtls: {mode: PERMISSIVE}")] {
            for identity in [true, false] {
                let open = Self.mesh(Self.sidecar(Self.simple) + text, identity: identity)
                #expect(open.errors.map(\.code) == ["SKN0202"] && open.errors[0].message.contains("portLevelMtls: {9443: {mode: DISABLE}}"))
                let allowed = Self.mesh(Self.sidecar(Self.simple) + text, identity: identity, allows: true)
                #expect(allowed.errors.isEmpty && !Self.decrypts(allowed))
            }
        }
    }

    @Test func passthroughDecryptsNothing() {
        let mesh = Self.mesh(Self.sidecar("{mode: PASSTHROUGH}", "TLS"))
        #expect(mesh.errors.isEmpty && !Self.decrypts(mesh))
        #expect(unsafe mesh.snapshot.tables.listener(0).mode == .tcp)
    }

    @Test(arguments: [
        ("{mode: ISTIO_MUTUAL}", "HTTPS", "not accepted"), ("{mode: SIMPLE, credentialName: c}", "HTTPS", "write the paths"),
        ("{mode: SIMPLE, credentialNames: [c]}", "HTTPS", "write the paths"),
        ("{mode: MUTUAL, serverCertificate: /c, privateKey: /k}", "HTTPS", "caCertificates"),
        ("{mode: SIMPLE, serverCertificate: /c, privateKey: /k}", "HTTP", "write protocol: HTTPS or TLS"),
        ("{mode: SIMPLE, serverCertificate: /c, privateKey: /k, subjectAltNames: [x]}", "HTTPS", "not accepted"),
        ("{mode: SIMPLE, serverCertificate: /c, privateKey: /k, httpsRedirect: true}", "HTTPS", "not accepted"),
    ])
    func whatIstioRefuses(_ tls: String, _ spoken: String, _ words: String) {
        let mesh = Self.mesh(Self.sidecar(tls, spoken) + Self.off)
        #expect(mesh.errors.contains { $0.message.contains(words) }, "\(mesh.errors.map(\.text))")
    }
}
