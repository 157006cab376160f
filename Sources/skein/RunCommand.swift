internal import ArgumentParser
internal import MeshConfig
internal import MeshRuntime

struct RunOptions: ParsableArguments {
    enum SpanMetrics: String, ExpressibleByArgument, CaseIterable {
        case tempo, otel, off

        var option: SpanMetricsOption {
            switch self {
            case .tempo: .tempo
            case .otel: .otel
            case .off: .off
            }
        }
    }

    @Option(name: .shortAndLong, parsing: .upToNextOption, help: "Files and directories of Istio resources.", completion: .file())
    var config: [String] = []

    @Flag(name: [.customShort("R"), .customLong("recursive")], help: "Read the subdirectories of directories as well.")
    var isRecursive = false

    @Flag(help: "Start although security policies that select this workload are not enforced by this version; each is a warning then.")
    var allowUnenforced = false

    @Option(help: "The WorkloadEntry this proxy stands beside: NAME or NAMESPACE/NAME.")
    var node: String?

    @Option(help: "Namespace of a proxy that stands beside no workload: short names are looked up there.")
    var namespace = "default"

    @Option(help: "Directory of the store: traces and metrics.", completion: .directory)
    var data = "skein-data"

    @Flag(help: "No store, receivers or query API: a proxy that sends its spans elsewhere.")
    var noStore = false

    @Flag(help: "Do not start while the trace store cannot be opened; without it the proxy starts and opening is tried again.")
    var requireStore = false

    @Option(help: "Directory that relative access-log paths start from; default: the working directory.", completion: .directory)
    var accessLogDirectory: String?

    @Option(
        help: """
            Directory of this workload's certificate, key and roots: tls.crt, tls.key, ca.crt as Kubernetes mounts them, or the files of \
            Istio's agent or SPIRE's helper. With it mutual TLS is spoken and taken; renewed files are taken into use.
            """,
        completion: .directory)
    var identity: String?

    @OptionGroup(title: "CERTIFICATE AUTHORITY") var authority: AuthorityArguments

    @Option(
        help: """
            Directory of the credentials that Gateways and DestinationRules name (credentialName): NAME/tls.crt, NAME/tls.key, and for \
            client certificates NAME/ca.crt, NAME/ca.crl or NAME-cacert/ca.crt. Renewed files are taken into use.
            """,
        completion: .directory)
    var credentials: String?

    @Option(
        name: .customLong("jwks-ca"),
        help: "File of the authorities that https servers of token keys (jwksUri) are believed by, instead of the system's.",
        completion: .file())
    var jwksCA: String?

    @Flag(
        help: "Allow core files and debuggers although they can see a key (--identity, --credentials, --tls-key, --https-key).")
    var allowDumps = false

    @Option(help: "Proxy threads; 0 = one per CPU.")
    var workers = 0

    @Option(parsing: .upToNextOption, help: "Protocols that connections may be upgraded to; what they carry then passes no rule.")
    var upgradeProtocols = ["websocket"]

    @Flag(help: "Answer HTTP/1.1 clients that close their half of the connection behind a request; else they are gone (0 DC).")
    var halfCloseClients = false

    @Option(help: "Address that every port below is opened on.")
    var bind = "127.0.0.1"

    @Option(
        parsing: .upToNextOption,
        help: """
            Host names that a browser may call loopback ports by, besides localhost, addresses and this machine's name: NAME, *.DOMAIN or \
            * for any. Others are refused (421): a page from elsewhere may name itself so.
            """)
    var allowedHost: [String] = []

    @Option(help: "Outbound proxy port; 0 = off.")
    var outboundPort: UInt16 = 15001

    @Option(help: "Inbound proxy port; 0 = off.")
    var inboundPort: UInt16 = 15006

    @Option(help: "Admin port; 0 = off.")
    var adminPort: UInt16 = 15000

    @Option(help: "Readiness port; 0 = off.")
    var readinessPort: UInt16 = 15021

