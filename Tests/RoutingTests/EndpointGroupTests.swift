import MeshConfig
import Primitives
import Routing
import Testing

/// Priorities, localities and what availability makes of their shares.
@Suite struct EndpointGroupTests {
    static func group(_ priority: UInt8, hosts: UInt32, weight: UInt32 = 1) -> EndpointGroup {
        var group = EndpointGroup()
        group.priority = priority
        group.endpoints.count = hosts
        group.localityWeight = weight
        return group
    }

    /// Shares in percent, rounded down; `p` behind one that panics.
    static func shares(_ groups: [EndpointGroup], available: [UInt64], panic: UInt64 = 0) -> [String] {
        // Each group is told from the others by where it starts.
        let numbered = groups.enumerated().map { index, group in
            var group = group
            group.endpoints.start = UInt32(index)
            return group
        }
        var shares = [GroupShare](repeating: GroupShare(), count: groups.count)
        unsafe numbered.withUnsafeBufferPointer { groups in
            unsafe shares.withUnsafeMutableBufferPointer { out in
                unsafe GroupShares.compute(groups, panicPercent: panic, into: out) { available[Int($0.endpoints.start)] }
            }
        }
        var last: UInt32 = 0
        return shares.map { share in
            defer { last = share.upTo }
            return "\((share.upTo - last + 5_000) / 10_000)\(share.panics ? "p" : "")"
        }
    }

    /// The examples of Envoy's documentation, "Priority levels" and "Locality weighted load balancing".
    @Test func envoysExamples() {
        let two = [Self.group(0, hosts: 100), Self.group(1, hosts: 100)]
        #expect(Self.shares(two, available: [100, 100]) == ["100", "0"])
        #expect(Self.shares(two, available: [72, 72]) == ["100", "0"])
        #expect(Self.shares(two, available: [71, 71]) == ["99", "1"])
        #expect(Self.shares(two, available: [50, 50]) == ["70", "30"])
        #expect(Self.shares(two, available: [25, 100]) == ["35", "65"])
        #expect(Self.shares(two, available: [0, 100]) == ["0", "100"])
        // Both cannot take everything together: each gets in proportion to its health.
        #expect(Self.shares(two, available: [25, 25]) == ["50", "50"])
        #expect(Self.shares(two, available: [5, 0]) == ["100", "0"])
        let three = [Self.group(0, hosts: 100), Self.group(1, hosts: 100), Self.group(2, hosts: 100)]
        #expect(Self.shares(three, available: [0, 0, 100]) == ["0", "0", "100"])
        #expect(Self.shares(three, available: [25, 25, 100]) == ["35", "35", "30"])
        let localities = [Self.group(0, hosts: 100, weight: 1), Self.group(0, hosts: 100, weight: 2)]
        #expect(Self.shares(localities, available: [100, 100]) == ["33", "67"])
        #expect(Self.shares(localities, available: [70, 100]) == ["33", "67"])
        #expect(Self.shares(localities, available: [50, 100]) == ["26", "74"])
        #expect(Self.shares(localities, available: [25, 100]) == ["15", "85"])
        #expect(Self.shares(localities, available: [0, 100]) == ["0", "100"])
    }

    @Test func panicAndNobody() {
        let two = [Self.group(0, hosts: 10), Self.group(1, hosts: 30)]
        #expect(Self.shares(two, available: [0, 0]) == ["0", "0"])
        // Everybody panics: by the number of endpoints.
        #expect(Self.shares(two, available: [0, 0], panic: 50) == ["25p", "75p"])
        // Together they can take everything, so nobody does.
        #expect(Self.shares(two, available: [1, 30], panic: 50) == ["14", "86"])
        #expect(Self.shares(two, available: [3, 3], panic: 50) == ["75p", "25p"])
    }

