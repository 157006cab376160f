internal import MeshConfig
internal import OutlierDetection
internal import Primitives
internal import Proxy
internal import Routing
internal import TelemetryModel

/// Gives the clusters and endpoints of each configuration their places in the state that all workers share, and has their endpoints
/// judged. On the control thread.
struct UpstreamPlanner {
    let shared: SharedUpstreams
    let metrics: ClusterMetrics
    /// Generations of routing that are in use or on their way, with the slot assignment of each.
    private var assignments: [(routing: UInt64, slots: UInt64)] = []
    private let catalogs: Catalogs
    private(set) var problems: [String] = []
    private let prober: HealthProber
    /// Of the last plan.
    private(set) var live: LiveUpstreams?
    /// Clusters with outlier detection of the last plan, as the mesh is told of them; not those that it is not to judge.
    private(set) var judged: [MeshOutliers.Row] = []

    init(shared: SharedUpstreams, catalogs: Catalogs, prober: HealthProber, resolver: HostResolver) {
        self.shared = shared
        self.prober = prober
        metrics = ClusterMetrics(shared: shared, catalogs: catalogs, prober: prober, resolver: resolver)
        self.catalogs = catalogs
    }

    /// The places for a configuration about to be adopted, whose connections to endpoints are secured by `security`.
    mutating func plan(_ routing: RoutingSnapshot, _ security: SecurityPlan = SecurityPlan()) -> UpstreamPlan {
        let clusters = routing.clusterMembers
        let assignment = shared.state.slots(
            for: clusters.map { ClusterMembership(key: ClusterKey($0.name.rawValue), endpoints: $0.addresses) })
        var endpoints = [EndpointSlot](repeating: .none, count: routing.endpointCount)
        for (member, assigned) in zip(clusters, assignment.clusters) {
            for (offset, slot) in assigned.endpoints.enumerated() { endpoints[member.endpoints.lowerBound + offset] = slot }
        }
        problems = []
        if assignment.clustersWithoutSlot + assignment.endpointsWithoutSlot > 0 {
            problems.append(
                "\(assignment.clustersWithoutSlot) clusters and \(assignment.endpointsWithoutSlot) endpoints are beyond the "
                    + "\(shared.state.clustersMax) and \(shared.state.endpointsMax) that are counted: limits and outlier detection do "
                        + "not work for them")
        }
        let settings = clusters.map { OutlierSettings($0.outlier) }
        shared.judge.configure(
            zip(assignment.clusters, settings).compactMap { cluster, settings in
                settings.map { OutlierCluster(key: cluster.key, settings: $0, endpoints: cluster.endpoints) }
            }, now: SystemClock.monotonicNow())
        let now = SystemClock.monotonicNow()
        for cluster in assignment.clusters { for endpoint in cluster.endpoints { shared.state.noteAppearance(endpoint, now: now) } }
        let targets = probeTargets(routing, clusters, assignment, security)
        prober.apply(targets, security: security)
        if targets.count > HealthProber.targetsMax {
            problems.append(
                "\(targets.count) endpoints are to be health-checked, of which \(HealthProber.targetsMax) are; the others count as healthy")
        }
        metrics.update(
            zip(clusters, assignment.clusters).enumerated().map { index, pair in
                let (member, assigned) = pair
                return ClusterMetrics.Row(
                    name: catalogs.names.value(member.name.rawValue), slot: assigned.slot,
                    checked: routing.healthChecks[index] == nil ? [] : assigned.endpoints,
                    endpoints: zip(member.addresses, assigned.endpoints).map { ($0.description, $1) },
                    dnsNames: routing.dnsNames[index] ?? [])
            })
        judged = zip(clusters, assignment.clusters).enumerated().compactMap { index, pair in
            let (member, assigned) = pair
            let resource = routing.meshOutlierDetections[index]
            guard let settings = settings[index], resource?.mode != .off else { return nil }
            return MeshOutliers.Row(
                name: catalogs.names.value(member.name.rawValue), key: assigned.key, settings: settings,
                detectors: resource.map(MeshDetectors.init), endpoints: zip(member.addresses, assigned.endpoints).map { ($0, $1) })
        }
        assignments.append((routing.generation, assignment.generation))
        let plan = UpstreamPlan(
            clusters: assignment.clusters.map(\.slot), endpoints: endpoints, thresholds: settings.map { $0?.thresholds ?? .off })
        live = LiveUpstreams(shared: shared, plan: plan)
        return plan
    }

    private func probeTargets(
        _ routing: RoutingSnapshot, _ clusters: [ClusterMember], _ assignment: SlotAssignment, _ security: SecurityPlan
    ) -> [ProbeTarget] {
        routing.healthChecks.sorted { $0.key < $1.key }.flatMap { index, check in
            let own = check.settings
            var settings = HealthCheckSettings()
            settings.intervalNanoseconds = own.intervalNanoseconds
            settings.timeoutNanoseconds = own.timeoutNanoseconds
            settings.intervalJitterNanoseconds = own.jitterNanoseconds
            settings.unhealthyThreshold = own.unhealthyThreshold
            settings.healthyThreshold = own.healthyThreshold
            var request: [UInt8] = []
            var statuses: [ClosedRange<UInt16>] = []
            if case .http(path: let path, host: let host, statuses: let accepted) = own.probe {
                let asked = host.isEmpty ? check.host : host
                request = Array(
                    "GET \(path) HTTP/1.1\r\nHost: \(asked)\r\nUser-Agent: skein-health-check\r\nConnection: close\r\n\r\n".utf8)
                statuses = accepted
            }
            let member = clusters[index]
            let known = zip(member.addresses, assignment.clusters[index].endpoints)
            return zip(member.endpoints, known).compactMap { place, known -> ProbeTarget? in
                let (address, slot) = known
                if slot == .none { return nil }
                // As requests are; also on a port of the probes' own (Envoy: the cluster's transport socket).
                let kind = Int(unsafe routing.tables.endpoint(place).security)
                return ProbeTarget(
                    endpoint: slot, address: own.port.map { address.with(port: $0) } ?? address, settings: settings, request: request,
                    statuses: statuses, security: security.outbound.indices.contains(kind) ? security.outbound[kind].key : "")
            }
        }
    }

    /// Un-ejections and rates that are due; rows that nobody uses any more.
    mutating func keepHouse(adopted: UInt64) {
        shared.judge.tick(now: SystemClock.monotonicNow())
        guard let latest = assignments.last(where: { $0.routing <= adopted }) else { return }
        assignments.removeAll { $0.routing < latest.routing }
        shared.state.reclaim(adopted: latest.slots)
    }
}
