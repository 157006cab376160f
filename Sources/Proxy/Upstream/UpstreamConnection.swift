internal import EventLoops
internal import HTTP
internal import OutlierDetection
internal import Primitives
internal import Routing
internal import TelemetryModel

/// A connection that we made to an endpoint. HTTP/1.1 serves one request at a time and rests in its pool in between; HTTP/2 stays in its pool's
/// list as long as it can take another stream.
@safe
struct UpstreamConnection: ~Copyable {
    enum State {
        case connecting, active, idle, closed
    }

    let fd: Int32
    /// Index into the worker's pools.
    let pool: Int
    /// HTTP/2; nil = HTTP/1.1.
    var session: UnsafeMutablePointer<HTTP2Session>?
    var state = State.connecting
    var input = ByteBuffer()
    var output = ByteBuffer()
    /// Bytes of a tunnel on their way to the endpoint inside the kernel; they come before `output`.
    var pipe = SlotID.none
    /// Reads in a row that filled the buffer.
    var fullReads: UInt8 = 0
    var scan = HeadScan()
    var exchange = SlotID.none
    var requestsServed: UInt32 = 0
    var local = SocketEndpoint()
    /// Where this connection is counted against the cluster's limit.
    var cluster = ClusterSlot.none
    /// In the pool's list: idle, or HTTP/2 with streams to spare.
    var isListed = false
    /// The session has something to send at the end of the turn.
    var isDirty = false
    /// Neighbours in the pool's list.
    var nextIdle = SlotID.none
    var previousIdle = SlotID.none
    var deadline: MonotonicInstant
    var timer = TimerWheel.TimerID.none
    var timerAt = MonotonicInstant.distantFuture
    var connectBegan: MonotonicInstant
    var isReadable = false
    var sawHangUp = false
    /// Not read because the client is slow.
    var isPaused = false

    init(fd: Int32, pool: Int, now: MonotonicInstant, deadline: MonotonicInstant) {
        self.fd = fd
        self.pool = pool
        self.deadline = deadline
        connectBegan = now
        unsafe session = nil
    }

    deinit {
        unsafe session?.deinitialize(count: 1)
        unsafe session?.deallocate()
    }

    /// It has been open for as long as its cluster allows.
    func isAged(_ settings: PoolSettings, now: MonotonicInstant) -> Bool {
        settings.maxConnectionNanoseconds > 0 && now.nanoseconds(since: connectBegan) >= settings.maxConnectionNanoseconds
    }

    mutating func endSession() {
        unsafe session?.deinitialize(count: 1)
        unsafe session?.deallocate()
        unsafe session = nil
    }

    var isHTTP2: Bool { unsafe session != nil }

    /// Everything written is with the kernel's socket.
    var isFlushed: Bool { output.isEmpty && pipe.isNone }
}

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
    var waiting: [SlotID] = []
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
