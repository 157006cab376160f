import MeshConfig
import Testing

/// What is read of TLS, and what `skein analyze` finds about it.
@Suite struct TransportSecurityTests {
    // MARK: Reading

    @Test func everyFieldOfAClientsTLSIsRead() throws {
        let (configuration, _) = TestFiles.load(
            TestFiles.resource(
                "DestinationRule",
                "host: a.local\ntrafficPolicy:\n  tls: {mode: MUTUAL, sni: s, subjectAltNames: [n1, n2], caCertificates: /ca, caCrl: /crl, "
                    + "clientCertificate: /c, privateKey: /k}\nsubsets:\n- name: v1\n  trafficPolicy:\n    portLevelSettings:\n"
                    + "    - {port: {number: 80}, tls: {mode: SIMPLE, insecureSkipVerify: true, sni: p}}\n"
                    + "    - {port: {number: 81}, tls: {mode: SIMPLE, credentialName: secret}}"))
        let rule = try #require(configuration.destinationRules.first)
        let tls = try #require(rule.trafficPolicy?.tls)
        #expect(tls.mode == .mutual && tls.serverName == "s" && tls.subjectAltNames == ["n1", "n2"] && !tls.skipsVerification)
        #expect(tls.caCertificates == "/ca" && tls.caCrl == "/crl" && tls.clientCertificate == "/c" && tls.privateKey == "/k")
        #expect(tls.credentialName == "" && tls.position.line == 9)
        let port = try #require(rule.policy(subset: "v1", port: 80).tls)
        #expect(port.mode == .simple && port.skipsVerification && port.serverName == "p" && port.clientCertificate == "")
        #expect(rule.policy(subset: "v1", port: 81).tls?.credentialName == "secret")
        #expect(rule.policy(subset: "v1", port: 82).tls?.mode == .mutual)
    }

    @Test func theMeshSaysWhoItsWorkloadsAre() {
        let (standard, _) = TestFiles.load(TestFiles.resource("IstioOperator", "{}"))
        #expect(standard.mesh.enablesAutoMutualTLS && standard.mesh.trustDomain == "cluster.local")
        #expect(standard.mesh.trustDomainAliases == [])
        let (own, diagnostics) = TestFiles.load(
            TestFiles.resource("IstioOperator", "meshConfig: {enableAutoMtls: false, trustDomain: a.b, trustDomainAliases: [c, d]}"))
        #expect(!own.mesh.enablesAutoMutualTLS && own.mesh.trustDomain == "a.b" && own.mesh.trustDomainAliases == ["c", "d"])
        #expect(diagnostics.items.isEmpty, "\(diagnostics.lines)")
        let (_, wrong) = TestFiles.load(TestFiles.resource("IstioOperator", "meshConfig: {trustDomainAliases: [a, 'b c']}"))
        #expect(wrong.short == ["IST0106 spec.meshConfig.trustDomainAliases[1]"])
    }

    private static func policy(_ name: String, _ spec: String, namespace: String = "default") -> String {
        TestFiles.resource("PeerAuthentication", spec, name: name, namespace: namespace)
    }

    /// The seed's policy as it stands: every port of its namespace, and of no other.
    @Test func theSeedIsStrictInItsNamespace() {
        let (configuration, _) = MeshConfiguration.load(from: ["\(SeedTests.seed)/07-peerauthentication-default.yaml"])
        let policies = PeerAuthentications(configuration)
        let inside = policies.rules(namespace: "production", labels: ["app": "x"])
        #expect(inside.standard.mode == .strict && inside.ports.isEmpty && inside.standard.field == "spec.mtls.mode")
        #expect(inside.standard.decider.hasPrefix("PeerAuthentication production/default ("))
        let outside = policies.rules(namespace: "default", labels: ["app": "x"])
        #expect(outside.standard.mode == .permissive && outside.standard.policy == nil && outside.strict == nil)
        #expect(configuration.unenforcedPolicies(namespace: "production", labels: [:], hasIdentity: false).map(\.needsIdentity) == [true])
        #expect(configuration.unenforcedPolicies(namespace: "production", labels: [:], hasIdentity: true).isEmpty)
    }

    /// The first that was loaded stands for the oldest, also among policies with different selectors.
    @Test func theFirstOfAScopeSpeaks() {
        let parts = [
            Self.policy(
                "a", "selector: {matchLabels: {app: web}}\nmtls: {mode: DISABLE}\nportLevelMtls: {1: {mode: STRICT}, 2: {mode: UNSET}}"),
            Self.policy("b", "selector: {matchLabels: {version: v1}}\nmtls: {mode: STRICT}\nportLevelMtls: {3: {mode: STRICT}}"),
            Self.policy("c", "mtls: {mode: PERMISSIVE}"), Self.policy("d", "mtls: {mode: STRICT}"),
        ]
        func rules(_ parts: [String], _ labels: [String: String]) -> WorkloadMutualTLS {
            PeerAuthentications(TestFiles.load(parts.joined(separator: "---\n")).0).rules(namespace: "default", labels: labels)
        }
        let both = ["app": "web", "version": "v1"]
        #expect(rules(parts, both).standard.policy?.name == "a" && rules(parts, both).standard.mode == .disable)
        #expect(rules(parts, both).ports.mapValues(\.mode) == [1: .strict])
        #expect(rules(parts, both).strict?.field == "spec.portLevelMtls[1].mode")
        #expect(rules(parts.reversed(), both).standard.policy?.name == "b")
        #expect(rules(parts, ["version": "v1"]).standard.policy?.name == "b")
        #expect(rules(parts, [:]).standard.policy?.name == "c")
        #expect(rules(parts.reversed(), [:]).standard.policy?.name == "d")
    }

