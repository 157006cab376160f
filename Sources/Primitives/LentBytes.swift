/// Bytes that somebody else owns, for reading: a pointer and a count. Every index and every slice is checked.
///
/// Good as long as the lender says, e.g. until the end of a call, or for bytes of a table as long as its arena. Making one from a pointer
/// is unsafe, because that promise is the maker's; reading it is safe.
@safe @frozen
public struct LentBytes: BitwiseCopyable {
    /// The same bytes as a pointer.
    @unsafe public let buffer: UnsafeRawBufferPointer

    /// `buffer` must stay as it is for as long as these bytes are read.
    @unsafe @inlinable @inline(__always)
    public init(_ buffer: UnsafeRawBufferPointer) { unsafe self.buffer = unsafe buffer }

    /// The bytes of a literal, which live forever.
    @inlinable @inline(__always)
    public init(_ text: StaticString) {
        unsafe buffer = unsafe UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount)
    }

    /// No bytes.
    @inlinable @inline(__always)
    public init() { unsafe buffer = unsafe UnsafeRawBufferPointer(start: nil, count: 0) }

    @inlinable public var count: Int { unsafe buffer.count }
    @inlinable public var isEmpty: Bool { unsafe buffer.count == 0 }

    @inlinable @inline(__always)
    public subscript(index: Int) -> UInt8 {
        precondition(index >= 0 && index < count, "an index outside of the bytes")
        return unsafe buffer[index]
    }

    @inlinable @inline(__always)
    public subscript(range: Range<Int>) -> LentBytes {
        precondition(range.lowerBound >= 0 && range.upperBound <= count, "a range outside of the bytes")
        return unsafe LentBytes(UnsafeRawBufferPointer(rebasing: buffer[range]))
    }

    /// The first `length` bytes; there must be as many.
    @inlinable @inline(__always)
    public func prefix(_ length: Int) -> LentBytes { self[0..<length] }

    /// The last `length` bytes; there must be as many.
    @inlinable @inline(__always)
    public func suffix(_ length: Int) -> LentBytes { self[count - length..<count] }

    /// Everything from a place on, which may be the end.
    @inlinable @inline(__always)
    public func from(_ start: Int) -> LentBytes { self[start..<count] }

    /// Where a byte is found first, from `start` on; `count` = nowhere.
    @inlinable @inline(__always)
    public func index(of byte: UInt8, from start: Int) -> Int {
        precondition(start >= 0, "an index outside of the bytes")
        var index = start
        while index < count, unsafe buffer[index] != byte { index += 1 }
        return index
    }

    /// Calls `body` with the bytes in lower case (ASCII), in memory for the time of the call.
    @inlinable
    public func withLowercased<Result>(_ body: (LentBytes) -> Result) -> Result {
        unsafe withUnsafeTemporaryAllocation(byteCount: max(1, count), alignment: 8) { lower in
            unsafe ASCII.lower(buffer, into: lower)
            return unsafe body(LentBytes(UnsafeRawBufferPointer(rebasing: lower[..<count])))
        }
    }

    @inlinable
    public func hasPrefix(_ other: LentBytes) -> Bool { count >= other.count && prefix(other.count) == other }

    @inlinable
    public func hasSuffix(_ other: LentBytes) -> Bool { count >= other.count && suffix(other.count) == other }

    @inlinable @inline(__always)
    public static func == (left: LentBytes, right: LentBytes) -> Bool {
        unsafe ASCII.equal(left.buffer, right.buffer)
    }

    @inlinable @inline(__always)
    public static func == (left: LentBytes, right: StaticString) -> Bool { unsafe ASCII.equal(left.buffer, right) }

    /// Equal but for ASCII case.
    @inlinable @inline(__always)
    public func equalsIgnoringCase(_ other: LentBytes) -> Bool { unsafe ASCII.equalIgnoringCase(buffer, other.buffer) }

    /// The same for `text`.
    @inlinable @inline(__always)
    public func equals(ignoringCase text: StaticString) -> Bool { equalsIgnoringCase(LentBytes(text)) }

    /// Without spaces and tabs at both ends (OWS, RFC 9110 5.6.3).
    public var trimmed: LentBytes { unsafe LentBytes(ASCII.trim(buffer)) }

    /// As `ASCII.decimal`.
    @inlinable
    public var decimal: UInt64? { unsafe ASCII.decimal(buffer) }

    /// See `ByteHash.hash`.
    @inlinable
    public func hash(seed: UInt64) -> UInt64 { unsafe ByteHash.hash(buffer, seed: seed) }

    /// The same bytes, owned. Allocates.
    public var copied: [UInt8] { unsafe Array(buffer) }

    /// As UTF-8; what is none is replaced. Allocates.
    public var text: String { unsafe String(decoding: buffer, as: UTF8.self) }
}

extension ByteBuffer {
    /// The waiting bytes; good until the next change.
    @inlinable @inline(__always)
    public var lent: LentBytes { unsafe LentBytes(readable) }

    @inlinable @inline(__always)
    public mutating func append(_ bytes: LentBytes) { unsafe append(bytes.buffer) }
}