    @Option(help: "Metrics port; 0 = off.")
    var metricsPort: UInt16 = 15090

    @Option(help: "Zipkin port (environment: QUERY_PORT); 0 = off.")
    var zipkinPort: UInt16?

    @Option(help: "OTLP over HTTP port; 0 = off.")
    var otlpPort: UInt16 = 4318

    @Option(help: "OTLP over gRPC port; 0 = off.")
    var otlpGrpcPort: UInt16 = 4317

    @Option(help: "Port of Jaeger's query API alone, e.g. 16686; 0 = off. The Zipkin port has it below /jaeger.")
    var jaegerPort: UInt16 = 0

    @Option(help: "Port of Tempo's query API alone, e.g. 3200; 0 = off. The Zipkin port has it below /tempo.")
    var tempoPort: UInt16 = 0

    @Option(help: "Seconds that requests in flight may take after SIGTERM.")
    var drainSeconds: UInt64 = 30

    @Option(help: "Days that spans are kept; 0 = for ever.")
    var retentionDays: UInt64 = 7

    @Option(help: "Megabytes that the trace store may take on disk, its log included, at least 8; 0 = no limit.")
    var retentionMegabytes: UInt64 = 10_240

    @Option(
        parsing: .upToNextOption,
        help: """
            How far apart metrics are kept, how long, and on how many bytes: WINDOW=AGE[,SIZE] from fine to coarse; \
            default: raw=2d 1m=31d 1h=400d.
            """)
    var seriesTiers: [String] = []

    @Option(help: "Seconds between two recordings of this process' own metrics in its store; 0 = off.")
    var metricsInterval: UInt64 = 10

    @Option(help: "Make metrics from spans, a service graph among them, under the names of: tempo, otel; off = none.")
    var spanMetrics = SpanMetrics.tempo

    @Option(help: "Report this process' metrics to the collector at [https://]HOST:PORT, the query port of another Skein.")
    var collector: String?

    @Option(
        name: .customLong("enforce-outliers"),
        help: "A collector's detectors, by comma, that eject mesh-wide although no resource asks for them: error-rate, latency.")
    var enforcedOutliers: String?

    @Option(
        parsing: .singleValue,
        help: """
            Judge a canary all the time, as metrics and in the log: route=NAMESPACE/VIRTUALSERVICE or service=HOST, and what else \
            `skein canary` takes, by comma: route=default/reviews,canary=v2. May be repeated.
            """)
    var judgeCanary: [String] = []

    @Option(parsing: .singleValue, help: "Take the metrics of [JOB=]http[s]://HOST:PORT/PATH into the store as well; may be repeated.")
    var scrape: [String] = []

    @Option(help: "Scrape the static targets of a Prometheus configuration file as well.", completion: .file())
    var scrapeConfig: String?

    @Option(help: "Seconds between two scrapes of a target of --scrape.")
    var scrapeInterval: UInt64 = 15

    @OptionGroup(title: "OTLP METRICS") var otlp: OTLPOptions

    @OptionGroup(title: "TLS OF OWN PORTS, EXPORTERS AND SCRAPES") var tls: ServiceTLSArguments

    @Option(
        parsing: .upToNextOption, help: "Tag keys offered for completion by the query API (environment: AUTOCOMPLETE_KEYS, with commas).")
    var autocompleteKeys: [String] = []

    @Flag(
        inversion: .prefixedNo,
        help: """
            Whether a trace id is matched as a whole, or by its low 64 bits, for systems that mix both sizes \
            (environment: STRICT_TRACE_ID).
            """)
    var strictTraceId: Bool?

    @Option(help: ArgumentHelp("Seed of every random draw of the proxy.", visibility: .hidden))
    var seed: UInt64?

