/// Room for a few bytes whose number has a bound, in memory that somebody else owns: written from the front, and checked against the bound.
///
/// Where the bound and what is written are known when it is compiled, the checks cost nothing. Good for the call it is lent for.
@safe
public struct FixedOutput: ~Copyable {
    @usableFromInline let base: UnsafeMutableRawPointer
    /// Bytes that there is room for.
    public let capacity: Int
    @usableFromInline var used = 0

    /// `base` must be good for `capacity` bytes for as long as this is used.
    @unsafe @inlinable @inline(__always)
    public init(_ base: UnsafeMutableRawPointer, capacity: Int) {
        unsafe self.base = unsafe base
        self.capacity = capacity
    }

    /// Bytes written.
    @inlinable public var count: Int { used }

    /// The room that is left. Follow with `commit`.
    @unsafe @inlinable public var rest: UnsafeMutableRawBufferPointer {
        unsafe UnsafeMutableRawBufferPointer(start: base + count, count: capacity &- count)
    }

    /// Counts bytes that were written to `rest`.
    @inlinable @inline(__always)
    public mutating func commit(_ written: Int) {
        precondition(written >= 0 && written <= capacity &- count, "more bytes than there is room for")
        used &+= written
    }

    @inlinable @inline(__always)
    public mutating func append(byte: UInt8) {
        precondition(count < capacity, "more bytes than there is room for")
        unsafe base.storeBytes(of: byte, toByteOffset: count, as: UInt8.self)
        used &+= 1
    }

    /// Eight bytes, the first in the most significant byte of `word`.
    @inlinable @inline(__always)
    public mutating func append(eight word: UInt64) {
        precondition(capacity &- count >= 8, "more bytes than there is room for")
        unsafe base.storeBytes(of: word.bigEndian, toByteOffset: count, as: UInt64.self)
        used &+= 8
    }

    /// The same of four.
    @inlinable @inline(__always)
    public mutating func append(four word: UInt32) {
        precondition(capacity &- count >= 4, "more bytes than there is room for")
        unsafe base.storeBytes(of: word.bigEndian, toByteOffset: count, as: UInt32.self)
        used &+= 4
    }

    @inlinable @inline(__always)
    public mutating func append(_ text: StaticString) {
        precondition(capacity &- count >= text.utf8CodeUnitCount, "more bytes than there is room for")
        unsafe (base + count).copyMemory(from: text.utf8Start, byteCount: text.utf8CodeUnitCount)
        used &+= text.utf8CodeUnitCount
    }

    /// Decimal digits, no sign, no leading zero; room for twenty.
    @inlinable @inline(__always)
    public mutating func append(decimal value: UInt64) {
        precondition(capacity &- count >= 20, "more bytes than there is room for")
        used &+= unsafe writeDecimal(value, to: (base + count).assumingMemoryBound(to: UInt8.self))
    }
}
