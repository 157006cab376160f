/// What happens to traffic after routing: subsets of a service, load balancing, connection pools.
public struct DestinationRule: Sendable {
    public var id: ResourceID
    public var position: SourcePosition
    /// As written; short names mean the rule's namespace; `*.suffix` is a wildcard.
    public var host: String
    public var trafficPolicy: TrafficPolicy?
    public var subsets: [Subset]
    public var exportTo: [String]
    /// Workloads (callers) the rule applies to; empty = all.
    public var workloadSelector: [String: String]

    public func subset(named name: String) -> Subset? { subsets.first { $0.name == name } }

    /// The settings of one destination port, merged as Istio does: a subset's settings replace the rule's group by group
    /// (load balancer, pool, outlier detection); a port's settings replace all groups, omitted ones falling to defaults.
    public func policy(subset subsetName: String, port: UInt16) -> TrafficPolicy {
        var merged = TrafficPolicy.settings(of: trafficPolicy, port: port)
        guard !subsetName.isEmpty, let own = subset(named: subsetName)?.trafficPolicy else { return merged }
        merged.retryBudget = own.retryBudget ?? merged.retryBudget
        merged.tunnel = own.tunnel ?? merged.tunnel
        merged.proxyProtocol = own.proxyProtocol ?? merged.proxyProtocol
        if let perPort = own.portLevelSettings.first(where: { $0.port == port }) {
            merged.replaceGroups(by: perPort)
            return merged
        }
        merged.loadBalancer = own.loadBalancer ?? merged.loadBalancer
        merged.connectionPool = own.connectionPool ?? merged.connectionPool
        merged.outlierDetection = own.outlierDetection ?? merged.outlierDetection
        merged.tls = own.tls ?? merged.tls
        return merged
    }
}

public struct Subset: Sendable {
    public var position: SourcePosition
    public var name: String
    /// An endpoint belongs to the subset when it carries all of these. Empty = every endpoint.
    public var labels: [String: String]
    public var trafficPolicy: TrafficPolicy?
}

public struct TrafficPolicy: Sendable {
    public var loadBalancer: LoadBalancerSettings?
    public var connectionPool: ConnectionPoolSettings?
    public var outlierDetection: OutlierDetectionSettings?
    public var tls: ClientTLSSettings?
    public var retryBudget: RetryBudgetSettings?
    public var tunnel: TunnelSettings?
    public var proxyProtocol: ProxyProtocolVersion?
    public var portLevelSettings: [PortTrafficPolicy] = []

    static func settings(of policy: TrafficPolicy?, port: UInt16) -> TrafficPolicy {
        guard var policy else { return TrafficPolicy() }
        if let perPort = policy.portLevelSettings.first(where: { $0.port == port }) { policy.replaceGroups(by: perPort) }
        policy.portLevelSettings = []
        return policy
    }

    /// A port's settings replace the groups that ports have, also where they leave one out.
    mutating func replaceGroups(by port: PortTrafficPolicy) {
        loadBalancer = port.loadBalancer
        connectionPool = port.connectionPool
        outlierDetection = port.outlierDetection
        tls = port.tls
    }
}

/// TCP connections to the destination go on from it, as a proxy, to somewhere else (RFC 9110 9.3.6).
public struct TunnelSettings: Sendable {
    public var position: SourcePosition
    /// `POST` instead of CONNECT.
    public var usesPOST: Bool
    public var targetHost: String
    public var targetPort: UInt16
}

/// Who the client is, told to the endpoint before the first byte (haproxy.org, "The PROXY protocol").
public enum ProxyProtocolVersion: String, Sendable {
    case v1 = "V1"
    case v2 = "V2"
}

/// Retries as a share of the requests in flight (semantics 2.3).
public struct RetryBudgetSettings: Sendable {
    /// 0...100; default 20.
    public var percent: Double
    /// Retries always allowed; default 3.
    public var minRetryConcurrency: UInt32
    /// The share is one of the requests begun within this time; 0 = of those in flight.
    public var intervalNanoseconds: Int64
}

public struct PortTrafficPolicy: Sendable {
    public var port: UInt16
    public var loadBalancer: LoadBalancerSettings?
    public var connectionPool: ConnectionPoolSettings?
    public var outlierDetection: OutlierDetectionSettings?
    public var tls: ClientTLSSettings?
}

/// Requests that are alike in one thing go to one endpoint.
public struct ConsistentHashSettings: Sendable {
    public enum Key: Sendable {
        case header(String)
        /// With a lifetime (nanoseconds) a cookie is made for clients that bring none; 0 = for their session.
        /// `attributes`: what else the cookie says, in the order written (`SameSite=Strict`; without a value `Secure`).
        case cookie(name: String, path: String, lifetime: Int64?, attributes: [(name: String, value: String)])
        case sourceIP
        case queryParameter(String)
    }
    public enum Algorithm: Sendable {
        case ring(minimum: UInt64)
        /// A prime.
        case maglev(size: UInt64)
    }
    public var key: Key
    public var algorithm: Algorithm
}

