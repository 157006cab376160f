/// How `retentionBytes` is shared out on disk: the database, with what waits in it for compaction, and the log beside it.
///
/// Below `bytesMin` nothing smaller is possible: one segment, one head and a log are always there, and the newest segment is never deleted
/// for space. A commit in progress may take more for a moment, by its own size.
struct StoreBudget {
    /// Bytes of database and log together; nil = no bound.
    let total: UInt64?
    /// The log is moved into the database when about this much is in it.
    let logBytesMax: Int
    /// Compaction starts when the head has this many bytes.
    let headBytesMax: Int
    /// Segments are not merged to more than this.
    let mergedBytesMax: Int

    static let bytesMin: UInt64 = 8 << 20
    /// Large enough that a journal page is rewritten several times in the log before it is copied once.
    private static let roomyLogBytes: UInt64 = 24 << 20
    private static let logBytesMin: UInt64 = 1 << 20

    init(_ retentionBytes: UInt64) {
        guard retentionBytes > 0 else {
            total = nil
            logBytesMax = Int(Self.roomyLogBytes)
            headBytesMax = Int.max >> 16
            mergedBytesMax = Int.max >> 16
            return
        }
        let bytes = max(retentionBytes, Self.bytesMin)
        total = bytes
        logBytesMax = Int(min(max(bytes / 8, Self.logBytesMin), Self.roomyLogBytes))
        headBytesMax = Int(clamping: bytes / 8)
        mergedBytesMax = Int(clamping: bytes / 8)
    }

    /// What the database's used pages may take, so that the log has room up to twice its bound.
    var databaseBytesMax: UInt64? { total.map { $0 - 2 * UInt64(logBytesMax) } }
}

/// What the file is made of at one moment, bytes.
struct StoreSpace: Sendable {
    var used: UInt64
    var free: UInt64
    var log: UInt64

    var onDisk: UInt64 { used + free + log }

    /// Free pages worth giving back though there is room: an old peak, not the usual coming and going.
    var hasMuchFree: Bool { free > 64 << 20 && free > (used + free) / 4 }
}
