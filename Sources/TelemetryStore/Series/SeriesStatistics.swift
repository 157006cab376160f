/// Counters and sizes of a series store at one moment. Counts are since it was opened unless they say "now".
public struct SeriesStatistics: Sendable, Equatable {
    /// Why a sample was not kept, although its batch was acknowledged.
    public enum Drop: String, Sendable, CaseIterable {
        /// The series has a sample of this time already; the first one stays.
        case duplicate
        /// The series has a later sample.
        case outOfOrder = "out_of_order"
        /// Before what is sealed.
        case late
        /// Too far in the future.
        case future
        /// Above the bound of its family, and its last value could not be remembered, or is a native histogram.
        case overflow
        /// Its identity is none.
        case malformed
    }

    public var samplesAccepted: UInt64 = 0
    public var samplesDropped: [Drop: UInt64] = [:]
    /// Samples that were summed up in an overflow series; accepted, too.
    public var samplesOverflowed: UInt64 = 0
    /// Numbered reports that had come before.
    public var reportsRepeated: UInt64 = 0
    public var exemplarsStored: UInt64 = 0
    /// For want of room, or not younger than the last one of their bucket, or of a series that is not kept.
    public var exemplarsDropped: UInt64 = 0
    /// Exemplars kept now.
    public var exemplars: UInt64 = 0
    /// Batches refused before they were looked at, by reason: points.
    public var pointsRefused: UInt64 = 0

    /// Now.
    public var series: UInt64 = 0
    public var headSamples: UInt64 = 0
    public var headBytes: UInt64 = 0
    public var journalRows: UInt64 = 0
    /// Bytes, samples and blocks of each tier, now.
    public var tierBytes: [UInt64] = []
    public var tierSamples: [UInt64] = []
    public var tierBlocks: [UInt64] = []
    /// What the index of the labels takes, about, now.
    public var indexBytes: UInt64 = 0

    public var spansSealed: UInt64 = 0
    public var spansRolledUp: UInt64 = 0
    public var spansExpired: UInt64 = 0
    public var seriesExpired: UInt64 = 0
    /// Rows of the journal and blocks that could not be read; what was in them is missing.
    public var damagedRows: UInt64 = 0
    public var damagedBlocks: UInt64 = 0

    public init() {}
}
