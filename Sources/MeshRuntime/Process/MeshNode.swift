internal import Collector
internal import EventLoops
internal import Glibc
internal import HTTP
internal import HTTPService
internal import Logging
internal import MeshConfig
internal import Primitives
internal import Proxy
internal import QueryAPI
internal import Routing
internal import Synchronization
internal import TLS
internal import TelemetryModel
internal import TelemetryStore
internal import TelemetryWire

/// One running process: store, collector, servers and proxy, started in that order and stopped in the opposite one.
///
/// Confined to the control thread, but for what its closures read: those are Sendable values behind locks.
final class MeshNode {
    private let options: RuntimeOptions
    private let version: String
    private let log: Logger
    private let catalogs = Catalogs()
    private let statistics = CollectorStatistics()
    private let shared = SharedStatus()
    private let resolver: HostResolver
    private let resolverThread: WorkerThread
    private let prober: HealthProber
    private let proberThread: WorkerThread
    private var controller: ConfigurationController
    private var history = CaptureHistory()
    private var exporters: SpanExporters
    private let store: StoreHolder?
    private let pool: QueryPool
    private let pump: RecordPump
    private let receivers: Receivers?
    private let proxy: ProxyGroup
    private var upstreams: UpstreamPlanner
    private let metrics: MetricsExposition
    private let series: SeriesService
    /// Of mesh-wide outlier detection: the judge, where there is a store; this proxy's side, where it reports to a collector.
    private let outlierService: OutlierService?
    private let meshOutliers: MeshOutliers?
    /// The collector's, if any, then the admin's.
    private var servers: [ServiceServer] = []
    /// Opens the collector's ports, once the store is this process's; nil when they are open or there are none.
    private(set) var openCollector: (() throws -> Void)?
    private var storeWatch = StoreWatch()
    /// Host names without an answer and the reason that was said last.
    private var unresolved: [String: String] = [:]
    /// What workers said of listeners since the last reload: each of them says it.
    private var saidOfListeners: Set<String> = []
    private static let saidMax = 1000
    private var security: SecurityState
    private let ports: ServicePorts
    private let renewal: CertificateRenewal?
    private let tokens: TokenService
    /// What workers serve by.
    private var adopted: (compiled: CompiledConfiguration, plan: CollectorPlan)?

