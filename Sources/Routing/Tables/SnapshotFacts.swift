public import MeshConfig
public import Primitives
public import TelemetryModel

/// An address to listen on and why.
public struct ListenerPlan: Sendable, Equatable {
    public var name: String
    public var endpoint: SocketEndpoint
    public var side: ProxySide
    /// The port of a Gateway's server that requests are addressed to; 0 for a proxy beside a workload, and for a server on a Unix socket.
    public var gatewayPort: UInt16

    public init(name: String, endpoint: SocketEndpoint, side: ProxySide, gatewayPort: UInt16 = 0) {
        self.name = name
        self.endpoint = endpoint
        self.side = side
        self.gatewayPort = gatewayPort
    }
}

/// A value for each side of the proxy.
public struct BySide<Value: Sendable>: Sendable {
    public var outbound: Value
    public var inbound: Value

    public subscript(side: ProxySide) -> Value { side == .outbound ? outbound : inbound }
}

/// Everything of a snapshot that the request path does not read.
struct SnapshotFacts {
    var node: NodeIdentity
    var catalogs: Catalogs
    var accessLog: BySide<AccessLogPolicy>
    var tracing: BySide<TracingPolicy>
    var pathNormalization: MeshSettings.PathNormalization
    var generation: UInt64
    var unenforced: [Diagnostic]
    var authorizerCluster: Int32
    /// Index = listener index in the tables.
    var listeners: [ListenerPlan] = []
    var hostsToResolve: [String] = []
    /// By route index.
    var origins: [UInt32: RouteOrigin] = [:]
    /// By cluster index.
    var healthChecks: [Int: ClusterHealthCheck] = [:]
    /// By cluster index: the one that decides.
    var meshOutlierDetections: [Int: MeshOutlierDetection] = [:]
    /// By cluster index.
    var dnsNames: [Int: [String]] = [:]
    var upstreamSecurities: [UpstreamSecurity] = []
    var gatewaySecurities: [GatewaySecurity] = []
    var securityReasons = SecurityReasons()
}

/// Where rules come from; not read by requests.
public struct RouteOrigin: Sendable {
    public var resource: ResourceID
    public var position: SourcePosition
    /// Of the rule's matches, in the order of the compiled ones.
    public var matches: [SourcePosition]
}

/// How the endpoints of a cluster are probed.
public struct ClusterHealthCheck: Sendable, Equatable {
    public var settings: UpstreamPolicy.HealthCheck
    /// Of the service; what an HTTP probe asks for unless its settings say otherwise.
    public var host: String
}
