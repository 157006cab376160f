internal import MeshConfig
internal import OutlierDetection
internal import Primitives
internal import Proxy
internal import Routing

/// What a running proxy knows of the endpoints of its configuration, for explanations.
struct LiveUpstreams: Sendable {
    var shared: SharedUpstreams
    var plan: UpstreamPlan
}

extension RequestExplanation {
    /// Endpoints listed one by one.
    private static let endpointsShown = 50

    /// Limits, balancer and candidate endpoints of a cluster.
    mutating func describe(cluster index: Int, _ snapshot: RoutingSnapshot, _ live: LiveUpstreams?) {
        let cluster = unsafe snapshot.tables.cluster(index)
        let slot = live?.plan.clusters[index]
        var limits: [Node] = []
        func add(_ name: String, _ resource: UpstreamResource, _ limit: UInt32) {
            guard limit != .max else { return }
            let held = live.flatMap { live in slot.map { ", \(live.shared.state.held(resource, cluster: $0)) held now" } } ?? ""
            limits.append(Node(name, "\(limit)\(held)"))
        }
        add("connections", .connections, cluster.maxConnections)
        add("pending requests", .pending, cluster.maxPendingRequests)
        add("requests", .requests, cluster.maxRequests)
        add("retries", .retries, cluster.maxRetries)
        nodes.append(Node("limits", limits.isEmpty ? "none" : "over all workers", limits))
        let isChosen = snapshot.endpointsChooseHTTP(ofCluster: index)
        let version = cluster.usesClientProtocol ? "the client's" : isChosen ? "what each endpoint chooses (ALPN)" : "HTTP/1.1"
        nodes.append(Node("protocol", cluster.isHTTP2 ? "HTTP/2" : version))
        nodes.append(Node("security", snapshot.securityText(ofCluster: index)))
        var balancer = cluster.hash.key == .none ? "\(cluster.balancer)" : "consistent hash by \(cluster.hash.key)"
        if cluster.warmup.nanoseconds > 0 { balancer += ", new endpoints grow over \(cluster.warmup.nanoseconds / 1_000_000_000) s" }
        nodes.append(Node("balancer", balancer))
        if let node = outlierDetection(cluster, snapshot.meshOutlierDetections[index]) { nodes.append(node) }
        if let check = snapshot.healthChecks[index] {
            nodes.append(Node("health checks", "every \(check.settings.intervalNanoseconds / 1_000_000) ms"))
        }
        let groups = unsafe Array(snapshot.tables.groups(cluster))
        if groups.isEmpty {
            let none = cluster.isUnresolved ? "none: its name has not been resolved" : "none: 503 UH no_healthy_upstream"
            let count = cluster.endpoints.count
            nodes.append(Node("endpoints", count == 0 ? none : "\(count)", list(cluster.endpoints, snapshot, live)))
            return
        }
        let shares = shares(groups, cluster, live)
        for (group, share) in zip(groups, shares) {
            nodes.append(
                Node("priority \(group.priority)", "\(group.endpoints.count) endpoints, \(share)", list(group.endpoints, snapshot, live)))
        }
    }

    /// What judges the endpoints; nil = nothing does.
    private func outlierDetection(_ cluster: ClusterEntry, _ resource: MeshOutlierDetection?) -> Node? {
        guard let resource else { return cluster.outlier.isEnabled ? Node("outlier detection", "on") : nil }
        let local = !cluster.outlier.isEnabled ? "off" : cluster.outlier.isOfMeshAlone ? "by the mesh alone" : "on"
        return Node("outlier detection", local, [Node("mesh-wide", "\(resource.summary): \(resource.id) at \(resource.position)")])
    }

    private func list(_ range: TableRange, _ snapshot: RoutingSnapshot, _ live: LiveUpstreams?) -> [Node] {
        let shown = range.indices.prefix(Self.endpointsShown).map { index in
            let endpoint = unsafe snapshot.tables.endpoint(index)
            let security = snapshot.securityText(ofEndpoint: index)
            let text = "weight \(endpoint.weight)" + (security == "plaintext" ? "" : ", \(security)")
            return Node("\(endpoint.address)", text + state(of: index, live))
        }
        let more = Int(range.count) - shown.count
        return shown + (more > 0 ? [Node("...", "and \(more) more")] : [])
    }

    private func state(of endpoint: Int, _ live: LiveUpstreams?) -> String {
        guard let live else { return "" }
        let slot = live.plan.endpoints[endpoint]
        let state = live.shared.state
        var text = ", \(state.activeRequests(slot)) requests now"
        let latency = state.latencyMicroseconds(slot)
        if latency > 0 { text += ", latency \(latency) us" }
        if let until = state.ejectedUntil(slot) {
            let now = SystemClock.monotonicNow()
            text +=
                ", EJECTED for another \(until.nanoseconds > now.nanoseconds ? (until.nanoseconds - now.nanoseconds) / 1_000_000 : 0) ms"
        }
        if let until = state.meshEjectedUntil(slot) {
            let left = until.nanoseconds(since: SystemClock.monotonicNow()) / 1_000_000
            let reason = live.shared.judge.meshEjections().running.first { $0.host == slot }.map { " (\($0.reason.name))" } ?? ""
            text += ", EJECTED mesh-wide\(reason) for another \(left) ms"
        }
        if state.hasFailedHealthCheck(slot) { text += ", FAILS its health checks" }
        return text
    }

    /// What each group gets at present; without a running proxy all endpoints are taken to be available.
    private func shares(_ groups: [EndpointGroup], _ cluster: ClusterEntry, _ live: LiveUpstreams?) -> [String] {
        var shares = [GroupShare](repeating: GroupShare(), count: groups.count)
        unsafe groups.withUnsafeBufferPointer { groups in
            unsafe shares.withUnsafeMutableBufferPointer { out in
                unsafe GroupShares.compute(groups, panicPercent: UInt64(max(0, cluster.outlier.minHealthPercent)), into: out) { group in
                    guard let live else { return UInt64(group.endpoints.count) }
                    return UInt64(group.endpoints.indices.count { live.shared.state.isAvailable(live.plan.endpoints[$0]) })
                }
            }
        }
        var before: UInt32 = 0
        return shares.map { share in
            defer { before = share.upTo }
            return "\(Double((share.upTo - before) / 1000) / 10) % of the requests"
                + (share.panics ? ", all of them whatever their state (panic)" : "")
        }
    }
}
