public import Primitives

/// Whom a limit counts: route, client identity, header values, hashed in the order they are added. Two different lists of parts have
/// different hashes but for an accident of one in 2^64, which a peer cannot bring about because the seed is the process's own.
public struct RateLimitDescriptor: Hashable, Sendable, BitwiseCopyable {
    public private(set) var hash: UInt64

    /// `route`: what the limit belongs to, stable over reloads.
    @inlinable
    public init(route: UInt64) { self.init(route: route, seed: ByteHash.seed) }

    @usableFromInline
    init(route: UInt64, seed: UInt64) { hash = ByteHash.mix(route ^ 0xA076_1D64_78BD_642F, seed | 1) }

    /// An absent part; differs from an empty one.
    public mutating func addAbsent() { hash = ByteHash.mix(hash ^ 0x8EBC_6AF0_9C88_C6E3, 0x5899_65CC_7537_4CC3) }

    public mutating func add(_ number: UInt64) { hash = ByteHash.mix(hash ^ number, 0x1D8E_4E27_C47D_124F) }

    /// Does not keep the bytes.
    @unsafe
    public mutating func add(_ bytes: UnsafeRawBufferPointer) { hash = unsafe ByteHash.hash(bytes, seed: hash) }
}