    /// Shares never shrink from group to group, end at the whole, and are 0 for whom nobody is available, whatever the numbers.
    @Test(arguments: [1, 2, 3, 4, 5] as [UInt64]) func sharesAddUp(seed: UInt64) {
        var draw = RandomSource(seed: seed)
        for _ in 0..<2000 {
            var groups: [EndpointGroup] = []
            var available: [UInt64] = []
            var priority: UInt8 = 0
            for index in 0..<1 + draw.below(6) {
                if draw.below(2) == 0, index > 0 { priority += 1 }
                let hosts = 1 + draw.below(draw.below(2) == 0 ? 5 : 10_000)
                groups.append(Self.group(priority, hosts: hosts, weight: 1 + draw.below(2_000_000)))
                groups[groups.count - 1].endpoints.start = index
                available.append(UInt64(draw.below(hosts + 1)))
            }
            let panic = UInt64(draw.below(101))
            var shares = [GroupShare](repeating: GroupShare(), count: groups.count)
            unsafe groups.withUnsafeBufferPointer { groups in
                unsafe shares.withUnsafeMutableBufferPointer { out in
                    unsafe GroupShares.compute(groups, panicPercent: panic, into: out) { available[Int($0.endpoints.start)] }
                }
            }
            let ends = shares.map(\.upTo)
            #expect(ends == ends.sorted(), "seed \(seed)")
            #expect(ends.last == 1_000_000 || available.allSatisfy { $0 == 0 }, "seed \(seed): \(groups) \(available) \(shares)")
            for index in shares.indices where available[index] == 0 && !shares[index].panics {
                // What rounding left may fall to the last that serves, never to one without anybody.
                let before = index == 0 ? 0 : ends[index - 1]
                #expect(ends[index] == before, "seed \(seed): \(available) \(shares)")
            }
        }
    }

    // MARK: Compilation

    static func mesh(_ setting: String, outlier: Bool = true, own: String = "eu/a/1") -> Mesh {
        let endpoints = [
            ("10.0.0.1", "us/x/1"), ("10.0.0.2", "eu/a/1"), ("10.0.0.3", "eu/b/1"), ("10.0.0.4", "eu/a/2"), ("10.0.0.5", "ap/q/1"),
            ("10.0.0.6", "eu/a/1"),
        ]
        let list = endpoints.map { "- {address: \($0.0), locality: \($0.1), labels: {rack: \"\($0.0.suffix(1))\"}}" }.joined(
            separator: "\n")
        let service = Mesh.resource(
            "ServiceEntry", "web",
            "hosts: [web.local]\nresolution: STATIC\nports: [{number: 80, name: http, protocol: HTTP}]\nendpoints:\n\(list)")
        let detection = outlier ? "  outlierDetection: {consecutive5xxErrors: 3}\n" : ""
        let rule = Mesh.resource(
            "DestinationRule", "web",
            "host: web.local\ntrafficPolicy:\n\(detection)  loadBalancer:\n    simple: ROUND_ROBIN\n    localityLbSetting: \(setting)")
        let mesh = Mesh(service + rule) { inputs in
            inputs.node.locality = Locality(own)
            inputs.node.labels = ["rack": "3"]
        }
        #expect(mesh.errors.isEmpty)
        return mesh
    }

    /// `priority: last digits of the addresses`, one text a group.
    static func groups(_ mesh: Mesh) -> [String] {
        guard let cluster = mesh.cluster(named: "outbound|80||web.local") else { return ["no cluster"] }
        return unsafe mesh.snapshot.tables.groups(cluster).map { group in
            let places = group.endpoints.indices.map {
                unsafe String("\(mesh.snapshot.tables.endpoint($0).address)".dropFirst(7).prefix(1))
            }
            return "\(group.priority): \(places.joined())" + (group.localityWeight == 1 ? "" : " x\(group.localityWeight)")
        }
    }

    @Test func failoverByDistance() {
        #expect(Self.groups(Self.mesh("{enabled: true}")) == ["0: 26", "1: 4", "2: 3", "3: 15"])
        #expect(Self.groups(Self.mesh("{failover: [{from: eu, to: ap}]}")) == ["0: 26", "1: 4", "2: 3", "3: 5", "4: 1"])
        // Nobody in our region: the priorities that exist close up.
        #expect(Self.groups(Self.mesh("{enabled: true}", own: "ap/q/9")) == ["0: 5", "1: 12346"])
        // Without outlier detection nobody would notice that it is time; switched off it is off; without a place of our own there is no
        // distance.
        #expect(Self.groups(Self.mesh("{enabled: true}", outlier: false)) == [])
        #expect(Self.groups(Self.mesh("{enabled: false}")) == [])
        #expect(Self.groups(Self.mesh("{enabled: true}", own: "")) == [])
    }

