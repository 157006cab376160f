import MeshConfig
import Primitives
import Testing

@testable import Routing

/// Where the requests of a workload are checked: the cluster of its provider, or an error at the provider's place.
@Suite struct AuthorizerClusterTests {
    private static func mesh(
        _ provider: String, service: String = "authz.local", protocol name: String = "HTTP", port: String = "HTTP"
    ) -> Mesh {
        let yaml = """
            apiVersion: networking.istio.io/v1
            kind: ServiceEntry
            metadata: {name: authz, namespace: shop}
            spec:
              {hosts: [\(service)], resolution: STATIC, endpoints: [{address: 10.0.0.9}],
              ports: [{number: 9000, name: p, protocol: \(name)}]}
            ---
            apiVersion: security.istio.io/v1
            kind: AuthorizationPolicy
            metadata: {name: custom, namespace: default}
            spec: {action: CUSTOM, provider: {name: ask}, rules: [{}]}
            ---
            apiVersion: networking.istio.io/v1
            kind: Sidecar
            metadata: {name: s, namespace: default}
            spec: {ingress: [{port: {number: 8080, protocol: \(port), name: p}, defaultEndpoint: "127.0.0.1:80"}]}
            ---
            apiVersion: install.istio.io/v1alpha1
            kind: IstioOperator
            metadata: {name: mesh, namespace: istio-system}
            spec: {meshConfig: {extensionProviders: [{name: ask, \(provider)}]}}
            """
        return Mesh(yaml, labels: ["app": "web"]) { $0.inboundListener = SocketEndpoint(ipv4: 0x7F00_0001, port: 15006) }
    }

    @Test(arguments: ["authz.local", "shop/authz.local", "shop/Authz.Local"]) func theServicesCluster(service: String) {
        let mesh = Self.mesh("envoyExtAuthzHttp: {service: \(service), port: 9000}")
        #expect(mesh.diagnostics.filter { $0.severity > .notice }.isEmpty, "\(mesh.diagnostics.map(\.text))")
        #expect(mesh.snapshot.authorizerCluster >= 0)
        let cluster = unsafe mesh.snapshot.tables.cluster(Int(mesh.snapshot.authorizerCluster))
        #expect(cluster.endpoints.count == 1 && !cluster.isHTTP2)
    }

    @Test(arguments: [
        ("envoyExtAuthzHttp: {service: other.local, port: 9000}", "no service has the host other.local"),
        ("envoyExtAuthzHttp: {service: authz.local, port: 80}", "has no port 80; it has 9000"),
        ("envoyExtAuthzHttp: {service: front/authz.local, port: 9000}", "is in namespace shop, not in front"),
        ("envoyExtAuthzGrpc: {service: authz.local, port: 9000}", "gRPC needs HTTP/2"),
    ])
    func whatCannotBeReachedIsAnError(provider: String, message: String) {
        let errors = Self.mesh(provider).errors
        #expect(errors.map(\.code) == ["SKN0323"] && errors[0].message.contains(message), "\(errors.map(\.text))")
        #expect(errors.first?.position.line == 21)
    }

    @Test func anAuthorizerByGRPCIsReachedOverHTTP2() {
        let mesh = Self.mesh("envoyExtAuthzGrpc: {service: authz.local, port: 9000}", protocol: "GRPC", port: "TCP")
        #expect(mesh.diagnostics.filter { $0.severity > .notice }.isEmpty, "\(mesh.diagnostics.map(\.text))")
        #expect(unsafe mesh.snapshot.tables.cluster(Int(mesh.snapshot.authorizerCluster)).isHTTP2)
    }

    /// Connections that nobody can be asked about are closed, and somebody must know before their clients do.
    @Test func closedConnectionsAreToldOf() {
        let mesh = Self.mesh("envoyExtAuthzHttp: {service: authz.local, port: 9000}", port: "TCP")
        #expect(mesh.diagnostics.filter { $0.severity == .warning }.map(\.code) == ["SKN0324"])
    }

    /// A provider that no policy names is nobody's mistake yet.
    @Test func whoIsNotAskedNeedNotBeThere() {
        let plain = Mesh(Mesh.service("a.local"), labels: ["app": "web"])
        #expect(plain.snapshot.authorizerCluster == -1)
    }
}
