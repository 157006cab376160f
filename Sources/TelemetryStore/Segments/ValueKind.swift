/// How a tag's value is stored: by what it looks like, so that random ids take their entropy and no more.
///
/// `classify` is a pure function of the bytes and every kind prints back exactly what came in, so two equal values always have the
/// same kind and a query compares encoded forms. The only choice left to the writers is dictionary or inline for `.text`.
enum ValueKind: UInt8, Sendable {
    /// Payload: string number. The default for short text.
    case text = 0
    /// Payload: length and bytes. Text longer than `textBytesMax`.
    case long = 1
    /// 8-4-4-4-12 lower-case hex; 16 bytes.
    case uuid = 2
    /// 16 lower-case hex digits; 8 bytes.
    case hex16 = 3
    /// 32 lower-case hex digits; 16 bytes.
    case hex32 = 4
    /// Decimal without leading zeros, at most 18 digits.
    case number = 5
    /// Dotted quad without leading zeros.
    case ipv4 = 6
    /// Text around one run of digits: string number of `prefix NUL suffix`, then the number.
    case template = 7

    static let textBytesMax = 128
}

/// A value taken apart. `a` and `b` hold the payload: hex and UUID big endian halves; number, address and template number in `a`.
struct ClassifiedValue {
    var kind: ValueKind
    var a: UInt64 = 0
    var b: UInt64 = 0
    /// For `.template`: the digits' place in the text.
    var digitsStart = 0
    var digitsEnd = 0

    @inline(__always)
    init(kind: ValueKind, a: UInt64 = 0, b: UInt64 = 0) {
        self.kind = kind
        self.a = a
        self.b = b
    }

    @inline(__always)
    init(_ text: UnsafeRawBufferPointer) {
        let count = text.count
        guard count > 0, let base = text.baseAddress else { self.init(kind: .text); return }
        let first = unsafe base.load(as: UInt8.self)
        if count == 36, let (high, low) = unsafe ClassifiedValue.readUUID(base) {
            self.init(kind: .uuid, a: high, b: low)
            return
        }
        if count == 16, let value = unsafe ClassifiedValue.readHex16(base) {
            self.init(kind: .hex16, a: value)
            return
        }
        if count == 32, let high = unsafe ClassifiedValue.readHex16(base), let low = unsafe ClassifiedValue.readHex16(base + 16) {
            self.init(kind: .hex32, a: high, b: low)
            return
        }
        if count > ValueKind.textBytesMax { self.init(kind: .long); return }
        if first &- 48 < 10 {
            if let value = unsafe ClassifiedValue.number(base, count) { self.init(kind: .number, a: value); return }
            if count >= 7, count <= 15, let address = unsafe ClassifiedValue.address(base, count) {
                self.init(kind: .ipv4, a: address); return
            }
        }
        self.init(kind: .text)
        unsafe findTemplate(base, count)
    }

    /// The longest run of 3...18 digits without a leading zero, the later of equals; none in a text with a NUL. Needs 1...128 bytes.
    @inline(__always)
    private mutating func findTemplate(_ base: UnsafeRawPointer, _ count: Int) {
        if count <= 64 { unsafe findTemplate(base, count, bits: UInt64.self) } else { unsafe findTemplate(base, count, bits: UInt128.self) }
    }

