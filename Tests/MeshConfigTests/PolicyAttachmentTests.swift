import Testing

@testable import MeshConfig

@Suite struct PolicyAttachmentTests {
    private static let gateway = "{group: gateway.networking.k8s.io, kind: Gateway, name: public}"
    private static let labels = [PolicyAttachment.gatewayLabel: "public", "app": "edge"]

    private static func load(_ kind: String, _ spec: String, namespace: String = "shop") -> (MeshConfiguration, DiagnosticList) {
        MeshConfiguration.load(texts: [(name: "t.yaml", text: TestFiles.resource(kind, spec, name: "p", namespace: namespace))])
    }

    /// The gateway of that name in the policy's own namespace, and no other workload.
    @Test(arguments: ["targetRefs: [\(gateway)]", "targetRef: \(gateway)", "targetRefs: [{kind: Service, name: web}, \(gateway)]"])
    func aGatewayIsGuardedByItsName(_ targets: String) throws {
        let (mesh, list) = Self.load("AuthorizationPolicy", "\(targets)\nrules: [{}]")
        #expect(list.items.filter { $0.severity == .error }.isEmpty)
        let policy = try #require(mesh.authorizationPolicies.first)
        let selects = { (namespace: String, labels: [String: String]) in
            policy.selects(namespace: namespace, labels: labels, rootNamespace: "istio-system")
        }
        #expect(selects("shop", Self.labels))
        #expect(!selects("other", Self.labels), "a gateway of another namespace")
        #expect(!selects("shop", [PolicyAttachment.gatewayLabel: "internal"]), "another gateway")
        #expect(!selects("shop", ["app": "edge"]), "a workload that is no gateway")
    }

    /// A selector speaks for the whole mesh from the root namespace; a reference stays in its namespace.
    @Test func aReferenceInTheRootNamespaceStaysThere() throws {
        let (mesh, _) = Self.load("RequestAuthentication", "targetRefs: [\(Self.gateway)]", namespace: "istio-system")
        let policy = try #require(mesh.requestAuthentications.first)
        #expect(!policy.selects(namespace: "shop", labels: Self.labels, rootNamespace: "istio-system"))
        #expect(policy.selects(namespace: "istio-system", labels: Self.labels, rootNamespace: "istio-system"))
    }

    /// Services are guarded at waypoints: the policy speaks for nobody, not for everybody, and it is said.
    @Test(arguments: [
        "{kind: Service, name: web}", "{group: networking.istio.io, kind: ServiceEntry, name: web}",
        "{group: gateway.networking.k8s.io, kind: GatewayClass, name: istio-waypoint}",
    ])
    func whatOnlyWaypointsGuardIsNobody(_ reference: String) throws {
        for kind in ["AuthorizationPolicy", "RequestAuthentication", "Telemetry"] {
            let (mesh, list) = Self.load(kind, "targetRefs: [\(reference)]")
            let attachment =
                mesh.authorizationPolicies.first?.attachment ?? mesh.requestAuthentications.first?.attachment
                ?? mesh.telemetries.first?.attachment
            #expect(attachment == .gateways([]))
            #expect(try #require(attachment).includes(namespace: "shop", labels: [:], home: "shop", rootNamespace: "shop") == false)
            let notice = try #require(list.items.first { $0.code == "SKN0201" })
            #expect(notice.field == "spec.targetRefs[0].kind" && notice.message.contains("waypoints"), "\(notice)")
        }
    }

    /// A Telemetry for a gateway changes nothing for the rest of its namespace.
    @Test func aTelemetryForAGatewayIsForThatGateway() {
        let spec = "targetRefs: [\(Self.gateway)]\naccessLogging: [{providers: [{name: envoy}]}]"
        let (mesh, _) = Self.load("Telemetry", spec)
        let isOn = { mesh.accessLogPolicy(namespace: "shop", labels: $0, direction: .server).isEnabled }
        #expect(isOn(Self.labels))
        #expect(!isOn(["app": "web"]))
    }
}
