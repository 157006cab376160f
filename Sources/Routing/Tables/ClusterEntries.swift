internal import Glibc
public import Primitives
public import TelemetryModel

public struct ClusterEntry: Sendable, BitwiseCopyable {
    public var name = NameID.none
    /// All endpoints, whatever their priority and locality.
    public var all = EndpointGroup()
    /// `EndpointGroup`s in the order of their priorities; none = `all` is the only one.
    public var groups = TableRange()
    public var balancer = BalancerKind.leastRequest
    /// A new endpoint's share grows over this; 0 = it has it at once.
    public var warmup = WarmupPolicy()
    /// Goes to the address that the client dialled.
    public var isPassthrough = false
    /// No answer from DNS yet, as opposed to a cluster that has no endpoint.
    public var isUnresolved = false
    public var connectTimeoutNanoseconds: UInt64 = 10_000_000_000
    /// Idle upstream connections are closed after this; 0 = never.
    public var idleTimeoutNanoseconds: UInt64 = 3_600_000_000_000
    /// 0 = unlimited.
    public var maxRequestsPerConnection: UInt32 = 0
    /// A connection takes no new request after this, TCP traffic ends; 0 = unlimited.
    public var maxConnectionNanoseconds: UInt64 = 0
    /// TCP connections without a byte; 0 = never.
    public var tcpIdleTimeoutNanoseconds: UInt64 = 3_600_000_000_000
    public var keepalive = KeepalivePolicy()
    /// Streams at once on one connection to an endpoint; `UInt32.max` = what the endpoint allows.
    public var maxConcurrentStreams = UInt32.max
    /// Spoken to in the protocol of the request.
    public var usesClientProtocol = false
    /// Circuit breaking (semantics 2.4); `UInt32.max` = unlimited.
    public var maxConnections = UInt32.max
    public var maxPendingRequests = UInt32.max
    public var maxRequests = UInt32.max
    public var maxRetries = UInt32.max
    /// A budget instead of `maxRetries`: a share of the requests, parts per million, and how many are always allowed.
    public var hasRetryBudget = false
    public var retryBudgetShare: UInt32 = 0
    public var retryBudgetMin: UInt32 = 3
    /// The share is one of the requests begun within this time; 0 = of those in flight.
    public var retryBudgetNanoseconds: UInt64 = 0
    /// Told to an endpoint before the first byte: the client's address, in this version of the PROXY protocol; 0 = nothing.
    public var proxyProtocol: UInt8 = 0
    /// `host:port` that the endpoint, an HTTP proxy, is asked to CONNECT TCP to; empty = TCP is for the endpoint itself.
    var tunnelAuthority = TableRange()
    public var outlier = OutlierPolicy()
    /// Goes to the address that a captured client dialled, whatever the endpoints are (`simple: PASSTHROUGH`).
    public var prefersDialled = false
    /// Consistent hashing; `none` = `balancer` decides.
    public var hash = HashPolicy()
    /// As `EndpointEntry.security`, of an address that the client dialled in place of an endpoint.
    public var dialledSecurity: Int32 = -1
    /// Endpoints are spoken to in HTTP/2, by prior knowledge.
    public var isHTTP2 = false
    /// Of requests that reach no endpoint.
    public var labels = DestinationLabelsID.none

    /// Places of all endpoints in the table.
    public var endpoints: TableRange { all.endpoints }
}

public struct EndpointEntry: Sendable, BitwiseCopyable {
    public var address = SocketEndpoint()
    public var weight: UInt32 = 1
    public var cluster: UInt32 = 0
    public var labels = DestinationLabelsID.none
    /// Index in `RoutingSnapshot.upstreamSecurities`; -1 = plaintext.
    public var security: Int32 = -1
}

public enum BalancerKind: UInt8, Sendable, BitwiseCopyable {
    case leastRequest, roundRobin, random
    /// Power of two choices by latency times what is in flight.
    case peakEWMA
}

/// Slow start (Envoy): a share that grows as (age / duration) ^ (1 / aggression), from a minimum on.
public struct WarmupPolicy: Sendable, BitwiseCopyable {
    public var nanoseconds: UInt64 = 0
    /// 0...1.
    public var minimum: Double = 0.1
    public var aggression: Double = 1

    public init(nanoseconds: UInt64 = 0, minimum: Double = 0.1, aggression: Double = 1) {
        self.nanoseconds = nanoseconds
        self.minimum = minimum
        self.aggression = aggression
    }

    /// 0...1 of the full share at an age in nanoseconds.
    public func share(age: UInt64) -> Double {
        guard nanoseconds > 0, age < nanoseconds else { return 1 }
        let elapsed = Double(age) / Double(nanoseconds)
        return max(minimum, aggression == 1 ? elapsed : pow(elapsed, 1 / aggression))
    }
}

/// SO_KEEPALIVE of upstream connections (tcp(7)); seconds, 0 = the system's value.
public struct KeepalivePolicy: Sendable, BitwiseCopyable, Equatable {
    public var isOn = false
    public var probes: Int32 = 0
    public var idleSeconds: Int32 = 0
    public var intervalSeconds: Int32 = 0

    public init() {}
}

/// `outlierDetection` as written (semantics 2.5); -1 = not set.
public struct OutlierPolicy: Sendable, BitwiseCopyable {
    public var isEnabled = false
    /// No DestinationRule asks for it: outcomes are counted for the mesh, and nothing is judged here.
    public var isOfMeshAlone = false
    public var consecutive5xx: Int64 = -1
    public var consecutiveGateway: Int64 = -1
    public var consecutiveLocalOrigin: Int64 = -1
    public var splitsLocalOrigin = false
    public var intervalNanoseconds: Int64 = -1
    public var baseEjectionNanoseconds: Int64 = -1
    public var maxEjectionPercent: Int64 = -1
    public var minHealthPercent: Int64 = -1
    public var rates = RateDetectionPolicy()
}

/// What an UpstreamPolicy adds to outlier detection. Percentages 0...100; an enforcement of 0 = off.
public struct RateDetectionPolicy: Sendable, BitwiseCopyable, Equatable {
    public var successRateEnforcing: UInt32 = 0
    public var successRateMinimumHosts: UInt32 = 5
    public var successRateRequestVolume: UInt32 = 100
    public var successRateStdevFactorThousandths: UInt32 = 1900
    public var failurePercentageEnforcing: UInt32 = 0
    public var failurePercentageThreshold: UInt32 = 85
    public var failurePercentageMinimumHosts: UInt32 = 5
    public var failurePercentageRequestVolume: UInt32 = 50
    /// 0 = the default.
    public var maxEjectionNanoseconds: UInt64 = 0
    public var maxEjectionJitterNanoseconds: UInt64 = 0

    public init() {}
}
