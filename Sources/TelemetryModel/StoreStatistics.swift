/// Counters and sizes of a store at one moment. Counts are since the store was opened unless they say "now".
public struct StoreStatistics: Sendable, Equatable {
    /// Why the store did not take a batch; the raw value is the label of metrics.
    public enum Refusal: String, Sendable, CaseIterable {
        /// The queue in front of the writer was full.
        case overloaded
        case diskFull = "disk_full"
        case closed
        /// There was no store yet: its directory could not be opened.
        case notOpen = "not_open"
    }

    /// Why ingest or queries fail now, for people; nil = all is well.
    public var problem: String?
    /// Whether the last write failed; ingest resumes by itself.
    public var isDiskFull = false
    /// What was stored and cannot be read any more, the first `damageMax`; `quarantined` counts all.
    public var damage: [StoreDamage] = []
    /// Damaged things set aside or left out, by what they are. A kind that is missing is not counted by this store.
    public var quarantined: [StoreDamage.Kind: UInt64] = [:]
    /// Numbers of the damaged segments, the first `damagedSegmentsMax`.
    public var damagedSegments: [Int64] = []

    /// Spans acknowledged, copies included.
    public var spansAccepted: UInt64 = 0
    /// Spans refused, by reason. A reason that is missing is not counted by this store.
    public var spansRefused: [Refusal: UInt64] = [:]
    /// Spans deleted by retention.
    public var spansExpired: UInt64 = 0
    /// Spans readable now, in journal and segments, copies included.
    public var spansStored: UInt64 = 0

    /// Rows, spans and bytes that wait for compaction now.
    public var journalRows: UInt64 = 0
    public var journalSpans: UInt64 = 0
    public var journalBytes: UInt64 = 0
    /// Batches of spans accepted and not yet committed, now, and their bytes.
    public var queuedBatches: UInt64 = 0
    public var queuedBytes: UInt64 = 0
    /// Segments now, and their encoded bytes.
    public var segments: UInt64 = 0
    public var segmentBytes: UInt64 = 0
    /// The database file and its write-ahead log, now.
    public var fileBytes: UInt64 = 0

    /// Group commits.
    public var commits: UInt64 = 0
    /// Compactions of the journal into a segment.
    public var compactions: UInt64 = 0
    /// Merges of small segments into one.
    public var merges: UInt64 = 0

    public static let damageMax = 16
    public static let damagedSegmentsMax = 16

    public init() {}

    /// Adds what could not be read, as far as there is room.
    public mutating func note(_ new: StoreDamage) {
        if damage.count < Self.damageMax { damage.append(new) }
    }
}