    init(options: RuntimeOptions, version: String, log: Logger, level: LogLevelSwitch) throws {
        self.options = options
        self.version = version
        self.log = log
        let say: @Sendable (String) -> Void = { line in log.warning("\(line)") }
        controller = ConfigurationController(options: options, catalogs: catalogs)
        let first = try Self.firstConfiguration(&controller, log)
        security = try SecurityState(options, log)
        renewal = try CertificateRenewal.start(options, security.workload, log)
        ports = ServicePorts(options: options, tls: security.serviceTLS.server)
        for warning in ports.warnings { log.warning("\(warning)") }
        let workers = options.workers > 0 ? options.workers : min(16, ProcessResources.processorCount)
        let successor = try TakeoverSuccessor.knock(options, workers: workers)
        let isSuccessor = successor != nil
        if isSuccessor { log.notice("taking over from a running process: its listening sockets are here") }
        resolver = try HostResolver()

        // The store first: everything else produces for it.
        store = options.hasStore ? try Self.openStore(options, awaitsPredecessor: isSuccessor) : nil
        let queries = store.map { StoredTraces($0) }
        let storedSeries = store.map { StoredSeries($0) }
        let spanMetrics = options.spanMetrics.sink(before: queries, recordedEvery: options.metricsIntervalSeconds, statistics)
        let sink: any BatchSink<SpanBatch> = if let spanMetrics { spanMetrics } else if let queries { queries } else { NoStore() }
        pool = try QueryPool()
        let naming = options.otlpNaming.translation
        let seed = options.seed ?? .random(in: 1...UInt64.max)
        let note: @Sendable (String) -> Void = { line in log.notice("\(line)") }
        outlierService = options.hasStore
            ? OutlierService(seed: seed, epoch: .random(in: 1...UInt64.max), detectors: options.meshDetectors, say: note) : nil
        let receivers = options.hasStore
            ? Receivers(
                sink: sink, metrics: storedSeries, translation: naming, outliers: outlierService, statistics: statistics, say: note) : nil
        self.receivers = receivers
        exporters = SpanExporters(
            statistics: statistics, own: options.hasStore ? [options.zipkinPort].compactMap { options.endpoint($0) } : [],
            tls: security.serviceTLS, say: say)

        let plan: CollectorPlan
        do {
            plan = try CollectorPlanner.plan(first, options, &history, &exporters, log)
        } catch {
            throw StartError(status: SkeinProcess.badInput, lines: ["\(error)"])
        }
        var limits = ProxyLimits()
        limits.drainNanoseconds = min(options.drainSeconds, 86_400) * 1_000_000_000
        limits.allowsHalfClose = options.allowsHalfClose
        if let upgrades = UpgradeProtocols(names: options.upgradeProtocols) { limits.upgrades = upgrades }
        limits.seriesMax = max(500, NodeLimits.seriesMax / workers)
        let checked = try ListenerCheck(first.routing.listeners)
        let sharedUpstreams = SharedUpstreams(seed: seed, issuerKeys: controller.keys)
        prober = try HealthProber(shared: sharedUpstreams)
        upstreams = UpstreamPlanner(shared: sharedUpstreams, catalogs: catalogs, prober: prober, resolver: resolver)
        proxy = try ProxyGroup(
            count: workers, limits: limits, ringBytes: NodeLimits.ringBytes,
            configuration: Self.proxyConfiguration(
                first, plan, &upstreams, security.plan(first.routing), keepsRecords: options.adminPort != 0),
            shared: upstreams.shared, sources: catalogs.sources, seed: seed)
        pump = try RecordPump(
            rings: proxy.workers.map(\.ring), plan: plan, sink: sink, catalogs: catalogs, statistics: statistics, say: say)
        let selfMetrics = SelfMetrics()
        let handles = proxy.workers
        tokens = try TokenService(controller.keys, first.tokens, workers: handles, options, security.serviceTLS, log)
        tokens.register(in: selfMetrics)
        adopted = (first, plan)
        metrics = MetricsExposition(
            shards: handles.map(\.shard), catalogs: catalogs, selfMetrics: selfMetrics, pool: pool, exemplars: pump.exemplars,
            tcp: { handles.flatMap { $0.tcpShard.snapshot() } },
            outcomes: OutcomeShards(handles, KnownDestinationsWatch(shared)))
        meshOutliers = options.collector == nil || options.metricsIntervalSeconds == 0 ? nil : MeshOutliers(
            sharedUpstreams, shards: handles.map(\.endpointOutcomes), intervalNanoseconds: options.metricsIntervalSeconds * 1_000_000_000,
            now: SystemClock.monotonicNow(), say: say)
        meshOutliers?.update(upstreams.judged)
        series = try SeriesService(
            storedSeries, metrics, spanMetrics, receivers?.reporters, options, security.serviceTLS, shared, outliers: meshOutliers,
            version: version, statistics, say: say)
        receivers?.forward(to: plan.exporters)
        proberThread = try prober.start(seed: seed)
        resolverThread = try resolver.start()
        resolver.want(first.routing.hostsToResolve)
        try startServers(receivers, queries, level)
        MetricsWiring(
            version: version, statistics: statistics, shared: shared, resolver: resolver, workers: proxy.workers, catalogs: catalogs,
            certificates: security.expiry).register(in: selfMetrics, pool: pool, store: queries, servers: servers)
        series.register(in: selfMetrics)
        let renewals = security.serviceTLS.renewals
        selfMetrics.register { renewals.samples }
        if let renewal { selfMetrics.register { renewal.samples } }
        if let meshOutliers { selfMetrics.register { meshOutliers.samples() } }
        if let outlierService { selfMetrics.register { outlierService.samples() } }
        let clusters = upstreams.metrics
        selfMetrics.register { clusters.samples() }
        let authorization = AuthorizationMetrics(catalog: controller.rules, counters: handles.map(\.authorizations))
        let checks = AuthorizerMetrics(catalog: controller.authorizers, counters: handles.map(\.authorizers))
        selfMetrics.register { authorization.samples() + checks.samples() }
        shared.update(controller.status, first, upstreams.live, keys: controller.keys)
        guard proxy.hasAdopted(first.routing.generation, withinMilliseconds: NodeLimits.adoptionMilliseconds) else {
            throw StartError(
                status: SkeinProcess.systemError,
                lines: ["a worker thread did not start serving within \(NodeLimits.adoptionMilliseconds / 1000) s"])
        }
        checked.end()
        // What the store lost is said before the first request.
        watchStore()
        shared.setReadiness(.ready)
        if let successor {
            let predecessor = successor.predecessor
            successor.serving()
            let kept = Set(ServicePorts.collector.compactMap { options.endpoint(ports.number($0)) })
            for endpoint in ListenerTable.closeUnclaimed(except: openCollector == nil ? [] : kept) {
                log.warning("\(endpoint) was listened on before and is not any more: connections that waited there are closed")
            }
            log.notice("process \(predecessor) was taken over from; it finishes what it has")
        }
    }