    /// The same for a text of no more bytes than `Bits` has bits.
    @inline(__always)
    private mutating func findTemplate<Bits: FixedWidthInteger & UnsignedInteger>(_ base: UnsafeRawPointer, _ count: Int, bits: Bits.Type) {
        // A bit per byte that is a digit, the first byte lowest.
        var digits: Bits = 0
        var nuls: UInt64 = 0
        var at = 0
        while count &- at >= 8 {
            let word = unsafe ClassifiedValue.load8(base + at)
            nuls |= ClassifiedValue.nuls(word)
            let found = ClassifiedValue.digitMask(word)
            if found != 0 { digits |= Bits(truncatingIfNeeded: ClassifiedValue.packedBits(found)) &<< Bits(truncatingIfNeeded: at) }
            at &+= 8
        }
        if at < count {
            let word = unsafe ClassifiedValue.load(base + at, count &- at)
            // Padded with ones: neither digits nor NUL.
            let padded = word | UInt64.max &<< UInt64(truncatingIfNeeded: (count &- at) &* 8)
            nuls |= ClassifiedValue.nuls(padded)
            digits |= Bits(
                truncatingIfNeeded: ClassifiedValue.packedBits(ClassifiedValue.digitMask(padded))) &<< Bits(truncatingIfNeeded: at)
        }
        // Where a run of three or more begins, or goes on for two more.
        var runs = digits & (digits &>> 1) & (digits &>> 2)
        if runs == 0 || nuls != 0 { return }
        var best = 2
        while runs != 0 {
            let start = runs.trailingZeroBitCount
            let length = (~(digits &>> Bits(truncatingIfNeeded: start))).trailingZeroBitCount
            if length >= best, length <= 18, unsafe base.load(fromByteOffset: start, as: UInt8.self) != 48 {
                best = length
                digitsStart = start
                digitsEnd = start &+ length
            }
            if start &+ length >= count { break }
            runs &= Bits.max &<< Bits(truncatingIfNeeded: start &+ length)
        }
        if digitsEnd > 0, let value = unsafe ClassifiedValue.number(base + digitsStart, digitsEnd &- digitsStart) {
            kind = .template
            a = value
        }
    }

    private static let ones: UInt64 = 0x0101_0101_0101_0101

    /// Eight lower-case hex digits in memory order, as a number; nil for anything else. All eight at once: each byte is turned into its
    /// value, and the value back into the byte it would be printed as.
    @inline(__always)
    private static func hex8(_ word: UInt64) -> UInt64? {
        let values = (word & (ones &* 0x0F)) &+ ((word >> 6) & ones) &* 9
        guard values & (ones &* 0xF0) == 0 else { return nil }
        let letters = ((values &+ ones &* 6) >> 4) & ones
        guard values &+ ones &* 48 &+ letters &* 39 == word else { return nil }
        var packed = values.byteSwapped
        packed = (packed | packed >> 4) & 0x00FF_00FF_00FF_00FF
        packed = (packed | packed >> 8) & 0x0000_FFFF_0000_FFFF
        return (packed | packed >> 16) & 0xFFFF_FFFF
    }

    @inline(__always)
    private static func load8(_ base: UnsafeRawPointer) -> UInt64 { UInt64(littleEndian: unsafe base.loadUnaligned(as: UInt64.self)) }

    /// Four bytes of each place, the first ones lowest.
    @inline(__always)
    private static func load4(_ first: UnsafeRawPointer, _ second: UnsafeRawPointer) -> UInt64 {
        UInt64(UInt32(littleEndian: unsafe first.loadUnaligned(as: UInt32.self)))
            | UInt64(UInt32(littleEndian: unsafe second.loadUnaligned(as: UInt32.self))) << 32
    }

    @inline(__always)
    private static func readHex16(_ base: UnsafeRawPointer) -> UInt64? {
        guard let high = unsafe hex8(load8(base)), let low = unsafe hex8(load8(base + 8)) else { return nil }
        return high << 32 | low
    }

    @inline(__always)
    private static func readUUID(_ base: UnsafeRawPointer) -> (UInt64, UInt64)? {
        let dash: UInt8 = 45
        guard unsafe base.load(fromByteOffset: 8, as: UInt8.self) == dash, unsafe base.load(fromByteOffset: 13, as: UInt8.self) == dash,
            unsafe base.load(fromByteOffset: 18, as: UInt8.self) == dash, unsafe base.load(fromByteOffset: 23, as: UInt8.self) == dash,
            let one = unsafe hex8(load8(base)), let two = unsafe hex8(load4(base + 9, base + 14)),
            let three = unsafe hex8(load4(base + 19, base + 24)), let four = unsafe hex8(load8(base + 28))
        else { return nil }
        return (one << 32 | two, three << 32 | four)
    }

