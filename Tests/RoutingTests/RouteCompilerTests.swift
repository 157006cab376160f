import Glibc
import MeshConfig
import Primitives
@testable import Routing
import TelemetryModel
import Testing

@Suite struct RouteCompilerTests {
    static let folder = "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/") + "/Config/seed/"

    static func seed(_ name: String) -> String {
        guard let file = unsafe fopen(folder + name, "r") else { return "" }
        defer { unsafe fclose(file) }
        var bytes = [UInt8](repeating: 0, count: 1 << 16)
        let count = unsafe fread(&bytes, 1, bytes.count, file)
        return String(decoding: bytes[..<count], as: UTF8.self) + "\n---\n"
    }

    /// The seed's first two files: jason gets v2, everybody else v1; subsets are the endpoints with the labels.
    @Test func reviewsSeed() throws {
        let service = Mesh.service(
            "reviews.production.svc.cluster.local", namespace: "production", ports: [9080],
            [("10.0.0.1", "v1", 0), ("10.0.0.2", "v2", 0), ("10.0.0.3", "v2", 0)])
        let mesh = Mesh(
            service + Self.seed("01-virtualservice-reviews.yaml") + Self.seed("02-destinationrule-reviews.yaml"), namespace: "production")
        #expect(mesh.errors.isEmpty)
        let v1 = "outbound|9080|v1|reviews.production.svc.cluster.local"
        let v2 = "outbound|9080|v2|reviews.production.svc.cluster.local"
        #expect(mesh.ask("reviews:9080", fields: "end-user: jason") == "default -> " + v2)
        #expect(mesh.ask("reviews:9080", fields: "end-user: alice") == "default -> " + v1)
        #expect(mesh.ask("reviews:9080") == "default -> " + v1)
        #expect(mesh.addresses(v1) == ["10.0.0.1:9080"])
        #expect(mesh.addresses(v2) == ["10.0.0.2:9080", "10.0.0.3:9080"])
        let cluster = try #require(mesh.cluster(named: v1))
        #expect(cluster.balancer == .leastRequest && cluster.maxRequestsPerConnection == 2)
    }

    @Test func canarySeed() {
        let rule = Mesh.resource(
            "DestinationRule", "myapp",
            "host: myapp\nsubsets:\n- {name: stable, labels: {version: v1}}\n- {name: canary, labels: {version: v2}}")
        let mesh = Mesh(
            Mesh.service("myapp.default.svc.cluster.local", [("10.0.0.1", "v1", 0), ("10.0.0.2", "v2", 0)])
                + Self.seed("03-virtualservice-canary-deployment.yaml") + rule)
        #expect(mesh.errors.isEmpty)
        #expect(mesh.ask("myapp", fields: "canary: true") == "default -> outbound|80|canary|myapp.default.svc.cluster.local")
        var canary = 0
        for _ in 0..<10_000 where mesh.ask("myapp") == "default -> outbound|80|canary|myapp.default.svc.cluster.local" { canary += 1 }
        // 10 % of 10,000 with the mesh's fixed seed; five standard deviations are 150.
        #expect(abs(canary - 1000) < 150, "\(canary)")
    }

    @Test func weightZeroGetsNothingAndMissingSubsetIs503() {
        func mesh(_ route: String) -> Mesh {
            Mesh(
                Mesh.service("a.default.svc.cluster.local") + Mesh.service("b.default.svc.cluster.local")
                    + Mesh.resource("VirtualService", "a", "hosts: [a]\nhttp:\n- route:\n\(route)"))
        }
        let zero = mesh("  - {destination: {host: a}, weight: 0}\n  - {destination: {host: b}, weight: 100}")
        for _ in 0..<200 { #expect(zero.ask("a") == "default -> outbound|80||b.default.svc.cluster.local") }
        #expect(mesh("  - {destination: {host: a, subset: nope}}").ask("a") == "default -> 503")
        #expect(mesh("  - {destination: {host: nowhere.default.svc.cluster.local}}").ask("a") == "default -> 503")
        #expect(mesh("  - {destination: {host: a, port: {number: 81}}}").ask("a") == "default -> 503")
        // A lone destination without weight takes all of it.
        #expect(mesh("  - {destination: {host: b}}").ask("a") == "default -> outbound|80||b.default.svc.cluster.local")
    }

    /// What the README runs first loads and compiles without an error.
    @Test func quickstartCompiles() {
        let (configuration, list) = MeshConfiguration.load(from: [Self.folder + "../quickstart"])
        #expect(configuration.serviceEntries.count >= 4)
        let (_, problems) = RouteCompiler.compile(
            configuration, CompileInputs(node: NodeIdentity(namespace: "bookinfo"), catalogs: .init()))
        #expect(!(list.items + problems).contains { $0.severity == .error })
    }

    /// The caller's namespace, then the service's, then the root's; exact hosts before wildcards.
    @Test func destinationRulePrecedence() {
        func rule(_ name: String, _ namespace: String, _ host: String, _ balancer: String) -> String {
            Mesh.resource(
                "DestinationRule", name, namespace: namespace, "host: '\(host)'\ntrafficPolicy: {loadBalancer: {simple: \(balancer)}}")
        }
        let service = Mesh.service("a.shop.svc.cluster.local", namespace: "shop")
        let full = "a.shop.svc.cluster.local"
        func balancer(_ rules: String) -> BalancerKind? {
            Mesh(service + rules, namespace: "web").cluster(named: "outbound|80||\(full)")?.balancer
        }
        let root = rule("root", "istio-system", full, "RANDOM")
        let own = rule("own", "shop", "a", "ROUND_ROBIN")
        let callers = rule("callers", "web", full, "LEAST_REQUEST")
        #expect(balancer(root) == .random)
        #expect(balancer(root + own) == .roundRobin)
        #expect(balancer(root + own + callers) == .leastRequest)
        #expect(balancer(rule("w1", "shop", "*.svc.cluster.local", "RANDOM") + own) == .roundRobin)
        #expect(
            balancer(rule("w1", "shop", "*.svc.cluster.local", "ROUND_ROBIN") + rule("w2", "shop", "*.shop.svc.cluster.local", "RANDOM"))
                == .random)
    }

    @Test func sidecarEgressScopesHosts() {
        let services =
            Mesh.service("a.shop.svc.cluster.local", namespace: "shop") + Mesh.service("b.web.svc.cluster.local", namespace: "web")
        func mesh(_ hosts: String) -> Mesh {
            Mesh(services + Mesh.resource("Sidecar", "default", namespace: "web", "egress:\n- hosts: [\(hosts)]"), namespace: "web")
        }
        #expect(mesh("'./*'").ask("b").hasSuffix("b.web.svc.cluster.local") && mesh("'./*'").ask("a.shop") == "404")
        #expect(mesh("'*/*'").ask("a.shop").hasSuffix("a.shop.svc.cluster.local"))
        #expect(mesh("'shop/*'").ask("b") == "404")
        #expect(mesh("'~/*'").ask("b") == "404")
        #expect(mesh("'*/a.shop.svc.cluster.local'").ask("a.shop").hasSuffix("a.shop.svc.cluster.local"))
    }

    @Test func sidecarIngressTakesEveryHost() {
        let workload = Mesh.resource("WorkloadEntry", "w", "address: 127.0.1.1\nlabels: {app: w}\nports: {http: 9080}")
        let sidecar = Mesh.resource(
            "Sidecar", "default",
            "ingress:\n- port: {number: 9080, name: http, protocol: HTTP}\n  defaultEndpoint: 0.0.0.0:8080\n"
                + "- port: {number: 9090, name: admin, protocol: HTTP}\n  defaultEndpoint: 127.0.0.1:7000")
        let mesh = Mesh(workload + sidecar, labels: ["app": "w"]) {
            $0.node.address = "127.0.1.1"
            $0.outboundListener = nil
        }
        #expect(mesh.errors.isEmpty, "\(mesh.errors.map(\.text))")
        #expect(mesh.snapshot.listeners.map(\.endpoint.description) == ["127.0.1.1:9080", "127.0.1.1:9090"])
        #expect(mesh.ask("whatever.example") == "default -> inbound|9080||")
        #expect(mesh.ask("", listener: 1) == "default -> inbound|9090||")
        #expect(mesh.addresses("inbound|9080||") == ["127.0.1.1:8080"] && mesh.addresses("inbound|9090||") == ["127.0.0.1:7000"])
    }

    @Test func namesAreResolvedOffThePath() {
        let yaml = Mesh.resource(
            "ServiceEntry", "ext",
            "hosts: [api.example.com]\nresolution: DNS\nlocation: MESH_EXTERNAL\nports: [{number: 8080, name: http, protocol: HTTP}]")
        let waiting = Mesh(yaml)
        let name = "outbound|8080||api.example.com"
        #expect(waiting.snapshot.hostsToResolve == ["api.example.com"] && waiting.cluster(named: name)?.isUnresolved == true)
        let answers = [SocketEndpoint(ipv4: 0x0A00_0001, port: 0), SocketEndpoint(ipv6High: 0, ipv6Low: 1, port: 0)]
        let resolved = Mesh(yaml, resolved: ["api.example.com": answers])
        #expect(resolved.addresses(name) == ["10.0.0.1:8080", "[::1]:8080"] && resolved.cluster(named: name)?.isUnresolved == false)
    }

    @Test func endpointWeights() throws {
        let mesh = Mesh(Mesh.service("a.default.svc.cluster.local", [("10.0.0.1", "v1", 3), ("10.0.0.2", "v1", 1)]))
        let cluster = try #require(mesh.cluster(named: "outbound|80||a.default.svc.cluster.local"))
        #expect(!cluster.all.hasEqualWeights && cluster.all.totalWeight == 4)
    }

    /// A mesh five times as large may cost five times as much, not twenty-five.
    @Test func compilingIsLinear() {
        func cost(_ count: Int) -> UInt64 {
            var yaml = ""
            for number in 0..<count {
                let endpoints = (0..<5).map { ("10.\(number / 250).\(number % 250).\($0 + 1)", "v1", 0) }
                yaml += Mesh.service("s\(number).default.svc.cluster.local", endpoints)
                yaml += Mesh.resource(
                    "VirtualService", "s\(number)", "hosts: [s\(number)]\nhttp:\n- route: [{destination: {host: s\(number), subset: v1}}]")
                yaml += Mesh.resource("DestinationRule", "s\(number)", "host: s\(number)\nsubsets: [{name: v1, labels: {version: v1}}]")
            }
            let (configuration, list) = MeshConfiguration.load(texts: [(name: "t.yaml", text: yaml)])
            #expect(!list.items.contains { $0.severity == .error })
            var inputs = CompileInputs(node: NodeIdentity(), catalogs: .init())
            inputs.outboundListener = SocketEndpoint(ipv4: 0x7F00_0001, port: 15001)
            let before = SystemClock.threadCPUNanoseconds()
            let (snapshot, _) = RouteCompiler.compile(configuration, inputs)
            let spent = SystemClock.threadCPUNanoseconds() - before
            #expect(snapshot.routeCount == count && snapshot.endpointCount == count * 5)
            return spent
        }
        _ = cost(20)
        let small = cost(200)
        let large = cost(1000)
        #expect(large < small * 12, "200 services: \(small) ns, 1000 services: \(large) ns")
    }
}

