import MeshConfig
import Testing

/// Configurations in the shape of Istio's samples, read into the typed model.
@Suite struct ModelTests {
    static let folder = TestFiles.root + "/Tests/Fixtures/Config/good"

    private func load(_ name: String) -> (MeshConfiguration, DiagnosticList) {
        MeshConfiguration.load(from: ["\(ModelTests.folder)/\(name)"])
    }

    @Test func theWholeFolderLoads() {
        let (configuration, diagnostics) = MeshConfiguration.load(from: [ModelTests.folder])
        #expect(!diagnostics.hasErrors, "\(diagnostics.lines)")
        #expect(configuration.resourceCounts.values.reduce(0, +) == 24)
    }

    @Test func allMatchFieldsAreRead() throws {
        let (configuration, diagnostics) = load("bookinfo.yaml")
        #expect(diagnostics.items.filter { $0.severity != .notice }.isEmpty, "\(diagnostics.lines)")
        let rule = try #require(configuration.virtualServices.first)
        let match = rule.http[0].matches[0]
        #expect(match.name == "everything" && match.statPrefix == "api" && match.sourceNamespace == "shop")
        #expect(match.uri?.condition == .prefix("/api/v1"))
        #expect(match.scheme?.condition == .exact("https"))
        #expect(match.method?.condition == .regex("GET|HEAD"))
        #expect(match.method?.field == "spec.http[0].match[0].method.regex")
        #expect(match.authority?.condition == .prefix("reviews"))
        #expect(match.headers.map(\.name) == ["end-user", "x-present", "x-null"])
        #expect(match.headers[1].match.condition == .present && match.headers[2].match.condition == .present)
        #expect(match.withoutHeaders[0].match.condition == .exact("true"))
        #expect(match.queryParameters.map(\.name) == ["page", "Sort"])
        #expect(match.ignoreURICase && match.port == 9080)
        #expect(match.sourceLabels == ["app": "productpage"] && match.gateways == ["mesh"])
        #expect(rule.http[0].timeoutNanoseconds == 62_500_000_000)
        #expect(rule.http[0].destinations[0].destination.port == 9080)
        let snake = rule.http[1]
        #expect(snake.matches[0].ignoreURICase && snake.matches[0].queryParameters.count == 1)
        #expect(snake.destinations.map(\.weight) == [3, 1] && snake.timeoutNanoseconds == 0)
        #expect(rule.http[2].matches.isEmpty && rule.http[2].timeoutNanoseconds == nil)
    }

    @Test func trafficPoliciesMergeAsIstioMergesThem() throws {
        let rule = try #require(load("bookinfo.yaml").0.destinationRules.first)
        #expect(rule.policy(subset: "", port: 9080).loadBalancer?.simple == .random)
        #expect(rule.policy(subset: "", port: 9080).connectionPool?.connectTimeoutNanoseconds == 30_000_000)
        // A port's settings replace all groups.
        #expect(rule.policy(subset: "", port: 9081).loadBalancer?.simple == .roundRobin)
        #expect(rule.policy(subset: "", port: 9081).connectionPool == nil)
        // A subset's replace only the groups it names.
        #expect(rule.policy(subset: "v2", port: 9080).loadBalancer?.simple == .passthrough)
        #expect(rule.policy(subset: "v2", port: 9080).connectionPool?.maxRequestsPerConnection == 5)
        #expect(rule.policy(subset: "v2", port: 9082).connectionPool?.maxRequestsPerConnection == 1)
        #expect(rule.policy(subset: "v2", port: 9082).loadBalancer == nil)
        #expect(rule.policy(subset: "v1", port: 9080).connectionPool?.idleTimeoutNanoseconds == 3_600_000_000_000)
    }

    @Test func servicesAndWorkloadsMeet() throws {
        let (configuration, _) = load("bookinfo.yaml")
        let service = configuration.serviceEntries[0]
        let port = try #require(service.port(numbered: 9080))
        let endpoints = configuration.endpoints(of: service)
        #expect(endpoints.map(\.address) == ["127.0.0.1", "127.0.0.2"])
        #expect(endpoints.map { $0.port(for: port) } == [7001, 8080])
        #expect(endpoints.map { $0.labels["version"] } == ["v1", "v2"])
        #expect(configuration.workload(named: "reviews-v2")?.endpoint.weight == 3)
        #expect(configuration.workload(named: "shop/reviews-v1")?.endpoint.serviceAccount == "reviews")
        #expect(configuration.workload(named: "other/reviews-v1") == nil)
        #expect(configuration.serviceEntries[2].resolution == .dns && configuration.serviceEntries[2].ports[0].protocol == .http2)
    }

    @Test func theNarrowestSidecarWins() throws {
        let (configuration, _) = load("bookinfo.yaml")
        let own = try #require(configuration.sidecar(namespace: "shop", labels: ["app": "reviews", "version": "v1"]))
        #expect(own.id.name == "reviews")
        #expect(own.ingress.map(\.defaultEndpoint) == [.loopback(port: 7001), .unix(path: "/run/app.sock")])
        #expect(own.egress[0].bind == "127.0.0.9" && own.egress[1].port == nil)
        #expect(own.egress[1].hosts.map { "\($0.namespace) \($0.host)" } == ["~ *"])
        #expect(configuration.sidecar(namespace: "shop", labels: ["app": "reviews"])?.id.name == "default")
        #expect(configuration.sidecar(namespace: "elsewhere", labels: [:])?.id.name == "mesh-default")
        #expect(MeshConfiguration().sidecar(namespace: "a", labels: [:]) == nil)
    }