    /// Less than eight bytes as the lowest of a word, the others zero. Nothing beyond `count` is read.
    @inline(__always)
    private static func load(_ base: UnsafeRawPointer, _ count: Int) -> UInt64 {
        if count >= 4 {
            let first = UInt64(UInt32(littleEndian: unsafe base.loadUnaligned(as: UInt32.self)))
            let last = UInt64(UInt32(littleEndian: unsafe base.loadUnaligned(fromByteOffset: count &- 4, as: UInt32.self)))
            return first | last &<< UInt64(truncatingIfNeeded: (count &- 4) &* 8)
        }
        if count >= 2 {
            let first = UInt64(UInt16(littleEndian: unsafe base.loadUnaligned(as: UInt16.self)))
            let last = UInt64(UInt16(littleEndian: unsafe base.loadUnaligned(fromByteOffset: count &- 2, as: UInt16.self)))
            return first | last &<< UInt64(truncatingIfNeeded: (count &- 2) &* 8)
        }
        return count == 1 ? UInt64(unsafe base.load(as: UInt8.self)) : 0
    }

    /// The highest bit of each byte that is a digit, exactly.
    @inline(__always)
    private static func digitMask(_ word: UInt64) -> UInt64 {
        let values = word ^ (ones &* 48)
        return ~(((values & (ones &* 0x7F)) &+ ones &* 0x76) | values) & (ones &* 0x80)
    }

    /// The highest bit of each byte that is a dot, exactly.
    @inline(__always)
    private static func dots(_ word: UInt64) -> UInt64 {
        let values = word ^ (ones &* 46)
        return ~(((values & (ones &* 0x7F)) &+ ones &* 0x7F) | values) & (ones &* 0x80)
    }

    /// Not zero when one of eight bytes is NUL.
    @inline(__always)
    private static func nuls(_ word: UInt64) -> UInt64 { (word &- ones) & ~word & (ones &* 0x80) }

    /// The highest bits of eight bytes as eight bits, the first byte lowest.
    @inline(__always)
    private static func packedBits(_ word: UInt64) -> UInt64 { ((word &>> 7) &* 0x0102_0408_1020_4080) &>> 56 }

    /// Eight digits in memory order as a number; the caller has made sure that all are digits.
    @inline(__always)
    private static func decimal8(_ word: UInt64) -> UInt64 {
        let digits = word &- ones &* 48
        let pairs = digits &* 10 &+ (digits &>> 8)
        let mask: UInt64 = 0x0000_00FF_0000_00FF
        return ((pairs & mask) &* 0x000F_4240_0000_0064 &+ ((pairs &>> 16) & mask) &* 0x0000_2710_0000_0001) &>> 32
    }

    /// 1...8 digits as a number; nil for anything else.
    @inline(__always)
    private static func decimal(_ base: UnsafeRawPointer, _ count: Int) -> UInt64? {
        var word: UInt64
        if count == 8 {
            word = unsafe load8(base)
        } else {
            // Zeros in front change nothing.
            let free = UInt64(truncatingIfNeeded: (8 &- count) &* 8)
            word = (unsafe load(base, count)) &<< free | (ones &* 48) &>> UInt64(truncatingIfNeeded: count &* 8)
        }
        guard digitMask(word) == ones &* 0x80 else { return nil }
        return decimal8(word)
    }

    /// A decimal number without leading zeros, at most 18 digits.
    @inline(__always)
    private static func number(_ base: UnsafeRawPointer, _ count: Int) -> UInt64? {
        guard count > 0, count <= 18 else { return nil }
        if count > 1, unsafe base.load(as: UInt8.self) == 48 { return nil }
        if count <= 8 { return unsafe decimal(base, count) }
        let rest = count &- 8
        guard let low = unsafe decimal(base + rest, 8) else { return nil }
        if rest <= 8 {
            guard let high = unsafe decimal(base, rest) else { return nil }
            return high &* 100_000_000 &+ low
        }
        guard let high = unsafe decimal(base, rest &- 8), let middle = unsafe decimal(base + (rest &- 8), 8) else { return nil }
        return (high &* 100_000_000 &+ middle) &* 100_000_000 &+ low
    }