    // MARK: Start

    private static func firstConfiguration(_ controller: inout ConfigurationController, _ log: Logger) throws -> CompiledConfiguration {
        switch controller.load(resolved: [:]) {
        case .failure(let error): throw StartError(status: SkeinProcess.badInput, lines: error.lines)
        case .success(let (compiled, diagnostics)):
            DiagnosticLog.write(diagnostics, to: log)
            return compiled
        }
    }

    private static func openStore(_ options: RuntimeOptions, awaitsPredecessor: Bool) throws -> StoreHolder {
        var configuration = StoreConfiguration(directory: options.dataDirectory)
        configuration.retentionAgeSeconds = options.retentionSeconds
        configuration.retentionBytes = options.retentionBytes
        configuration.autocompleteKeys = options.autocompleteKeys
        configuration.strictTraceID = options.strictTraceID
        var series = SeriesConfiguration()
        if !options.seriesTiers.isEmpty, case .tiers(let tiers) = SeriesTierOption.parse(options.seriesTiers) { series.tiers = tiers }
        do throws(StoreError) {
            return try StoreHolder(configuration, series, isRequired: options.requiresStore, now: SystemClock.monotonicNow().nanoseconds,
                awaitsPredecessor: awaitsPredecessor)
        } catch {
            throw StartError(status: SkeinProcess.systemError, lines: [error.description])
        }
    }

    private func startServers(_ receivers: Receivers?, _ queries: StoredTraces?, _ level: LogLevelSwitch) throws {
        let metrics = metrics
        let (prometheus, canaries) = (series.api, series.canaries)
        let outliers = outlierService.map { OutlierAPI($0) }
        let shared = shared
        let version = version
        let admin = AdminAPI(readiness: { shared.readiness }, dump: { shared.dump(version: version) })
        let sources = AdminWiring(version: version, options: options, shared: shared, metrics: metrics, level: level).sources
        let pages = AdminPages(sources, pool: pool)
        let logs = LogsAPI(tail: pump.tail)
        let served = ServedRequestExplanation(tail: pump.tail, store: queries)
        let explain = ExplainAPI(shared: shared, served: served, pool: pool)
        if let receivers, let queries {
            var zipkin = ZipkinOptions(version: version)
            zipkin.autocompleteKeys = options.autocompleteKeys
            zipkin.lookbackDefault = options.queryLookbackMilliseconds
            zipkin.notEnforced = { shared.configuration.unenforced }
            let api = ZipkinAPI(store: queries, pool: pool, options: zipkin)
            let faces = TraceFaces(queries, pool, options, ports, version: version)
            let page = PageWiring(options: options, version: version, shared: shared, pool: pool, hints: ports.hints).part(
                store: queries, tail: pump.tail, sources: sources, served: served)
            let router = EndpointRouter(
                help: "spans are taken by POST /api/v2/spans, /v1/traces and OTLP over gRPC, traces are at /api/v2/traces, a page is at /",
                opener: { request in faces.owns(request) ? nil : receivers.open(request) },
                [
                    ports.gate(ServicePorts.collector),
                    { request, responder in faces.handle(request, responder) },
                    { request, responder in receivers.handle(request, responder) },
                    ports.hostGate(),
                    { request, responder in outliers?.handle(request, responder) },
                    { request, responder in api.handle(request, responder) },
                    { request, responder in canaries?.handle(request, responder) ?? prometheus?.handle(request, responder) },
                    { request, responder in metrics.handle(request, responder) },
                    page,
                ])
            if store?.isAwaitingPredecessor == true {
                openCollector = { [unowned self] in try self.start("collector", ServicePorts.collector, router, at: 0) }
            } else {
                try start("collector", ServicePorts.collector, router)
            }
        }
        let router = EndpointRouter(
            help: "/help lists the pages",
            [
                ports.gate(ServicePorts.admin),
                ports.hostGate(),
                { request, responder in pages.handle(request, responder) },
                { request, responder in admin.handle(request, responder) },
                { request, responder in metrics.handle(request, responder) },
                { request, responder in logs.handle(request, responder) },
                { request, responder in explain.handle(request, responder) },
            ])
        try start("admin", ServicePorts.admin, router)
    }

