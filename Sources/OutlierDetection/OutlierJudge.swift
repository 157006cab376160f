public import Primitives
internal import Synchronization

/// A cluster whose endpoints are to be judged.
public struct OutlierCluster: Sendable {
    public var key: ClusterKey
    public var settings: OutlierSettings
    /// From `UpstreamState.slots(for:)`; `none` among them are left alone.
    public var endpoints: [EndpointSlot]

    public init(key: ClusterKey, settings: OutlierSettings, endpoints: [EndpointSlot]) {
        self.key = key
        self.settings = settings
        self.endpoints = endpoints
    }
}

/// One cluster's detection in numbers.
public struct OutlierStatistics: Sendable {
    public var cluster: ClusterKey
    /// Endpoints ejected now, a gauge.
    public var ejectionsActive: Int
    public var hosts: Int
    public var counters: EjectionCounters
}

/// Owns one `OutlierDetector` per cluster with detection on, and writes their verdicts into `UpstreamState`, where balancers see them.
///
/// Any thread may call anything: a Mutex guards it. A worker takes it only when `UpstreamState.record` reported a crossing, which an
/// endpoint in good health never does.
public final class OutlierJudge: Sendable {
    private struct Entry {
        var detector: OutlierDetector
        var nextTick: MonotonicInstant
    }

    private struct Clusters {
        var entries: [ClusterKey: Entry] = [:]
        var clusterOf: [EndpointSlot: ClusterKey] = [:]
        var log = OutlierEventLog()
        var mesh = MeshEjections()
    }

    private let state: UpstreamState
    private let seed: UInt64
    private let clusters = Mutex(Clusters())

    /// Events kept.
    public static let eventsMax = OutlierEventLog.eventsMax

    /// `seed` decides jitter and enforcement draws, for each cluster on its own.
    public init(state: UpstreamState, seed: UInt64) {
        self.state = state
        self.seed = seed
    }

    /// Control thread, whenever a configuration or the endpoints of a cluster change: all clusters with detection on. Endpoints that stay
    /// keep their ejections and past; those that go, and all of a cluster that is no longer named, are admitted again.
    public func configure(_ clusters: [OutlierCluster], now: MonotonicInstant) {
        self.clusters.withLock { table in
            let named = Set(clusters.map(\.key))
            for key in table.entries.keys.filter({ !named.contains($0) }).sorted(by: { $0.rawValue < $1.rawValue }) {
                for host in table.entries[key]?.detector.members ?? [] { remove(host, from: key, now: now, &table) }
                table.entries[key] = nil
            }
            for cluster in clusters { configure(cluster, now: now, &table) }
        }
    }

    private func configure(_ cluster: OutlierCluster, now: MonotonicInstant, _ table: inout Clusters) {
        if let old = table.entries[cluster.key] {
            let endpoints = Set(cluster.endpoints)
            for host in old.detector.members where !endpoints.contains(host) { remove(host, from: cluster.key, now: now, &table) }
            if old.detector.settings.intervalNanoseconds != cluster.settings.intervalNanoseconds {
                table.entries[cluster.key]?.nextTick = now + cluster.settings.intervalNanoseconds
            }
            table.entries[cluster.key]?.detector.update(cluster.settings)
        } else {
            let detector = OutlierDetector(settings: cluster.settings, seed: seed ^ UInt64(cluster.key.rawValue) &* 0x9E37_79B9_7F4A_7C15)
            table.entries[cluster.key] = Entry(detector: detector, nextTick: now + cluster.settings.intervalNanoseconds)
        }
        for host in cluster.endpoints where host != .none && table.entries[cluster.key]?.detector.contains(host) == false {
            table.entries[cluster.key]?.detector.hostAdded(host)
            table.clusterOf[host] = cluster.key
            // Nothing of an earlier stay in the cluster, or of a time without detection, is held against it.
            state.admit(host)
            _ = state.takeInterval(host)
        }
    }

    /// Any thread, when `UpstreamState.record` returned crossings.
    /// - Returns: Whether the endpoint was ejected by this call.
    @discardableResult
    public func crossed(_ endpoint: EndpointSlot, _ crossing: OutlierCrossing, now: MonotonicInstant) -> Bool {
        clusters.withLock { table in crossed(endpoint, crossing, now: now, &table) }
    }

