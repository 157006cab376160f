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
    let sources: SourceCatalog

    func register(in registry: SelfMetrics, pool: QueryPool, store: StoreAdapter?, servers: [ServiceServer]) {
        registry.registerProcess(version: version)
        registry.registerQueryPool(pool)
        for (server, name) in zip(servers, store == nil ? ["admin"] : ["collector", "admin"]) {
            registry.registerServer(name, server.statistics)
        }
        let workers = workers
        registry.registerProxy { workers.enumerated().map { Self.health($0.offset, $0.element) } }
        registry.registerQueues {
            workers.enumerated().map { index, worker in
                QueueHealth(queue: "records_\(index)", depth: Double(worker.ring.bytesWaiting), capacity: Double(worker.ring.capacity))
            }
        }
        let shared = shared
        registry.registerConfiguration {
            let status = shared.configuration
            var health = ConfigurationHealth()
            health.generation = status.generation
            health.reloads = status.reloads
            health.reloadFailures = status.failures
            health.isLastReloadSuccessful = status.lastError.isEmpty
            health.lastReloadSuccessSeconds = Double(status.lastSuccessUnixSeconds)
            return health
        }
        registry.register {
            let samples = shared.configuration.unenforcedByKind.sorted { $0.key < $1.key }.map { kind, count in
                MetricSamples.Sample(labels: [("kind", kind)], value: Double(count))
            }
            return [
                MetricSamples(
                    name: "skein_unenforced_policies",
                    help: "Security policies that select this workload and are not enforced by this version.",
                    kind: .gauge, samples: samples)
            ]
        }
        let sources = sources
        registry.register {
            [
                MetricSamples(
                    name: "skein_metric_peers_overflowed_total",
                    help: "Connections whose peer is counted as unknown, because the catalogue of peers was full.", kind: .counter,
                    value: Double(sources.overflowed.load(ordering: .relaxed)))
            ]
        }
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

    private static func health(_ index: Int, _ worker: WorkerHandle) -> ProxyWorkerHealth {
        let statistics = worker.statistics
        var health = ProxyWorkerHealth(worker: String(index))
        health.downstreamConnections = Double(statistics.downstreamActive.load(ordering: .relaxed))
        health.upstreamConnections = Double(statistics.upstreamActive.load(ordering: .relaxed))
        health.requestsActive = Double(statistics.requestsActive.load(ordering: .relaxed))
        health.downstreamConnectionsTotal = Double(statistics.downstreamTotal.load(ordering: .relaxed))
        health.upstreamConnectionsTotal = Double(statistics.upstreamTotal.load(ordering: .relaxed))
        health.upstreamConnectFailuresTotal = Double(statistics.upstreamConnectFailures.load(ordering: .relaxed))
        health.requestsTotal = Double(statistics.requestsTotal.load(ordering: .relaxed))
        health.acceptFailuresTotal = Double(statistics.acceptFailures.load(ordering: .relaxed))
        health.splicedBytesTotal = Double(statistics.splicedBytes.load(ordering: .relaxed))
        health.protocolErrorsTotal = Double(statistics.protocolErrors.load(ordering: .relaxed))
        health.staleRetriesTotal = Double(statistics.staleRetries.load(ordering: .relaxed))
        health.retriesTotal = Double(statistics.retries.load(ordering: .relaxed))
        health.faultDelaysTotal = Double(statistics.faultDelays.load(ordering: .relaxed))
        health.faultAbortsTotal = Double(statistics.faultAborts.load(ordering: .relaxed))
        health.mirrorsTotal = Double(statistics.mirrors.load(ordering: .relaxed))
        health.mirrorsDroppedTotal = Double(statistics.mirrorsDropped.load(ordering: .relaxed))
        health.http2ConnectionsTotal = Double(statistics.http2Connections.load(ordering: .relaxed))
        health.http2FloodsTotal = Double(statistics.http2Floods.load(ordering: .relaxed))
        health.http2EarlyResetsTotal = Double(statistics.http2EarlyResets.load(ordering: .relaxed))
        health.fieldsDroppedTotal = Double(statistics.fieldsDropped.load(ordering: .relaxed))
        health.upstreamProtocolErrorsTotal = Double(statistics.upstreamProtocolErrors.load(ordering: .relaxed))
        health.loopLagSeconds = Double(statistics.turnNanosecondsMax.exchange(0, ordering: .relaxed)) / 1e9
        return health
    }
}
