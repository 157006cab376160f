public import HTTP

/// Bounds of one server.
public struct ServiceLimits: Sendable {
    public var http = HTTPLimits()
    public var connectionsMax = 10_000
    /// One request body, before content decoding (OTLP recommends 64 MiB after it). More is 413.
    public var bodyBytesMax = 64 << 20
    /// Bodies being received at one time; more is 503 with Retry-After.
    public var bodiesBytesMax = 256 << 20
    /// Body memory a connection keeps between requests, so that a steady sender costs no allocation.
    public var bodyBytesKept = 512 * 1024
    public var readBytes = 64 * 1024
    public var readsPerTurnMax = 16
    /// Bytes handed to the kernel with one call. Without preemption a core belongs to that call until it ends, and a scrape of megabytes would keep it
    /// from a proxy worker that long.
    public var writeBytesMax = 128 * 1024
    /// Unsent bytes of a streamed answer beyond which its reader is disconnected.
    public var streamBacklogBytesMax = 4 << 20
    public var headerTimeoutNanoseconds: UInt64 = 30_000_000_000
    /// Between the bytes of a body, and of an answer being taken.
    public var stallTimeoutNanoseconds: UInt64 = 60_000_000_000
    public var idleTimeoutNanoseconds: UInt64 = 300_000_000_000
    public var acceptPauseNanoseconds: UInt64 = 100_000_000

    public init() {}
}