    // MARK: Findings

    private static func codes(_ rule: String, _ policy: String, endpoints: String) -> [String] {
        let ports = "[{number: 80, name: http, protocol: HTTP, targetPort: 8080}]"
        let service = AnalysisTests.service("a.local", ports: ports, endpoints: endpoints)
        let text = [service, AnalysisTests.subsets(rule), policy.isEmpty ? nil : Self.policy("p", policy)].compactMap { $0 }
        return AnalysisTests.codes(text.joined(separator: "---\n"))
    }

    @Test(arguments: [
        ("trafficPolicy: {tls: {mode: DISABLE}}", "mtls: {mode: STRICT}", ["SKN0369"]),
        ("trafficPolicy: {tls: {mode: SIMPLE}}", "mtls: {mode: STRICT}", ["SKN0369"]),
        ("trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}", "mtls: {mode: STRICT}", []),
        ("trafficPolicy: {tls: {mode: DISABLE}}", "mtls: {mode: PERMISSIVE}", []),
        ("trafficPolicy: {tls: {mode: DISABLE}}", "", []),
        ("trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}", "mtls: {mode: DISABLE}", ["SKN0370"]),
        ("trafficPolicy: {tls: {mode: DISABLE}}", "mtls: {mode: DISABLE}", []),
        // Who brings certificates may bring the mesh's.
        ("trafficPolicy: {tls: {mode: MUTUAL, clientCertificate: /c, privateKey: /k}}", "mtls: {mode: STRICT}", []),
        // The workload's port counts, not the service's.
        (
            "trafficPolicy: {tls: {mode: DISABLE}}", "selector: {matchLabels: {version: v1}}\nportLevelMtls: {8080: {mode: STRICT}}",
            ["SKN0369"]
        ),
        ("trafficPolicy: {tls: {mode: DISABLE}}", "selector: {matchLabels: {version: v1}}\nportLevelMtls: {80: {mode: STRICT}}", []),
        // A subset's endpoints only; what it inherits is said once.
        (
            "subsets: [{name: v2, labels: {version: v2}, trafficPolicy: {tls: {mode: DISABLE}}}]",
            "selector: {matchLabels: {version: v1}}\nmtls: {mode: STRICT}", []
        ),
        (
            "subsets: [{name: v1, labels: {version: v1}, trafficPolicy: {tls: {mode: DISABLE}}}]",
            "selector: {matchLabels: {version: v1}}\nmtls: {mode: STRICT}", ["SKN0369"]
        ),
        ("trafficPolicy: {tls: {mode: DISABLE}}\nsubsets: [{name: v1, labels: {version: v1}}]", "mtls: {mode: STRICT}", ["SKN0369"]),
        // Another port than the service has.
        ("trafficPolicy: {portLevelSettings: [{port: {number: 81}, tls: {mode: DISABLE}}]}", "mtls: {mode: STRICT}", []),
    ])
    func contradictions(rule: String, policy: String, expected: [String]) {
        let endpoints = "[{address: 10.0.0.1, labels: {version: v1}}, {address: 10.0.0.2, labels: {version: v2}}]"
        #expect(Self.codes(rule, policy, endpoints: endpoints) == expected)
    }

    @Test func aStrictWorkloadWithoutTheLabelIsFound() {
        func codes(_ labels: String, mode: String = "STRICT", mesh: String = "{}") -> [String] {
            AnalysisTests.codes(
                [
                    TestFiles.resource("WorkloadEntry", "address: 10.0.0.1\nlabels: {\(labels)}", name: "w"),
                    Self.policy("p", "mtls: {mode: \(mode)}"), TestFiles.resource("IstioOperator", "meshConfig: \(mesh)", name: "m"),
                ].joined(separator: "---\n"))
        }
        #expect(codes("app: a") == ["SKN0371"])
        #expect(codes("security.istio.io/tlsMode: istio") == [])
        #expect(codes("security.istio.io/tlsMode: disabled") == ["SKN0371"])
        #expect(codes("app: a", mode: "PERMISSIVE") == [])
        #expect(codes("app: a", mesh: "{enableAutoMtls: false}") == [], "callers go by their rules alone")
    }
}
