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
/// Any thread may call anything: a Mutex guards it. A worker takes it only when `UpstreamState.record` reported a crossing, which an endpoint
/// in good health never does.
public final class OutlierJudge: Sendable {
    private struct Court {
        var detector: OutlierDetector
        var nextTick: MonotonicInstant
    }

    private struct Rulings {
        var courts: [ClusterKey: Court] = [:]
        var clusterOf: [EndpointSlot: ClusterKey] = [:]
        var log = OutlierEventLog()
    }

    private let state: UpstreamState
    private let seed: UInt64
    private let rulings = Mutex(Rulings())

    /// Events kept.
    public static let eventsMax = OutlierEventLog.eventsMax

    /// `seed` decides jitter and enforcement draws, for each cluster on its own.
    public init(state: UpstreamState, seed: UInt64) {
        self.state = state
        self.seed = seed
    }

    /// Control thread, whenever a configuration or the endpoints of a cluster change: all clusters with detection on. Endpoints that stay keep
    /// their ejections and past; those that go, and all of a cluster that is no longer named, are admitted again.
    public func configure(_ clusters: [OutlierCluster], now: MonotonicInstant) {
        rulings.withLock { rulings in
            let named = Set(clusters.map(\.key))
            for key in rulings.courts.keys.filter({ !named.contains($0) }).sorted(by: { $0.rawValue < $1.rawValue }) {
                for host in rulings.courts[key]?.detector.members ?? [] { remove(host, from: key, now: now, &rulings) }
                rulings.courts[key] = nil
            }
            for cluster in clusters { configure(cluster, now: now, &rulings) }
        }
    }

    private func configure(_ cluster: OutlierCluster, now: MonotonicInstant, _ rulings: inout Rulings) {
        if let old = rulings.courts[cluster.key] {
            let endpoints = Set(cluster.endpoints)
            for host in old.detector.members where !endpoints.contains(host) { remove(host, from: cluster.key, now: now, &rulings) }
            if old.detector.settings.intervalNanoseconds != cluster.settings.intervalNanoseconds {
                rulings.courts[cluster.key]?.nextTick = now + cluster.settings.intervalNanoseconds
            }
            rulings.courts[cluster.key]?.detector.update(cluster.settings)
        } else {
            let detector = OutlierDetector(settings: cluster.settings, seed: seed ^ UInt64(cluster.key.rawValue) &* 0x9E37_79B9_7F4A_7C15)
            rulings.courts[cluster.key] = Court(detector: detector, nextTick: now + cluster.settings.intervalNanoseconds)
        }
        for host in cluster.endpoints where host != .none && rulings.courts[cluster.key]?.detector.contains(host) == false {
            rulings.courts[cluster.key]?.detector.hostAdded(host)
            rulings.clusterOf[host] = cluster.key
            // Nothing of an earlier stay in the cluster, or of a time without detection, is held against it.
            state.admit(host)
            _ = state.takeInterval(host)
        }
    }

    /// Any thread, when `UpstreamState.record` returned crossings.
    /// - Returns: Whether the endpoint was ejected by this call.
    @discardableResult
    public func crossed(_ endpoint: EndpointSlot, _ crossing: OutlierCrossing, now: MonotonicInstant) -> Bool {
        rulings.withLock { rulings in
            guard let key = rulings.clusterOf[endpoint] else { return false }
            var isEjected = false
            // Gateway errors first: where both thresholds are reached by one answer, the narrower detector names the reason, as in Envoy.
            let kinds: [(OutlierCrossing, EjectionReason)] = [
                (.gateway, .consecutiveGatewayFailure), (.fiveXX, .consecutive5xx), (.localOrigin, .consecutiveLocalOriginFailure),
            ]
            for (flag, reason) in kinds where crossing.contains(flag) {
                switch rulings.courts[key]?.detector.consecutiveCrossed(endpoint, reason, now: now) ?? .ignored {
                case .ignored: continue
                case .overflow, .notEnforced: break
                case .ejected(let ejection):
                    eject(ejection, key, now: now, &rulings)
                    isEjected = true
                }
                // Also when it was not ejected: the next bout of as many errors is detected again.
                state.resetConsecutive(endpoint, flag)
            }
            return isEjected
        }
    }

