import TelemetryModel

/// What the store holds at one moment: readers take a copy and look at nothing newer.
struct StoreSnapshot: Sendable {
    struct Row: Sendable {
        var number: Int64
        var batch: HeadBatch
        /// Microseconds since 1970, when it was committed.
        var arrival: UInt64
    }

    var head: [Row] = []
    /// In order of number, which is nearly order of time.
    var segments: [Segment] = []
}

/// Everything the two threads and the callers share under the monitor's lock.
struct StoreState {
    struct Submission {
        var batch: SpanBatch
        var bytes: Int
        var completion: @Sendable (Result<Void, StoreError>) -> Void
    }

    /// Work for the writer thread that is not a batch: compaction results, retention, settling.
    struct Job {
        var run: @Sendable (StoreWriter) -> Void
    }

    var snapshot = StoreSnapshot()
    /// Odd while segments are deleted, or merged ones take the place, and the number, of others: between commit and publication a number's rows
    /// are not those of the segment in the snapshot, and a reader would take them for damaged or for other traces'.
    var rewrites = 0
    var queue: [Submission] = []
    var queueBytes = 0
    /// The writer need not be woken for fewer batches than this.
    var writerWakesAt = 1
    var jobs: [Job] = []
    var isClosing = false
    var isWriterDone = false
    var isClosed = false
    var headSpans = 0
    var headBytes = 0
    /// Flushes asked for and finished.
    var flushesWanted = 0
    var flushesDone = 0
    /// Microseconds since 1970; batches are refused before, tried after.
    var diskRetryAt: UInt64 = 0
    /// Something was deleted, and its pages have not been looked at since.
    var mayGiveBack = false
    var statistics = StoreStatistics()
}
