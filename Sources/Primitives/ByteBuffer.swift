#if canImport(Glibc)
internal import Glibc
#endif

/// A growable queue of bytes in one piece of memory: appended at the end, consumed from the front.
///
/// The memory appears with the first append and goes with `release()`, so an idle connection's buffer costs nothing. Owned by
/// one connection on one thread.
@safe
public struct ByteBuffer: ~Copyable {
    @usableFromInline var base: UnsafeMutableRawPointer?
    /// Bytes allocated at `base`.
    public private(set) var capacity = 0
    /// 0 <= head <= tail <= capacity, so that no difference of them overflows and `tail` never does; `makeRoom` checks what is asked for.
    @usableFromInline var head = 0
    @usableFromInline var tail = 0

    /// First allocation, bytes.
    public static let capacityMin = 1024

    public init() { unsafe base = nil }

    deinit { unsafe free(base) }

    /// Bytes waiting to be consumed.
    @inlinable public var count: Int { tail &- head }
    @inlinable public var isEmpty: Bool { tail == head }

    /// The waiting bytes; valid until the next mutation. The pointer is non-null when `count > 0`.
    @unsafe @inlinable public var readable: UnsafeRawBufferPointer {
        unsafe UnsafeRawBufferPointer(start: base.map { unsafe UnsafeRawPointer($0 + head) }, count: tail &- head)
    }

    /// Makes room for `count` more bytes behind the waiting ones and returns where to write them. Follow with `commit`.
    @unsafe @inlinable
    public mutating func reserve(_ count: Int) -> UnsafeMutableRawPointer {
        if capacity &- tail < count { makeRoom(count) }
        return unsafe base.unsafelyUnwrapped + tail
    }

    /// Counts `count` bytes written at the pointer that `reserve` returned.
    @inlinable
    public mutating func commit(_ count: Int) {
        precondition(count >= 0 && count <= capacity &- tail, "commit of bytes that were never reserved")
        tail &+= count
    }

    /// Bytes free behind the waiting ones, without growing.
    @inlinable public var spare: Int { capacity &- tail }

    /// Always inlined: it is a comparison and a copy.
    @unsafe @inlinable @inline(__always)
    public mutating func append(_ bytes: UnsafeRawBufferPointer) {
        let count = bytes.count
        guard count > 0, let source = bytes.baseAddress else { return }
        unsafe reserve(count).copyMemory(from: source, byteCount: count)
        tail &+= count
    }

    public mutating func append(contentsOf other: borrowing ByteBuffer) { unsafe append(other.readable) }

    public mutating func append(contentsOf bytes: [UInt8]) {
        unsafe bytes.withUnsafeBytes { unsafe append($0) }
    }

    /// A copy of the waiting bytes.
    public var contents: [UInt8] { unsafe Array(readable) }

    /// Copies the waiting bytes to where there is room for `count`.
    @unsafe @inlinable
    public func copy(to place: UnsafeMutableRawPointer) {
        guard let source = unsafe readable.baseAddress, !isEmpty else { return }
        unsafe place.copyMemory(from: source, byteCount: count)
    }

    /// Always inlined: a literal's length is known where it is appended, and its bytes go there as a few stores.
    @inlinable @inline(__always)
    public mutating func append(_ text: StaticString) {
        let count = text.utf8CodeUnitCount
        // Without memory there is no place to write nothing to.
        guard count > 0 else { return }
        unsafe reserve(count).copyMemory(from: text.utf8Start, byteCount: count)
        tail &+= count
    }

    @inlinable
    public mutating func append(byte: UInt8) {
        unsafe reserve(1).storeBytes(of: byte, as: UInt8.self)
        tail &+= 1
    }

    /// A copy of bytes that wait here already.
    public mutating func append(copyOf place: Range<Int>) {
        precondition(place.lowerBound >= 0 && place.upperBound <= count, "copy of bytes that are not there")
        if place.isEmpty { return }
        // Room first: it may move what is copied.
        let out = unsafe reserve(place.count)
        guard let base = unsafe base else { return }
        unsafe out.copyMemory(from: base + head + place.lowerBound, byteCount: place.count)
        tail &+= place.count
    }

    /// For the edge: allocates nothing itself but takes a Swift String.
    public mutating func append(string: String) {
        var string = string
        string.withUTF8 { unsafe append(UnsafeRawBufferPointer($0)) }
    }

