public import HTTP
public import OutlierDetection
public import Policy
public import Routing
public import TelemetryModel

/// Everything a worker needs to serve, adopted whole: a request sees exactly one of these.
public final class ProxyConfiguration: Sendable {
    public let routing: RoutingSnapshot
    public let telemetry: TelemetryPlan
    public let pathNormalization: PathNormalization
    public let upstreams: UpstreamPlan
    public let security: SecurityPlan
    /// What gateways do with `x-forwarded-client-cert`.
    public let edgeCerts: ClientCertForwarding
    /// Who may do what at the workload's own ports, or at a gateway's.
    public let authorization: AuthorizationSet
    /// Which tokens are good there.
    public let tokens: TokenRuleSet

    public init(
        routing: RoutingSnapshot, telemetry: TelemetryPlan, pathNormalization: PathNormalization, upstreams: UpstreamPlan,
        security: SecurityPlan = SecurityPlan(), edgeCerts: ClientCertForwarding = .sanitizeSet, authorization: AuthorizationSet = .empty,
        tokens: TokenRuleSet = .empty
    ) {
        self.authorization = authorization
        self.tokens = tokens
        self.upstreams = upstreams
        self.security = security
        self.edgeCerts = edgeCerts
        self.routing = routing
        self.telemetry = telemetry
        self.pathNormalization = pathNormalization
    }
}

/// Where the clusters and endpoints of a configuration are counted together with the other workers; indices are those of its tables.
public struct UpstreamPlan: Sendable {
    public var clusters: [ClusterSlot]
    public var endpoints: [EndpointSlot]
    /// When errors of a cluster's endpoints are worth the judge's attention.
    public var thresholds: [OutlierThresholds]

    public init(clusters: [ClusterSlot], endpoints: [EndpointSlot], thresholds: [OutlierThresholds]) {
        self.clusters = clusters
        self.endpoints = endpoints
        self.thresholds = thresholds
    }
}

/// What the workers record of each request, per side of the proxy.
public struct TelemetryPlan: Sendable {
    public struct Side: Sendable {
        /// Every request leaves a record, for the access log or for those who ask for the newest.
        public var isRecorded = false
        /// Sampled requests leave a record for a span.
        public var isTraced = false
        /// Chance of a new trace being sampled, in 2^32ths: 0 never, 2^32 always.
        public var samplingThreshold: UInt64 = 0

        public init() {}

        /// The threshold for a percentage in 0...100; what is no number samples nothing.
        public static func threshold(percent: Double) -> UInt64 {
            percent > 0 ? UInt64(min(100, percent) / 100 * 4_294_967_296) : 0
        }
    }

    public var outbound = Side()
    public var inbound = Side()
    public var capture = HeaderCapture()
    /// What is noted of secured connections.
    public var connections = ConnectionTextChoice.standard
    public var contextOption = TraceContextOption.useB3
    /// Trace ids of new traces have 128 bits, as Istio's.
    public var uses128BitTraceIDs = true

    public init() {}
}
