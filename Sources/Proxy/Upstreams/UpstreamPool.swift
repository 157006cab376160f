internal import EventLoops
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
    /// Pool of the same endpoint in HTTP/2, where the request's protocol decides, or the endpoint (`VersionChoice`); -1 = none.
    var twin: Int32 = -1
    /// Of a twin: the pool whose twin it is.
    var base: Int32 = -1
    /// What the endpoint chose last; of a base alone.
    var chosen = Version.unknown
    /// Connections whose version is about to be chosen.
    var negotiating: UInt32 = 0
    /// Where all workers count this endpoint.
    var slot = EndpointSlot.none
    /// Requests that wait for a connection because the cluster may have no more, first come first served.
    var waiting: [LoopToken] = []
    /// The configuration it was last part of.
    var generation: UInt64
    var isFree = false

    enum Version: UInt8 { case unknown, http1, http2 }
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

    /// The endpoint chooses the version of HTTP with each connection.
    var choosesVersion = false

    /// The slot of a kind of TLS that a configuration names by its index; −1 = none. `slots`: of all its kinds.
    static func securitySlot(_ kind: Int32, _ slots: [Int32]) -> Int32 {
        guard kind >= 0 else { return -1 }
        let slot = Int(kind) < slots.count ? slots[Int(kind)] : -1
        return slot >= 0 ? slot : insecurable
    }

    /// Has the system probe a connection that rests, where the cluster wants that (`tcpKeepalive`).
    func keepAlive(_ descriptor: Int32, _ endpoint: SocketEndpoint) {
        guard keepalive.isOn, endpoint.family != .unix, descriptor >= 0 else { return }
        Socket.keepAlive(
            descriptor, probes: keepalive.probes, idleSeconds: keepalive.idleSeconds, intervalSeconds: keepalive.intervalSeconds)
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