    @Test func telemetryResolvesFromMeshToWorkload() throws {
        let (configuration, diagnostics) = load("telemetry.yaml")
        #expect(!diagnostics.hasErrors, "\(diagnostics.lines)")
        func logs(_ namespace: String, _ direction: TrafficDirection) -> AccessLogPolicy {
            configuration.accessLogPolicy(namespace: namespace, labels: [:], direction: direction)
        }
        let mesh = logs("elsewhere", .client)
        #expect(mesh.files.map(\.path) == ["/var/log/access.log"])
        guard case .istioJSON? = mesh.files.first?.format else {
            Issue.record("not JSON")
            return
        }
        #expect(!logs("shop", .client).isEnabled)
        #expect(logs("shop", .server).files.map(\.provider) == ["text-log"])
        #expect(logs("shop", .server).otherProviders == ["als"])

        let reviews = configuration.tracingPolicy(namespace: "shop", labels: ["app": "reviews"], direction: .client)
        #expect(reviews.samplingPercentage == 0.05 && reviews.provider == "otel" && !reviews.isReportingDisabled)
        #expect(configuration.tracingPolicy(namespace: "shop", labels: ["app": "reviews"], direction: .server).isReportingDisabled)
        #expect(configuration.tracingPolicy(namespace: "shop", labels: [:], direction: .client).samplingPercentage == 50)
        #expect(configuration.mesh.outboundTrafficMode == .registryOnly && configuration.mesh.pathNormalization == .mergeSlashes)
    }

    @Test func samplingFallsBackToTheMeshThenToOnePercent() {
        #expect(MeshConfiguration().tracingPolicy(namespace: "a", labels: [:], direction: .client).samplingPercentage == 1)
        let text = TestFiles.resource(
            "IstioOperator", "meshConfig: {enableTracing: false, defaultConfig: {tracing: {sampling: 7, zipkin: {address: 'z:9411'}}}}")
        let policy = TestFiles.load(text).0.tracingPolicy(namespace: "a", labels: [:], direction: .client)
        #expect(policy.samplingPercentage == 7 && policy.isReportingDisabled && policy.exporter == nil)
    }

    @Test(arguments: [
        ("reviews", "reviews.production.svc.cluster.local"), ("reviews.other", "reviews.other"), ("*", "*"), ("*.a.com", "*.a.com"),
        ("::1", "::1"),
    ])
    func shortNamesMeanTheRulesNamespace(_ written: String, _ full: String) {
        #expect(HostName.resolve(written, namespace: "production") == full)
    }

