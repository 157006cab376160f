public import HTTP

/// Bounds of one server. Windows of HTTP/2: `HTTP2Session.streamWindow`; floods: `HTTP2FloodGuard`.
public struct ServiceLimits: Sendable {
    /// Heads, and `streamsMax`: requests of one HTTP/2 connection that are open at once.
    public var http: HTTPLimits = {
        var limits = HTTPLimits()
        limits.takesClusterNames = true
        return limits
    }()
    public var connectionsMax = 10_000
    /// Requests of one HTTP/1.1 connection that are open at once; those that follow wait in the kernel.
    public var pipelinedMax = 16
    /// Requests of all connections together; more is 503.
    public var exchangesMax = 100_000
    /// One request body, before content decoding (OTLP recommends 64 MiB after it). More is 413.
    public var bodyBytesMax = 64 << 20
    /// Bodies of one connection being received at one time, so that one client's streams leave room for others; more is 503 with
    /// Retry-After.
    public var connectionBodiesBytesMax = 128 << 20
    /// Bodies being received at one time; more is 503 with Retry-After.
    public var bodiesBytesMax = 256 << 20
    /// Body memory a connection keeps between requests, so that a steady sender costs no allocation.
    public var bodyBytesKept = 512 * 1024
    /// Answers of one connection that wait to be taken, besides the first; more is 503 with Retry-After.
    public var connectionAnswersBytesMax = 64 << 20
    public var readBytes = 64 * 1024
    public var readsPerTurnMax = 16
    /// Bytes handed to the kernel with one call. Without preemption a core belongs to that call until it ends, and a scrape of megabytes
    /// would keep it from a proxy worker that long.
    public var writeBytesMax = 128 * 1024
    /// Unsent bytes of a streamed answer beyond which its reader is disconnected.
    public var streamBacklogBytesMax = 4 << 20
    /// Bytes dropped of a client that was told to send no more.
    public var droppedBytesMax = 1 << 20
    /// TLS handshakes under way at one time; a connection that would begin another is closed.
    public var handshakesMax = 1000
    /// From a connection's beginning to the end of its handshake, at listeners with TLS.
    public var handshakeTimeoutNanoseconds: UInt64 = 10_000_000_000
    public var headerTimeoutNanoseconds: UInt64 = 30_000_000_000
    /// Between the bytes of a body, and of an answer being taken.
    public var stallTimeoutNanoseconds: UInt64 = 60_000_000_000
    public var idleTimeoutNanoseconds: UInt64 = 300_000_000_000
    /// For the client to close after us, so that the last answer is not destroyed by a reset.
    public var lingerNanoseconds: UInt64 = 2_000_000_000
    public var acceptPauseNanoseconds: UInt64 = 100_000_000

    public init() {}
}
