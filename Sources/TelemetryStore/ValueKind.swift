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
        if count == 36, let (high, low) = unsafe ClassifiedValue.uuid(base) {
            self.init(kind: .uuid, a: high, b: low)
            return
        }
        if count == 16, let value = unsafe ClassifiedValue.hex16(base) {
            self.init(kind: .hex16, a: value)
            return
        }
        if count == 32, let high = unsafe ClassifiedValue.hex16(base), let low = unsafe ClassifiedValue.hex16(base + 16) {
            self.init(kind: .hex32, a: high, b: low)
            return
        }
        if count > ValueKind.textBytesMax { self.init(kind: .long); return }
        if first &- 48 < 10 {
            if let value = unsafe ClassifiedValue.number(base, count) { self.init(kind: .number, a: value); return }
            if count <= 15, let address = unsafe ClassifiedValue.address(base, count) { self.init(kind: .ipv4, a: address); return }
        }
        self.init(kind: .text)
        unsafe findTemplate(base, count)
    }

    /// The longest run of 3...18 digits without a leading zero, the later of equals.
    @inline(__always)
    private mutating func findTemplate(_ base: UnsafeRawPointer, _ count: Int) {
        var best = 2
        var at = 0
        while at < count {
            if at &+ 8 <= count, unsafe !ClassifiedValue.hasDigitOrNUL(ClassifiedValue.load8(base + at)) { at &+= 8; continue }
            let byte = unsafe base.load(fromByteOffset: at, as: UInt8.self)
            if byte == 0 { kind = .text; return }
            guard byte &- 48 < 10 else { at &+= 1; continue }
            let start = at
            var value: UInt64 = 0
            while at < count {
                let digit = (unsafe base.load(fromByteOffset: at, as: UInt8.self)) &- 48
                guard digit < 10 else { break }
                value = value &* 10 &+ UInt64(digit)
                at &+= 1
            }
            let length = at &- start
            if length > 2, length >= best, length <= 18, byte != 48 {
                best = length
                kind = .template
                a = value
                digitsStart = start
                digitsEnd = at
            }
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
    private static func hex16(_ base: UnsafeRawPointer) -> UInt64? {
        guard let high = unsafe hex8(load8(base)), let low = unsafe hex8(load8(base + 8)) else { return nil }
        return high << 32 | low
    }

    @inline(__always)
    private static func uuid(_ base: UnsafeRawPointer) -> (UInt64, UInt64)? {
        let dash: UInt8 = 45
        guard unsafe base.load(fromByteOffset: 8, as: UInt8.self) == dash, unsafe base.load(fromByteOffset: 13, as: UInt8.self) == dash,
            unsafe base.load(fromByteOffset: 18, as: UInt8.self) == dash, unsafe base.load(fromByteOffset: 23, as: UInt8.self) == dash,
            let one = unsafe hex8(load8(base)), let two = unsafe hex8(load4(base + 9, base + 14)),
            let three = unsafe hex8(load4(base + 19, base + 24)), let four = unsafe hex8(load8(base + 28))
        else { return nil }
        return (one << 32 | two, three << 32 | four)
    }

    /// Whether any of eight bytes is a digit or NUL.
    @inline(__always)
    private static func hasDigitOrNUL(_ word: UInt64) -> Bool {
        let high = ones &* 0x80
        let digits = word ^ (ones &* 48)
        return ((digits &- ones &* 10) & ~digits | (word &- ones) & ~word) & high != 0
    }

    @inline(__always)
    private static func number(_ base: UnsafeRawPointer, _ count: Int) -> UInt64? {
        guard count <= 18 else { return nil }
        var value: UInt64 = 0
        for at in 0..<count {
            let digit = (unsafe base.load(fromByteOffset: at, as: UInt8.self)) &- 48
            guard digit < 10 else { return nil }
            if at == 0, digit == 0, count > 1 { return nil }
            value = value &* 10 &+ UInt64(digit)
        }
        return value
    }

    @inline(__always)
    private static func address(_ base: UnsafeRawPointer, _ count: Int) -> UInt64? {
        var value: UInt64 = 0
        var part: UInt64 = 0
        var digits = 0
        var parts = 0
        for at in 0...count {
            let byte: UInt8 = at < count ? unsafe base.load(fromByteOffset: at, as: UInt8.self) : 46
            if byte == 46 {
                guard digits > 0, part < 256, parts < 4 else { return nil }
                value = value << 8 | part
                part = 0
                digits = 0
                parts &+= 1
            } else {
                let digit = byte &- 48
                guard digit < 10, digits < 3, !(digits > 0 && part == 0) else { return nil }
                part = part &* 10 &+ UInt64(digit)
                digits &+= 1
            }
        }
        return parts == 4 ? value : nil
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
