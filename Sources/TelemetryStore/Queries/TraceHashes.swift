import TelemetryModel

/// The hashes of a segment's traces, by the low halves of their ids. Immutable.
struct TraceHashes: Sendable {
    /// Ascending.
    let sorted: [UInt32]
    /// Of a segment of the first layout, whose traces are in another order: the place of each element of `sorted`, and each place's hash.
    private let places: [UInt32]?
    private let byPlace: [UInt32]?

    /// Of a segment just built, whose places are in order.
    init(sorted: [UInt32]) {
        self.sorted = sorted
        places = nil
        byPlace = nil
    }

    /// Of a stored segment's trace index.
    init(hot: UnsafeRawBufferPointer, cold: () -> UnsafeRawBufferPointer, layout: Int64) {
        let stored = (0..<hot.count / 4).map { UInt32(littleEndian: unsafe hot.loadUnaligned(fromByteOffset: $0 * 4, as: UInt32.self)) }
        guard layout == SegmentLayout.first else {
            sorted = stored
            places = nil
            byPlace = nil
            return
        }
        let rests = unsafe cold()
        let hashes = stored.enumerated().map { place, high in
            var rest = unsafe ByteReader(rests, at: min(place * 12, rests.count))
            let sortKey = UInt64(high) << 32 | UInt64(rest.uint32())
            return TraceID(firstSortKey: sortKey, high: rest.uint64()).hash
        }
        let order = hashes.indices.sorted { (hashes[$0], $0) < (hashes[$1], $1) }
        sorted = order.map { hashes[$0] }
        places = order.map { UInt32($0) }
        byPlace = hashes
    }

    var memoryBytes: Int { sorted.count * (places == nil ? 4 : 12) }

    /// The place of an element of `sorted`.
    func place(_ index: Int) -> Int { places.map { Int($0[index]) } ?? index }

    func hash(ofPlace place: Int) -> UInt32 {
        let all = byPlace ?? sorted
        return place < all.count ? all[place] : 0
    }

    /// Places of the trace entries whose hash is `hash`.
    func entryPlaces(of hash: UInt32) -> [Int] { TraceHashes.find(hash, in: sorted).map(place) }

    /// Indexes of `sorted` whose hash is among `wanted`, ascending.
    func indexes(of wanted: [UInt32]) -> [Int] {
        var found: [Int] = []
        // A look-up costs about a hundred steps along the list.
        if wanted.count < sorted.count / 128 {
            for hash in wanted { found.append(contentsOf: TraceHashes.find(hash, in: sorted)) }
            return found
        }
        guard let last = wanted.last else { return [] }
        var at = TraceHashes.lowerBound(wanted[0], in: sorted)
        var want = 0
        while at < sorted.count, sorted[at] <= last {
            while wanted[want] < sorted[at] { want += 1 }
            if wanted[want] == sorted[at] { found.append(at) }
            at += 1
        }
        return found
    }

    /// Calls `body` with each value that both ascending lists have.
    static func common(_ mine: [UInt32], _ theirs: [UInt32], _ body: (UInt32) -> Void) {
        var left = 0
        var right = 0
        // Which of two random hashes is less cannot be guessed, so neither step is a branch; equal ones are rare.
        unsafe mine.withUnsafeBufferPointer { mine in
            unsafe theirs.withUnsafeBufferPointer { theirs in
                while left < mine.count, right < theirs.count {
                    let one = unsafe mine[left]
                    let other = unsafe theirs[right]
                    if one == other { body(one) }
                    left &+= one <= other ? 1 : 0
                    right &+= other <= one ? 1 : 0
                }
            }
        }
    }

    /// Index of the first element of an ascending list that is not below `hash`.
    static func lowerBound(_ hash: UInt32, in hashes: [UInt32]) -> Int {
        // The hashes are uniform, so the first guess is close; doubling steps from it bound the binary search.
        guard !hashes.isEmpty else { return 0 }
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
        return low
    }

    /// Indexes of the elements equal to `hash` of an ascending list.
    static func find(_ hash: UInt32, in hashes: [UInt32]) -> Range<Int> {
        let low = lowerBound(hash, in: hashes)
        var end = low
        while end < hashes.count, hashes[end] == hash { end += 1 }
        return low..<end
    }
}
