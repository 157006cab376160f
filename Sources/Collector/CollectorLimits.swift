/// Bounds of the collector's own memory and times.
public struct CollectorLimits: Sendable {
    /// Access-log bytes formatted and not yet written, for each file; further lines are dropped.
    public var logPendingBytesMax = 4 << 20
    /// A file is written when this many bytes wait after a ring's turn, and at the end of every drain.
    public var logWriteBytes = 64 * 1024
    /// Memory that a file's buffer keeps between writes.
    public var logBytesKept = 512 * 1024
    /// How long a failing file is left alone before the next attempt.
    public var logRetryNanoseconds: UInt64 = 250_000_000
    /// How often lost lines are said on stderr.
    public var reportIntervalNanoseconds: UInt64 = 60_000_000_000
    /// Records taken from one ring before the next ring's turn.
    public var recordsPerTurnMax = 256
    /// Sleep between drains, nanoseconds: shorter when rings fill, longer when they do not.
    public var sleepNanosecondsMin: UInt64 = 1_000_000
    public var sleepNanosecondsMax: UInt64 = 40_000_000
    /// Spans of the proxy in one batch to the sink.
    public var spansPerBatchMax = 512
    /// How long a span waits for others.
    public var spanDelayNanosecondsMax: UInt64 = 250_000_000
    /// Batches that the sink has not answered; the next waits.
    public var batchesOutstandingMax = 8
    /// Spans waiting while the sink is behind; further ones are dropped.
    public var spansWaitingMax = 4096
    /// Records kept for `skein logs`, and the memory for them: an ordinary record has about 400 bytes.
    public var tailRecordsMax = 10_000
    public var tailBytesMax = 1 << 20
    /// Clients following the log at one time.
    public var tailFollowersMax = 64
    /// Bytes of lines for one follower in one drain; further lines are not sent to it.
    public var tailBytesPerDrainMax = 1 << 20
    /// Bytes of lines that one who comes back is given at once, the newest of them; less than `ServiceLimits.streamBacklogBytesMax`,
    /// beyond which it would be disconnected again.
    public var tailCatchUpBytesMax = 3 << 20
    /// After so long without a line, followers by server-sent events are sent a heartbeat, nanoseconds.
    public var tailHeartbeatNanoseconds: UInt64 = 15_000_000_000

    public init() {}

    /// What is wrong with these limits, or nil.
    public var problem: String? {
        if logWriteBytes > logPendingBytesMax { return "logWriteBytes must be at most logPendingBytesMax" }
        if sleepNanosecondsMin > sleepNanosecondsMax { return "sleepNanosecondsMin must be at most sleepNanosecondsMax" }
        if spansPerBatchMax > spansWaitingMax { return "spansPerBatchMax must be at most spansWaitingMax" }
        if recordsPerTurnMax < 1 || batchesOutstandingMax < 1 { return "recordsPerTurnMax and batchesOutstandingMax must be at least 1" }
        return nil
    }
}
