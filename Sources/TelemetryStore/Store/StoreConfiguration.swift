internal import Glibc

/// Where a store lives and how much it may hold. Every bound of the store that a user can set is here.
public struct StoreConfiguration: Sendable {
    /// The data directory; created (0700) when missing. The store owns `skein.db*` and `skein.lock` in it.
    public var directory: String
    /// Spans older than this are forgotten, counted from the newest span of their segment whose clock can be right. Seconds; 0 = no limit.
    public var retentionAgeSeconds: UInt64 = 7 * 86_400
    /// Oldest segments are deleted while database and log together are larger than this. Bytes; 0 = no limit, and `StoreBudget.bytesMin` is
    /// the least that is kept to.
    public var retentionBytes: UInt64 = 16 << 30
    /// Batches accepted and not yet committed; more are refused with `.overloaded`.
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

    public init(directory: String) { self.directory = directory }
}

/// Why the store did not do what was asked. The text says what to do about it.
public enum StoreError: Error, Equatable, Sendable, CustomStringConvertible {
    /// Another process has the data directory.
    case locked(directory: String, holder: Int32?)
    /// The file was written by a newer version.
    case newerSchema(path: String, found: Int64, known: Int64)
    /// The directory cannot be made or opened.
    case directory(path: String, errorNumber: Int32)
    /// Retry later: the queue is full.
    case overloaded
    /// Retry later: the disk is full or failing; the store tries again by itself.
    case diskFull
    /// The store has been closed.
    case closed
    /// SQLite said no. `code` is its extended result code.
    case sqlite(code: Int32, message: String, operation: String)

    public var description: String {
        switch self {
        case .locked(let directory, let holder):
            "data directory \(directory) is in use by \(holder.map { "process \($0)" } ?? "another process"): stop it or choose another directory with --data"
        case .newerSchema(let path, let found, let known):
            "\(path) has schema version \(found), this program knows up to \(known): use the newer program, or move the file away"
        case .directory(let path, let number):
            "cannot use data directory \(path): \(unsafe String(cString: strerror(number))); it must be a directory this user can write"
        case .overloaded: "the span queue is full: retry later"
        case .diskFull: "the disk of the data directory is full or failing: free some space; ingest resumes by itself"
        case .closed: "the trace store is closed"
        case .sqlite(let code, let message, let operation): "\(operation): SQLite error \(code): \(message)"
        }
    }

    /// Whether the same batch may be sent again later.
    public var isRetryable: Bool { self == .overloaded || self == .diskFull }
}

/// Counters and sizes of a store at one moment.
public struct StoreStatistics: Sendable, Equatable {
    /// Spans acknowledged since the store was opened, copies included.
    public var spansAccepted: UInt64 = 0
    /// Spans in head and segments now, copies included.
    public var spansStored: UInt64 = 0
    /// Spans refused since opening, by reason.
    public var spansRefusedOverloaded: UInt64 = 0
    public var spansRefusedDiskFull: UInt64 = 0
    public var spansRefusedClosed: UInt64 = 0
    /// Spans deleted by retention since opening.
    public var spansExpired: UInt64 = 0
    public var headSpans: UInt64 = 0
    public var headBytes: UInt64 = 0
    public var journalRows: UInt64 = 0
    public var queuedBatches: UInt64 = 0
    public var queuedBytes: UInt64 = 0
    public var segments: UInt64 = 0
    /// Encoded bytes of all segments.
    public var segmentBytes: UInt64 = 0
    /// The database file and its write-ahead log.
    public var fileBytes: UInt64 = 0
    public var commits: UInt64 = 0
    public var compactions: UInt64 = 0
    public var merges: UInt64 = 0
    /// Files set aside at opening because they were not readable as a store.
    public var quarantinedFiles: UInt64 = 0
    /// Journal rows and segments skipped because their bytes are damaged.
    public var corruptJournalRows: UInt64 = 0
    public var corruptSegments: UInt64 = 0
    /// Numbers of the damaged segments, the first `corruptSegmentNamesMax` of them.
    public var corruptSegmentNumbers: [Int64] = []
    /// What cannot be read, the first `damageMax`; the counters above have all.
    public var damage: [StoreDamage] = []
    public var isDiskFull = false

    public static let corruptSegmentNamesMax = 16
    public static let damageMax = 16

    mutating func note(_ new: StoreDamage) {
        if damage.count < Self.damageMax { damage.append(new) }
    }

    public init() {}
}
