/// A bounds-checked cursor over bytes from the file.
///
/// Reading past the end yields zeros and sets `failed`, so a decoder checks once per record instead of at every field. Every count
/// read from the bytes must be compared with `remaining` before it sizes anything.
@safe
struct ByteReader {
    private let base: UnsafeRawPointer?
    private let end: Int
    private(set) var position: Int
    private(set) var failed = false

    @inline(__always)
    init(_ bytes: UnsafeRawBufferPointer) {
        unsafe base = bytes.baseAddress
        end = bytes.count
        position = 0
    }

    @inline(__always)
    init(_ bytes: UnsafeRawBufferPointer, at position: Int) {
        unsafe base = bytes.baseAddress
        end = bytes.count
        self.position = position
        if position < 0 || position > end { failed = true; self.position = end }
    }

    @inline(__always) var remaining: Int { end &- position }

    mutating func fail() { failed = true; position = end }

    @inline(__always)
    mutating func byte() -> UInt8 {
        guard position < end, let base = unsafe base else { failed = true; return 0 }
        let value = unsafe base.load(fromByteOffset: position, as: UInt8.self)
        position &+= 1
        return value
    }

    @inline(__always)
    mutating func uint32() -> UInt32 {
        guard remaining >= 4, let base = unsafe base else { fail(); return 0 }
        let value = unsafe base.loadUnaligned(fromByteOffset: position, as: UInt32.self)
        position &+= 4
        return UInt32(littleEndian: value)
    }

    @inline(__always)
    mutating func uint64() -> UInt64 {
        guard remaining >= 8, let base = unsafe base else { fail(); return 0 }
        let value = unsafe base.loadUnaligned(fromByteOffset: position, as: UInt64.self)
        position &+= 8
        return UInt64(littleEndian: value)
    }

    @inline(__always)
    mutating func varint() -> UInt64 {
        if position < end, let base = unsafe base {
            let first = unsafe base.load(fromByteOffset: position, as: UInt8.self)
            if first < 0x80 {
                position &+= 1
                return UInt64(first)
            }
        }
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while shift < 64 {
            let next = byte()
            value |= UInt64(next & 0x7F) << shift
            if next < 0x80 { return value }
            shift &+= 7
        }
        fail()
        return 0
    }

    @inline(__always)
    mutating func zigzag() -> Int64 {
        let value = varint()
        return Int64(bitPattern: value >> 1) ^ -Int64(bitPattern: value & 1)
    }

    /// A count of things that take at least `bytesEach` bytes here; more than can be left fails.
    @inline(__always)
    mutating func count(bytesEach: Int = 1) -> Int {
        let value = varint()
        guard value <= UInt64(remaining / max(bytesEach, 1)) else { fail(); return 0 }
        return Int(value)
    }

    @inline(__always)
    mutating func bytes(_ count: Int) -> UnsafeRawBufferPointer {
        guard count >= 0, count <= remaining,
            let base = unsafe base
        else { fail(); return unsafe UnsafeRawBufferPointer(start: nil, count: 0) }
        let slice = unsafe UnsafeRawBufferPointer(start: base + position, count: count)
        position &+= count
        return unsafe slice
    }

    mutating func skip(_ count: Int) {
        guard count >= 0, count <= remaining else { fail(); return }
        position &+= count
    }

    /// Reads an array from `position` on; the reader is good only inside `body`.
    static func read<Result>(_ bytes: [UInt8], at position: Int = 0, _ body: (inout ByteReader) -> Result) -> Result {
        unsafe bytes.withUnsafeBytes { all in
            var reader = unsafe ByteReader(all, at: position)
            return body(&reader)
        }
    }

    /// Whether the last eight bytes are the hash of those before.
    static func hasHash(_ bytes: [UInt8]) -> Bool {
        unsafe bytes.withUnsafeBytes { all in
            guard all.count >= 8 else { return false }
            var tail = unsafe ByteReader(all, at: all.count - 8)
            let hash = unsafe Mixing.hash(UnsafeRawBufferPointer(rebasing: all[..<(all.count - 8)]))
            return tail.uint64() == hash
        }
    }
}
