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
        var endpoints: [(address: String, slot: EndpointSlot)]
        /// Names that endpoints are resolved from.
        var dnsNames: [String]
    }

    /// Endpoints with series of their own; those that something is wrong with come first.
    static let endpointSeriesMax = 2_000

    private let shared: SharedUpstreams
    private let catalogs: Catalogs
    private let prober: HealthProber
    private let resolver: HostResolver
    private let rows = Mutex<[Row]>([])

    init(shared: SharedUpstreams, catalogs: Catalogs, prober: HealthProber, resolver: HostResolver) {
        self.shared = shared
        self.prober = prober
        self.resolver = resolver
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
            MetricSamples(
                name: "skein_cluster_overflow_total", help: "Connections, requests and retries that a limit of the cluster refused.",
                kind: .counter, samples: overflows),
            MetricSamples(
                name: "skein_cluster_held", help: "What counts against the limits of a cluster now.", kind: .gauge, samples: held),
            MetricSamples(
                name: "skein_health_checks_total", help: "Active health checks by their result.", kind: .counter, samples: results),
            MetricSamples(
                name: "skein_endpoints_unhealthy", help: "Endpoints of a cluster that fail their health checks.", kind: .gauge,
                samples: unhealthy),
            MetricSamples(
                name: "skein_outlier_ejections_active", help: "Endpoints of a cluster that are ejected now.", kind: .gauge,
                samples: ejected),
            MetricSamples(name: "skein_outlier_ejections_total", help: "Ejections by their reason.", kind: .counter, samples: ejections),
            MetricSamples(
                name: "skein_outlier_ejections_overflow_total", help: "Ejections that maxEjectionPercent prevented.", kind: .counter,
                samples: prevented),
        ].filter { !$0.samples.isEmpty } + endpointSamples()
    }

    /// Failures and health of clusters and endpoints by name: what an alert has to say.
    private func endpointSamples() -> [MetricSamples] {
        struct Seen {
            var labels: [(name: String, value: String)]
            var failures: EndpointFailures
            var isHealthy: Bool
        }
        let state = shared.state
        let rows = rows.withLock { $0 }
        var clusters: [MetricSamples.Sample] = []
        var seen: [Seen] = []
        for row in rows {
            let failures = state.connectFailures(cluster: row.slot)
            if failures > 0 { clusters.append(MetricSamples.Sample(labels: [("cluster", row.name)], value: Double(failures))) }
            for endpoint in row.endpoints {
                seen.append(
                    Seen(
                        labels: [("cluster", row.name), ("endpoint", endpoint.address)], failures: state.failures(of: endpoint.slot),
                        isHealthy: state.isAvailable(endpoint.slot)))
            }
        }
        if seen.count > Self.endpointSeriesMax {
            seen = seen.filter { !$0.isHealthy || $0.failures.last != nil } + seen.filter { $0.isHealthy && $0.failures.last == nil }
        }
        let omitted = max(0, seen.count - Self.endpointSeriesMax)
        let shown = seen.prefix(Self.endpointSeriesMax)
        func samples(_ value: (Seen) -> Double?) -> [MetricSamples.Sample] {
            shown.compactMap { one in value(one).map { MetricSamples.Sample(labels: one.labels, value: $0) } }
        }
        func positive(_ count: UInt64) -> Double? { count > 0 ? Double(count) : nil }
        let unresolved = resolver.lastFailures
        let names = rows.flatMap { row in
            row.dnsNames.map { MetricSamples.Sample(labels: [("cluster", row.name), ("host", $0)], value: unresolved[$0] == nil ? 0 : 1) }
        }
        var families = [
            MetricSamples(
                name: "skein_cluster_connect_failures_total", help: "Attempts that got no connection to any endpoint of a cluster.",
                kind: .counter,
                samples: clusters),
            MetricSamples(
                name: "skein_endpoint_connect_failures_total", help: "Attempts that got no connection to an endpoint.", kind: .counter,
                samples: samples { positive($0.failures.connect) }),
            MetricSamples(
                name: "skein_endpoint_failures_total", help: "Attempts at an endpoint that got a connection and no whole response.",
                kind: .counter,
                samples: samples { positive($0.failures.other) }),
            MetricSamples(
                name: "skein_endpoint_healthy", help: "1 = balancers use the endpoint; 0 = it is ejected or fails its health checks.",
                kind: .gauge,
                samples: samples { $0.isHealthy ? 1 : 0 }),
            MetricSamples(
                name: "skein_cluster_dns_failed", help: "1 = the last look-up of a name of the cluster failed.", kind: .gauge,
                samples: names),
        ].filter { !$0.samples.isEmpty }
        if omitted > 0 {
            families.append(
                MetricSamples(
                    name: "skein_endpoint_series_omitted",
                    help: "Endpoints beyond \(Self.endpointSeriesMax), healthy ones first, which have no series.",
                    kind: .gauge, value: Double(omitted)))
        }
        return families
    }
}
