/// Numbers sequences of words (the signatures of span shapes) in order of first sight. Confined to one thread.
///
/// A candidate is appended word by word to `words` from `words.count` on, then looked up; it stays there only if it is inserted.
@safe
struct SignatureTable: ~Copyable {
    var words = RawBuffer<UInt32>(capacity: 4096)
    private var ends = RawBuffer<Int>(capacity: 256)
    private var hashes = RawBuffer<UInt64>(capacity: 256)
    /// Number + 1, or 0 when the slot is free; a power of two long, at most half full.
    private var slots = RawBuffer<UInt32>(capacity: SignatureTable.slotsMin)

    private static let slotsMin = 1024
    private static let keptWords = 1 << 18

    init() { slots.fill(0, count: Self.slotsMin) }

    var count: Int { ends.count }

    mutating func removeAll() {
        words.removeAll(keepingAtMost: Self.keptWords)
        ends.removeAll()
        hashes.removeAll()
        slots.fill(0, count: Self.slotsMin)
    }

    /// Two words at a time.
    @inline(__always)
    private func hash(from start: Int) -> UInt64 {
        unsafe words.withElements { words in
            var hash: UInt64 = 0
            var at = start
            while at < words.count {
                var pair = UInt64(unsafe words[at])
                if at &+ 1 < words.count { pair |= UInt64(unsafe words[at &+ 1]) &<< 32 }
                hash = (hash ^ pair) &* Mixing.odd
                hash ^= hash >> 32
                at &+= 2
            }
            return hash
        }
    }

    /// Whether signature `number` is the one that begins at `start`.
    @inline(__always)
    func isEqual(_ number: Int, from start: Int) -> Bool {
        guard number < ends.count else { return false }
        let knownStart = number == 0 ? 0 : ends[number &- 1]
        let length = words.count &- start
        guard ends[number] &- knownStart == length else { return false }
        return unsafe words.withElements { words in
            var difference: UInt32 = 0
            for at in 0..<length { unsafe difference |= words[knownStart &+ at] ^ words[start &+ at] }
            return difference == 0
        }
    }

    /// The number of the signature that begins at `start`, which is taken off `words` again; nil when it is new and still there.
    mutating func find(from start: Int) -> Int? {
        let hash = hash(from: start)
        let mask = slots.count &- 1
        var slot = Int(truncatingIfNeeded: hash) & mask
        while slots[slot] != 0 {
            let number = Int(slots[slot]) &- 1
            if hashes[number] == hash, isEqual(number, from: start) {
                words.truncate(to: start)
                return number
            }
            slot = (slot &+ 1) & mask
        }
        return nil
    }

    /// The words of signature `number`.
    func wordRange(_ number: Int) -> Range<Int> { (number == 0 ? 0 : ends[number - 1])..<ends[number] }

    /// Keeps the new signature that begins at `start`.
    mutating func insert(from start: Int) -> Int {
        let number = ends.count
        hashes.append(hash(from: start))
        ends.append(words.count)
        if (number + 1) * 2 > slots.count {
            slots.fill(0, count: slots.count * 2)
            for known in 0..<hashes.count { place(known) }
        } else {
            place(number)
        }
        return number
    }

    private mutating func place(_ number: Int) {
        let mask = slots.count &- 1
        var slot = Int(truncatingIfNeeded: hashes[number]) & mask
        while slots[slot] != 0 { slot = (slot &+ 1) & mask }
        slots[slot] = UInt32(number + 1)
    }
}
