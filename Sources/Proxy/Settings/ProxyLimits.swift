public import HTTP

/// Every bound of a worker, with how they relate.
public struct ProxyLimits: Sendable {
    public var http = HTTPLimits()
    /// Downstream connections of one worker; further ones are closed at once and counted.
    public var downstreamConnectionsMax = 100_000
    /// Upstream connections of one worker; a request that needs one more is answered 503 UO.
    public var upstreamConnectionsMax = 100_000
    /// Bytes read with one system call.
    public var readBytes = 64 * 1024
    /// Reads of one connection in one turn, so that one busy peer cannot starve the others.
    public var readsPerTurnMax = 8
    /// The same of an HTTP/2 client, whose frames cost more to look at than their bytes to move.
    public var http2ReadsPerTurnMax = 1
    /// Bytes waiting to be written to a peer beyond which its source is no longer read, and below which it is again.
    public var outputHighWatermark = 256 * 1024
    public var outputLowWatermark = 64 * 1024
    /// From the first byte of a request to the end of its head. 408 after that.
    public var headerTimeoutNanoseconds: UInt64 = 30_000_000_000
    /// A downstream connection without a request (Envoy's HTTP idle timeout: one hour).
    public var idleTimeoutNanoseconds: UInt64 = 3_600_000_000_000
    /// A request of which nothing moves (Envoy's stream idle timeout: five minutes). 408 or 504, flag SI.
    public var streamIdleTimeoutNanoseconds: UInt64 = 300_000_000_000
    /// On a port that declares no protocol: how long the client's first bytes are waited for before the server is given the word.
    public var detectionNanoseconds: UInt64 = 1_000_000_000
    /// For a TLS handshake with a client, its first byte included.
    public var handshakeNanoseconds: UInt64 = 10_000_000_000
    /// Pools for addresses that nobody declared, per worker.
    public var passthroughPoolsMax = 4096
    /// A TCP connection on which nothing moves (Envoy's default: one hour).
    public var tcpIdleTimeoutNanoseconds: UInt64 = 3_600_000_000_000
    /// What a failed attempt counts as at least where the balancer goes by latency, so that failing fast does not look fast.
    public var failureLatencyNanoseconds: UInt64 = 1_000_000_000
    /// Pipes of one worker through which the bytes of tunnels move inside the kernel, and the room asked for in each; beyond that they are
    /// copied.
    public var splicePipesMax = 64
    public var splicePipeBytes = 1 << 20
    /// A direction of a tunnel that filled this many reads in a row is spliced; one that moves less than `spliceBytesMin` at once is copied
    /// again.
    public var spliceAfterReads: UInt8 = 2
    public var spliceBytesMin = 32 * 1024
    /// Open TCP connections report their bytes this often (Istio's default).
    public var tcpReportNanoseconds: UInt64 = 5_000_000_000
    /// Reading and dropping what a client still sends after it was refused, so that it sees the answer instead of a reset.
    public var lingerNanoseconds: UInt64 = 2_000_000_000
    public var lingerBytesMax = 1 << 20
    /// After the first SIGTERM: how long requests in flight may take.
    public var drainNanoseconds: UInt64 = 30_000_000_000
    /// After another process has taken the listeners over: how long an idle connection may bring one more request, which is told to be the
    /// last. Closing it at once would meet requests that are on their way.
    public var handOverNanoseconds: UInt64 = 3_000_000_000
    /// Pause of a listener after EMFILE.
    public var acceptPauseNanoseconds: UInt64 = 100_000_000
    /// Connections taken from a listener in one turn.
    public var acceptsPerTurnMax = 64
    /// Requests of one pool's line that are given a connection in one turn.
    public var servedPerTurnMax = 1024
    /// Idle upstream connections kept for one endpoint by one worker.
    public var idleConnectionsPerEndpointMax: UInt32 = 512
    /// Text copied into one request record, bytes; longer values are cut there.
    public var recordTextBytesMax = 8 * 1024
    /// Request-body bytes kept for another attempt; a longer body is sent once (Envoy's default: 1 MiB).
    public var retryBufferBytesMax = 1 << 20
    /// A mirrored request has this long, and at most so many body bytes wait for its upstream.
    public var shadowTimeoutNanoseconds: UInt64 = 15_000_000_000
    public var shadowBytesMax = 1 << 20
    /// Checks by an external authorizer under way; a request beyond counts as one whose check failed.
    public var authorizationChecksMax = 10_000
    /// What a connection may be switched to (RFC 9110 7.8); everything else is forwarded as a request like any other.
    public var upgrades = UpgradeProtocols.websocket
    /// Interim responses (1xx) to one request, over all its attempts; their heads together may be as large as one
    /// (`HTTPLimits.headBytesMax`). More is 502 UPE.
    public var interimResponsesMax: UInt8 = 16
    /// HTTP/1.1 clients that send no more (FIN) while their request is in flight may still be reading; false: they are gone, 0 DC, as for
    /// Envoy.
    public var allowsHalfClose = false
    /// RED series of one worker.
    public var seriesMax = 10_000
    /// Routes, with the clusters they lead to, and endpoints that one worker counts requests by. Those beyond are counted together.
    public var routeSeriesMax = 1000
    public var endpointSeriesMax = 2000

    public init() {}

    /// What is wrong with these limits, or nil.
    public var problem: String? {
        if let problem = http.problem { return problem }
        if outputLowWatermark >= outputHighWatermark { return "outputLowWatermark must be below outputHighWatermark" }
        if readBytes < 4096 { return "readBytes must be at least 4096" }
        return nil
    }
}
