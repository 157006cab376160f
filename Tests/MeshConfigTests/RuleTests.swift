import MeshConfig
import Testing

/// Istio's rules for its resources, one line of Tests/Fixtures/IstioRules/*.txt each: what Istio refuses is an error at the field, what it
/// takes is none. A file of a cluster that is refused here, or a mistake that only the cluster tells of, is what these lines are for.
@Suite struct RuleTests {
    /// `verdict field Kind spec`: error, warning or fine; the field of the first such finding, `-` for fine. ROUTE stands for a route to a
    /// host.
    struct Rule {
        var verdict: String
        var field: String
        var kind: String
        var spec: String

        init(_ line: Substring) {
            let words = line.split(separator: " ", maxSplits: 3, omittingEmptySubsequences: true).map(String.init)
            (verdict, field, kind, spec) = (words[0], words[1], words[2], String(words[3].drop { $0 == " " }))
        }
    }

    static let folder = TestFiles.root + "/Tests/Fixtures/IstioRules"
    static let files = TestFiles.names(in: folder).filter { $0.hasSuffix(".txt") }

    static func rules(of file: String) -> [Rule] {
        (TestFiles.read("\(folder)/\(file)") ?? "").split(separator: "\n").filter { !$0.hasPrefix("#") }.map(Rule.init)
    }