    /// Decimal digits, no sign, no leading zero.
    @inlinable
    public mutating func append(decimal value: UInt64) {
        // Twenty digits hold every UInt64.
        let out = unsafe reserve(20).assumingMemoryBound(to: UInt8.self)
        tail &+= unsafe writeDecimal(value, to: out)
    }

    /// Lower-case hexadecimal without leading zeros; "0" for zero.
    @inlinable
    public mutating func append(hexadecimal value: UInt64) {
        let digits = max(1, (67 - value.leadingZeroBitCount) / 4)
        let out = unsafe reserve(16).assumingMemoryBound(to: UInt8.self)
        for position in 0..<digits {
            let nibble = UInt8(truncatingIfNeeded: (value &>> UInt64(4 * (digits - 1 - position))) & 15)
            unsafe out[position] = nibble < 10 ? 48 + nibble : 87 + nibble
        }
        tail &+= digits
    }

    /// Drops what was appended behind the first `count` waiting bytes.
    @inlinable
    public mutating func truncate(to count: Int) {
        precondition(count >= 0 && count <= tail &- head, "truncation to more than is there")
        tail = head &+ count
    }

    /// Takes out bytes in between: those behind move up.
    public mutating func remove(_ range: Range<Int>) {
        precondition(range.lowerBound >= 0 && range.upperBound <= tail &- head, "removal of bytes that are not there")
        guard let base = unsafe base, !range.isEmpty else { return }
        unsafe memmove(base + head + range.lowerBound, base + head + range.upperBound, count - range.upperBound)
        tail &-= range.count
    }

    /// Drops `count` bytes from the front.
    @inlinable
    public mutating func consume(_ count: Int) {
        precondition(count >= 0 && count <= tail &- head, "consume of bytes that are not there")
        head &+= count
        if head == tail {
            head = 0
            tail = 0
        }
    }

    /// Drops everything, keeping the memory unless it has grown beyond `keeping` bytes.
    @inlinable
    public mutating func clear(keeping capacityMax: Int = 16 * 1024) {
        head = 0
        tail = 0
        if capacity > capacityMax { release() }
    }

    /// Drops everything and gives the memory back.
    public mutating func release() {
        unsafe free(base)
        unsafe base = nil
        capacity = 0
        head = 0
        tail = 0
    }

    @usableFromInline @inline(never)
    mutating func makeRoom(_ count: Int) {
        let waiting = tail - head
        // Moving costs `waiting` bytes and was paid for by the `head` bytes consumed since the last move; otherwise at least half of
        // the new memory is room, so that a queue which stays full moves once in many appends.
        if let base = unsafe base, capacity - waiting >= count, waiting <= head {
            unsafe memmove(base, base + head, waiting)
        } else {
            var grown = max(capacity, Self.capacityMin)
            while grown - waiting < count || waiting > grown / 2 { grown *= 2 }
            guard let fresh = unsafe malloc(grown) else { preconditionFailure("out of memory") }
            if let base = unsafe base {
                unsafe memcpy(fresh, base + head, waiting)
                unsafe free(base)
            }
            unsafe base = fresh
            capacity = grown
        }
        head = 0
        tail = waiting
    }
}

/// Writes the decimal digits of `value` at `out` (room for 20 bytes) and returns how many there are.
@unsafe @inlinable
public func writeDecimal(_ value: UInt64, to out: UnsafeMutablePointer<UInt8>) -> Int {
    if value < 10 {
        unsafe out[0] = 48 &+ UInt8(truncatingIfNeeded: value)
        return 1
    }
    let digits = decimalDigits(value)
    var rest = value
    var position = digits
    while rest >= 10 {
        position &-= 1
        let (quotient, remainder) = rest.quotientAndRemainder(dividingBy: 10)
        unsafe out[position] = 48 &+ UInt8(truncatingIfNeeded: remainder)
        rest = quotient
    }
    unsafe out[0] = 48 &+ UInt8(truncatingIfNeeded: rest)
    return digits
}

/// How many digits a number of at least 10 has.
@inlinable @inline(__always)
func decimalDigits(_ value: UInt64) -> Int {
    if value < 100 { return 2 }
    if value < 1000 { return 3 }
    if value < 10_000 { return 4 }
    var digits = 4
    var rest = value / 10_000
    while rest > 0 {
        digits &+= 1
        rest /= 10
    }
    return digits
}
