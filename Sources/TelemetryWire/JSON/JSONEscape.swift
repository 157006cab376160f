internal import Primitives

/// One escape of a JSON string (RFC 8259 section 7), as its text begins with it. A surrogate pair is one escape, and half a pair is U+FFFD.
struct JSONEscape {
    let scalar: UInt32
    /// Bytes of the escape, its backslash among them.
    let count: Int

    /// `bytes` begin with a backslash, and stand at `offset` in the text.
    init(_ bytes: LentBytes, offset: Int) throws(JSONScanError) {
        guard bytes.count >= 2 else { throw JSONScanError(fault: .unexpectedEnd, offset: offset) }
        let kind = bytes[1]
        guard kind == UInt8(ascii: "u") else {
            count = 2
            scalar =
                switch kind {
                case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): UInt32(kind)
                case UInt8(ascii: "b"): 8
                case UInt8(ascii: "f"): 12
                case UInt8(ascii: "n"): 10
                case UInt8(ascii: "r"): 13
                case UInt8(ascii: "t"): 9
                default: throw JSONScanError(fault: .invalidEscape, offset: offset)
                }
            return
        }
        let unit = try Self.unit(bytes, 2, offset)
        if unit & 0xF800 != 0xD800 {
            (scalar, count) = (unit, 6)
            return
        }
        if unit < 0xDC00 && bytes.count >= 12 && bytes[6] == UInt8(ascii: "\\") && bytes[7] == UInt8(ascii: "u") {
            let low = try Self.unit(bytes, 8, offset)
            if low & 0xFC00 == 0xDC00 {
                (scalar, count) = (0x10000 + (unit & 0x3FF) << 10 + low & 0x3FF, 12)
                return
            }
        }
        (scalar, count) = (0xFFFD, 6)
    }

    /// The four hexadecimal digits at `start`.
    private static func unit(_ bytes: LentBytes, _ start: Int, _ offset: Int) throws(JSONScanError) -> UInt32 {
        guard bytes.count - start >= 4 else { throw JSONScanError(fault: .unexpectedEnd, offset: offset) }
        var unit: UInt32 = 0
        for index in start..<start + 4 {
            let byte = bytes[index]
            let digit: UInt8
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = byte &- 0x30
            case UInt8(ascii: "a")...UInt8(ascii: "f"), UInt8(ascii: "A")...UInt8(ascii: "F"): digit = (byte | 0x20) &- 0x57
            default: throw JSONScanError(fault: .invalidEscape, offset: offset)
            }
            unit = unit << 4 | UInt32(digit)
        }
        return unit
    }

    /// Appends a scalar in UTF-8.
    static func append(_ scalar: UInt32, to bytes: inout [UInt8]) {
        func continuation(_ shift: UInt32) -> UInt8 { 0x80 | UInt8(truncatingIfNeeded: scalar >> shift) & 0x3F }
        switch scalar {
        case 0..<0x80: bytes.append(UInt8(truncatingIfNeeded: scalar))
        case 0x80..<0x800: bytes.append(contentsOf: [0xC0 | UInt8(truncatingIfNeeded: scalar >> 6), continuation(0)])
        case 0x800..<0x10000:
            bytes.append(contentsOf: [0xE0 | UInt8(truncatingIfNeeded: scalar >> 12), continuation(6), continuation(0)])
        default:
            bytes.append(contentsOf: [
                0xF0 | UInt8(truncatingIfNeeded: scalar >> 18), continuation(12), continuation(6), continuation(0),
            ])
        }
    }
}
