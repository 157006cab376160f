internal import Collector
internal import HTTPService
internal import Primitives
internal import Proxy
internal import QueryAPI
internal import Synchronization
internal import TelemetryModel
internal import TelemetryWire

/// Says where each of the process's own metrics is read. Everything it holds may be read from any thread.
struct MetricsWiring {
    let version: String
    let statistics: CollectorStatistics
    let shared: SharedStatus
    let resolver: HostResolver
    let workers: [WorkerHandle]
    let catalogs: Catalogs
    let certificates: CertificateExpiry

    func register(in registry: SelfMetrics, pool: QueryPool, store: StoredTraces?, servers: [ServiceServer]) {
        registry.registerProcess(version: version)
        registry.registerQueryPool(pool)
        for (server, name) in zip(servers, store == nil ? ["admin"] : ["collector", "admin"]) {
            registry.registerServer(name, server.statistics)
        }
        let workers = workers
        registry.registerProxy(workers.map(\.statistics))
        registry.registerQueues {
            workers.enumerated().map { index, worker in
                QueueHealth(queue: "records_\(index)", depth: Double(worker.ring.bytesWaiting), capacity: Double(worker.ring.capacity))
            }
        }
        let shared = shared
        registry.registerConfiguration { shared.configuration }
        let sources = catalogs.sources
        registry.register {
            [
                MetricSamples(
                    name: "skein_metric_peers_overflowed_total",
                    help: "Connections whose peer is counted as unknown, because the catalogue of peers was full.", kind: .counter,
                    value: Double(sources.overflowed.load(ordering: .relaxed)))
            ]
        }
        let catalogs = catalogs
        registry.register { PlaintextSeries.samples(workers.map(\.plaintext), catalogs) }
        let certificates = certificates
        registry.register { certificates.samples() }
        let statistics = statistics
        registry.register { statistics.samples() }
        let resolver = resolver
        registry.register {
            let failures = resolver.failureCounts.sorted { $0.key < $1.key }
            return [
                MetricSamples(
                    name: "skein_dns_failures_total", help: "Look-ups of configured host names that failed.", kind: .counter,
                    label: "host", values: failures.map { ($0.key, Double($0.value)) })
            ]
        }
        if let store { registry.registerStore(store) }
    }
}