    private func crossed(_ endpoint: EndpointSlot, _ crossing: OutlierCrossing, now: MonotonicInstant, _ table: inout Clusters) -> Bool {
        guard let key = table.clusterOf[endpoint] else { return false }
        var isEjected = false
        // Gateway errors first: where both thresholds are reached by one answer, the narrower detector names the reason, as in Envoy.
        let kinds: [(OutlierCrossing, EjectionReason)] = [
            (.gateway, .consecutiveGatewayFailure), (.fiveXX, .consecutive5xx), (.localOrigin, .consecutiveLocalOriginFailure),
        ]
        for (flag, reason) in kinds where crossing.contains(flag) {
            let elsewhere = meshOnly(key, table, beside: endpoint)
            switch table.entries[key]?.detector.consecutiveCrossed(endpoint, reason, ejectedElsewhere: elsewhere, now: now) ?? .ignored {
            case .ignored: continue
            case .overflow, .notEnforced: break
            case .ejected(let ejection):
                eject(ejection, key, now: now, &table)
                isEjected = true
            }
            // Also when it was not ejected: the next bout of as many errors is detected again.
            state.resetConsecutive(endpoint, flag)
        }
        return isEjected
    }

    /// Control thread: runs every interval tick that is due; a late call runs a cluster's tick once.
    /// - Returns: When to call again; `distantFuture` when no cluster has detection on.
    @discardableResult
    public func tick(now: MonotonicInstant) -> MonotonicInstant {
        clusters.withLock { table in
            // In the order of their keys, so that the same inputs leave the same log.
            let due = table.entries.filter { $0.value.nextTick <= now }.keys.sorted { $0.rawValue < $1.rawValue }
            for key in due { tick(key, now: now, &table) }
            return table.entries.values.map(\.nextTick).min() ?? .distantFuture
        }
    }

    private func tick(_ key: ClusterKey, now: MonotonicInstant, _ table: inout Clusters) {
        guard let settings = table.entries[key]?.detector.settings, let members = table.entries[key]?.detector.members else { return }
        table.entries[key]?.nextTick = now + settings.intervalNanoseconds
        let samples = settings.evaluatesRates ? members.map { state.takeInterval($0) } : []
        for ejection in table.mesh.running.values where ejection.cluster == key && ejection.until <= now {
            endMesh(ejection, .timeOver, now: now, &table)
        }
        let elsewhere = meshOnly(key, table)
        for change in table.entries[key]?.detector.intervalTick(now: now, samples: samples, ejectedElsewhere: elsewhere) ?? [] {
            switch change {
            case .ejected(let ejection): eject(ejection, key, now: now, &table)
            case .unejected(let host): admit(host, .timeOver, key, now: now, &table)
            }
        }
        // A reload that lowers a threshold below a count leaves nobody to reach it exactly: such counts are found here.
        for host in members {
            let beyond = state.consecutiveBeyond(settings.thresholds, of: host)
            if !beyond.isEmpty { _ = crossed(host, beyond, now: now, &table) }
        }
    }

    /// Any thread: an active health check of the endpoint passed.
    public func activeHealthCheckSucceeded(_ endpoint: EndpointSlot, now: MonotonicInstant) {
        clusters.withLock { table in
            guard let key = table.clusterOf[endpoint],
                table.entries[key]?.detector.activeHealthCheckSucceeded(endpoint, now: now) == true
            else { return }
            admit(endpoint, .healthCheckPassed, key, now: now, &table)
        }
    }

    // MARK: Mesh-wide ejections

    /// Any thread: what the collector says is ejected, all of it; what is not named any more is over. Endpoints of clusters without
    /// detection are left alone. Together with local ejections they stay within `maxEjectionPercent`.
    public func apply(_ ejections: [MeshEjection], now: MonotonicInstant) {
        clusters.withLock { table in
            let named = Set(ejections.map(\.host))
            for ejection in table.mesh.running.values where !named.contains(ejection.host) {
                endMesh(ejection, .timeOver, now: now, &table)
            }
            for ejection in ejections where table.clusterOf[ejection.host] == ejection.cluster { carryOut(ejection, now: now, &table) }
        }
    }

