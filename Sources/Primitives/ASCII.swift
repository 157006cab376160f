/// Byte-level ASCII rules that header and path code shares. All are total: any byte is a legal argument.
public enum ASCII {
    /// Lower-cases `A-Z`, leaves every other byte alone.
    @inlinable
    public static func lower(_ byte: UInt8) -> UInt8 {
        byte &- 65 < 26 ? byte | 0x20 : byte
    }

    /// The value of a hexadecimal digit, or 255.
    @inlinable
    public static func hexValue(_ byte: UInt8) -> UInt8 {
        let digit = byte &- 48
        if digit < 10 { return digit }
        let letter = (byte | 0x20) &- 97
        return letter < 6 ? letter + 10 : 255
    }

    /// The digit of a value below 16.
    @inlinable
    public static func upperHexDigit(_ value: UInt8) -> UInt8 { value < 10 ? 48 + value : 55 + value }

    /// Whether two byte strings are equal but for ASCII case.
    @unsafe @inlinable
    public static func equalIgnoringCase(_ left: UnsafeRawBufferPointer, _ right: UnsafeRawBufferPointer) -> Bool {
        guard left.count == right.count else { return false }
        for index in 0..<left.count where unsafe lower(left[index]) != lower(right[index]) { return false }
        return true
    }

    /// Whether `bytes` equal the lower-case `text` but for ASCII case.
    @unsafe @inlinable
    public static func equal(_ bytes: UnsafeRawBufferPointer, ignoringCase text: StaticString) -> Bool {
        unsafe equalIgnoringCase(bytes, UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    @unsafe @inlinable
    public static func equal(_ bytes: UnsafeRawBufferPointer, _ text: StaticString) -> Bool {
        guard bytes.count == text.utf8CodeUnitCount else { return false }
        for index in 0..<bytes.count where unsafe bytes[index] != text.utf8Start[index] { return false }
        return true
    }

    /// Parses an unsigned decimal number: digits only, at least one, no overflow; nil otherwise.
    @unsafe @inlinable
    public static func decimal(_ bytes: UnsafeRawBufferPointer) -> UInt64? {
        guard bytes.count > 0, bytes.count <= 20 else { return nil }
        var value: UInt64 = 0
        for unsafe byte in unsafe bytes {
            let digit = byte &- 48
            guard digit < 10 else { return nil }
            let (scaled, overflow) = value.multipliedReportingOverflow(by: 10)
            let (sum, carry) = scaled.addingReportingOverflow(UInt64(digit))
            if overflow || carry { return nil }
            value = sum
        }
        return value
    }

    /// Without spaces and tabs at both ends (OWS, RFC 9110 5.6.3).
    @unsafe
    public static func trim(_ bytes: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        var start = 0
        var end = bytes.count
        while start < end, unsafe bytes[start] == 32 || bytes[start] == 9 { start += 1 }
        while end > start, unsafe bytes[end - 1] == 32 || bytes[end - 1] == 9 { end -= 1 }
        return unsafe UnsafeRawBufferPointer(rebasing: bytes[start..<end])
    }
}