    func validate() throws {
        if config.contains("-") {
            throw ValidationError("-c -: a running proxy reads its configuration again, so it takes files and directories")
        }
        if workers < 0 || workers > 64 { throw ValidationError("--workers takes 0...64") }
        if let problem = upgradeProtocols.lazy.compactMap(RuntimeOptions.problem(upgradeProtocol:)).first {
            throw ValidationError("--upgrade-protocols: \(problem)")
        }
        if let problem = scrape.lazy.compactMap(RuntimeOptions.problem(scrapeTarget:)).first {
            throw ValidationError("--scrape \(problem)")
        }
        if scrape.count > RuntimeOptions.scrapeTargetsMax {
            throw ValidationError("--scrape is taken \(RuntimeOptions.scrapeTargetsMax) times at most")
        }
        if let collector, RuntimeOptions.collectorAddress(collector) == nil {
            throw ValidationError("--collector \(collector): write HOST:PORT, such as 10.0.0.7:9411 or https://collector.example.org:9411")
        }
        if let problem = tls.options.problem(hasIdentity: identity != nil || authority.ca != nil) { throw ValidationError(problem) }
        if !seriesTiers.isEmpty, let problem = RuntimeOptions.problem(seriesTiers: seriesTiers) {
            throw ValidationError("--series-tiers \(problem)")
        }
        if let enforcedOutliers, Self.outliers(enforcedOutliers) == nil {
            let known = EnforcedOutlier.allCases.map(\.rawValue).joined(separator: ", ")
            throw ValidationError("--enforce-outliers \(enforcedOutliers): known are \(known)")
        }
        for text in judgeCanary {
            if let problem = RuntimeOptions.problem(judgedCanary: text) { throw ValidationError("--judge-canary \(text): \(problem)") }
        }
        if judgeCanary.count > RuntimeOptions.judgedCanariesMax {
            throw ValidationError("--judge-canary is taken \(RuntimeOptions.judgedCanariesMax) times at most")
        }
        if noStore, !judgeCanary.isEmpty { throw ValidationError("--judge-canary needs the store that --no-store leaves out") }
        if collector != nil, metricsInterval == 0 { throw ValidationError("--collector needs a --metrics-interval above 0") }
        if let name = allowedHost.first(where: { RuntimeOptions.problem(allowedHost: $0) != nil }) {
            throw ValidationError("--allowed-host \(name): \(RuntimeOptions.problem(allowedHost: name) ?? "")")
        }
        if allowedHost.count > RuntimeOptions.allowedHostsMax {
            throw ValidationError("--allowed-host takes \(RuntimeOptions.allowedHostsMax) names at most")
        }
        if !(1...3600).contains(scrapeInterval) { throw ValidationError("--scrape-interval takes 1...3600") }
        if metricsInterval > 3600 { throw ValidationError("--metrics-interval takes 0...3600") }
        if noStore, scrapeConfig != nil { throw ValidationError("--scrape-config needs the store that --no-store leaves out") }
        if noStore, !scrape.isEmpty { throw ValidationError("--scrape needs the store that --no-store leaves out") }
        if upgradeProtocols.count > RuntimeOptions.upgradeProtocolsMax {
            throw ValidationError("--upgrade-protocols takes \(RuntimeOptions.upgradeProtocolsMax) at most")
        }
    }

    /// The detectors of a list; nil where one is not known.
    private static func outliers(_ list: String) -> Set<EnforcedOutlier>? {
        let names = list.split(separator: ",").map { EnforcedOutlier(rawValue: String($0)) }
        return names.contains(nil) ? nil : Set(names.compactMap(\.self))
    }