    /// A dotted quad without leading zeros. Needs 7...15 bytes.
    @inline(__always)
    private static func address(_ base: UnsafeRawPointer, _ count: Int) -> UInt64? {
        let low = count >= 8 ? unsafe load8(base) : unsafe load(base, count)
        let high = count > 8 ? unsafe load(base + 8, count &- 8) : 0
        var ends = packedBits(dots(low)) | packedBits(dots(high)) &<< 8
        let all: UInt64 = (1 &<< UInt64(truncatingIfNeeded: count)) &- 1
        guard ends | packedBits(digitMask(low)) | packedBits(digitMask(high)) &<< 8 == all, ends.nonzeroBitCount == 3 else { return nil }
        // The end of the text ends the last part as a dot would.
        ends |= all &+ 1
        var rest = UInt128(truncatingIfNeeded: high) &<< 64 | UInt128(truncatingIfNeeded: low)
        var value: UInt64 = 0
        for _ in 0..<4 {
            let length = UInt64(truncatingIfNeeded: ends.trailingZeroBitCount)
            guard length >= 1, length <= 3 else { return nil }
            // The digits in the highest bytes, the last one highest.
            let digits = (UInt32(truncatingIfNeeded: rest) ^ 0x3030_3030) &<< UInt32(truncatingIfNeeded: 32 &- 8 &* length)
            let part = (digits &>> 24) &+ (digits &>> 16 & 255) &* 10 &+ (digits &>> 8 & 255) &* 100
            // A leading zero shows in a number too small for its length.
            guard part < 256, part >= (length == 3 ? 100 : length == 2 ? 10 : 0) else { return nil }
            value = value &<< 8 | UInt64(part)
            rest = rest &>> UInt128(truncatingIfNeeded: 8 &* (length &+ 1))
            ends = ends &>> (length &+ 1)
        }
        return value
    }
}

/// Printing values back. Appends to a SpanBatch's arena.
enum ValueText {
    private static let digits: [UInt8] = Array("0123456789abcdef".utf8)

    static func append(hex value: UInt64, digits count: Int, to text: inout [UInt8]) {
        var shift = (count - 1) * 4
        while shift >= 0 {
            text.append(digits[Int((value >> UInt64(shift)) & 15)])
            shift -= 4
        }
    }

    static func append(uuid high: UInt64, _ low: UInt64, to text: inout [UInt8]) {
        append(hex: high >> 32, digits: 8, to: &text)
        text.append(45)
        append(hex: high >> 16, digits: 4, to: &text)
        text.append(45)
        append(hex: high, digits: 4, to: &text)
        text.append(45)
        append(hex: low >> 48, digits: 4, to: &text)
        text.append(45)
        append(hex: low, digits: 12, to: &text)
    }

    static func append(number: UInt64, to text: inout [UInt8]) {
        text.append(contentsOf: String(number).utf8)
    }

    static func append(ipv4 address: UInt64, to text: inout [UInt8]) {
        for part in 0..<4 {
            if part > 0 { text.append(46) }
            append(number: (address >> UInt64(24 - 8 * part)) & 255, to: &text)
        }
    }

    /// `template` is `prefix NUL suffix`.
    static func append(template: UnsafeRawBufferPointer, number: UInt64, to text: inout [UInt8]) {
        var placed = false
        for unsafe byte in unsafe template {
            if byte == 0, !placed {
                append(number: number, to: &text)
                placed = true
            } else {
                text.append(byte)
            }
        }
        if !placed { append(number: number, to: &text) }
    }
}
