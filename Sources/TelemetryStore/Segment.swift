/// What is kept in memory of a stored segment. Immutable.
final class Segment: Sendable {
    let number: Int64
    let spanCount: Int
    /// Microseconds; 0 when no span has a timestamp.
    let timestampMin: UInt64
    let timestampMax: UInt64
    let byteCount: Int
    let blockCount: Int
    /// High halves of the traces' sort keys, ascending; nil when `hashBytesMax` was used up and they are read when asked for.
    let hashes: [UInt32]?
    /// Hashes that recent earlier segments have too: traces whose spans came apart. Ascending.
    let splitHashes: [UInt32]

    /// All segments' hashes together take no more memory than this; at eight spans a trace enough for 100 million spans.
    static let hashBytesMax = 48 << 20
    /// How many segments back a trace's earlier spans are looked for. A search sees a trace whose parts are further apart as parts.
    static let splitDistance = 8

    init(
        number: Int64, spanCount: Int, timestampMin: UInt64, timestampMax: UInt64, byteCount: Int, blockCount: Int, hashes: [UInt32]?,
        recent: ArraySlice<Segment>
    ) {
        self.number = number
        self.spanCount = spanCount
        self.timestampMin = timestampMin
        self.timestampMax = timestampMax
        self.byteCount = byteCount
        self.blockCount = blockCount
        self.hashes = hashes
        var split: Set<UInt32> = []
        for other in recent.suffix(Segment.splitDistance) {
            guard let mine = hashes, let theirs = other.hashes else { continue }
            var left = 0
            var right = 0
            // Which of two random hashes is less cannot be guessed, so neither step is a branch; equal ones are rare.
            unsafe mine.withUnsafeBufferPointer { mine in
                unsafe theirs.withUnsafeBufferPointer { theirs in
                    while left < mine.count, right < theirs.count {
                        let one = unsafe mine[left]
                        let other = unsafe theirs[right]
                        if one == other { split.insert(one) }
                        left &+= one <= other ? 1 : 0
                        right &+= other <= one ? 1 : 0
                    }
                }
            }
        }
        splitHashes = split.sorted()
    }

    /// Indexes of the trace entries whose hash is `hash`.
    static func find(_ hash: UInt32, in hashes: [UInt32]) -> Range<Int> {
        // The hashes are uniform, so the first guess is close; doubling steps from it bound the binary search.
        guard !hashes.isEmpty else { return 0..<0 }
        var low = Int((UInt64(hash) * UInt64(hashes.count)) >> 32)
        var high = low
        var step = 32
        while low > 0, hashes[low] >= hash { low = max(0, low - step); step *= 2 }
        step = 32
        while high < hashes.count, hashes[high] <= hash { high = min(hashes.count, high + step); step *= 2 }
        while low < high {
            let middle = (low + high) / 2
            if hashes[middle] < hash { low = middle + 1 } else { high = middle }
        }
        var end = low
        while end < hashes.count, hashes[end] == hash { end += 1 }
        return low..<end
    }

    func isSplit(_ hash: UInt32) -> Bool { !splitHashes.isEmpty && !Segment.find(hash, in: splitHashes).isEmpty }
}
