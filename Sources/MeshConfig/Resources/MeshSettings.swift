/// IstioOperator `spec.meshConfig`, with defaults filled in where Istio has them.
public struct MeshSettings: Sendable {
    public enum AccessLogEncoding: String, Sendable { case text = "TEXT", json = "JSON" }
    public enum PathNormalization: String, Sendable {
        case none = "NONE", base = "BASE", mergeSlashes = "MERGE_SLASHES"
        case decodeAndMergeSlashes = "DECODE_AND_MERGE_SLASHES"
    }
    public enum ForwardClientCertDetails: String, Sendable {
        case sanitize = "SANITIZE", forwardOnly = "FORWARD_ONLY", appendForward = "APPEND_FORWARD", sanitizeSet = "SANITIZE_SET"
        case alwaysForwardOnly = "ALWAYS_FORWARD_ONLY"
    }
    public enum OutboundTrafficMode: String, Sendable {
        case registryOnly = "REGISTRY_ONLY", allowAny = "ALLOW_ANY"
    }

    /// Nil = no IstioOperator was loaded; everything is at its default.
    public var id: ResourceID?
    public var position: SourcePosition?
    /// Path for access logs of the built-in `envoy` provider when no Telemetry decides; empty = none.
    public var accessLogFile = ""
    /// Empty = Istio's default format.
    public var accessLogFormat = ""
    public var accessLogEncoding = AccessLogEncoding.text
    public var enableTracing = true
    /// Whether the file says anything about tracing: what an environment prefers is then not asked.
    public var speaksOfTracing = false
    /// 0...100 from `defaultConfig.tracing.sampling`.
    public var tracingSampling: Double?
    /// `host:port` from `defaultConfig.tracing.zipkin.address`.
    public var tracingZipkinAddress = ""
    /// `defaultConfig.tracing.tlsSettings`, of that address.
    public var tracingTLS: ClientTLSSettings?
    public var defaultTracingProviders: [String] = []
    public var defaultAccessLoggingProviders: [String] = []
    public var defaultMetricsProviders: [String] = []
    public var extensionProviders: [ExtensionProvider] = []
    public var pathNormalization = PathNormalization.base
    public var outboundTrafficMode = OutboundTrafficMode.allowAny
    /// Of the identities of the mesh's workloads (semantics 2.7).
    public var trustDomain = "cluster.local"
    /// Further domains whose workloads count as those of `trustDomain`.
    public var trustDomainAliases: [String] = []
    /// Workloads that take mutual TLS are spoken to with it where no DestinationRule says otherwise.
    public var enablesAutoMutualTLS = true
    /// `gatewayTopology.numTrustedProxies`: proxies in front of a gateway whose `X-Forwarded-For` it believes.
    public var trustedProxies: UInt32 = 0
    /// What gateways do with `x-forwarded-client-cert`; UNDEFINED is Istio's default for them, SANITIZE_SET.
    public var forwardClientCertDetails = ForwardClientCertDetails.sanitizeSet
    public var rootNamespace = "istio-system"
    /// For services whose DestinationRule has none of its own.
    public var locality: LocalitySettings?

    public init() {}

    /// The provider of that name; the names Istio defines itself (`envoy`, `prometheus`) exist without being declared.
    public func provider(named name: String) -> ExtensionProvider? {
        extensionProviders.first { $0.name == name } ?? ExtensionProvider.builtIn[name]
    }
}

public struct ExtensionProvider: Sendable {
    public enum Configuration: Sendable {
        case zipkin(Zipkin)
        case openTelemetry(OpenTelemetry)
        case envoyFileAccessLog(FileAccessLog)
        case prometheus
        case externalAuthorizer(ExternalAuthorizerSettings)
        /// Parsed and validated, not in effect; the field that names it.
        case other(String)
    }

    public struct Zipkin: Sendable {
        /// `host` or `namespace/host`, as written.
        public var service: String
        public var port: UInt16
        public var enable64BitTraceID: Bool
        /// Longest value of the path tag, in bytes.
        public var maxTagLength: UInt32
        public var path: String
        public enum TraceContext: String, Sendable {
            case b3 = "USE_B3", b3WithW3C = "USE_B3_WITH_W3C_PROPAGATION"
        }
        public var traceContext: TraceContext
    }

    public struct OpenTelemetry: Sendable {
        public var service: String
        public var port: UInt16
        public var maxTagLength: UInt32
        /// Nil = gRPC.
        public var http: HTTP?
        public struct HTTP: Sendable {
            public var path: String
            /// 0 = the exporter's default.
            public var timeoutNanoseconds: Int64
            public var headers: [(name: String, value: String)]
        }
    }

    public struct FileAccessLog: Sendable {
        public enum Format: Sendable {
            /// Istio's default text format, or the mesh's `accessLogFormat`.
            case inherited
            case text(String)
            /// JSON object, keys in the order written.
            case labels([(key: String, value: AccessLogValue)])
        }
        public var path: String
        public var format: Format
        /// False leaves out values that are missing instead of writing null.
        public var omitEmptyValues: Bool
    }

    public var name: String
    public var position: SourcePosition
    /// Of an access log's format, where it has one.
    public var logFormatPosition: SourcePosition
    public var configuration: Configuration

    static let builtIn: [String: ExtensionProvider] = {
        let position = SourcePosition(file: "built-in", line: 0, column: 0)
        return [
            "envoy": ExtensionProvider(
                name: "envoy", position: position, logFormatPosition: position,
                configuration: .envoyFileAccessLog(
                    FileAccessLog(path: "/dev/stdout", format: .inherited, omitEmptyValues: false))),
            "prometheus": ExtensionProvider(
                name: "prometheus", position: position, logFormatPosition: position, configuration: .prometheus)
        ]
    }()
}

/// A value of an access log's JSON object.
public indirect enum AccessLogValue: Sendable {
    /// Text with command operators.
    case format(String)
    /// JSON text of a number, of `true`, `false` or `null`.
    case constant(String)
    case object([(key: String, value: AccessLogValue)])
    case list([AccessLogValue])
}
