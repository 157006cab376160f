/// A fast hash of bytes for our own tables. Seeded per process, so that a peer cannot choose collisions.
public enum ByteHash {
    /// Drawn once per process.
    public static let seed: UInt64 = {
        var system = SystemRandomNumberGenerator()
        return system.next()
    }()

    @inlinable
    public static func mix(_ left: UInt64, _ right: UInt64) -> UInt64 {
        let product = left.multipliedFullWidth(by: right)
        return product.high ^ product.low
    }

    /// Of a part of an array, with this process's seed.
    @inlinable
    public static func hash(_ bytes: [UInt8], _ range: Range<Int>) -> UInt64 {
        unsafe bytes.withUnsafeBytes { unsafe hash(UnsafeRawBufferPointer(rebasing: $0[range]), seed: seed) }
    }

    /// With a seed of one's own, for hashes that outlive the process.
    public static func hash(_ bytes: [UInt8], _ range: Range<Int>? = nil, seed: UInt64) -> UInt64 {
        unsafe bytes.withUnsafeBytes { unsafe hash(UnsafeRawBufferPointer(rebasing: $0[range ?? 0..<bytes.count]), seed: seed) }
    }

    @unsafe @inlinable
    public static func hash(_ bytes: UnsafeRawBufferPointer, seed: UInt64) -> UInt64 {
        var state = seed ^ 0xA076_1D64_78BD_642F
        var offset = 0
        while bytes.count - offset >= 8 {
            let word = unsafe bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
            state = mix(state ^ word, 0xE703_7ED1_A0B4_28DB)
            offset += 8
        }
        var tail: UInt64 = 0
        while offset < bytes.count {
            tail = tail << 8 | UInt64(unsafe bytes[offset])
            offset += 1
        }
        return mix(state ^ tail, 0x8EBC_6AF0_9C88_C6E3 ^ UInt64(truncatingIfNeeded: bytes.count))
    }
}
