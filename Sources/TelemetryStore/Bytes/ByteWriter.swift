/// A growing byte buffer for encoders: appends without the per-byte checks of Array, owns its memory.
///
/// Little endian throughout. Confined to one thread.
@safe
struct ByteWriter: ~Copyable {
    /// Zero bytes after packed bits, so that a reader can always load eight.
    static let packSlackBytes = 8

    private var base: UnsafeMutableRawPointer
    private(set) var count = 0
    private var capacity: Int

    init(capacity: Int = 4096) {
        self.capacity = max(capacity, 64)
        unsafe base = UnsafeMutableRawPointer.allocate(byteCount: max(capacity, 64), alignment: 16)
    }

    deinit { unsafe base.deallocate() }

    mutating func removeAll() { count = 0 }

    /// Gives back memory that an unusually large value had asked for.
    mutating func shrink(toCapacity limit: Int) {
        guard count == 0, capacity > limit else { return }
        unsafe base.deallocate()
        capacity = max(limit, 64)
        unsafe base = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 16)
    }

    @inline(__always)
    mutating func reserve(_ more: Int) {
        if capacity &- count < more { grow(more) }
    }

    @inline(never)
    private mutating func grow(_ more: Int) {
        let wanted = max(capacity * 2, count + more)
        let moved = UnsafeMutableRawPointer.allocate(byteCount: wanted, alignment: 16)
        unsafe moved.copyMemory(from: base, byteCount: count)
        unsafe base.deallocate()
        unsafe base = moved
        capacity = wanted
    }

    @inline(__always)
    mutating func append(_ byte: UInt8) {
        reserve(1)
        unsafe base.storeBytes(of: byte, toByteOffset: count, as: UInt8.self)
        count &+= 1
    }

    @inline(__always)
    mutating func append(_ value: UInt32) {
        reserve(4)
        unsafe base.storeBytes(of: value.littleEndian, toByteOffset: count, as: UInt32.self)
        count &+= 4
    }

    @inline(__always)
    mutating func append(_ value: UInt64) {
        reserve(8)
        unsafe base.storeBytes(of: value.littleEndian, toByteOffset: count, as: UInt64.self)
        count &+= 8
    }

    /// Base-128, least significant group first; 1 to 10 bytes.
    @inline(__always)
    mutating func append(varint value: UInt64) {
        reserve(10)
        var rest = value
        var at = count
        while rest >= 0x80 {
            unsafe base.storeBytes(of: UInt8(truncatingIfNeeded: rest) | 0x80, toByteOffset: at, as: UInt8.self)
            at &+= 1
            rest >>= 7
        }
        unsafe base.storeBytes(of: UInt8(truncatingIfNeeded: rest), toByteOffset: at, as: UInt8.self)
        count = at &+ 1
    }

    /// Signed difference, small magnitudes short.
    @inline(__always)
    mutating func append(zigzag value: Int64) {
        append(varint: UInt64(bitPattern: (value << 1) ^ (value >> 63)))
    }

    @inline(__always)
    mutating func append(bytes: UnsafeRawBufferPointer) {
        guard let source = bytes.baseAddress, bytes.count > 0 else { return }
        reserve(bytes.count)
        unsafe (base + count).copyMemory(from: source, byteCount: bytes.count)
        count &+= bytes.count
    }

    /// The same for text that is short more often than not: words, the last of which overlaps the one before, instead of a call.
    @inline(__always)
    mutating func append(short bytes: UnsafeRawBufferPointer) {
        let length = bytes.count
        guard let source = bytes.baseAddress, length >= 8 else {
            for unsafe byte in unsafe bytes { append(byte) }
            return
        }
        reserve(length)
        let target = unsafe base + count
        var at = 0
        while at &+ 8 < length {
            unsafe target.storeBytes(of: source.loadUnaligned(fromByteOffset: at, as: UInt64.self), toByteOffset: at, as: UInt64.self)
            at &+= 8
        }
        unsafe target.storeBytes(
            of: source.loadUnaligned(fromByteOffset: length &- 8, as: UInt64.self), toByteOffset: length &- 8, as: UInt64.self)
        count &+= length
    }

    mutating func append(array: [UInt8]) {
        unsafe array.withUnsafeBytes { unsafe append(bytes: $0) }
    }

    mutating func append(words: borrowing RawBuffer<UInt64>) {
        reserve(words.count * 8)
        for index in 0..<words.count { append(words[index]) }
    }

    /// Of two columns of one length: the first values, then the second values, value by value.
    mutating func append(pairs first: borrowing RawBuffer<UInt64>, _ second: borrowing RawBuffer<UInt64>) {
        reserve(first.count * 16)
        for index in 0..<first.count {
            append(first[index])
            append(second[index])
        }
    }

    mutating func append(zeros: Int) {
        guard zeros > 0 else { return }
        reserve(zeros)
        unsafe (base + count).initializeMemory(as: UInt8.self, repeating: 0, count: zeros)
        count &+= zeros
    }

    /// Writes `count` values of `width` bits each, 1...64, one after another from byte `start`. The bytes must exist, be zero, and have
    /// eight bytes of slack behind them; no value may be wider.
    @inline(__always)
    mutating func packBits(_ count: Int, width: Int, from start: Int, _ value: (Int) -> UInt64) {
        precondition(width > 0 && width <= 64 && start >= 0 && start + (count * width + 7) / 8 + ByteWriter.packSlackBytes <= self.count)
        var at = unsafe base + start
        // The bits that are not stored yet, the oldest lowest.
        var word: UInt64 = 0
        var held = 0
        for index in 0..<count {
            let value = value(index)
            word |= value &<< UInt64(truncatingIfNeeded: held)
            held &+= width
            if held >= 64 {
                unsafe at.storeBytes(of: word.littleEndian, as: UInt64.self)
                unsafe at += 8
                held &-= 64
                // What did not fit; a shift by all 64 means that everything did.
                word = held == 0 ? 0 : value &>> UInt64(truncatingIfNeeded: width &- held)
            }
        }
        if held > 0 { unsafe at.storeBytes(of: word.littleEndian, as: UInt64.self) }
    }

    /// Overwrites four bytes written earlier.
    @inline(__always)
    mutating func patch(_ value: UInt32, at offset: Int) {
        precondition(offset >= 0 && offset &+ 4 <= count)
        unsafe base.storeBytes(of: value.littleEndian, toByteOffset: offset, as: UInt32.self)
    }

    mutating func setBit(_ bit: Int, from start: Int) {
        let byte = start + (bit >> 3)
        precondition(byte < count)
        let old = unsafe base.load(fromByteOffset: byte, as: UInt8.self)
        unsafe base.storeBytes(of: old | (1 << UInt8(bit & 7)), toByteOffset: byte, as: UInt8.self)
    }

    /// The bytes so far; valid only inside `body`.
    @inline(__always)
    func withBytes<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result {
        try unsafe body(UnsafeRawBufferPointer(start: base, count: count))
    }

    /// Of the bytes so far.
    func hash() -> UInt64 { unsafe withBytes { unsafe Mixing.hash($0) } }

    func array() -> [UInt8] {
        unsafe withBytes { unsafe [UInt8]($0) }
    }
}
