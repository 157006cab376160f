internal import Logging
internal import MeshConfig
internal import OutlierDetection
internal import Primitives
internal import Proxy
internal import QueryAPI
internal import Routing
internal import TelemetryWire

/// Says where the admin pages read. Everything it holds may be read from any thread.
struct AdminWiring {
    let version: String
    let options: RuntimeOptions
    let shared: SharedStatus
    let metrics: MetricsExposition
    let level: LogLevelSwitch
    private let started = SystemClock.monotonicNow()

    init(version: String, options: RuntimeOptions, shared: SharedStatus, metrics: MetricsExposition, level: LogLevelSwitch) {
        self.version = version
        self.options = options
        self.shared = shared
        self.metrics = metrics
        self.level = level
    }

    var sources: AdminSources {
        let wiring = self
        return AdminSources(
            server: { wiring.server }, listeners: { wiring.listeners }, clusters: { wiring.clusters }, routes: { wiring.routes },
            exposition: { wiring.metrics.exposition(.text) }, logLevel: { wiring.level.level.rawValue },
            setLogLevel: { name in
                guard let level = Logger.Level(rawValue: name.lowercased()) else { return false }
                wiring.level.level = level
                return true
            })
    }

    private var server: ServerStatus {
        var server = ServerStatus()
        server.version = version
        switch shared.readiness {
        case .ready: server.state = .live
        case .notReady(let reason): server.state = reason == "draining" ? .draining : .initializing
        }
        server.uptimeSeconds = SystemClock.monotonicNow().nanoseconds(since: started) / 1_000_000_000
        server.configuration = shared.configuration
        if let node = shared.routing?.snapshot.node, !node.name.isEmpty { server.node = "\(node.namespace)/\(node.name)" }
        server.options = [
            ("config", options.configuration.paths.joined(separator: " ")), ("bind", options.bindAddress),
            ("outbound-port", "\(options.outboundPort)"), ("inbound-port", "\(options.inboundPort)"),
            ("admin-port", "\(options.adminPort)"),
            ("readiness-port", "\(options.readinessPort)"), ("metrics-port", "\(options.metricsPort)"),
            ("zipkin-port", "\(options.zipkinPort)"),
            ("otlp-port", "\(options.otlpPort)"), ("otlp-grpc-port", "\(options.otlpGRPCPort)"),
            ("jaeger-port", "\(options.jaegerPort)"), ("tempo-port", "\(options.tempoPort)"),
            ("data", options.hasStore ? options.dataDirectory : ""),
            ("allow-unenforced", "\(options.allowsUnenforced)"), ("drain-seconds", "\(options.drainSeconds)"),
        ]
        return server
    }

    private var listeners: [ListenerStatus] {
        (shared.routing?.snapshot.listeners ?? []).map { plan in
            ListenerStatus(
                name: plan.name, address: plan.endpoint.description, host: plan.endpoint.family == .unix ? nil : plan.endpoint.addressText,
                port: plan.endpoint.port, side: "\(plan.side)")
        }
    }

    private var routes: [RouteStatus] {
        (shared.routing?.snapshot.describeRoutes() ?? []).map { route in
            var status = RouteStatus()
            status.listener = route.listener
            status.hosts = route.hosts
            status.name = route.name
            status.matches = route.matches
            status.targets = route.targets
            status.timeoutMilliseconds = route.timeoutMilliseconds
            status.retryAttempts = route.retry.attempts
            status.retryOn = route.retry.attempts > 0 ? route.retry.conditions.nameList : ""
            status.perTryTimeoutMilliseconds = route.retry.perTryTimeoutNanoseconds / 1_000_000
            status.resource = route.origin?.resource.description ?? ""
            status.position = route.origin?.position.description ?? ""
            return status
        }
    }

    private var clusters: [ClusterStatus] {
        guard let (snapshot, live) = shared.routing else { return [] }
        let now = SystemClock.monotonicNow()
        return (0..<snapshot.clusterCount).map { Self.status(ofCluster: $0, snapshot, live, now: now) }
    }