    private func carryOut(_ ejection: MeshEjection, now: MonotonicInstant, _ table: inout Clusters) {
        guard let detector = table.entries[ejection.cluster]?.detector, ejection.until > now else { return }
        if !table.mesh.isEjected(ejection.host), !detector.isEjected(ejection.host) {
            let ejected = detector.ejectionsActive + meshOnly(ejection.cluster, table)
            guard detector.settings.allowsEjection(ejected: ejected, hosts: detector.hostCount) else { return table.mesh.notePrevented() }
        }
        if !table.mesh.isEjected(ejection.host) {
            table.log.append(
                .ejectedByMesh(ejection.reason, until: ejection.until), at: now, cluster: ejection.cluster, slot: ejection.host,
                endpoint: state.address(of: ejection.host) ?? SocketEndpoint())
        }
        table.mesh.insert(ejection)
        state.setMeshEjected(ejection.host, until: ejection.until)
    }

    private func endMesh(_ ejection: MeshEjection, _ cause: UnejectionCause, now: MonotonicInstant, _ table: inout Clusters) {
        table.mesh.remove(ejection.host)
        state.setMeshEjected(ejection.host, until: nil)
        // What others found is over: errors from before it do not count here either.
        if table.entries[ejection.cluster]?.detector.isEjected(ejection.host) == false {
            state.resetConsecutive(ejection.host, [.fiveXX, .gateway, .localOrigin])
        }
        table.log.append(
            .unejectedByMesh(cause), at: now, cluster: ejection.cluster, slot: ejection.host,
            endpoint: state.address(of: ejection.host) ?? SocketEndpoint())
    }

    /// Endpoints of the cluster that the mesh alone has ejected; `beside`: not this one.
    private func meshOnly(_ key: ClusterKey, _ table: Clusters, beside: EndpointSlot = .none) -> Int {
        guard !table.mesh.running.isEmpty, let detector = table.entries[key]?.detector else { return 0 }
        return table.mesh.count(in: key) { $0 == beside || detector.isEjected($0) }
    }

    /// Ejections of the mesh that run here, and those that `maxEjectionPercent` kept from running, ever.
    public func meshEjections() -> (running: [MeshEjection], prevented: UInt64) {
        clusters.withLock { (Array($0.mesh.running.values), $0.mesh.prevented) }
    }

    // MARK: For metrics and explain

    /// Ordered by cluster key.
    public func statistics() -> [OutlierStatistics] {
        clusters.withLock { table in
            table.entries.map { key, entry in
                OutlierStatistics(
                    cluster: key, ejectionsActive: entry.detector.ejectionsActive, hosts: entry.detector.hostCount,
                    counters: entry.detector.counters)
            }.sorted { $0.cluster.rawValue < $1.cluster.rawValue }
        }
    }

    /// The last `eventsMax` events, oldest first.
    public func events() -> [OutlierEvent] {
        clusters.withLock { $0.log.events }
    }

    // MARK: Carrying out

    private func eject(_ ejection: Ejection, _ key: ClusterKey, now: MonotonicInstant, _ table: inout Clusters) {
        state.setEjected(ejection.host, ejection.reason, until: ejection.until)
        table.log.append(
            .ejected(ejection.reason, durationNanoseconds: ejection.durationNanoseconds, until: ejection.until, ejections: ejection.count),
            at: now, cluster: key, slot: ejection.host, endpoint: state.address(of: ejection.host) ?? SocketEndpoint())
    }

    private func admit(_ host: EndpointSlot, _ cause: UnejectionCause, _ key: ClusterKey, now: MonotonicInstant, _ table: inout Clusters) {
        state.admit(host)
        table.log.append(.unejected(cause), at: now, cluster: key, slot: host, endpoint: state.address(of: host) ?? SocketEndpoint())
    }

    private func remove(_ host: EndpointSlot, from key: ClusterKey, now: MonotonicInstant, _ table: inout Clusters) {
        if let ejection = table.mesh.running[host] { endMesh(ejection, .removed, now: now, &table) }
        table.clusterOf[host] = nil
        if table.entries[key]?.detector.hostRemoved(host) == true { admit(host, .removed, key, now: now, &table) }
    }
}