    /// Control thread: runs every interval tick that is due; a late call runs a cluster's tick once.
    /// - Returns: When to call again; `distantFuture` when no cluster has detection on.
    @discardableResult
    public func tick(now: MonotonicInstant) -> MonotonicInstant {
        rulings.withLock { rulings in
            // In the order of their keys, so that the same inputs leave the same log.
            let due = rulings.courts.filter { $0.value.nextTick <= now }.keys.sorted { $0.rawValue < $1.rawValue }
            for key in due { tick(key, now: now, &rulings) }
            return rulings.courts.values.map(\.nextTick).min() ?? .distantFuture
        }
    }

    private func tick(_ key: ClusterKey, now: MonotonicInstant, _ rulings: inout Rulings) {
        guard let settings = rulings.courts[key]?.detector.settings, let members = rulings.courts[key]?.detector.members else { return }
        rulings.courts[key]?.nextTick = now + settings.intervalNanoseconds
        let samples = settings.evaluatesRates ? members.map { state.takeInterval($0) } : []
        for change in rulings.courts[key]?.detector.intervalTick(now: now, samples: samples) ?? [] {
            switch change {
            case .ejected(let ejection): eject(ejection, key, now: now, &rulings)
            case .unejected(let host): admit(host, .timeOver, key, now: now, &rulings)
            }
        }
    }

    /// Any thread: an active health check of the endpoint passed.
    public func activeHealthCheckSucceeded(_ endpoint: EndpointSlot, now: MonotonicInstant) {
        rulings.withLock { rulings in
            guard let key = rulings.clusterOf[endpoint],
                rulings.courts[key]?.detector.activeHealthCheckSucceeded(endpoint, now: now) == true
            else { return }
            admit(endpoint, .healthCheckPassed, key, now: now, &rulings)
        }
    }

    // MARK: For metrics and explain

    /// Ordered by cluster key.
    public func statistics() -> [OutlierStatistics] {
        rulings.withLock { rulings in
            rulings.courts.map { key, court in
                OutlierStatistics(
                    cluster: key, ejectionsActive: court.detector.ejectionsActive, hosts: court.detector.hostCount, counters: court.detector.counters)
            }.sorted { $0.cluster.rawValue < $1.cluster.rawValue }
        }
    }

    /// The last `eventsMax` events, oldest first.
    public func events() -> [OutlierEvent] {
        rulings.withLock { $0.log.events }
    }

    // MARK: Carrying out

    private func eject(_ ejection: Ejection, _ key: ClusterKey, now: MonotonicInstant, _ rulings: inout Rulings) {
        state.setEjected(ejection.host, until: ejection.until)
        rulings.log.append(
            .ejected(ejection.reason, durationNanoseconds: ejection.durationNanoseconds, until: ejection.until, ejections: ejection.count),
            at: now, cluster: key, slot: ejection.host, endpoint: state.address(of: ejection.host) ?? SocketEndpoint())
    }

    private func admit(_ host: EndpointSlot, _ cause: UnejectionCause, _ key: ClusterKey, now: MonotonicInstant, _ rulings: inout Rulings) {
        state.admit(host)
        rulings.log.append(.unejected(cause), at: now, cluster: key, slot: host, endpoint: state.address(of: host) ?? SocketEndpoint())
    }

    private func remove(_ host: EndpointSlot, from key: ClusterKey, now: MonotonicInstant, _ rulings: inout Rulings) {
        rulings.clusterOf[host] = nil
        if rulings.courts[key]?.detector.hostRemoved(host) == true { admit(host, .removed, key, now: now, &rulings) }
    }
}