    @Test func wildcardsCoverWholeLabelsBelow() {
        #expect(HostName.matches("*.a.com", "b.a.com") && HostName.matches("*", "x") && HostName.matches("A.com", "a.COM"))
        #expect(!HostName.matches("*.a.com", "a.com") && !HostName.matches("*.a.com", "ba.com"))
        #expect(HostName.intersection("*", "A.com") == "a.com" && HostName.intersection("x.a.com", "*.a.com") == "x.a.com")
        #expect(HostName.intersection("*.b.a.com", "*.a.com") == "*.b.a.com" && HostName.intersection("*.a.com", "*.b.com") == nil)
        #expect(Gateway.resolve("mesh", namespace: "n") == "mesh" && Gateway.resolve("g", namespace: "n") == "n/g")
        #expect(Gateway.resolve("o/g", namespace: "n") == "o/g" && Gateway.resolve("g.o.svc.cluster.local", namespace: "n") == "o/g")
        #expect(
            HostName.alternatives(of: "r.n.svc.cluster.local", from: "n") == ["r.n.svc.cluster.local", "r.n.svc", "r.n", "r"])
        #expect(HostName.alternatives(of: "r.n.svc.cluster.local", from: "m").last == "r.n")
    }

    /// YAML 1.1 and protobuf JSON: what counts as a string, a boolean, a number.
    @Test func scalarsAreTypedAsIstioTypesThem() {
        func codes(_ line: String) -> [String] {
            TestFiles.load(
                TestFiles.resource("VirtualService", "hosts: [a]\nhttp:\n- route: [{destination: {host: a}}]\n  \(line)")
            ).1.errors.map(\.code)
        }
        for good in [
            "name: 'yes'", "name: a1", "name: 1.2.3", "name: !!str 12", "name: 2001-01-01", "name: ~", "timeout: 1h2m", "timeout: 100ms",
            "match: [{ignoreUriCase: on}]", "match: [{port: \"80\"}]", "match: [{port: 80.0}]", "mirrorPercentage: {value: 0.5}",
            "mirrorPercentage: {value: 50}", "mirrorPercentage: {value: '50'}", "match: [{headers: {a: {exact: \"true\"}}}]",
        ] { #expect(codes(good) == [], "\(good)") }
        for bad in [
            "name: yes", "name: 12", "name: 1.5", "name: 0x1F", "name: 1_000", "name: off", "name: []", "timeout: 10", "timeout: 1d",
            "match: [{ignoreUriCase: 1}]", "match: [{port: 80.5}]", "match: [{headers: {a: {exact: true}}}]", "mirrorPercentage: 50",
        ] { #expect(codes(bad).count == 1, "\(bad) \(codes(bad))") }
    }

    @Test func mergeKeysAndAnchorsWork() throws {
        let (configuration, diagnostics) = TestFiles.load(
            TestFiles.resource(
                "VirtualService",
                "hosts: [a]\nhttp:\n- &base\n  timeout: 3s\n  match: [{uri: {prefix: /x}}]\n  route: [{destination: {host: a}}]\n"
                    + "- <<: *base\n  match: []\n  timeout: 4s"))
        #expect(!diagnostics.hasErrors, "\(diagnostics.lines)")
        let routes = try #require(configuration.virtualServices.first).http
        #expect(routes.map(\.timeoutNanoseconds) == [3_000_000_000, 4_000_000_000])
        #expect(routes[1].matches.isEmpty && routes[1].destinations.count == 1)
    }

    @Test func conflictsBetweenSidecarsAreErrors() {
        let workload = TestFiles.resource("WorkloadEntry", "address: 10.0.0.1\nlabels: {app: a, version: v1}", name: "w")
        let listener = "egress: [{hosts: ['./*']}]"
        let texts = [
            workload, TestFiles.resource("Sidecar", "workloadSelector: {labels: {app: a}}\n\(listener)", name: "s1"),
            TestFiles.resource("Sidecar", "workloadSelector: {labels: {version: v1}}\n\(listener)", name: "s2"),
            TestFiles.resource("Sidecar", "workloadSelector: {labels: {app: b}}\n\(listener)", name: "s3"),
            TestFiles.resource("Sidecar", "workloadSelector: {labels: {app: a}}\n\(listener)", name: "s4", namespace: "other"),
        ]
        let (_, diagnostics) = TestFiles.load(texts.joined(separator: "---\n"))
        #expect(diagnostics.errors.map { "\($0.code) \($0.resource?.name ?? "")" } == ["IST0110 s2"])
    }

    @Test func unknownHostsAreNamedOnceServicesAreDescribed() {
        let services = TestFiles.resource(
            "ServiceEntry", "hosts: [ratings.example.com, '*.wild.example.com']\nports: [{number: 80, name: http, protocol: HTTP}]")
        func warnings(_ host: String) -> [String] {
            TestFiles.load(
                services + "---\n" + TestFiles.resource("VirtualService", "hosts: [a]\nhttp: [{route: [{destination: {host: \(host)}}]}]")
            ).1.items.map(\.message)
        }
        #expect(warnings("ratings.example.com").isEmpty && warnings("x.y.wild.example.com").isEmpty)
        #expect(warnings("rating.example.com").first?.contains("Did you mean ratings.example.com?") == true)
        #expect(warnings("wild.example.com").count == 1)
    }

    @Test func directoriesAreReadInOrderAndSubdirectoriesNamed() {
        let (_, diagnostics) = MeshConfiguration.load(from: [TestFiles.root + "/Tests/Fixtures/Config"])
        #expect(!diagnostics.hasErrors)
        #expect(diagnostics.items.map(\.code) == ["SKN0010", "SKN0010", "SKN0010"])
    }

    @Test func oneBadDocumentHidesNoOther() {
        let (configuration, diagnostics) = TestFiles.load(
            TestFiles.resource("VirtualService", "hosts: 1\nbad: 2", name: "a") + "---\n"
                + TestFiles.resource("ServiceEntry", "hosts: []\nworse: 3", name: "b") + "---\n"
                + TestFiles.resource("Telemetry", "accessLogging: [{providers: [{name: envoy}]}]", name: "c"))
        #expect(Set(diagnostics.errors.compactMap(\.resource?.name)) == ["a", "b"])
        #expect(configuration.telemetries.count == 1)
    }
}

/// A reload must not keep a control thread busy for long, whatever the size of the mesh.
@Suite struct LargeConfigurationTests {
    @Test func aThousandRulesLoadAndResolve() {
        let rule =
            "hosts: [HOST]\nhttp:\n- match: [{uri: {prefix: /api}, headers: {x: {exact: a}}}]\n"
                + "  route: [{destination: {host: HOST}, weight: 9}, {destination: {host: HOST}, weight: 1}]\n  timeout: 5s"
        let texts = (0..<1000).map { index in
            (
                name: "\(index).yaml",
                text: TestFiles.resource("VirtualService", rule.replacing("HOST", with: "h\(index).example.com"), name: "r\(index)"))
        }
        let (configuration, diagnostics) = MeshConfiguration.load(texts: texts)
        #expect(configuration.virtualServices.count == 1000)
        #expect(diagnostics.items.isEmpty, "\(diagnostics.lines.prefix(3))")
    }
}
