internal import OutlierDetection
internal import Primitives
internal import Proxy
internal import Routing
internal import TelemetryModel

/// Gives the clusters and endpoints of each configuration their places in the state that all workers share, and has their endpoints judged. On the
/// control thread.
struct UpstreamPlanner {
    let shared: SharedUpstreams
    let metrics: ClusterMetrics
    /// Generations of routing that are in use or on their way, with the slot assignment of each.
    private var assignments: [(routing: UInt64, slots: UInt64)] = []
    private let catalogs: Catalogs
    private(set) var problems: [String] = []

    init(shared: SharedUpstreams, catalogs: Catalogs) {
        self.shared = shared
        metrics = ClusterMetrics(shared: shared, catalogs: catalogs)
        self.catalogs = catalogs
    }

    /// The places for a configuration about to be adopted.
    mutating func plan(_ routing: RoutingSnapshot) -> UpstreamPlan {
        let clusters = routing.clusterMembers
        let assignment = shared.state.slots(for: clusters.map { ClusterMembership(key: ClusterKey($0.name.rawValue), endpoints: $0.addresses) })
        var endpoints = [EndpointSlot](repeating: .none, count: routing.endpointCount)
        for (member, assigned) in zip(clusters, assignment.clusters) {
            for (offset, slot) in assigned.endpoints.enumerated() { endpoints[member.endpoints.lowerBound + offset] = slot }
        }
        problems = []
        if assignment.clustersWithoutSlot + assignment.endpointsWithoutSlot > 0 {
            problems.append(
                "\(assignment.clustersWithoutSlot) clusters and \(assignment.endpointsWithoutSlot) endpoints are beyond the "
                    + "\(UpstreamState.clustersMaxDefault) and \(UpstreamState.endpointsMaxDefault) that are counted: limits and outlier detection do not work for them")
        }
        let settings = clusters.map { OutlierSettings($0.outlier) }
        shared.judge.configure(
            zip(assignment.clusters, settings).compactMap { cluster, settings in
                settings.map { OutlierCluster(key: cluster.key, settings: $0, endpoints: cluster.endpoints) }
            }, now: SystemClock.monotonicNow())
        metrics.update(zip(clusters, assignment.clusters).map { (catalogs.names.value($0.name.rawValue), $1.slot) })
        assignments.append((routing.generation, assignment.generation))
        return UpstreamPlan(
            clusters: assignment.clusters.map(\.slot), endpoints: endpoints, thresholds: settings.map { $0?.thresholds ?? .off })
    }

    /// Un-ejections and rates that are due; rows that nobody uses any more.
    mutating func keepHouse(adopted: UInt64) {
        shared.judge.tick(now: SystemClock.monotonicNow())
        guard let latest = assignments.last(where: { $0.routing <= adopted }) else { return }
        assignments.removeAll { $0.routing < latest.routing }
        shared.state.reclaim(adopted: latest.slots)
    }
}