@Suite struct BalancerTests {
    static func cluster(_ kind: BalancerKind, _ weights: [UInt32]) -> ClusterEntry {
        var cluster = ClusterEntry()
        cluster.balancer = kind
        cluster.all.endpoints.start = 10
        cluster.all.endpoints.count = UInt32(weights.count)
        cluster.all.totalWeight = weights.reduce(0, +)
        cluster.all.hasEqualWeights = Set(weights).count == 1
        cluster.all.weightStride = cluster.all.totalWeight > 4 ? 3 : 1
        return cluster
    }

    static func counts(_ cluster: ClusterEntry, _ weights: [UInt32], picks: Int, loads: [UInt32]? = nil) -> [Int] {
        var position: UInt32 = 0
        var draw = RandomSource(seed: 77)
        var counts = [Int](repeating: 0, count: weights.count)
        for _ in 0..<picks {
            guard
                let index = Balancer.pick(
                    cluster.all, by: cluster.balancer, position: &position, draw: &draw, weight: { weights[$0 - 10] },
                    load: { UInt64(loads?[$0 - 10] ?? 0) })
            else { continue }
            counts[index - 10] += 1
        }
        return counts
    }

    @Test func nobodyAndOne() {
        var position: UInt32 = 0
        var draw = RandomSource(seed: 1)
        for kind in [BalancerKind.leastRequest, .roundRobin, .random] {
            #expect(
                Balancer.pick(Self.cluster(kind, []).all, by: kind, position: &position, draw: &draw, weight: { _ in 1 }, load: { _ in 0 })
                    == nil)
            #expect(Self.counts(Self.cluster(kind, [9]), [9], picks: 5) == [5])
        }
    }

    @Test func roundRobinIsExact() {
        #expect(Self.counts(Self.cluster(.roundRobin, [1, 1, 1]), [1, 1, 1], picks: 300) == [100, 100, 100])
        // Weighted shares are exact over every `totalWeight` picks.
        #expect(Self.counts(Self.cluster(.roundRobin, [5, 3, 2]), [5, 3, 2], picks: 1000) == [500, 300, 200])
    }

    /// Whatever the weights of a compiled cluster, one turn of its stride visits each share exactly.
    @Test func compiledStridesAreCoprime() {
        var random = RandomSource(seed: 9)
        for _ in 0..<20 {
            let weights = (0..<2 + Int(random.below(4))).map { _ in 1 + random.below(30) }
            let mesh = Mesh(
                Mesh.service("a.default.svc.cluster.local", weights.enumerated().map { ("10.0.0.\($0.offset + 1)", "v1", Int($0.element)) })
                    + Mesh.resource("DestinationRule", "a", "host: a\ntrafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}}"))
            guard var cluster = mesh.cluster(named: "outbound|80||a.default.svc.cluster.local") else {
                Issue.record("no cluster")
                return
            }
            cluster.all.endpoints.start = 10
            let turns = cluster.all.hasEqualWeights ? weights.count : Int(cluster.all.totalWeight)
            let expected = cluster.all.hasEqualWeights ? weights.map { _ in 1 } : weights.map { Int($0) }
            #expect(Self.counts(cluster, weights, picks: turns) == expected, "\(weights)")
        }
    }

    @Test func randomFollowsTheWeights() {
        let equal = Self.counts(Self.cluster(.random, [1, 1, 1, 1]), [1, 1, 1, 1], picks: 40_000)
        for count in equal { #expect(abs(count - 10_000) < 450, "\(equal)") }
        let weighted = Self.counts(Self.cluster(.random, [6, 3, 1]), [6, 3, 1], picks: 40_000)
        for (count, share) in zip(weighted, [24_000, 12_000, 4000]) { #expect(abs(count - share) < 500, "\(weighted)") }
    }

    @Test func twoChoicesPreferTheLessLoaded() {
        let weights: [UInt32] = [1, 1, 1, 1]
        let counts = Self.counts(Self.cluster(.leastRequest, weights), weights, picks: 12_000, loads: [0, 5, 5, 100])
        // The idle one wins whenever it is drawn (1/2 of pairs), the busiest never: pairs are of two different endpoints.
        #expect(abs(counts[0] - 6000) < 300 && counts[3] == 0, "\(counts)")
        let unequal: [UInt32] = [9, 1]
        let weighted = Self.counts(Self.cluster(.leastRequest, unequal), unequal, picks: 10_000, loads: [0, 0])
        #expect(weighted[0] > 8500, "\(weighted)")
    }

    // MARK: Rules in pieces

    private static func policy(_ name: String, _ spec: String) -> String {
        Mesh.resource("DestinationRule", name, "host: a.local\n\(spec)")
    }

    /// Teams keep subsets and policies in files of their own: the policy counts wherever it stands (Istio's mergeDestinationRule).
    @Test func aSecondRuleOfAHostGivesThePolicyThatTheFirstLacks() {
        let subsets = Self.policy("a", "subsets: [{name: v1, labels: {version: v1}}]")
        func policy(_ name: String, _ kind: String, more: String = "") -> String {
            Self.policy(name, "trafficPolicy: {loadBalancer: {simple: \(kind)}}\n\(more)")
        }
        let rule = Mesh.resource("VirtualService", "r", "hosts: [a.local]\nhttp: [{route: [{destination: {host: a.local, subset: v1}}]}]")
        func balancer(_ rules: String..., labels: [String: String] = [:]) -> BalancerKind? {
            Mesh(Mesh.service("a.local") + rule + rules.joined(), labels: labels).cluster(named: "outbound|80|v1|a.local")?.balancer
        }
        #expect(balancer(subsets, policy("b", "RANDOM")) == .random)
        #expect(balancer(policy("b", "RANDOM"), subsets) == .random)
        #expect(balancer(subsets, policy("b", "RANDOM"), policy("c", "ROUND_ROBIN")) == .random, "the first that there is")
        // A rule for this workload comes alone, before those for all.
        let own = policy(
            "c", "ROUND_ROBIN", more: "workloadSelector: {matchLabels: {app: me}}\nsubsets: [{name: v1, labels: {version: v1}}]")
        #expect(balancer(subsets, policy("b", "RANDOM"), own, labels: ["app": "me"]) == .roundRobin)
        #expect(balancer(subsets, policy("b", "RANDOM"), own, labels: ["app": "you"]) == .random)
    }

    // MARK: Protection that is not given

    private static func secured(_ kind: String, _ spec: String, namespace: String = "default") -> String {
        let version = kind == "WasmPlugin" ? "extensions.istio.io/v1alpha1" : "security.istio.io/v1"
        return "apiVersion: \(version)\nkind: \(kind)\nmetadata: {name: p, namespace: \(namespace)}\nspec: \(spec)\n---\n"
    }

    /// What selects this workload, or guards a destination it speaks to, and is not enforced: errors, each named.
    @Test func refusesProtectionThatItDoesNotGive() {
        func refused(_ yaml: String, labels: [String: String] = ["app": "web"]) -> [String] {
            let mesh = Mesh(Mesh.service("a.local") + yaml, labels: labels) {
                $0.inboundListener = SocketEndpoint(ipv4: 0x7F00_0001, port: 15006)
            }
            return mesh.diagnostics.filter { $0.code == "SKN0202" && $0.severity == .error }.compactMap { $0.resource?.kind }
        }
        let authorization = { Self.secured("AuthorizationPolicy", $0) }
        let plugin = "phase: AUTHZ, url: 'oci://a/b:1'"
        #expect(refused(Self.secured("WasmPlugin", "{\(plugin)}")) == ["WasmPlugin"])
        #expect(refused(Self.secured("WasmPlugin", "{\(plugin), selector: {matchLabels: {app: web}}}")) == ["WasmPlugin"])
        #expect(refused(Self.secured("WasmPlugin", "{\(plugin), selector: {matchLabels: {app: other}}}")) == [])
        for action in ["ALLOW", "DENY", "AUDIT"] {
            #expect(refused(authorization("{action: \(action), rules: [{}]}")) == [], "it is given")
        }
        #expect(refused(Self.secured("WasmPlugin", "{\(plugin)}", namespace: "elsewhere")) == [])
        #expect(
            refused(Self.secured("WasmPlugin", "{\(plugin)}", namespace: "istio-system")) == ["WasmPlugin"],
            "the root namespace is for all")
        #expect(
            refused(Self.secured("RequestAuthentication", "{jwtRules: [{issuer: me, jwksUri: 'https://me/keys'}]}")) == [],
            "it is given")
        #expect(refused(Self.secured("WasmPlugin", "{\(plugin)}"), labels: [:]) == [], "a proxy beside no workload")

        let strict = "{mtls: {mode: STRICT}}"
        #expect(refused(Self.secured("PeerAuthentication", strict)) == ["PeerAuthentication"])
        #expect(refused(Self.secured("PeerAuthentication", strict, namespace: "istio-system")) == ["PeerAuthentication"])
        #expect(
            refused(
                Self.secured("PeerAuthentication", "{mtls: {mode: PERMISSIVE}}")
                    + Self.secured("PeerAuthentication", strict, namespace: "istio-system")) == [])
        #expect(
            refused(
                Self.secured("PeerAuthentication", "{mtls: {mode: UNSET}}")
                    + Self.secured("PeerAuthentication", strict, namespace: "istio-system")) == ["PeerAuthentication"])
        let ports = "{selector: {matchLabels: {app: web}}, mtls: {mode: DISABLE}, portLevelMtls: {8080: {mode: STRICT}}}"
        #expect(refused(Self.secured("PeerAuthentication", ports)) == ["PeerAuthentication"])

        let mutual = "tls: {mode: ISTIO_MUTUAL}"
        #expect(refused(Self.policy("d", "trafficPolicy: {\(mutual)}")) == ["DestinationRule"])
        #expect(refused(Self.policy("d", "trafficPolicy: {portLevelSettings: [{port: {number: 80}, \(mutual)}]}")) == ["DestinationRule"])
        for given in ["mode: SIMPLE", "mode: SIMPLE, credentialName: c", "mode: SIMPLE, caCertificates: /ca, caCrl: /crl"] {
            #expect(refused(Self.policy("d", "trafficPolicy: {tls: {\(given)}}")) == [], "it is given")
        }
        #expect(refused(Self.policy("d", "trafficPolicy: {tls: {mode: DISABLE}}")) == [])
        #expect(
            refused(Self.policy("d", "trafficPolicy: {portLevelSettings: [{port: {number: 81}, tls: {mode: ISTIO_MUTUAL}}]}")) == [],
            "a port that nobody uses")
        #expect(
            refused(Mesh.resource("DestinationRule", "d", "host: b.local\ntrafficPolicy: {tls: {mode: ISTIO_MUTUAL}}")) == [],
            "a host that nobody declares")
    }

    /// With `--allow-unenforced` the same things are warnings, and the snapshot knows of them.
    @Test func allowedProtectionIsAWarning() {
        let plugin = Self.secured("WasmPlugin", "{phase: AUTHZ, url: 'oci://a/b:1'}")
        let mesh = Mesh(Mesh.service("a.local") + plugin, labels: ["app": "web"]) {
            $0.allowsUnenforced = true
        }
        #expect(mesh.errors.isEmpty)
        #expect(mesh.snapshot.unenforced.map(\.severity) == [.warning])
    }
}
