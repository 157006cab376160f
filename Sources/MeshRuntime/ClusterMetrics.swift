internal import OutlierDetection
internal import Proxy
internal import QueryAPI
internal import Synchronization
internal import TelemetryModel
internal import TelemetryWire

/// Limits and ejections of clusters, for scrapes: only of clusters where there is something to say.
final class ClusterMetrics: Sendable {
    struct Row {
        var name: String
        var slot: ClusterSlot
        /// Endpoints that are probed.
        var checked: [EndpointSlot]
    }

    private let shared: SharedUpstreams
    private let catalogs: Catalogs
    private let prober: HealthProber
    private let rows = Mutex<[Row]>([])

    init(shared: SharedUpstreams, catalogs: Catalogs, prober: HealthProber) {
        self.shared = shared
        self.prober = prober
        self.catalogs = catalogs
    }

    /// The clusters of the configuration in use.
    func update(_ clusters: [Row]) { rows.withLock { $0 = clusters } }

    private static let limits: [(UpstreamResource, String)] = [
        (.connections, "connections"), (.pending, "pending_requests"), (.requests, "requests"), (.retries, "retries"),
    ]

    func samples() -> [MetricSamples] {
        let state = shared.state
        var overflows: [MetricSamples.Sample] = []
        var held: [MetricSamples.Sample] = []
        for row in rows.withLock({ $0 }) {
            for (resource, name) in Self.limits {
                let labels = [("cluster", row.name), ("limit", name)]
                let refused = state.overflow(resource, cluster: row.slot)
                if refused > 0 { overflows.append(MetricSamples.Sample(labels: labels, value: Double(refused))) }
                let now = state.held(resource, cluster: row.slot)
                if now > 0 { held.append(MetricSamples.Sample(labels: labels, value: Double(now))) }
            }
        }
        var unhealthy: [MetricSamples.Sample] = []
        for row in rows.withLock({ $0 }) where !row.checked.isEmpty {
            let failed = row.checked.count { state.hasFailedHealthCheck($0) }
            unhealthy.append(MetricSamples.Sample(labels: [("cluster", row.name)], value: Double(failed)))
        }
        let checks = prober.checks.load(ordering: .relaxed)
        let failures = prober.failures.load(ordering: .relaxed)
        let results = checks == 0 ? [] : [("passed", checks &- failures), ("failed", failures)].map {
            MetricSamples.Sample(labels: [("result", $0.0)], value: Double($0.1))
        }
        var ejected: [MetricSamples.Sample] = []
        var ejections: [MetricSamples.Sample] = []
        var prevented: [MetricSamples.Sample] = []
        for one in shared.judge.statistics() {
            let name = catalogs.names.value(one.cluster.rawValue)
            ejected.append(MetricSamples.Sample(labels: [("cluster", name)], value: Double(one.ejectionsActive)))
            prevented.append(MetricSamples.Sample(labels: [("cluster", name)], value: Double(one.counters.overflow)))
            for (reason, count) in zip(EjectionReason.allCases, one.counters.enforced) where count > 0 {
                ejections.append(MetricSamples.Sample(labels: [("cluster", name), ("reason", "\(reason)")], value: Double(count)))
            }
        }
        return [
            MetricSamples(name: "skein_cluster_overflow_total", help: "Connections, requests and retries that a limit of the cluster refused.", kind: .counter, samples: overflows),
            MetricSamples(name: "skein_cluster_held", help: "What counts against the limits of a cluster now.", kind: .gauge, samples: held),
            MetricSamples(name: "skein_health_checks_total", help: "Active health checks by their result.", kind: .counter, samples: results),
            MetricSamples(name: "skein_endpoints_unhealthy", help: "Endpoints of a cluster that fail their health checks.", kind: .gauge, samples: unhealthy),
            MetricSamples(name: "skein_outlier_ejections_active", help: "Endpoints of a cluster that are ejected now.", kind: .gauge, samples: ejected),
            MetricSamples(name: "skein_outlier_ejections_total", help: "Ejections by their reason.", kind: .counter, samples: ejections),
            MetricSamples(
                name: "skein_outlier_ejections_overflow_total", help: "Ejections that maxEjectionPercent prevented.", kind: .counter, samples: prevented),
        ].filter { !$0.samples.isEmpty }
    }
}