    private func start(_ name: String, _ ports: [ServicePort], _ handler: any ServiceHandler, at place: Int? = nil) throws {
        let say: @Sendable (String) -> Void = { [log] line in log.warning("\(line)") }
        guard let server = try self.ports.open(name, ports, handler, say: say) else { return }
        servers.insert(server, at: place ?? servers.count)
    }

    var summary: String {
        let listeners = controller.current?.routing.listeners.map { plan in
            plan.name.hasSuffix(plan.endpoint.description)
                ? plan.name.replacing("_", with: " ", maxReplacements: 1) : "\(plan.name) \(plan.endpoint)"
        } ?? []
        let open = servers.flatMap(\.endpoints).map { endpoint in
            [ports.title(endpoint.port), endpoint.description].compactMap(\.self).joined(separator: " ")
        }
        return (listeners + open).joined(separator: ", ")
    }

    // MARK: Configuration

    /// Loads everything anew; on an error the old configuration goes on and the reason is logged and counted. `isMeant`: somebody asked for
    /// it, so that it may take everything away.
    func reload(reason: String, isMeant: Bool) {
        switch controller.load(resolved: resolver.answers, isMeant: isMeant) {
        case .failure(let error):
            log.error("\(reason): the configuration was not adopted, the last good one goes on")
            for line in error.lines.prefix(ConfigurationController.errorLinesMax) { log.error("\(line)") }
            shared.update(controller.status, nil)
        case .success(let (compiled, diagnostics)):
            DiagnosticLog.write(diagnostics.filter { $0.severity == .warning }, to: log)
            if adopt(compiled) { log.info("\(reason): configuration \(controller.status.generation) adopted") }
        }
    }

    /// Compiles again when names resolve differently.
    func adoptResolvedNames() {
        let (changed, failures) = resolver.takeChanges()
        // It is tried every two seconds and said once.
        for (host, reason) in failures.sorted(by: { $0.key < $1.key }) where unresolved.updateValue(reason, forKey: host) != reason {
            log.warning("cannot resolve \(host): \(reason)")
        }
        if changed { unresolved = unresolved.filter { resolver.answers[$0.key] == nil } }
        if changed, let compiled = controller.recompile(resolved: resolver.answers) { adopt(compiled) }
    }

    @discardableResult
    private func adopt(_ compiled: CompiledConfiguration) -> Bool {
        let plan: CollectorPlan
        do {
            plan = try CollectorPlanner.plan(compiled, options, &history, &exporters, log)
        } catch {
            log.error("the configuration was not adopted, the last good one goes on: \(error)")
            controller.withdraw("\(error)")
            shared.update(controller.status, nil)
            return false
        }
        // The collector first, so that it knows the captures before records of them come.
        pump.apply(plan)
        receivers?.forward(to: plan.exporters)
        saidOfListeners = []
        adopted = (compiled, plan)
        adoptProxy(compiled, plan)
        meshOutliers?.update(upstreams.judged)
        for problem in upstreams.problems { log.warning("\(problem)") }
        resolver.want(compiled.routing.hostsToResolve)
        shared.update(controller.status, compiled, upstreams.live)
        return true
    }

    private func adoptProxy(_ compiled: CompiledConfiguration, _ plan: CollectorPlan) {
        let secured = security.plan(compiled.routing)
        tokens.use(compiled.tokens)
        proxy.adopt(Self.proxyConfiguration(compiled, plan, &upstreams, secured, keepsRecords: options.adminPort != 0))
    }