    /// `environment` gives the value of a variable.
    func runtimeOptions(environment: (String) -> String? = Environment.value) -> RuntimeOptions {
        var options = RuntimeOptions()
        options.configuration = ConfigurationSource(config, isRecursive: isRecursive)
        options.allowsUnenforced = allowUnenforced
        options.node = node
        options.namespace = namespace
        options.dataDirectory = data
        options.hasStore = !noStore
        options.requiresStore = requireStore
        options.accessLogDirectory = accessLogDirectory
        options.authority = authority.options
        options.identityDirectory = identity ?? authority.options.map { _ in "\(data)/identity" }
        options.credentialsDirectory = credentials
        options.issuerAuthorities = jwksCA
        options.allowsDumps = allowDumps
        options.serviceTLS = tls.options
        options.workers = workers
        options.upgradeProtocols = upgradeProtocols
        options.allowsHalfClose = halfCloseClients
        options.bindAddress = bind
        options.allowedHosts = allowedHost
        options.outboundPort = outboundPort
        options.inboundPort = inboundPort
        options.adminPort = adminPort
        options.readinessPort = readinessPort
        options.metricsPort = metricsPort
        let preset = EnvironmentOptions(environment)
        options.zipkinPort = zipkinPort ?? preset.zipkinPort ?? options.zipkinPort
        options.otlpPort = otlpPort
        options.otlpGRPCPort = otlpGrpcPort
        options.jaegerPort = jaegerPort
        options.tempoPort = tempoPort
        options.drainSeconds = drainSeconds
        options.retentionSeconds = retentionDays > 36_500 ? 0 : retentionDays * 86_400
        options.retentionBytes = retentionMegabytes > 1 << 32 ? 0 : retentionMegabytes << 20
        options.seriesTiers = seriesTiers
        options.metricsIntervalSeconds = metricsInterval
        options.spanMetrics = spanMetrics.option
        options.collector = collector
        options.enforcedOutliers = enforcedOutliers.flatMap(Self.outliers) ?? []
        options.judgedCanaries = judgeCanary
        options.scrapeTargets = scrape
        options.scrapeConfiguration = scrapeConfig
        options.scrapeIntervalSeconds = scrapeInterval
        options.otlpNaming = otlp.naming
        options.autocompleteKeys = autocompleteKeys.isEmpty ? preset.autocompleteKeys : autocompleteKeys
        options.queryLookbackMilliseconds = preset.queryLookbackMilliseconds ?? options.queryLookbackMilliseconds
        options.strictTraceID = strictTraceId ?? preset.strictTraceID ?? options.strictTraceID
        options.spanServiceName = preset.serviceName
        options.samplingPercentage = preset.samplingPercentage
        options.reportsSpans = !preset.isSDKDisabled
        options.notices = preset.notices
        options.seed = seed
        return options
    }
}

struct RunCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Run the proxy with its collector and store; without configuration, the collector alone.",
        discussion: """
            SIGHUP reloads the configuration and reopens log files; changed files are noticed within a second. SIGTERM drains: no new
            connections, requests in flight finish, telemetry is flushed; a second SIGTERM ends at once.

            EXAMPLES
              skein run
              skein run -c mesh/ --node productpage --data /var/lib/skein
              skein run -c mesh/ --outbound-port 18001 --zipkin-port 0
              skein run --ca ca.example.org --token reviews.token -c mesh/ --node reviews
              skein run --scrape node=http://127.0.0.1:9100/metrics

            ENVIRONMENT
              QUERY_PORT, AUTOCOMPLETE_KEYS, QUERY_LOOKBACK,
              STRICT_TRACE_ID                                              Zipkin's; an option given here counts instead
              OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES (service.name)   of this proxy's own spans, without --node
              OTEL_TRACES_SAMPLER, OTEL_TRACES_SAMPLER_ARG                 where no Telemetry or meshConfig names a percentage
              OTEL_SDK_DISABLED=true                                       no own spans, where none of them speaks of tracing
            Of OpenTelemetry's exporter settings and Zipkin's storage settings it is said at the start that they are not yet in effect.
            """)

    @OptionGroup var options: RunOptions

    func run() throws {
        let status = SkeinProcess.run(options.runtimeOptions(), version: Version.number)
        if status != 0 { throw ExitCode(status) }
    }
}
