/// Rows of a segment, ready to be stored.
struct BuiltSegment: Sendable {
    struct Block: Sendable {
        var hot: [UInt8]
        var cold: [UInt8]
    }

    var header: [UInt8] = []
    var traceHashes: [UInt8] = []
    var traceRests: [UInt8] = []
    /// One filter, or `BloomFilter.partCount` parts; none when the segment has plain rows.
    var filter: [[UInt8]] = []
    var blocks: [Block] = []
    /// None when the segment has plain rows or too many facts.
    var digest: SegmentDigest? {
        didSet { digestBytes = digest?.encoded ?? [] }
    }
    private(set) var digestBytes: [UInt8] = []
    var spanCount = 0
    var timestampMin: UInt64 = 0
    var timestampMax: UInt64 = 0
    /// See `RetentionClock`.
    var newest: UInt64 = 0
    var arrival: UInt64 = 0
    /// Sort-key prefixes of the traces, as `traceHashes` has them.
    var hashes: [UInt32] = []

    var byteCount: Int {
        header.count + digestBytes.count + traceHashes.count + traceRests.count + filter.reduce(0) { $0 + $1.count }
            + blocks.reduce(0) { $0 + $1.hot.count + $1.cold.count }
    }
}