public struct LoadBalancerSettings: Sendable {
    /// `LEAST_CONN` is read as `leastRequest`; `UNSPECIFIED` as nil.
    public enum Simple: String, Sendable, CaseIterable {
        case leastRequest = "LEAST_REQUEST"
        case roundRobin = "ROUND_ROBIN"
        case random = "RANDOM"
        /// To the address the caller dialled.
        case passthrough = "PASSTHROUGH"
    }
    public var position: SourcePosition
    /// Nil = Istio's default, LEAST_REQUEST.
    public var simple: Simple?
    public var consistentHash: ConsistentHashSettings?
    /// Nil = the mesh's.
    public var locality: LocalitySettings?
    public var warmup: WarmupSettings?
}

/// Which endpoints come first, by where they are (Istio: LocalityLoadBalancerSetting).
public struct LocalitySettings: Sendable {
    /// Shares of the traffic that comes from `from`, `region/zone/subzone` with `*` at the end of a prefix.
    public struct Distribution: Sendable {
        public var position: SourcePosition
        public var from: String
        /// Percent; they add up to 100.
        public var to: [(locality: String, percent: UInt32)]
    }

    /// Where traffic of one region goes when that region has too little health.
    public struct Failover: Sendable {
        public var from: String
        public var to: String
    }

    public var isEnabled: Bool
    public var distribute: [Distribution]
    public var failover: [Failover]
    /// `label` or `label=value`: the more of the first ones an endpoint has in common with the caller, the sooner it is used.
    public var failoverPriority: [String]

    /// Istio's default: the nearest first, where outlier detection tells whether they are well.
    public static var standard: LocalitySettings { LocalitySettings(isEnabled: true, distribute: [], failover: [], failoverPriority: []) }
}

/// A new endpoint's share grows with its age (Envoy: slow start).
public struct WarmupSettings: Sendable {
    public var durationNanoseconds: Int64
    /// Percent of the full share it begins with; default 10.
    public var minimumPercent: Double
    /// 1 = the share grows evenly; above, faster at first.
    public var aggression: Double
}

/// semantics 2.4. Nil = not set: Istio leaves every limit at 2^32-1.
public struct ConnectionPoolSettings: Sendable {
    /// Default 10 s.
    public var connectTimeoutNanoseconds: Int64?
    /// Idle upstream connections are closed after this; default 1 h; 0 = never.
    public var idleTimeoutNanoseconds: Int64?
    /// 1 = no keep-alive; nil and 0 = unlimited.
    public var maxRequestsPerConnection: UInt32?
    public var maxConnections: UInt32?
    public var http1MaxPendingRequests: UInt32?
    public var http2MaxRequests: UInt32?
    public var maxRetries: UInt32?
    /// `h2UpgradePolicy: UPGRADE`: endpoints are spoken to in HTTP/2.
    public var upgradesToHTTP2 = false
    /// `h2UpgradePolicy: DO_NOT_UPGRADE`: not even where TLS could agree on it.
    public var forbidsHTTP2 = false
    /// Endpoints are spoken to in the protocol of the request.
    public var usesClientProtocol = false
    /// Streams at once on one HTTP/2 connection to an endpoint; nil and 0 = as many as the endpoint allows.
    public var maxConcurrentStreams: UInt32?
    public var keepalive: KeepaliveSettings?
    /// A connection to an endpoint takes no new request, and TCP traffic ends, after this; nil and 0 = unlimited.
    public var maxConnectionDurationNanoseconds: Int64?
    /// TCP connections without a byte end after this; nil = 1 h; 0 = never.
    public var tcpIdleTimeoutNanoseconds: Int64?
}

/// SO_KEEPALIVE on connections to endpoints; nil = the system's value (tcp(7)).
public struct KeepaliveSettings: Sendable {
    public var probes: UInt32?
    public var timeNanoseconds: Int64?
    public var intervalNanoseconds: Int64?
}

/// semantics 2.5. Nil = not set.
public struct OutlierDetectionSettings: Sendable {
    public var position: SourcePosition
    public var consecutive5xxErrors: UInt32?
    /// From `consecutiveGatewayErrors`, or from the deprecated `consecutiveErrors`, whose meaning was the same:
    /// this many 502, 503, 504 or connection failures in a row (semantics, seed notes).
    public var consecutiveGatewayErrors: UInt32?
    public var consecutiveLocalOriginFailures: UInt32?
    public var splitExternalLocalOriginErrors: Bool
    public var intervalNanoseconds: Int64?
    public var baseEjectionTimeNanoseconds: Int64?
    /// Percent 0...100; nil = 10.
    public var maxEjectionPercent: UInt32?
    /// Percent 0...100; nil = 0.
    public var minHealthPercent: UInt32?
}
