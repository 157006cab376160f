/// Says "surely not here" for ids: five bits per value, all in one block of 512 bits, eight bits of filter per value. About one
/// segment in thirty is opened in vain.
enum BloomFilter {
    static let bitsPerValue = 8

    /// Values worth a place: ids, addresses and numbers so wide that most segments lack any given one.
    @inline(__always)
    static func covers(_ kind: ValueKind, _ value: UInt64) -> Bool {
        switch kind {
        case .uuid, .hex16, .hex32, .ipv4: true
        case .number: value >= 1 << 16
        case .template: value >= 10_000
        case .text, .long: false
        }
    }

    @inline(__always)
    static func hash(_ key: UInt64, _ a: UInt64, _ b: UInt64) -> UInt64 {
        Mixing.fold(key ^ a &* Mixing.odd ^ (b &+ 0x51_7C_C1_B7_27_22_0A_95) &* 0xFF51_AFD7_ED55_8CCD)
    }

    /// Filters of more values than this come in parts.
    static let wholeValuesMax = 16_384
    static let partBits: UInt64 = 6
    static let partCount = 1 << Int(partBits)

    /// The part of a large filter that knows of `hash`.
    @inline(__always)
    static func partNumber(_ hash: UInt64) -> Int { Int(hash >> (64 - partBits)) }

    /// What is looked up within a part: independent of the bits that chose it.
    @inline(__always)
    static func withinPart(_ hash: UInt64) -> UInt64 { Mixing.fold(hash ^ Mixing.odd) }

    private static let blockBytes = 64
    private static let bitsSet = 5

    static func build(_ hashes: borrowing RawBuffer<UInt64>) -> [[UInt8]] {
        if hashes.count <= wholeValuesMax {
            var filter = [UInt8](repeating: 0, count: filterBytes(hashes.count))
            for index in 0..<hashes.count { set(hashes[index], &filter) }
            return [filter]
        }
        // Sorted by part first: one part at a time stays in the cache, and its owner is checked once.
        var ends = [Int](repeating: 0, count: partCount)
        for index in 0..<hashes.count { ends[partNumber(hashes[index])] &+= 1 }
        let counts = ends
        var sum = 0
        for part in 0..<partCount {
            let count = ends[part]
            ends[part] = sum
            sum &+= count
        }
        let sorted = unsafe [UInt64](unsafeUninitializedCapacity: hashes.count) { buffer, count in
            for index in 0..<hashes.count {
                let part = partNumber(hashes[index])
                // Every place below `hashes.count` is written once: the ends begin at the sums of the counts before them.
                unsafe buffer[ends[part]] = hashes[index]
                ends[part] &+= 1
            }
            count = hashes.count
        }
        return (0..<partCount).map { part in
            var filter = [UInt8](repeating: 0, count: filterBytes(counts[part]))
            for index in (ends[part] - counts[part])..<ends[part] { set(withinPart(sorted[index]), &filter) }
            return filter
        }
    }

    private static func filterBytes(_ values: Int) -> Int { (values * bitsPerValue / 8 + blockBytes - 1) / blockBytes * blockBytes }

    /// The first byte of the value's block; the highest bits choose it, the lowest 45 the bits in it.
    @inline(__always)
    private static func filterBlock(_ hash: UInt64, of count: Int) -> Int {
        Int(hash.multipliedFullWidth(by: UInt64(count / blockBytes)).high) &* blockBytes
    }

    @inline(__always)
    private static func set(_ hash: UInt64, _ filter: inout [UInt8]) {
        let start = filterBlock(hash, of: filter.count)
        precondition(start >= 0 && start &+ blockBytes <= filter.count)
        unsafe filter.withUnsafeMutableBytes { bytes in
            var rest = hash
            for _ in 0..<bitsSet {
                // Six bits choose one of the block's 64 bytes.
                unsafe bytes[start &+ Int(truncatingIfNeeded: rest >> 3 & 63)] |= 1 << UInt8(truncatingIfNeeded: rest & 7)
                rest >>= 9
            }
        }
    }

    static func mayContain(_ filter: UnsafeRawBufferPointer, _ hash: UInt64) -> Bool {
        guard filter.count >= blockBytes, filter.count % blockBytes == 0 else { return false }
        let start = filterBlock(hash, of: filter.count)
        var rest = hash
        for _ in 0..<bitsSet {
            if unsafe filter[start &+ Int(rest >> 3 & 63)] & (1 << UInt8(truncatingIfNeeded: rest & 7)) == 0 { return false }
            rest >>= 9
        }
        return true
    }
}
