/// Sixteen lower-case hex digits to and from 64 bits, eight digits at a time in one machine word.
///
/// Trace and span identifiers are written as fixed-width lower hex everywhere (B3, W3C Trace Context section 3.2, Zipkin v2 API);
/// upper-case digits are invalid in all three.
public enum HexCodec {
    /// The value of the sixteen lower-case hex digits at `offset`; nil when one is not, or when the span is too short.
    @inlinable
    public static func decode16(_ bytes: RawSpan, at offset: Int) -> UInt64? {
        guard offset >= 0, bytes.byteCount &- offset >= 16 else { return nil }
        let first = unsafe UInt64(bigEndian: bytes.unsafeLoadUnaligned(fromByteOffset: offset, as: UInt64.self))
        let second = unsafe UInt64(bigEndian: bytes.unsafeLoadUnaligned(fromByteOffset: offset + 8, as: UInt64.self))
        guard let high = decode8(first), let low = decode8(second) else { return nil }
        return high << 32 | low
    }

    /// The value of eight digits in one word, first digit in the most significant byte.
    @inlinable
    public static func decode8(_ digits: UInt64) -> UInt64? {
        let highBits: UInt64 = 0x8080_8080_8080_8080
        // No byte has its top bit set, so none of the sums below carries into its neighbour.
        guard digits & highBits == 0 else { return nil }
        let decimal = (digits &+ 0x5050_5050_5050_5050) & ~(digits &+ 0x4646_4646_4646_4646) & highBits
        let letter = (digits &+ 0x1F1F_1F1F_1F1F_1F1F) & ~(digits &+ 0x1919_1919_1919_1919) & highBits
        guard decimal | letter == highBits else { return nil }
        var value = (digits & 0x0F0F_0F0F_0F0F_0F0F) &+ (letter >> 7) &* 9
        value = (value | value >> 4) & 0x00FF_00FF_00FF_00FF
        value = (value | value >> 8) & 0x0000_FFFF_0000_FFFF
        return (value | value >> 16) & 0xFFFF_FFFF
    }

    /// Eight lower-case digits of `value`, the first in the most significant byte.
    @inlinable
    public static func encode8(_ value: UInt32) -> UInt64 {
        var digits = UInt64(value)
        digits = (digits | digits << 16) & 0x0000_FFFF_0000_FFFF
        digits = (digits | digits << 8) & 0x00FF_00FF_00FF_00FF
        digits = (digits | digits << 4) & 0x0F0F_0F0F_0F0F_0F0F
        let letters = (digits &+ 0x7676_7676_7676_7676) >> 7 & 0x0101_0101_0101_0101
        return digits &+ 0x3030_3030_3030_3030 &+ letters &* 39
    }

    /// Writes sixteen digits at `offset`, which must leave room for them.
    @inlinable @inline(__always)
    public static func encode16(_ value: UInt64, into buffer: UnsafeMutableRawBufferPointer, at offset: Int) {
        precondition(offset >= 0 && buffer.count &- offset >= 16, "the buffer must have room for sixteen digits")
        unsafe buffer.storeBytes(of: encode8(UInt32(truncatingIfNeeded: value >> 32)).bigEndian, toByteOffset: offset, as: UInt64.self)
        unsafe buffer.storeBytes(of: encode8(UInt32(truncatingIfNeeded: value)).bigEndian, toByteOffset: offset + 8, as: UInt64.self)
    }

    /// Appends sixteen digits.
    @inlinable
    public static func append16(_ value: UInt64, to bytes: inout [UInt8]) {
        appendDigits(encode8(UInt32(truncatingIfNeeded: value >> 32)), to: &bytes)
        appendDigits(encode8(UInt32(truncatingIfNeeded: value)), to: &bytes)
    }

    /// Appends a trace id as Zipkin prints it: sixteen digits when the upper half is zero, else thirty-two.
    @inlinable
    public static func append(_ traceID: TraceID, to bytes: inout [UInt8]) {
        if traceID.high != 0 { append16(traceID.high, to: &bytes) }
        append16(traceID.low, to: &bytes)
    }

    @inlinable
    static func appendDigits(_ digits: UInt64, to bytes: inout [UInt8]) {
        unsafe withUnsafeBytes(of: digits.bigEndian) { unsafe bytes.append(contentsOf: $0) }
    }
}
