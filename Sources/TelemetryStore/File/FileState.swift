import TelemetryModel

/// What the threads of a file and its callers share under the lock of its monitor. The queues' contents are guarded by the same lock.
struct FileState {
    /// Work for the writer thread that is not a batch: compaction's results, retention, settling. Whoever asks waits for it, so there are
    /// no more of them than threads.
    struct Job {
        var run: @Sendable (WriteConnection) -> Void
    }

    var jobs: [Job] = []
    /// Batches in all queues.
    var batchesWaiting = 0
    /// The writer need not be woken for fewer batches than this.
    var writerWakesAt = 1
    var isClosing = false
    var isWriterDone = false
    var isClosed = false
    /// A table set's `isMaintenanceDue` was seen.
    var isMaintenanceDue = false
    /// Flushes asked for and finished.
    var flushesWanted = 0
    var flushesDone = 0
    var isDiskFull = false
    /// Microseconds since 1970; batches are refused before, tried after.
    var diskRetryAt: UInt64 = 0
    /// Something was deleted, and its pages have not been looked at since.
    var mayGiveBack = false
    var commits: UInt64 = 0
    /// What was found when the file was opened.
    var damage: [StoreDamage] = []

    private static let diskRetryMicroseconds: UInt64 = 250_000

    mutating func noteDiskFull() {
        isDiskFull = true
        diskRetryAt = WallClock.nowMicroseconds() &+ Self.diskRetryMicroseconds
    }
}
