/// Reads packed bits, least significant first; past the end it reads zeros.
///
/// Made by a reader that has checked the length. Every load is of eight bytes, so there must be as many behind: a block ends with its hash.
@safe
struct BitCursor {
    private let base: UnsafeRawPointer?
    private let bitCount: Int
    private(set) var position = 0

    /// Nothing but zeros.
    init() {
        unsafe base = nil
        bitCount = 0
    }

    /// Takes `bytes` of the reader's; fails the reader when they, and eight behind them, are not there.
    init(_ reader: inout ByteReader, bytes: Int) {
        guard bytes >= 0, bytes <= reader.remaining - 8 else {
            reader.fail()
            unsafe base = nil
            bitCount = 0
            return
        }
        unsafe base = reader.bytes(bytes).baseAddress
        bitCount = bytes * 8
    }

    /// `width` bits, 0...64.
    @inline(__always)
    mutating func read(_ width: Int) -> UInt64 {
        guard width > 0, position &+ width <= bitCount, let base = unsafe base else { return 0 }
        let at = unsafe base + (position >> 3)
        let shift = UInt64(truncatingIfNeeded: position & 7)
        position &+= width
        var value = UInt64(littleEndian: unsafe at.loadUnaligned(as: UInt64.self)) &>> shift
        if width > 56, shift != 0 { value |= UInt64(unsafe at.load(fromByteOffset: 8, as: UInt8.self)) &<< (64 &- shift) }
        return width == 64 ? value : value & ((1 &<< UInt64(truncatingIfNeeded: width)) &- 1)
    }

    var isAtEnd: Bool { position > bitCount }
}

/// Packs bits, least significant first, and ends on a whole byte.
struct BitPacker: ~Copyable {
    private var word: UInt64 = 0
    private var held = 0

    /// Appends the lowest `width` bits of `value`, 0...64; the others must be zero.
    @inline(__always)
    mutating func append(_ value: UInt64, _ width: Int, to writer: inout ByteWriter) {
        word |= value &<< UInt64(truncatingIfNeeded: held)
        held &+= width
        guard held >= 64 else { return }
        writer.append(word)
        held &-= 64
        word = held == 0 ? 0 : value &>> UInt64(truncatingIfNeeded: width &- held)
    }

    mutating func finish(to writer: inout ByteWriter) {
        while held > 0 {
            writer.append(UInt8(truncatingIfNeeded: word))
            word >>= 8
            held -= 8
        }
        word = 0
        held = 0
    }
}
