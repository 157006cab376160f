internal import MeshConfig
internal import Primitives

/// Where a workload runs: `region/zone/subzone`, each part possibly missing from the right.
public struct Locality: Sendable, Hashable {
    public var region = ""
    public var zone = ""
    public var subzone = ""

    public init() {}

    public init(_ text: String) {
        let parts = text.split(separator: "/", maxSplits: 2, omittingEmptySubsequences: false).map(String.init)
        region = parts[0]
        zone = parts.count > 1 ? parts[1] : ""
        subzone = parts.count > 2 ? parts[2] : ""
    }

    public var isEmpty: Bool { region.isEmpty }

    /// `region/zone/*`, `region/*`, `*` or a whole locality; what a pattern leaves out on the right matches anything.
    func matches(_ pattern: String) -> Bool {
        let own = [region, zone, subzone]
        for (place, part) in pattern.split(separator: "/", omittingEmptySubsequences: false).prefix(3).enumerated() {
            if part == "*" { return true }
            if part != own[place] { return false }
        }
        return true
    }

    /// As istiod ranks it: 0 = same subzone, 1 = same zone, 2 = same region, 3 = elsewhere.
    func distance(to other: Locality) -> UInt8 {
        if region != other.region { return 3 }
        if zone != other.zone { return 2 }
        return subzone == other.subzone ? 0 : 1
    }
}

/// Place of an endpoint in its cluster's order; endpoints of equal rank are balanced together.
struct EndpointRank: Comparable, Hashable {
    var priority: UInt8 = 0
    /// Of the localities that a distribution names; 0 without one.
    var locality: UInt32 = 0
    var localityWeight: UInt32 = 1

    /// A distribution leaves its locality out.
    static let excluded = EndpointRank(priority: .max, locality: .max, localityWeight: 0)

    static func < (left: EndpointRank, right: EndpointRank) -> Bool { (left.priority, left.locality) < (right.priority, right.locality) }
}

extension RouteCompiler {
    /// Priorities and shares by locality (Istio: LocalityLoadBalancerSetting). `distribute` decides by itself; failover needs outlier detection, without which
    /// nobody would notice that it is time.
    func ranks(of endpoints: [ServiceEndpoint], _ policy: TrafficPolicy?) -> [EndpointRank] {
        var ranks = [EndpointRank](repeating: EndpointRank(), count: endpoints.count)
        let setting = policy?.loadBalancer?.locality ?? configuration.mesh.locality ?? .standard
        guard setting.isEnabled, endpoints.count > 1 else { return ranks }
        let own = inputs.node.locality
        if let distribution = setting.distribute.first(where: { own.matches($0.from) && !own.isEmpty }) {
            distribute(distribution, endpoints, &ranks)
        } else if setting.distribute.isEmpty, policy?.outlierDetection != nil {
            if !setting.failoverPriority.isEmpty {
                for (place, endpoint) in endpoints.enumerated() { ranks[place].priority = priority(of: endpoint, setting.failoverPriority) }
            } else if !own.isEmpty {
                for (place, endpoint) in endpoints.enumerated() {
                    var distance = own.distance(to: endpoint.locality)
                    // A failover region comes before all others.
                    if distance == 3, let rule = setting.failover.first(where: { $0.from == own.region }), rule.to != endpoint.locality.region { distance = 4 }
                    ranks[place].priority = distance
                }
            }
            // Priorities that nobody has do not count.
            let used = Set(ranks.map(\.priority)).sorted()
            for place in ranks.indices { ranks[place].priority = UInt8(clamping: used.firstIndex(of: ranks[place].priority) ?? 0) }
        }
        return ranks
    }

