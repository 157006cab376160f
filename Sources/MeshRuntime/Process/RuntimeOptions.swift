internal import Collector
internal import HTTP
internal import HTTPService
public import MeshConfig
internal import OutlierDetection
internal import Primitives
internal import QueryAPI

/// A detector that only the mesh has (docs/outliers.md).
public enum EnforcedOutlier: String, Sendable, CaseIterable {
    case errorRate = "error-rate"
    case latency
}

/// What a process is asked to be. Defaults are safe: everything on loopback.
public struct RuntimeOptions: Sendable {
    /// Istio resources; no path = a collector and an outbound proxy with nothing to route.
    public var configuration: ConfigurationSource = []
    /// Serve although policies that select this workload are not enforced.
    public var allowsUnenforced = false
    /// `name` or `namespace/name` of the WorkloadEntry this proxy stands beside.
    public var node: String?
    /// Namespace of a proxy without a workload.
    public var namespace = "default"
    /// Directory of the store; created when missing.
    public var dataDirectory = "skein-data"
    /// Detectors of mesh-wide outlier detection that eject although no resource speaks of them; the others only say what they find.
    public var enforcedOutliers: Set<EnforcedOutlier> = []
    /// Canaries that are judged as long as the process runs, each as `CanaryQuestion` reads it; they pass `problem(judgedCanary:)`.
    public var judgedCanaries: [String] = []
    /// True: a store that cannot be opened ends the start; else the proxy runs without and opening is tried again.
    public var requiresStore = false
    /// False: trace ids with equal low halves name one trace.
    public var strictTraceID = true
    /// False: spans go to exporters only; nothing is received or queried.
    public var hasStore = true
    /// Where relative access-log paths start; nil = the working directory.
    public var accessLogDirectory: String?
    /// Proxy threads; 0 = one per CPU, at most 16.
    public var workers = 0
    /// Directory of this workload's certificate, key and roots; nil = it has no identity, and speaks and takes no mutual TLS.
    public var identityDirectory: String?
    /// The served authority that the files of `identityDirectory` come from; nil = somebody else writes them.
    public var authority: AuthorityOptions?
    /// Directory of the credentials that Gateways name, one directory each; nil = none can be had by name.
    public var credentialsDirectory: String?
    /// File of the authorities that https servers of token keys are believed by; nil = the system's.
    public var issuerAuthorities: String?
    /// TLS of the ports below, but those of the proxy, and of what the process itself sends and scrapes.
    public var serviceTLS = ServiceTLSOptions()
    /// A process that has a key may leave core files, in which the key is, and be looked at by debuggers.
    public var allowsDumps = false
    /// Protocols that connections may be upgraded to; each of them passes `UpgradeProtocols.problem`.
    public var upgradeProtocols = ["websocket"]
    /// HTTP/1.1 clients may end their half of the connection while they wait for an answer; false: they are taken for gone.
    public var allowsHalfClose = false
    /// Address for every port below.
    public var bindAddress = "127.0.0.1"
    /// By which other names than its own a browser may call a loopback port (`AllowedHosts`).
    public var allowedHosts: [String] = []
    /// 0 = not opened.
    public var outboundPort: UInt16 = 15001
    public var inboundPort: UInt16 = 15006
    public var adminPort: UInt16 = 15000
    public var readinessPort: UInt16 = 15021
    public var metricsPort: UInt16 = 15090
    public var zipkinPort: UInt16 = 9411
    public var otlpPort: UInt16 = 4318
    public var otlpGRPCPort: UInt16 = 4317
    /// Ports of Jaeger's and Tempo's query APIs alone, which the Zipkin port has below `/jaeger` and `/tempo`.
    public var jaegerPort: UInt16 = 0
    public var tempoPort: UInt16 = 0
    /// Pins every random draw of the proxy; nil = from the system.
    public var seed: UInt64?
    /// Seconds for requests in flight after the first SIGTERM.
    public var drainSeconds: UInt64 = 30
    /// Spans older than this are deleted, seconds.
    public var retentionSeconds: UInt64 = 7 * 86_400
    /// The store's files are kept below this, bytes.
    public var retentionBytes: UInt64 = 10 << 30
    /// Tiers of the series, each `WINDOW=AGE[,SIZE]`; they pass `problem(seriesTiers:)`. Empty = the defaults.
    public var seriesTiers: [String] = []
    /// Tag keys offered for completion in query pages.
    public var autocompleteKeys: [String] = []
    /// How far queries look back that do not say, milliseconds.
    public var queryLookbackMilliseconds: UInt64 = 86_400_000
    /// Between two recordings of this process' own metrics in its store, seconds; 0 = they are not recorded.
    public var metricsIntervalSeconds: UInt64 = 10
    /// Under which names metrics are made from the spans in the store; recorded at the same interval, and not where that is 0.
    public var spanMetrics = SpanMetricsOption.tempo
    /// The collector that gets this process' metrics, `host:port` of its query port, `https://` before it for TLS; nil = none. They are
    /// recorded here as well, where there is a store.
    public var collector: String?
    /// Whose metrics are taken besides: `[job=]http://host:port/path`; each passes `problem(scrapeTarget:)`.
    public var scrapeTargets: [String] = []
    /// A file of further targets, in the form of Prometheus' configuration; nil = none. Read at the start alone.
    public var scrapeConfiguration: String?
    /// Between two scrapes of a target of `scrapeTargets`, seconds, at least 1.
    public var scrapeIntervalSeconds: UInt64 = 15
    /// What OTLP's metrics are called; its `problem` is nil.
    public var otlpNaming = OTLPNaming()
    /// Service name of this proxy's own spans when it stands beside no workload; nil = `skein`.
    public var spanServiceName: String?
    /// 0...100, of requests that bring no decision, where neither a Telemetry nor the mesh configuration says; nil = Istio's default, 1.
    public var samplingPercentage: Double?
    /// False: this proxy reports no spans of its own, where neither a Telemetry nor the mesh configuration speaks of tracing.
    public var reportsSpans = true
    /// What to say at the start about options that are accepted and not yet in effect.
    public var notices: [String] = []

