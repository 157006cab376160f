internal import OutlierDetection
internal import Primitives
internal import Routing
internal import TelemetryModel

/// One endpoint of one cluster as one worker uses it.
struct UpstreamPool {
    var endpoint: SocketEndpoint
    var cluster: NameID
    var settings: PoolSettings
    /// Most recently used first, so that surplus connections age and close.
    /// HTTP/2: connections with streams to spare.
    var firstIdle = SlotID.none
    var idleCount: UInt32 = 0
    /// HTTP/2: the streams that the endpoint last said it allows on a connection.
    var peerStreamsMax = UInt32.max
    /// Requests in flight, for LEAST_REQUEST.
    var active: UInt32 = 0
    var connections: UInt32 = 0
    /// Pool of the same endpoint in HTTP/2, where the request's protocol decides; -1 = none.
    var twin: Int32 = -1
    /// Where all workers count this endpoint.
    var slot = EndpointSlot.none
    /// Requests that wait for a connection because the cluster may have no more, first come first served.
    var waiting: [LoopToken] = []
    /// The configuration it was last part of.
    var generation: UInt64
    var isFree = false
}

struct PoolSettings {
    var connectTimeoutNanoseconds: UInt64
    var idleTimeoutNanoseconds: UInt64
    var maxRequestsPerConnection: UInt32
    var isHTTP2: Bool
    /// Where all workers count the cluster, and its limits (semantics 2.4).
    var cluster: ClusterSlot
    var maxConnections: UInt32
    var maxPendingRequests: UInt32
    var maxRequests: UInt32
    var thresholds: OutlierThresholds
    var maxConnectionNanoseconds: UInt64
    var maxConcurrentStreams: UInt32
    var keepalive: KeepalivePolicy
    /// The balancer goes by latency.
    var measuresLatency: Bool
    /// Requests are counted for a retry budget; 0 = no such budget.
    var retryBudgetNanoseconds: UInt64
    /// Version of the PROXY protocol that connections begin with; 0 = none.
    var proxyProtocol: UInt8
    /// Slot in `UpstreamSecurities`; −1 = plaintext, `insecurable` = TLS for which there is no room.
    var security: Int32 = -1

    /// Connections cannot be made.
    static let insecurable: Int32 = -2

    /// The slot of a kind of TLS that a configuration names by its index; −1 = none. `slots`: of all its kinds.
    static func security(_ kind: Int32, _ slots: [Int32]) -> Int32 {
        guard kind >= 0 else { return -1 }
        let slot = Int(kind) < slots.count ? slots[Int(kind)] : -1
        return slot >= 0 ? slot : insecurable
    }

    init(_ entry: ClusterEntry, slot: ClusterSlot, thresholds: OutlierThresholds) {
        self.thresholds = thresholds
        connectTimeoutNanoseconds = entry.connectTimeoutNanoseconds
        idleTimeoutNanoseconds = entry.idleTimeoutNanoseconds
        maxRequestsPerConnection = entry.maxRequestsPerConnection
        isHTTP2 = entry.isHTTP2
        cluster = slot
        maxConnections = entry.maxConnections
        maxPendingRequests = entry.maxPendingRequests
        maxRequests = entry.maxRequests
        maxConnectionNanoseconds = entry.maxConnectionNanoseconds
        maxConcurrentStreams = entry.maxConcurrentStreams
        keepalive = entry.keepalive
        measuresLatency = entry.balancer == .peakEWMA
        retryBudgetNanoseconds = entry.retryBudgetNanoseconds
        proxyProtocol = entry.proxyProtocol
    }
}