    /// A share is its pattern's, split among the localities that match it in proportion to their endpoints' weights.
    private func distribute(_ distribution: LocalitySettings.Distribution, _ endpoints: [ServiceEndpoint], _ ranks: inout [EndpointRank]) {
        var places: [Locality: UInt32] = [:]
        var weights: [Locality: UInt64] = [:]
        for endpoint in endpoints {
            if places[endpoint.locality] == nil { places[endpoint.locality] = UInt32(places.count) }
            weights[endpoint.locality, default: 0] += UInt64(max(1, endpoint.weight))
        }
        // The first, longest pattern that matches decides.
        let patterns = distribution.to.sorted { $0.locality.utf8.count > $1.locality.utf8.count }
        func pattern(_ locality: Locality) -> Int? { patterns.firstIndex { locality.matches($0.locality) } }
        var sums = [UInt64](repeating: 0, count: patterns.count)
        for (locality, weight) in weights { if let index = pattern(locality) { sums[index] += weight } }
        for (place, endpoint) in endpoints.enumerated() {
            guard let index = pattern(endpoint.locality), patterns[index].percent > 0, let weight = weights[endpoint.locality] else {
                ranks[place] = .excluded
                continue
            }
            // Ten-thousandths of a percent.
            let share = UInt64(patterns[index].percent) * 10_000 * weight / max(1, sums[index])
            ranks[place] = EndpointRank(priority: 0, locality: places[endpoint.locality] ?? 0, localityWeight: UInt32(clamping: max(1, share)))
        }
    }

    /// 0 = all labels agree; the sooner they differ, the later it is used. `label=value` wants that value, `label` the caller's own.
    private func priority(of endpoint: ServiceEndpoint, _ labels: [String]) -> UInt8 {
        let theirs = Self.topology(endpoint.labels, endpoint.locality, endpoint.network)
        let ours = Self.topology(inputs.node.labels, inputs.node.locality, inputs.node.network)
        for (place, text) in labels.enumerated() {
            let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            let wanted = parts.count == 2 ? parts[1] : ours[parts[0]]
            if theirs[parts[0]] != wanted { return UInt8(clamping: labels.count - place) }
        }
        return 0
    }

    /// Labels, and those that Istio derives from the place.
    private static func topology(_ labels: [String: String], _ locality: Locality, _ network: String) -> [String: String] {
        var all = labels
        for (name, value) in [
            ("topology.kubernetes.io/region", locality.region), ("topology.kubernetes.io/zone", locality.zone),
            ("topology.istio.io/subzone", locality.subzone), ("topology.istio.io/network", network),
        ] where all[name] == nil && !value.isEmpty {
            all[name] = value
        }
        return all
    }
}

extension SnapshotBuilder {
    /// The group that a range of endpoints is; weights too large to add up are scaled down.
    mutating func group(of range: TableRange) -> EndpointGroup {
        var group = EndpointGroup()
        group.endpoints = range
        let weights = range.indices.map { endpoints[$0].weight }
        if weights.reduce(UInt64(0), { $0 + UInt64($1) }) > UInt64(UInt32.max) {
            for index in range.indices { endpoints[index].weight = max(1, endpoints[index].weight >> 16) }
        }
        group.totalWeight = UInt32(clamping: range.indices.reduce(UInt64(0)) { $0 + UInt64(endpoints[$1].weight) })
        group.hasEqualWeights = weights.allSatisfy { $0 == weights.first }
        group.weightStride = Self.stride(coprimeTo: group.totalWeight)
        return group
    }

    mutating func add(groups ranked: [(rank: EndpointRank, range: TableRange)]) -> TableRange {
        let start = groups.count
        for (rank, range) in ranked {
            var group = group(of: range)
            group.priority = rank.priority
            group.localityWeight = rank.localityWeight
            groups.append(group)
        }
        return self.range(start, groups.count)
    }

    static func stride(coprimeTo total: UInt32) -> UInt32 {
        guard total > 2 else { return 1 }
        // Near the golden section of the total, where consecutive steps land far apart.
        var stride = UInt32(Double(total) * 0.618)
        func divisor(_ left: UInt32, _ right: UInt32) -> UInt32 { right == 0 ? left : divisor(right, left % right) }
        while stride > 1, divisor(total, stride) != 1 { stride -= 1 }
        return max(1, stride)
    }
}

extension KeepalivePolicy {
    init(_ settings: KeepaliveSettings) {
        func seconds(_ nanoseconds: Int64?) -> Int32 { nanoseconds.map { Int32(clamping: max(1, $0 / 1_000_000_000)) } ?? 0 }
        isOn = true
        probes = Int32(clamping: settings.probes ?? 0)
        idleSeconds = seconds(settings.timeNanoseconds)
        intervalSeconds = seconds(settings.intervalNanoseconds)
    }
}