    @Test(arguments: RuleTests.files)
    func verdictsAreIstios(_ file: String) {
        for rule in RuleTests.rules(of: file) {
            let spec = rule.spec.replacing("ROUTE", with: "route: [{destination: {host: a.b}}]")
            let (_, diagnostics) = TestFiles.load(TestFiles.resource(rule.kind, spec, namespace: "ns"))
            // Whether names exist is another question.
            let found = diagnostics.items.filter { $0.severity != .notice && $0.code != "IST0101" }
            let worst = found.first { $0.severity == .error } ?? found.first
            let verdict = worst.map { $0.severity == .error ? "error" : "warning" } ?? "fine"
            #expect(
                "\(verdict) \(worst?.field ?? "-")" == "\(rule.verdict) \(rule.field)", "\(rule.kind) \(rule.spec): \(found.map(\.text))")
            #expect(found.allSatisfy { $0.position.line >= 6 && $0.position.column > 0 })
        }
    }

    @Test func theTablesAreThere() { #expect(RuleTests.files.flatMap(RuleTests.rules).count > 400) }

    /// The annotation means something for one kind only; elsewhere a rule that should be tried out would act.
    @Test func tryingOutIsForAuthorizationPoliciesOnly() {
        func verdict(_ kind: String, _ value: String, _ spec: String) -> [String] {
            let group = kind == "AuthorizationPolicy" ? "security" : "networking"
            let text =
                "apiVersion: \(group).istio.io/v1\nkind: \(kind)\nmetadata: {name: x, annotations: {istio.io/dry-run: '\(value)'}}\n"
                    + "spec: \(spec)\n"
            return TestFiles.load(text).1.errors.map(\.field)
        }
        let field = "metadata.annotations[istio.io/dry-run]"
        #expect(verdict("AuthorizationPolicy", "true", "{rules: [{}]}").isEmpty)
        #expect(verdict("AuthorizationPolicy", "yes", "{rules: [{}]}") == [field])
        #expect(verdict("AuthorizationPolicy", "true", "{action: CUSTOM, provider: {name: p}, rules: [{}]}") == [field])
        #expect(verdict("VirtualService", "true", "{hosts: [a.b], http: [{route: [{destination: {host: a.b}}]}]}") == [field])
    }

    /// Rules call a Gateway NAMESPACE/NAME, so a dot in its name could not be told from the form of old.
    @Test func aGatewaysNameIsOneLabel() {
        let spec = "servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}]"
        #expect(TestFiles.load(TestFiles.resource("Gateway", spec, name: "edge.front")).1.errors.map(\.field) == ["metadata.name"])
        #expect(!TestFiles.load(TestFiles.resource("Gateway", spec, name: "edge-front")).1.hasErrors)
    }

    /// Dozens of a cluster's own resources are one line, not dozens.
    @Test func foreignKindsOfAFileAreSaidOnce() {
        func document(_ kind: String, _ version: String) -> String { "apiVersion: \(version)\nkind: \(kind)\nmetadata: {name: x}\n---\n" }
        let text =
            String(repeating: document("Deployment", "apps/v1") + document("Service", "v1"), count: 15)
            + document("Gateway", "gateway.networking.k8s.io/v1")
        let (_, diagnostics) = TestFiles.load("# comment\n" + text)
        #expect(diagnostics.items.map(\.code) == ["SKN0006"])
        #expect(diagnostics.items.first?.position.line == 3)
        #expect(
            diagnostics.items.first?.message.contains(
                "31 resources that are not Istio's, the first here: 15 Deployment, 15 Service, 1 Gateway of the Gateway API.") == true)
        #expect(diagnostics.items.first?.message.contains("VirtualService and Gateway of networking.istio.io") == true)
        let (_, one) = TestFiles.load(document("Deployment", "apps/v1"))
        #expect(
            one.items.map(\.text) == [
                "t.yaml:2:7: notice [SKN0006] Deployment default/x: ignored: Deployment is no Istio resource. Services and workloads are "
                    + "described by ServiceEntry and WorkloadEntry."
            ])
    }

    /// An EnvoyFilter that is wholly a rate limit is not spoken of; of another, what is left aside is named where it stands.
    @Test func whatALimitingEnvoyFilterLeavesAsideIsNamed() {
        let filter =
            "name: envoy.filters.http.local_ratelimit, typed_config: {stat_prefix: x, token_bucket: {max_tokens: 4, fill_interval: 60s}, "
            + "filter_enabled: {default_value: {numerator: 100}}, filter_enforced: {default_value: {numerator: 100}}"
        func said(_ patches: String) -> [String] {
            TestFiles.load(TestFiles.resource("EnvoyFilter", "{configPatches: [\(patches)]}")).1.items.map {
                "\($0.severity) \($0.code) \($0.field)"
            }
        }
        func patch(_ value: String) -> String {
            "{applyTo: HTTP_FILTER, match: {context: SIDECAR_INBOUND}, patch: {operation: INSERT_BEFORE, value: {\(value)}}}"
        }
        #expect(said(patch(filter + ", enable_x_ratelimit_headers: DRAFT_VERSION_03}")) == [])
        #expect(said(patch(filter + ", status: {code: 503}, descriptors: [], stage: 1}")) == [
            "notice SKN0201 spec.configPatches[0].patch.value.typedConfig.status",
            "notice SKN0201 spec.configPatches[0].patch.value.typedConfig.stage",
        ])
        let route =
            "route: {rate_limits: [{actions: [{remote_address: {}}]}]}, typed_per_filter_config: {envoy.filters.http.local_ratelimit: "
            + "{token_bucket: {max_tokens: 4, fill_interval: 60s}, filter_enabled: {default_value: {numerator: 1}}, filter_enforced: "
                + "{default_value: {numerator: 1}}}}"
        #expect(said(patch(route.replacing("{token_bucket", with: "{stage: 1, token_bucket"))).last
            == "notice SKN0201 spec.configPatches[0].patch.value.typedPerFilterConfig[envoy.filters.http.local_ratelimit].stage")
        #expect(said(patch(route)) == ["notice SKN0201 spec.configPatches[0].patch.value.route"])
        #expect(
            said(patch(filter + "}") + ", " + patch("name: envoy.filters.http.lua, typed_config: {}")) == [
                "notice SKN0201 spec.configPatches[1]"
            ])
        #expect(said(patch("name: envoy.filters.http.lua, typed_config: {}")) == ["notice SKN0201 spec"])
    }

    /// Routes of TCP and TLS, and mirrors, go to subsets as well as those of HTTP.
    @Test func unknownSubsetsAreSaidOfEveryKindOfRoute() {
        let rule = TestFiles.resource(
            "VirtualService",
            """
            hosts: [a.b]
            http: [{route: [{destination: {host: a.b}}], mirror: {host: a.b, subset: v2}}]
            tcp: [{route: [{destination: {host: a.b, subset: v3}}]}]
            tls: [{match: [{sniHosts: [a.b]}], route: [{destination: {host: a.b, subset: v4}}]}]
            """)
        #expect(
            TestFiles.load(rule).1.short.filter { $0.hasPrefix("IST0101") } == [
                "IST0101 spec.http[0].mirror.subset", "IST0101 spec.tls[0].route[0].destination.subset",
                "IST0101 spec.tcp[0].route[0].destination.subset",
            ])
    }

    /// `*-v1.example.com` is a wildcard to Envoy; what it covers exists.
    @Test func wildcardsMayEndWithinALabel() {
        let text =
            TestFiles.resource("ServiceEntry", "hosts: ['*-v1.example.com']\nports: [{number: 80, name: http, protocol: HTTP}]") + "---\n"
            + TestFiles.resource("DestinationRule", "host: '*-v1.example.com'\nsubsets: [{name: all}]") + "---\n"
            + TestFiles.resource(
                "VirtualService",
                "hosts: ['*-v1.example.com']\nhttp: [{match: [{uri: {prefix: /a}}], route: [{destination: {host: web-v1.example.com, "
                    + "subset: all}}]}, {route: [{destination: {host: web-v2.example.com}}]}]")
        let (_, diagnostics) = TestFiles.load(text)
        #expect(diagnostics.short == ["IST0133 spec.hosts[0]", "IST0101 spec.http[1].route[0].destination.host"])
    }
}
