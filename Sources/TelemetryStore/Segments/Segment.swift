/// What is kept in memory of a stored segment. Immutable.
final class Segment: Sendable {
    let number: Int64
    let spanCount: Int
    /// Microseconds; 0 when no span has a timestamp.
    let timestampMin: UInt64
    let timestampMax: UInt64
    /// What its age is counted from, microseconds: see `RetentionClock`.
    let newest: UInt64
    let arrival: UInt64
    let byteCount: Int
    let blockCount: Int
    /// Which rules its traces are in order by and its links were made by: see `SegmentLayout`.
    let layout: Int64
    /// Nil when `hashBytesMax` was used up and it is read when asked for.
    let index: TraceHashes?
    /// Nil in segments of earlier versions, in some others, and when `SegmentDigest.bytesMax` was used up.
    let digest: SegmentDigest?
    /// Hashes that recent earlier segments have too, or this one twice: traces whose spans came apart. Ascending.
    let splitHashes: [UInt32]

    /// All segments' hashes together take no more memory than this; at eight spans a trace enough for 100 million spans.
    static let hashBytesMax = 48 << 20
    /// How many segments back a trace's earlier spans are looked for. A search sees a trace whose parts are further apart as parts.
    static let splitDistance = 8

    /// A segment's row but for what is in its blobs.
    struct Facts {
        var number: Int64
        var spanCount: Int
        var timestampMin: UInt64
        var timestampMax: UInt64
        var newest: UInt64
        var arrival: UInt64
        var byteCount: Int
        var blockCount: Int
        var layout: Int64 = SegmentLayout.current
    }

    init(_ facts: Facts, index: TraceHashes?, digest: SegmentDigest?, recent: ArraySlice<Segment>) {
        number = facts.number
        spanCount = facts.spanCount
        timestampMin = facts.timestampMin
        timestampMax = facts.timestampMax
        newest = facts.newest
        arrival = facts.arrival
        byteCount = facts.byteCount
        blockCount = facts.blockCount
        layout = facts.layout
        self.index = index
        self.digest = digest
        var split: Set<UInt32> = []
        if let mine = index {
            for at in mine.sorted.indices.dropFirst() where mine.sorted[at] == mine.sorted[at - 1] { split.insert(mine.sorted[at]) }
            for other in recent.suffix(Segment.splitDistance) {
                guard let theirs = other.index else { continue }
                TraceHashes.common(mine.sorted, theirs.sorted) { split.insert($0) }
            }
        }
        splitHashes = split.sorted()
    }

    func isSplit(_ hash: UInt32) -> Bool { !splitHashes.isEmpty && !TraceHashes.find(hash, in: splitHashes).isEmpty }

    /// Whether the n-th trace entry may have parts elsewhere; unknown is yes.
    func isSplit(place: Int) -> Bool {
        guard let index else { return true }
        return !splitHashes.isEmpty && isSplit(index.hash(ofPlace: place))
    }
}
