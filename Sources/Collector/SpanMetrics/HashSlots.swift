/// Finds the places of entries by their hashes; the entries themselves, and what makes two of them equal, are the caller's. Open
/// addressing, at most half full; grows by doubling. A value, confined to its owner.
///
/// Only the upper half of a hash counts. A slot has all of it, so that growing and removing touch no entry.
struct HashSlots {
    /// The upper half of the hash, and the entry's place + 1; 0 = free.
    private var slots: [UInt64]
    private(set) var count = 0

    private static let slotsMin = 64

    init() { slots = [UInt64](repeating: 0, count: Self.slotsMin) }

    /// The place of the entry with this hash for which `isMatch` is true.
    @inline(__always)
    func find(_ hash: UInt64, _ isMatch: (Int) -> Bool) -> Int? {
        var at = home(hash)
        while slots[at] != 0 {
            if slots[at] >> 32 == hash >> 32, isMatch(Self.place(slots[at])) { return Self.place(slots[at]) }
            at = slotBehind(at)
        }
        return nil
    }

    /// Adds an entry that is not there.
    mutating func insert(_ hash: UInt64, _ place: Int) {
        if (count + 1) * 2 > slots.count {
            let old = slots
            slots = [UInt64](repeating: 0, count: old.count * 2)
            for slot in old where slot != 0 { put(slot) }
        }
        put(hash & ~0xFFFF_FFFF | UInt64(place + 1))
        count += 1
    }

    /// Removes an entry that is there.
    mutating func remove(_ hash: UInt64, _ place: Int) {
        let mask = slots.count - 1
        var hole = home(hash)
        while Self.place(slots[hole]) != place { hole = slotBehind(hole) }
        // Whoever stands behind the hole only because it was taken moves into it.
        var at = slotBehind(hole)
        while slots[at] != 0 {
            if (at - home(slots[at])) & mask >= (at - hole) & mask {
                slots[hole] = slots[at]
                hole = at
            }
            at = slotBehind(at)
        }
        slots[hole] = 0
        count -= 1
    }

    mutating func forgetEntries() {
        for index in slots.indices { slots[index] = 0 }
        count = 0
    }

    private static func place(_ slot: UInt64) -> Int { Int(slot & 0xFFFF_FFFF) - 1 }

    /// Where the search for a hash, or for what stands in a slot, begins.
    @inline(__always)
    private func home(_ hash: UInt64) -> Int { Int(truncatingIfNeeded: hash >> 32) & (slots.count - 1) }

    @inline(__always)
    private func slotBehind(_ slot: Int) -> Int { (slot + 1) & (slots.count - 1) }

    private mutating func put(_ slot: UInt64) {
        var at = home(slot)
        while slots[at] != 0 { at = slotBehind(at) }
        slots[at] = slot
    }
}
