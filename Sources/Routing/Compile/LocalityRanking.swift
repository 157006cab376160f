internal import MeshConfig
internal import Primitives

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

/// Which endpoints a node uses first, by where they are.
struct LocalityRanking {
    let node: NodeIdentity
    let mesh: MeshSettings

    /// Priorities and shares by locality (Istio: LocalityLoadBalancerSetting). `distribute` decides by itself; failover needs outlier
    /// detection, without which nobody would notice that it is time.
    func ranks(of endpoints: [ServiceEndpoint], _ policy: TrafficPolicy?) -> [EndpointRank] {
        var ranks = [EndpointRank](repeating: EndpointRank(), count: endpoints.count)
        let setting = policy?.loadBalancer?.locality ?? mesh.locality ?? .standard
        guard setting.isEnabled, endpoints.count > 1 else { return ranks }
        let own = node.locality
        if let distribution = setting.distribute.first(where: { own.matches($0.from) && !own.isEmpty }) {
            distribute(distribution, endpoints, &ranks)
        } else if setting.distribute.isEmpty, policy?.outlierDetection != nil {
            for (place, endpoint) in endpoints.enumerated() { ranks[place].priority = failoverRank(of: endpoint, setting) }
            // Priorities that nobody has do not count.
            let used = Set(ranks.map(\.priority)).sorted()
            for place in ranks.indices { ranks[place].priority = UInt8(clamping: used.firstIndex(of: ranks[place].priority) ?? 0) }
        }
        return ranks
    }

    /// 0 = first, by labels or by distance.
    private func failoverRank(of endpoint: ServiceEndpoint, _ setting: LocalitySettings) -> UInt8 {
        if !setting.failoverPriority.isEmpty { return labelPriority(of: endpoint, setting.failoverPriority) }
        let own = node.locality
        if own.isEmpty { return 0 }
        let distance = own.distance(to: endpoint.locality)
        // A failover region comes before all others.
        let rule = setting.failover.first { $0.from == own.region }
        return if distance == 3, let rule, rule.to != endpoint.locality.region { 4 } else { distance }
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
            ranks[place] = EndpointRank(
                priority: 0, locality: places[endpoint.locality] ?? 0, localityWeight: UInt32(clamping: max(1, share)))
        }
    }

    /// 0 = all labels agree; the sooner they differ, the later it is used. `label=value` wants that value, `label` the caller's own.
    private func labelPriority(of endpoint: ServiceEndpoint, _ labels: [String]) -> UInt8 {
        let theirs = Self.topology(endpoint.labels, endpoint.locality, endpoint.network)
        let ours = Self.topology(node.labels, node.locality, node.network)
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
