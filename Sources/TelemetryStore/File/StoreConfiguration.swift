/// Where a store lives and how much it may hold. Every bound of the store that a user can set is here.
public struct StoreConfiguration: Sendable {
    /// The data directory; created (0700) when missing. The store owns `skein.db*` and `skein.lock` in it.
    public var directory: String
    /// Spans older than this are forgotten, counted from the newest span of their segment whose clock can be right. Seconds; 0 = no limit.
    public var retentionAgeSeconds: UInt64 = 7 * 86_400
    /// Oldest segments are deleted while database and log together are larger than this. Bytes; 0 = no limit, and `StoreBudget.bytesMin` is
    /// the least that is kept to.
    public var retentionBytes: UInt64 = 16 << 30
    /// Batches of spans accepted and not yet committed; more are refused with `.overloaded`.
    public var queueBatchesMax = 1024
    /// Text bytes plus row bytes of those batches, approximately.
    public var queueBytesMax = 24 << 20
    /// Compaction starts when the head holds this many spans.
    public var headSpansMax = 65_536
    /// … or when its oldest batch is this old, so that a quiet store reaches its compact form too. Seconds.
    public var headAgeSecondsMax: UInt64 = 20
    /// The head takes no more than this many times `headSpansMax`: when compaction falls behind, the queue fills and refuses.
    public var headBacklogMax = 3
    /// Commits are at least this far apart while batches arrive, so that they are gathered; a batch after a pause is committed at once.
    /// Milliseconds, 0...100.
    public var groupCommitMilliseconds = 2
    /// Wait for the disk itself at each commit (survives power loss), not only for the kernel (survives kill -9).
    public var durableAgainstPowerLoss = false
    /// Spans per block; small values are for tests. 16...8192.
    public var blockSpansMax = 4096
    /// False: ids whose low 64 bits are equal name one trace (Zipkin's STRICT_TRACE_ID=false).
    public var strictTraceID = true
    /// Tag keys offered by `autocompleteKeys`; values of other keys are not listed.
    public var autocompleteKeys: [String] = []
    /// Files larger than this many pages fail with SQLITE_FULL; 0 = SQLite's own limit. For tests and for hard quotas.
    public var pageCountMax: UInt32 = 0
    /// Start the compactor thread. Off, segments appear only by `flush()`.
    public var compactsInBackground = true
    /// Bounds of a segment's tables; smaller ones are for tests.
    var segmentLimits = SegmentLimits()

    public init(directory: String) { self.directory = directory }

    /// The database; its log and index lie beside it.
    var databasePath: String { directory + "/skein.db" }
}