    @Test func failoverByLabels() {
        #expect(Self.groups(Self.mesh("{failoverPriority: [rack]}")) == ["0: 3", "1: 12456"])
        #expect(
            Self.groups(Self.mesh("{failoverPriority: ['topology.kubernetes.io/region', 'topology.kubernetes.io/zone=b']}")) == [
                "0: 3", "1: 246", "2: 15",
            ])
        #expect(Self.groups(Self.mesh("{failoverPriority: ['rack=5']}")) == ["0: 5", "1: 12346"])
    }

    @Test func distribution() {
        let setting = "{distribute: [{from: us/*, to: {'us/*': 100}}, {from: eu/a/*, to: {'eu/a/*': 60, 'eu/b/*': 30, 'us/*': 10}}]}"
        // eu/a has two places, of which one has twice the endpoints; ap gets nothing.
        #expect(Self.groups(Self.mesh(setting)) == ["0: 1 x100000", "0: 26 x400000", "0: 3 x300000", "0: 4 x200000"])
        #expect(Self.groups(Self.mesh(setting, outlier: false)).count == 4)
        // No rule for us: as if there were none.
        #expect(Self.groups(Self.mesh("{distribute: [{from: us/*, to: {'us/*': 100}}]}")) == [])
    }

    @Test func localityPatterns() {
        #expect(Locality("eu/a").region == "eu" && Locality("eu/a").subzone.isEmpty && Locality("").isEmpty)
    }

    // MARK: Warmup and latency

    @Test func warmupGrowsToTheWhole() {
        var policy = WarmupPolicy()
        policy.nanoseconds = 1000
        #expect(
            policy.share(age: 0) == 0.1 && policy.share(age: 500) == 0.5 && policy.share(age: 1000) == 1 && policy.share(age: .max) == 1)
        policy.aggression = 2
        #expect(abs(policy.share(age: 250) - 0.5) < 1e-9)
        policy.nanoseconds = 0
        #expect(policy.share(age: 0) == 1)
    }

    @Test func latencyAwareCosts() {
        #expect(Balancer.peakCost(latencyMicroseconds: 0, active: 0) == 0)
        #expect(Balancer.peakCost(latencyMicroseconds: 0, active: 1) > Balancer.peakCost(latencyMicroseconds: 1_000_000, active: 10))
        #expect(Balancer.peakCost(latencyMicroseconds: 100, active: 1) == 200)
        #expect(Balancer.peakCost(latencyMicroseconds: .max, active: .max) > 0)
    }

    @Test func ownPoliciesOfAnUpstream() {
        let service = Mesh.service("web.local", [("10.0.0.1", "v1", 0), ("10.0.0.2", "v2", 0)])
        let rule = Mesh.resource("DestinationRule", "web", "host: web.local\nsubsets: [{name: v1, labels: {version: v1}}]")
        let route = Mesh.resource(
            "VirtualService", "web",
            "hosts: [web.local]\nhttp:\n- match: [{uri: {prefix: /v1}}]\n  route: [{destination: {host: web.local, subset: v1}}]\n"
                + "- route: [{destination: {host: web.local}}]")
        func policy(_ name: String, _ spec: String) -> String {
            Mesh.resource("UpstreamPolicy", name, spec).replacing("networking.istio.io/v1", with: "skein.io/v1")
        }
        let mesh = Mesh(
            service + rule + route
                + policy("all", "host: '*.local'\nloadBalancer: PEAK_EWMA\nhealthCheck: {tcp: {}, interval: 1s}")
                + policy(
                    "v1",
                    "host: web.local\nsubset: v1\nhealthCheck: {http: {path: /healthz, expectedStatuses: ['200-204']}}\n"
                        + "outlierDetection: {successRate: {stdevFactor: 1.5}, failurePercentage: {threshold: 50}}"))
        #expect(mesh.diagnostics.isEmpty, "\(mesh.diagnostics.map(\.text))")
        let whole = mesh.cluster(named: "outbound|80||web.local")
        let subset = mesh.cluster(named: "outbound|80|v1|web.local")
        #expect(whole?.balancer == .peakEWMA && subset?.balancer == .peakEWMA)
        #expect(whole?.outlier.isEnabled == false && subset?.outlier.isEnabled == true)
        #expect(subset?.outlier.rates.successRateStdevFactorThousandths == 1500 && subset?.outlier.rates.failurePercentageThreshold == 50)
        let probes = mesh.snapshot.healthChecks.values.map { check in
            switch check.settings.probe {
            case .tcp: "tcp \(check.settings.intervalNanoseconds)"
            case .http(let path, _, let statuses): "\(path) \(statuses) \(check.host)"
            }
        }
        #expect(probes.sorted() == ["/healthz [ClosedRange(200...204)] web.local", "tcp 1000000000"])
    }
}