    private static func status(
        ofCluster index: Int, _ snapshot: RoutingSnapshot, _ live: LiveUpstreams?, now: MonotonicInstant
    ) -> ClusterStatus {
        let cluster = unsafe snapshot.tables.cluster(index)
        var status = ClusterStatus(name: snapshot.name(ofCluster: UInt32(clamping: index)))
        status.balancer = cluster.hash.key == .none ? "\(cluster.balancer)" : "consistent hash by \(cluster.hash.key)"
        status.isResolved = !cluster.isUnresolved
        let slot = live?.plan.clusters[index] ?? .none
        let state = live?.shared.state
        status.connectFailures = state?.connectFailures(cluster: slot) ?? 0
        let limits: [(String, UpstreamResource, UInt32)] = [
            ("max_connections", .connections, cluster.maxConnections), ("max_pending_requests", .pending, cluster.maxPendingRequests),
            ("max_requests", .requests, cluster.maxRequests), ("max_retries", .retries, cluster.maxRetries),
        ]
        status.limits = limits.map { name, resource, limit in
            ClusterStatus.Limit(
                name: name, limit: limit, held: state?.held(resource, cluster: slot) ?? 0,
                refused: state?.overflow(resource, cluster: slot) ?? 0)
        }
        if cluster.hasRetryBudget { status.retryBudget = retryBudget(cluster, state, slot, now: now) }
        let groups = unsafe Array(snapshot.tables.groups(cluster))
        status.endpoints = cluster.endpoints.indices.map { place in
            let entry = unsafe snapshot.tables.endpoint(place)
            var endpoint = ClusterStatus.Endpoint(
                address: entry.address.description, host: entry.address.family == .unix ? nil : entry.address.addressText,
                port: entry.address.port)
            endpoint.weight = entry.weight
            endpoint.priority = UInt32(groups.first { $0.endpoints.indices.contains(place) }?.priority ?? 0)
            if let live { fill(&endpoint, live.plan.endpoints[place], live.shared.state, now: now) }
            return endpoint
        }
        return status
    }

    private static func retryBudget(
        _ cluster: ClusterEntry, _ state: UpstreamState?, _ slot: ClusterSlot, now: MonotonicInstant
    ) -> ClusterStatus.RetryBudget {
        let budget = RetryBudget(partsPerMillion: cluster.retryBudgetShare, minRetryConcurrency: cluster.retryBudgetMin)
        return ClusterStatus.RetryBudget(
            percent: Double(cluster.retryBudgetShare) / 10_000, minimum: cluster.retryBudgetMin,
            intervalMilliseconds: cluster.retryBudgetNanoseconds / 1_000_000,
            limit: state?.retryLimit(cluster: slot, budget: budget, windowNanoseconds: cluster.retryBudgetNanoseconds, now: now)
                ?? cluster.retryBudgetMin)
    }

    private static func fill(_ endpoint: inout ClusterStatus.Endpoint, _ slot: EndpointSlot, _ state: UpstreamState, now: MonotonicInstant)
    {
        endpoint.requestsActive = state.activeRequests(slot)
        endpoint.latencyMicroseconds = state.latencyMicroseconds(slot)
        if let until = state.ejectedUntil(slot) {
            endpoint.isEjected = true
            endpoint.ejectedMilliseconds = until.nanoseconds > now.nanoseconds ? (until.nanoseconds - now.nanoseconds) / 1_000_000 : 0
        }
        if let until = state.meshEjectedUntil(slot) {
            endpoint.isMeshEjected = true
            endpoint.meshEjectedMilliseconds = until.nanoseconds(since: now) / 1_000_000
        }
        endpoint.failsHealthChecks = state.hasFailedHealthCheck(slot)
        let failures = state.failures(of: slot)
        endpoint.connectFailures = failures.connect
        endpoint.otherFailures = failures.other
        endpoint.lastError = failures.last?.text ?? ""
        endpoint.lastErrorUnixSeconds = failures.lastUnixMilliseconds / 1000
    }
}
