internal import OutlierDetection
internal import Proxy
internal import QueryAPI
internal import Synchronization
internal import TelemetryModel
internal import TelemetryWire

/// Limits and ejections of clusters, for scrapes: only of clusters where there is something to say.
final class ClusterMetrics: Sendable {
    private struct Row {
        var name: String
        var slot: ClusterSlot
    }

    private let shared: SharedUpstreams
    private let catalogs: Catalogs
    private let rows = Mutex<[Row]>([])

    init(shared: SharedUpstreams, catalogs: Catalogs) {
        self.shared = shared
        self.catalogs = catalogs
    }

    /// The clusters of the configuration in use.
    func update(_ clusters: [(name: String, slot: ClusterSlot)]) {
        rows.withLock { $0 = clusters.map { Row(name: $0.name, slot: $0.slot) } }
    }

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
            MetricSamples(name: "skein_outlier_ejections_active", help: "Endpoints of a cluster that are ejected now.", kind: .gauge, samples: ejected),
            MetricSamples(name: "skein_outlier_ejections_total", help: "Ejections by their reason.", kind: .counter, samples: ejections),
            MetricSamples(
                name: "skein_outlier_ejections_overflow_total", help: "Ejections that maxEjectionPercent prevented.", kind: .counter, samples: prevented),
        ].filter { !$0.samples.isEmpty }
    }
}
