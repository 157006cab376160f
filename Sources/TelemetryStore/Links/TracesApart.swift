/// Which traces have parts in more than one place.
enum TracesApart {
    /// Lists are gone through in this many ranges of hashes, so that only a part of all hashes is looked at at a time.
    private static let ranges = 64

    /// Ascending hashes that lie in two segments, or in one and the head, where at least one of these is covered or the head. A hash that
    /// two traces share is among them as well, which costs time and changes nothing.
    static func hashes(_ parts: [SegmentPart], head: [UInt32]) -> [UInt32] {
        var found: [UInt32] = []
        var seen = SeenHashes()
        let width = UInt64(1 << 32) / UInt64(ranges)
        for range in 0..<UInt64(ranges) {
            let lower = UInt32(range * width)
            let upper = UInt32(truncatingIfNeeded: (range + 1) * width &- 1)
            var slices: [(hashes: ArraySlice<UInt32>, isCovered: Bool)] = []
            func take(_ list: [UInt32], isCovered: Bool) {
                let start = lower == 0 ? 0 : TraceHashes.lowerBound(lower, in: list)
                let end = upper == .max ? list.count : TraceHashes.lowerBound(upper + 1, in: list)
                if start < end { slices.append((list[start..<end], isCovered)) }
            }
            for part in parts where !part.isDamaged { take(part.hashes.sorted, isCovered: part.isCovered) }
            take(head, isCovered: true)
            seen.clear(for: slices.reduce(0) { $0 + $1.hashes.count })
            for slice in slices { seen.add(slice.hashes, isCovered: slice.isCovered) }
            found += seen.repeatedAndCovered
        }
        return found
    }
}

/// Which of some hashes came twice. Open addressing, at most half full.
private struct SeenHashes {
    private static let isTaken: UInt64 = 1, isCovered: UInt64 = 2, isRepeated: UInt64 = 4

    /// A hash in the upper bits, and what is known of it; 0 = free.
    private var slots: [UInt64] = []
    private var mask = 0
    private var repeated: [Int] = []

    mutating func clear(for count: Int) {
        var size = 64
        while size < count * 2 { size *= 2 }
        if slots.count == size {
            for slot in slots.indices { slots[slot] = 0 }
        } else {
            slots = [UInt64](repeating: 0, count: size)
        }
        mask = size - 1
        repeated.removeAll(keepingCapacity: true)
    }

    mutating func add(_ hashes: ArraySlice<UInt32>, isCovered: Bool) {
        let facts = Self.isTaken | (isCovered ? Self.isCovered : 0)
        for hash in hashes {
            let value = UInt64(hash)
            // Hashes of one range have their upper bits in common.
            var slot = Int(truncatingIfNeeded: value &* 0x9E37_79B1) & mask
            while slots[slot] != 0, slots[slot] >> 3 != value { slot = (slot + 1) & mask }
            if slots[slot] == 0 {
                slots[slot] = value << 3 | facts
            } else {
                if slots[slot] & Self.isRepeated == 0 { repeated.append(slot) }
                slots[slot] |= facts | Self.isRepeated
            }
        }
    }

    /// Ascending.
    var repeatedAndCovered: [UInt32] {
        repeated.filter { slots[$0] & Self.isCovered != 0 }.map { UInt32(truncatingIfNeeded: slots[$0] >> 3) }.sorted()
    }
}
