import MeshConfig
import Testing

/// The fourteen configurations that people start from must load as they are, and say exactly what is not in effect.
@Suite struct SeedTests {
    static let seed = TestFiles.root + "/Config/seed"

    static let expected: [String: [String]] = [
        "01-virtualservice-reviews.yaml": [
            "IST0101 spec.http[0].route[0].destination.subset", "IST0101 spec.http[1].route[0].destination.subset",
        ],
        "02-destinationrule-reviews.yaml": [
            "IST0002 spec.trafficPolicy.loadBalancer.simple", "IST0002 spec.trafficPolicy.outlierDetection.consecutiveErrors",
        ],
        "03-virtualservice-canary-deployment.yaml": [
            "IST0101 spec.http[0].route[0].destination.subset", "IST0101 spec.http[1].route[0].destination.subset",
            "IST0101 spec.http[1].route[1].destination.subset",
        ],
        "04-destinationrule-circuit-breaker.yaml": ["IST0002 spec.trafficPolicy.outlierDetection.consecutiveErrors"],
        "05-virtualservice-retry-policy.yaml": [],
        "06-virtualservice-timeout-policy.yaml": [],
        "07-peerauthentication-default.yaml": [],
        "08-authorizationpolicy-allow-frontend-to-backend.yaml": [],
        "09-requestauthentication-jwt-auth.yaml": [],
        "10-telemetry-access-logging.yaml": [],
        "11-istiooperator-control-plane.yaml": [],
        "12-destinationrule-load-balancing.yaml": ["IST0002 spec.trafficPolicy.loadBalancer.simple"],
        "13-virtualservice-fault-injection.yaml": [],
        "14-virtualservice-mirror-traffic.yaml": ["IST0101 spec.http[0].mirror.subset", "IST0101 spec.http[0].route[0].destination.subset"],
    ]

    @Test(arguments: SeedTests.expected.keys.sorted())
    func eachFileSaysExactlyWhatIsExpected(_ name: String) {
        let (configuration, diagnostics) = MeshConfiguration.load(from: ["\(SeedTests.seed)/\(name)"])
        #expect(!diagnostics.hasErrors, "\(diagnostics.lines)")
        #expect(configuration.resourceCounts.values.reduce(0, +) == 1)
        #expect(diagnostics.short.sorted() == SeedTests.expected[name]?.sorted())
    }

    @Test func allFourteenLoadTogether() {
        let (configuration, diagnostics) = MeshConfiguration.load(from: [SeedTests.seed])
        #expect(!diagnostics.hasErrors, "\(diagnostics.lines)")
        #expect(configuration.resourceCounts.values.reduce(0, +) == 14)
        #expect(TestFiles.names(in: SeedTests.seed).count == 14)
        // Five rules for myapp in one namespace: the last four say that the first wins.
        #expect(diagnostics.items.count { $0.code == "IST0109" } == 4)
    }

    @Test func reviewsReadsAsWritten() throws {
        let (configuration, _) = MeshConfiguration.load(from: [SeedTests.seed])
        let rule = try #require(configuration.virtualServices.first)
        #expect(rule.id == ResourceID(kind: "VirtualService", namespace: "production", name: "reviews"))
        #expect(rule.appliesToMesh)
        let header = try #require(rule.http[0].matches.first?.headers.first)
        #expect(header.name == "end-user")
        #expect(header.match.condition == .exact("jason"))
        #expect(header.match.position.line == 14)
        #expect(rule.http[1].destinations[0].destination.subset == "v1")
        let policy = try #require(configuration.destinationRules.first).policy(subset: "v2", port: 80)
        #expect(policy.loadBalancer?.simple == .leastRequest)
        #expect(policy.connectionPool?.maxRequestsPerConnection == 2)
        #expect(policy.outlierDetection?.consecutiveGatewayErrors == 3)
    }

    @Test func canaryHeaderStaysAString() throws {
        let (configuration, _) = MeshConfiguration.load(from: ["\(SeedTests.seed)/03-virtualservice-canary-deployment.yaml"])
        let rule = try #require(configuration.virtualServices.first)
        #expect(rule.id.namespace == "default")
        #expect(rule.http[0].matches[0].headers[0].match.condition == .exact("true"))
        #expect(rule.http[1].destinations.map(\.weight) == [90, 10])
    }

    @Test func theZipkinProviderIsTheDefault() throws {
        let (configuration, _) = MeshConfiguration.load(from: [SeedTests.seed])
        let policy = configuration.tracingPolicy(namespace: "production", labels: [:], direction: .client)
        #expect(policy.provider == "zipkin")
        #expect(policy.samplingPercentage == 1)
        guard case .zipkin(let zipkin)? = policy.exporter else {
            Issue.record("no zipkin exporter")
            return
        }
        #expect(zipkin.service == "zipkin.istio-system.svc.cluster.local")
        #expect(zipkin.port == 9411)
        #expect(configuration.accessLogPolicy(namespace: "production", labels: [:], direction: .server).files.map(\.provider) == ["envoy"])
        #expect(!configuration.accessLogPolicy(namespace: "default", labels: [:], direction: .server).isEnabled)
    }
}
