/// Finds the places of entries by their hashes; the entries themselves, and what makes two of them equal, are the caller's. Open
/// addressing, at most half full; grows by doubling. A value, confined to its owner.
struct HashSlots {
    /// The upper half of the hash, and the entry's place + 1; 0 = free.
    private var slots: [UInt64]
    private(set) var count = 0

    private static let slotsMin = 64

    init() { slots = [UInt64](repeating: 0, count: Self.slotsMin) }

    /// The place of the entry with this hash for which `isMatch` is true. Hashes must be spread over all 64 bits.
    @inline(__always)
    func find(_ hash: UInt64, _ isMatch: (Int) -> Bool) -> Int? {
        let mask = slots.count - 1
        var at = Int(truncatingIfNeeded: hash) & mask
        while slots[at] != 0 {
            if slots[at] >> 32 == hash >> 32, isMatch(Self.place(slots[at])) { return Self.place(slots[at]) }
            at = (at + 1) & mask
        }
        return nil
    }

    /// Adds an entry that is not there. `hashOf` gives the hash of every entry that was added before, by its place.
    mutating func insert(_ hash: UInt64, _ place: Int, hashOf: (Int) -> UInt64) {
        if (count + 1) * 2 > slots.count {
            let old = slots
            slots = [UInt64](repeating: 0, count: old.count * 2)
            for slot in old where slot != 0 { put(hashOf(Self.place(slot)), slot) }
        }
        put(hash, hash & ~0xFFFF_FFFF | UInt64(place + 1))
        count += 1
    }

    /// Removes an entry that is there.
    mutating func remove(_ hash: UInt64, _ place: Int, hashOf: (Int) -> UInt64) {
        let mask = slots.count - 1
        var hole = Int(truncatingIfNeeded: hash) & mask
        while Self.place(slots[hole]) != place { hole = (hole + 1) & mask }
        // Whoever stands behind the hole only because it was taken moves into it.
        var at = (hole + 1) & mask
        while slots[at] != 0 {
            let home = Int(truncatingIfNeeded: hashOf(Self.place(slots[at]))) & mask
            if (at - home) & mask >= (at - hole) & mask {
                slots[hole] = slots[at]
                hole = at
            }
            at = (at + 1) & mask
        }
        slots[hole] = 0
        count -= 1
    }

    mutating func forgetEntries() {
        for index in slots.indices { slots[index] = 0 }
        count = 0
    }

    private static func place(_ slot: UInt64) -> Int { Int(slot & 0xFFFF_FFFF) - 1 }

    private mutating func put(_ hash: UInt64, _ slot: UInt64) {
        let mask = slots.count - 1
        var at = Int(truncatingIfNeeded: hash) & mask
        while slots[at] != 0 { at = (at + 1) & mask }
        slots[at] = slot
    }
}
