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
        let count = left.count
        guard count == right.count else { return false }
        guard count >= 4, let left = left.baseAddress, let right = right.baseAddress else {
            for index in 0..<count where unsafe lower(left[index]) != lower(right[index]) { return false }
            return true
        }
        if count < 8 {
            return unsafe lower(eight: overlapping(left, count)) == lower(eight: overlapping(right, count))
        }
        var offset = 0
        while offset < count {
            // The last word overlaps the one before it.
            let place = min(offset, count - 8)
            let one = unsafe left.loadUnaligned(fromByteOffset: place, as: UInt64.self)
            let other = unsafe right.loadUnaligned(fromByteOffset: place, as: UInt64.self)
            if one != other, lower(eight: one) != lower(eight: other) { return false }
            offset += 8
        }
        return true
    }

    /// Whether `part`, which is in lower case, stands somewhere in `bytes`, letters in either case.
    public static func isPart(_ part: [UInt8], of bytes: ArraySlice<UInt8>) -> Bool {
        guard bytes.count >= part.count, let first = part.first else { return part.isEmpty }
        // Sets the bit that tells the cases of a letter apart; some bytes that are none look like it then, and are compared whole.
        let fold: UInt8 = first &- 97 < 26 ? 0x20 : 0
        return unsafe bytes.withUnsafeBytes { bytes in
            for at in 0...bytes.count - part.count where unsafe bytes[at] | fold == first {
                var length = 0
                while length < part.count, unsafe lower(bytes[at + length]) == part[length] { length += 1 }
                if length == part.count { return true }
            }
            return false
        }
    }

    /// Four to eight bytes as two words of four, the second over the end of the first.
    @unsafe @inlinable
    static func overlapping(_ bytes: UnsafeRawPointer, _ count: Int) -> UInt64 {
        let first = unsafe bytes.loadUnaligned(as: UInt32.self)
        let last = unsafe bytes.loadUnaligned(fromByteOffset: count - 4, as: UInt32.self)
        return UInt64(first) << 32 | UInt64(last)
    }

    /// Lower-cases `A-Z` in each of the eight bytes.
    @inlinable
    public static func lower(eight bytes: UInt64) -> UInt64 {
        // Without their top bits, no sum below carries into the next byte.
        let low = bytes & 0x7F7F_7F7F_7F7F_7F7F
        let fromA = low &+ 0x3F3F_3F3F_3F3F_3F3F
        let beyondZ = low &+ 0x2525_2525_2525_2525
        let isUpper = fromA & ~beyondZ & ~bytes & 0x8080_8080_8080_8080
        return bytes | isUpper >> 2
    }

    /// Writes `bytes` in lower case to `output`, which is as large.
    @unsafe @inlinable
    public static func lower(_ bytes: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer) {
        let count = bytes.count
        precondition(output.count >= count, "the output is as large as the input")
        guard count >= 8, let source = bytes.baseAddress, let target = output.baseAddress else {
            for index in 0..<count { unsafe output[index] = lower(bytes[index]) }
            return
        }
        var offset = 0
        while offset < count {
            // The last word overlaps the one before it.
            let place = min(offset, count &- 8)
            let word = unsafe source.loadUnaligned(fromByteOffset: place, as: UInt64.self)
            unsafe target.storeBytes(of: lower(eight: word), toByteOffset: place, as: UInt64.self)
            offset &+= 8
        }
    }

    /// Whether two byte strings are the same.
    @unsafe @inlinable
    public static func equal(_ left: UnsafeRawBufferPointer, _ right: UnsafeRawBufferPointer) -> Bool {
        let count = left.count
        guard count == right.count else { return false }
        guard count >= 2, let left = left.baseAddress, let right = right.baseAddress else {
            return unsafe count == 0 || left[0] == right[0]
        }
        if count < 4 {
            guard unsafe left.loadUnaligned(as: UInt16.self) == right.loadUnaligned(as: UInt16.self) else { return false }
            return unsafe left.load(fromByteOffset: count &- 1, as: UInt8.self) == right.load(fromByteOffset: count &- 1, as: UInt8.self)
        }
        if count < 8 { return unsafe overlapping(left, count) == overlapping(right, count) }
        var offset = 0
        while offset < count {
            let place = min(offset, count &- 8)
            let one = unsafe left.loadUnaligned(fromByteOffset: place, as: UInt64.self)
            let other = unsafe right.loadUnaligned(fromByteOffset: place, as: UInt64.self)
            if one != other { return false }
            offset &+= 8
        }
        return true
    }

    /// Whether `bytes` equal the lower-case `text` but for ASCII case.
    @unsafe @inlinable
    public static func equal(_ bytes: UnsafeRawBufferPointer, ignoringCase text: StaticString) -> Bool {
        unsafe equalIgnoringCase(bytes, UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    /// As above, for literals that are compared once for each field of a message: of lower-case letters, digits and dashes. Always
    /// inlined: the literal's words become constants.
    @unsafe @inlinable @inline(__always)
    public static func equalUnrolled(_ bytes: UnsafeRawBufferPointer, _ text: StaticString) -> Bool {
        let count = text.utf8CodeUnitCount
        guard bytes.count == count, let base = bytes.baseAddress else { return false }
        let wanted = unsafe UnsafeRawPointer(text.utf8Start)
        guard count >= 4 else { return unsafe equalIgnoringCase(bytes, UnsafeRawBufferPointer(start: wanted, count: count)) }
        guard count >= 8 else {
            return unsafe equal(eight: overlapping(base, count), ignoringCaseOf: overlapping(wanted, count))
        }
        var offset = 0
        while offset < count {
            let place = min(offset, count &- 8)
            let one = unsafe base.loadUnaligned(fromByteOffset: place, as: UInt64.self)
            let other = unsafe wanted.loadUnaligned(fromByteOffset: place, as: UInt64.self)
            guard equal(eight: one, ignoringCaseOf: other) else { return false }
            offset &+= 8
        }
        return true
    }

    /// Whether eight bytes equal those of `text` but for ASCII case; `text` is of lower-case letters, digits and dashes.
    ///
    /// Of these the letters alone have the bit of 0x40, and differ from their capitals by that of 0x20.
    @inlinable @inline(__always)
    static func equal(eight bytes: UInt64, ignoringCaseOf text: UInt64) -> Bool {
        let caseBits = (text & 0x4040_4040_4040_4040) >> 1
        return (bytes ^ text) & ~caseBits == 0
    }

    /// Always inlined: most texts differ in length, and cost no call then.
    @unsafe @inlinable @inline(__always)
    public static func equal(_ bytes: UnsafeRawBufferPointer, _ text: StaticString) -> Bool {
        unsafe bytes.count == text.utf8CodeUnitCount
            && equal(bytes, UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
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