    /// Takes renewed certificates into use: connections go on, new ones get them.
    func watchCertificates() {
        let areRenewed = security.look()
        guard let adopted else { return }
        if exporters.haveAwaitedFilesChanged(now: SystemClock.monotonicNow()) {
            log.notice("files that a tracing provider lacked have changed: it is tried again")
            adopt(adopted.compiled)
        } else if areRenewed {
            adoptProxy(adopted.compiled, adopted.plan)
        }
    }

    private static func proxyConfiguration(
        _ compiled: CompiledConfiguration, _ plan: CollectorPlan, _ upstreams: inout UpstreamPlanner, _ security: SecurityPlan,
        keepsRecords: Bool
    ) -> ProxyConfiguration {
        ProxyConfiguration(
            routing: compiled.routing,
            telemetry: TelemetryPlanner.plan(compiled.routing, capture: plan.capture, plan.connections, keepsRecords: keepsRecords),
            pathNormalization: PathNormalization(compiled.routing.pathNormalization), upstreams: upstreams.plan(compiled.routing, security),
            security: security, edgeCerts: ClientCertForwarding(compiled.mesh.mesh.forwardClientCertDetails),
            authorization: compiled.authorization, tokens: compiled.tokens)
    }

    /// Opens the store when its disk is well again, says when it begins and ceases to refuse spans, and what of it cannot be read.
    func watchStore() {
        guard let holder = store else { return }
        holder.retry(now: SystemClock.monotonicNow().nanoseconds)
        if let open = openCollector, !holder.isAwaitingPredecessor {
            openCollector = nil
            do {
                try open()
                let ports = servers[0].endpoints.map(\.description).joined(separator: ", ")
                log.info("the trace store is this process's now: spans and queries are taken on \(ports)")
            } catch {
                log.error("\((error as? StartError)?.lines.joined(separator: "; ") ?? "\(error)")")
            }
        }
        storeWatch.look(at: holder, log)
        series.watch()
    }

    /// Ejections end, rates are judged, and rows of old configurations are freed.
    func judgeUpstreams() {
        let adopted = proxy.workers.map { $0.statistics.configurationGeneration.load(ordering: .relaxed) }.min() ?? 0
        upstreams.keepHouse(adopted: adopted)
        let now = SystemClock.monotonicNow()
        meshOutliers?.check(now: now)
        outlierService?.tick(now: now)
        proxy.freeRetired()
        if saidOfListeners.count > Self.saidMax { saidOfListeners = [] }
        for problem in proxy.workers.flatMap({ $0.takeProblems() }) where saidOfListeners.insert(problem).inserted {
            log.error("\(problem)")
        }
    }

    func recordSeries() { series.recordIfDue(now: SystemClock.monotonicNow()) }

    func reopenLogs() { pump.reopen() }

    func reloadScrapes() { series.reload() }

    func expireIdleSeries() {
        for (worker, idle) in zip(proxy.workers, metrics.idleRows()) where !idle.isEmpty { worker.mailbox.send(.expire(idle)) }
    }

    // MARK: Stop

    func beginDraining() {
        shared.setReadiness(.notReady(reason: "draining"))
        proxy.drain()
    }

    /// Another process listens here now: no new connections, idle ones may bring one more request. The collector's ports stay open until
    /// the last request's span is stored.
    func handOver() {
        ListenerTable.handOver()
        renewal?.stop()
        shared.setReadiness(.notReady(reason: "draining"))
        // Whoever asks for readiness now means the process that serves.
        servers.last?.stopAccepting()
        proxy.handOver()
    }

    /// Answers what the servers have begun to receive, for some seconds at most.
    func finishCollector() {
        for server in servers { server.finish(withinNanoseconds: Self.finishNanoseconds) }
        servers = []
    }

    private static let finishNanoseconds: UInt64 = 5_000_000_000

    var hasDrained: Bool { proxy.hasEnded }
    func endProxyNow() { proxy.stop() }

    /// First producers, then consumers; each gets a bounded time.
    func stop() {
        renewal?.stop()
        tokens.stop()
        proxy.stop()
        proxy.join()
        prober.stop()
        proberThread.join()
        for server in servers { server.stop() }
        servers = []
        pump.stop()
        series.stop()
        exporters.stopAll()
        pool.stop()
        resolver.stop()
        store?.close()
    }
}