    public init() {}

    public static let allowedHostsMax = AllowedHosts.namesMax

    /// Why a name cannot be one of `allowedHosts`, or nil.
    public static func problem(allowedHost name: String) -> String? { AllowedHosts.problem(name) }

    public static let upgradeProtocolsMax = UpgradeProtocols.countMax

    /// Why a protocol cannot be one of `upgradeProtocols`, or nil.
    public static func problem(upgradeProtocol name: String) -> String? { UpgradeProtocols.problem(name) }

    /// Host and port of a collector; nil = the text is no such thing.
    public static func collectorAddress(_ text: String) -> (host: String, port: UInt16, isSecure: Bool)? {
        let isSecure = text.hasPrefix("https://")
        let text = isSecure || text.hasPrefix("http://") ? text.dropFirst(isSecure ? 8 : 7) : text[...]
        guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]), port > 0 else { return nil }
        let host = text[..<colon].filter { $0 != "[" && $0 != "]" }
        return host.isEmpty || host.contains("/") ? nil : (String(host), port, isSecure)
    }

    public static let scrapeTargetsMax = ScrapeTarget.countMax

    /// Why a text names no target to scrape, or nil.
    public static func problem(scrapeTarget text: String) -> String? {
        do throws(ScrapeTarget.Problem) {
            _ = try ScrapeTarget(text)
            return nil
        } catch {
            return error.description
        }
    }

    public static let judgedCanariesMax = CanaryWatch.questionsMax

    /// Why a text is no question about a canary, or nil.
    public static func problem(judgedCanary text: String) -> String? {
        do throws(CanaryProblem) {
            _ = try CanaryQuestion(specification: text)
            return nil
        } catch {
            return error.text
        }
    }

    /// Why texts are no tiers of series, or nil.
    public static func problem(seriesTiers words: [String]) -> String? {
        if case .problem(let problem) = SeriesTierOption.parse(words) { problem } else { nil }
    }

    /// The address and a port; nil when the port is 0.
    func endpoint(_ port: UInt16) -> SocketEndpoint? {
        port == 0 ? nil : SocketEndpoint(address: bindAddress, port: port)
    }
}

extension RuntimeOptions {
    var meshDetectors: MeshDetectors {
        var detectors = MeshDetectors()
        detectors.enforcesErrorRate = enforcedOutliers.contains(.errorRate)
        detectors.enforcesLatency = enforcedOutliers.contains(.latency)
        return detectors
    }
}
