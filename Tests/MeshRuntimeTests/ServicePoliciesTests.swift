import MeshConfig
@testable import MeshRuntime
import Testing

/// What a service's page says of its policies: those that are enforced at its workloads, each with its place, and no others.
@Suite struct ServicePoliciesTests {
    private static let mesh = """
        apiVersion: networking.istio.io/v1
        kind: ServiceEntry
        metadata: {name: web, namespace: shop}
        spec:
          hosts: [Web.shop.svc.cluster.local]
          ports: [{number: 80, name: http, protocol: HTTP}]
          resolution: STATIC
          workloadSelector: {labels: {app: web}}
        ---
        apiVersion: networking.istio.io/v1
        kind: WorkloadEntry
        metadata: {name: web-1, namespace: shop, labels: {app: web, version: v1}}
        spec: {address: 127.0.0.1}
        ---
        apiVersion: networking.istio.io/v1
        kind: WorkloadEntry
        metadata: {name: web-2, namespace: shop, labels: {app: web, version: v2}}
        spec: {address: 127.0.0.2}
        ---
        apiVersion: networking.istio.io/v1
        kind: WorkloadEntry
        metadata: {name: web-elsewhere, namespace: other, labels: {app: web}}
        spec: {address: 127.0.0.3}
        ---
        apiVersion: security.istio.io/v1
        kind: PeerAuthentication
        metadata: {name: standard, namespace: istio-system}
        spec: {mtls: {mode: STRICT}}
        ---
        apiVersion: security.istio.io/v1
        kind: PeerAuthentication
        metadata: {name: v2, namespace: shop}
        spec: {selector: {matchLabels: {version: v2}}, mtls: {mode: PERMISSIVE}, portLevelMtls: {8080: {mode: DISABLE}}}
        ---
        apiVersion: security.istio.io/v1
        kind: RequestAuthentication
        metadata: {name: users, namespace: shop}
        spec: {jwtRules: [{issuer: "https://issuer.example", jwks: '{"keys":[]}'}]}
        ---
        apiVersion: security.istio.io/v1
        kind: AuthorizationPolicy
        metadata: {name: readers, namespace: shop}
        spec: {selector: {matchLabels: {version: v1}}, rules: [{to: [{operation: {methods: [GET]}}]}]}
        ---
        apiVersion: security.istio.io/v1
        kind: AuthorizationPolicy
        metadata: {name: never, namespace: istio-system}
        spec: {action: DENY, rules: [{to: [{operation: {paths: [/admin]}}]}]}
        ---
        apiVersion: security.istio.io/v1
        kind: AuthorizationPolicy
        metadata: {name: not-mine, namespace: other}
        spec: {action: DENY, rules: [{}]}
        ---
        apiVersion: skein.io/v1
        kind: RateLimit
        metadata: {name: gentle, namespace: shop}
        spec:
          selector: {matchLabels: {app: web}}
          limits: [{requests: 100, per: 1s, burst: 20, by: [{header: x-team}]}]
        """

    private func policies(of host: String) throws -> ServicePolicies {
        let (mesh, list) = MeshConfiguration.load(texts: [("a.yaml", Self.mesh)])
        try #require(!list.hasErrors, "\(list.items.map(\.text))")
        return ServicePolicies(host: host, mesh: mesh)
    }

    @Test func whatAppliesIsListedOnceWithItsPlace() throws {
        let found = try policies(of: "web.shop.svc.cluster.local")
        #expect(found.workloadCount == 2 && found.omitted == 0)
        let rows = found.policies.map { "\($0.id.kind) \($0.id.name): \($0.effect); \($0.scope); \($0.workloads ?? -1)" }
        #expect(
            rows == [
                "PeerAuthentication standard: STRICT; mesh; 1",
                "PeerAuthentication v2: PERMISSIVE; namespace shop, selector version=v2; 1",
                "PeerAuthentication v2: DISABLE, spec.portLevelMtls[8080].mode; namespace shop, selector version=v2; 1",
                "RequestAuthentication users: tokens of https://issuer.example; namespace shop; 2",
                "AuthorizationPolicy never: DENY, 1 rule; mesh; 2",
                "AuthorizationPolicy readers: ALLOW, 1 rule; namespace shop, selector version=v1; 1",
                "RateLimit gentle: 100 requests in 1.0 s, burst 20, for each header x-team; namespace shop, selector app=web; 2",
            ], "\(rows.joined(separator: "\n"))")
        #expect(found.policies.allSatisfy { $0.position.file == "a.yaml" && $0.position.line > 0 })
        #expect(found.json.contains("\"unmatched\":\"denied\"") && found.json.hasPrefix("{\"service\":\"web.shop.svc.cluster.local\""))
    }

    @Test(arguments: ["nobody.example", "", "*", "\u{202E}\"\\\n"])
    func aServiceThatIsNotThereHasNone(host: String) throws {
        let found = try policies(of: host)
        #expect(found.workloadCount == 0 && found.policies.isEmpty && found.json.contains("\"unmatched\":\"allowed\""))
    }
}
