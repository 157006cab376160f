/// Sums of calls between services by time bucket, for a segment's header. Bounded by `SegmentLimits.linksMax`; what comes after is not
/// counted. Confined to one thread.
@safe
struct LinkTable: ~Copyable {
    struct Entry: BitwiseCopyable {
        var bucket: UInt64
        /// String numbers + 1.
        var parent: UInt32
        var child: UInt32
        var calls: UInt64
        var errors: UInt64
    }

    private(set) var entries = RawBuffer<Entry>(capacity: 256)
    private var slots = RawBuffer<UInt32>(capacity: LinkTable.slotsMin)
    private static let slotsMin = 1024

    init() { slots.fill(0, count: Self.slotsMin) }

    mutating func removeAll() {
        entries.removeAll()
        slots.fill(0, count: Self.slotsMin)
    }

    @inline(__always)
    private func firstSlot(_ bucket: UInt64, _ parent: UInt32, _ child: UInt32) -> Int {
        Int(truncatingIfNeeded: Mixing.fold(bucket &* Mixing.odd ^ UInt64(parent) << 32 ^ UInt64(child))) & (slots.count &- 1)
    }

    mutating func add(bucket: UInt64, parent: UInt32, child: UInt32, isError: Bool) {
        var slot = firstSlot(bucket, parent, child)
        while slots[slot] != 0 {
            let number = Int(slots[slot]) &- 1
            var entry = entries[number]
            if entry.bucket == bucket, entry.parent == parent, entry.child == child {
                entry.calls &+= 1
                if isError { entry.errors &+= 1 }
                entries[number] = entry
                return
            }
            slot = (slot &+ 1) & (slots.count &- 1)
        }
        guard entries.count < SegmentLimits.linksMax else { return }
        entries.append(Entry(bucket: bucket, parent: parent, child: child, calls: 1, errors: isError ? 1 : 0))
        slots[slot] = UInt32(entries.count)
        guard entries.count * 2 > slots.count else { return }
        slots.fill(0, count: slots.count * 2)
        for number in 0..<entries.count {
            let entry = entries[number]
            var free = self.firstSlot(entry.bucket, entry.parent, entry.child)
            while slots[free] != 0 { free = (free &+ 1) & (slots.count &- 1) }
            slots[free] = UInt32(number + 1)
        }
    }
}
