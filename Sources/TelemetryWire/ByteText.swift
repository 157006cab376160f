/// Appending text to byte arrays without making a String: what every writer of this target uses.
extension Array where Element == UInt8 {
    @inline(__always)
    mutating func append(ascii text: StaticString) {
        unsafe append(contentsOf: UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    @inline(__always)
    mutating func append(span: RawSpan) {
        unsafe span.withUnsafeBytes { unsafe append(contentsOf: $0) }
    }

    /// Decimal digits of `value`, at most twenty.
    public mutating func append(decimal value: UInt64) {
        append(atMost: 20) { $0.decimal(value) }
    }

    mutating func append(decimal value: Int64) {
        if value < 0 { append(UInt8(ascii: "-")) }
        append(decimal: value.magnitude)
    }

    /// `value` in exactly `width` digits; higher digits are cut off.
    public mutating func append(decimal value: UInt64, width: Int) {
        let start = count
        append(contentsOf: repeatElement(0x30, count: width))
        var rest = value
        var at = start + width - 1
        while rest > 0, at >= start {
            self[at] = UInt8(truncatingIfNeeded: rest % 10) &+ 0x30
            rest /= 10
            at -= 1
        }
    }

    /// The inside of a JSON string (RFC 8259 section 7): quotes, backslashes and control characters escaped, U+2028 and U+2029 too, as
    /// Zipkin does for JavaScript's sake. What is not UTF-8 becomes U+FFFD, one for each maximal subpart.
    mutating func append(jsonEscaping bytes: UnsafeRawBufferPointer) {
        guard let base = bytes.baseAddress else { return }
        var start = 0
        var at = 0
        let count = bytes.count
        while at < count {
            if count &- at >= 8 {
                let word = unsafe (base + at).loadUnaligned(as: UInt64.self).littleEndian
                let special = JSONScanner.specials(word)
                if special == 0 {
                    at &+= 8
                    continue
                }
                at &+= special.trailingZeroBitCount >> 3
            }
            let byte = unsafe bytes[at]
            if byte >= 0x20, byte < 0x80, byte != UInt8(ascii: "\""), byte != UInt8(ascii: "\\") {
                at &+= 1
                continue
            }
            let length = byte < 0x80 ? 1 : unsafe UTF8Text.sequenceLength(bytes, at)
            let isLineSeparator = unsafe length == 3 && byte == 0xE2 && bytes[at + 1] == 0x80 && bytes[at + 2] & 0xFE == 0xA8
            if length > 1, !isLineSeparator {
                at &+= length
                continue
            }
            if start < at { unsafe append(contentsOf: UnsafeRawBufferPointer(rebasing: bytes[start..<at])) }
            if isLineSeparator {
                append(ascii: "\\u202")
                unsafe append(bytes[at + 2] & 1 == 0 ? UInt8(ascii: "8") : UInt8(ascii: "9"))
            } else {
                append(jsonEscape: byte)
            }
            at &+= length > 0 ? length : unsafe UTF8Text.maximalSubpart(bytes, at)
            start = at
        }
        if start < count { unsafe append(contentsOf: UnsafeRawBufferPointer(rebasing: bytes[start..<count])) }
    }

    private mutating func append(jsonEscape byte: UInt8) {
        switch byte {
        case UInt8(ascii: "\""): append(ascii: "\\\"")
        case UInt8(ascii: "\\"): append(ascii: "\\\\")
        case 0x08: append(ascii: "\\b")
        case 0x09: append(ascii: "\\t")
        case 0x0A: append(ascii: "\\n")
        case 0x0C: append(ascii: "\\f")
        case 0x0D: append(ascii: "\\r")
        case 0x80...: append(ascii: "\u{FFFD}")
        default:
            append(ascii: "\\u00")
            append(hexByte: byte)
        }
    }

    mutating func append(hexByte byte: UInt8) {
        func digit(_ value: UInt8) -> UInt8 { value < 10 ? value &+ 0x30 : value &+ 0x57 }
        append(digit(byte >> 4))
        append(digit(byte & 15))
    }

    /// A String inside a JSON string; for the edge.
    mutating func append(jsonEscaping text: String) {
        var text = text
        text.withUTF8 { unsafe append(jsonEscaping: UnsafeRawBufferPointer($0)) }
    }

    mutating func append(base64 bytes: UnsafeRawBufferPointer) {
        let alphabet: StaticString = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
        var at = 0
        while at < bytes.count {
            let left = bytes.count - at
            let first = unsafe UInt32(bytes[at])
            let second = unsafe left > 1 ? UInt32(bytes[at + 1]) : 0
            let third = unsafe left > 2 ? UInt32(bytes[at + 2]) : 0
            let group = first << 16 | second << 8 | third
            for position in 0..<4 {
                let index = Int(group >> (18 - 6 * UInt32(position)) & 63)
                unsafe append(position <= left ? alphabet.utf8Start[index] : UInt8(ascii: "="))
            }
            at += 3
        }
    }
}

enum UTF8Text {
    /// Length of the valid multi-byte sequence at `at` (table 3-7 of the Unicode standard); 0 when there is none.
    static func sequenceLength(_ bytes: UnsafeRawBufferPointer, _ at: Int) -> Int {
        let left = bytes.count - at
        func continuation(_ index: Int, _ low: UInt8 = 0x80, _ high: UInt8 = 0xBF) -> Bool {
            unsafe index < left && bytes[at + index] >= low && bytes[at + index] <= high
        }
        switch unsafe bytes[at] {
        case 0xC2...0xDF: return continuation(1) ? 2 : 0
        case 0xE0: return continuation(1, 0xA0) && continuation(2) ? 3 : 0
        case 0xED: return continuation(1, 0x80, 0x9F) && continuation(2) ? 3 : 0
        case 0xE1...0xEF: return continuation(1) && continuation(2) ? 3 : 0
        case 0xF0: return continuation(1, 0x90) && continuation(2) && continuation(3) ? 4 : 0
        case 0xF1...0xF3: return continuation(1) && continuation(2) && continuation(3) ? 4 : 0
        case 0xF4: return continuation(1, 0x80, 0x8F) && continuation(2) && continuation(3) ? 4 : 0
        default: return 0
        }
    }

    /// Appends the sequence at `at`, or U+FFFD when it is not valid, and returns how many bytes it took: of a bad one its maximal
    /// subpart, the longest beginning that a valid sequence could have, and at least one (Unicode 3.9, table 3-8).
    static func appendSequence(_ bytes: UnsafeRawBufferPointer, _ at: Int, to output: inout [UInt8]) -> Int {
        let length = unsafe bytes[at] < 0x80 ? 1 : sequenceLength(bytes, at)
        if length > 0 {
            unsafe output.append(contentsOf: UnsafeRawBufferPointer(rebasing: bytes[at..<at + length]))
            return length
        }
        output.append(ascii: "\u{FFFD}")
        return unsafe maximalSubpart(bytes, at)
    }

    static func maximalSubpart(_ bytes: UnsafeRawBufferPointer, _ at: Int) -> Int {
        let low: UInt8
        let high: UInt8
        let length: Int
        switch unsafe bytes[at] {
        case 0xE0: (low, high, length) = (0xA0, 0xBF, 3)
        case 0xED: (low, high, length) = (0x80, 0x9F, 3)
        case 0xE1...0xEF: (low, high, length) = (0x80, 0xBF, 3)
        case 0xF0: (low, high, length) = (0x90, 0xBF, 4)
        case 0xF1...0xF3: (low, high, length) = (0x80, 0xBF, 4)
        case 0xF4: (low, high, length) = (0x80, 0x8F, 4)
        default: return 1
        }
        guard at + 1 < bytes.count, unsafe bytes[at + 1] >= low, unsafe bytes[at + 1] <= high else { return 1 }
        guard length == 4, at + 2 < bytes.count, unsafe bytes[at + 2] & 0xC0 == 0x80 else { return 2 }
        return 3
    }

    /// Appends text, repaired when it is not UTF-8.
    @inline(__always)
    static func append(_ bytes: UnsafeRawBufferPointer, to output: inout [UInt8]) {
        if unsafe isValid(bytes) { unsafe output.append(contentsOf: bytes) } else { unsafe append(repaired: bytes, to: &output) }
    }

    /// Appends `bytes` with everything that is not UTF-8 in them replaced.
    @inline(never)
    static func append(repaired bytes: UnsafeRawBufferPointer, to output: inout [UInt8]) {
        var at = 0
        while at < bytes.count { unsafe at += appendSequence(bytes, at, to: &output) }
    }

    /// Whether all of `count` bytes are below 0x80. The last eight are loaded as one word that may overlap those before.
    @inline(__always)
    static func isASCII(_ base: UnsafeRawPointer, _ count: Int) -> Bool {
        var seen: UInt64 = 0
        if count >= 8 {
            var at = 0
            while at &+ 8 < count {
                seen |= unsafe base.loadUnaligned(fromByteOffset: at, as: UInt64.self)
                at &+= 8
            }
            seen |= unsafe base.loadUnaligned(fromByteOffset: count &- 8, as: UInt64.self)
        } else {
            for at in 0..<max(count, 0) { seen |= UInt64(unsafe base.load(fromByteOffset: at, as: UInt8.self)) }
        }
        return seen & 0x8080_8080_8080_8080 == 0
    }

    /// Whether one of `bytes`, which are all ASCII, is a capital letter.
    @inline(__always)
    static func hasCapitals(ascii bytes: UnsafeRawBufferPointer) -> Bool {
        var found: UInt64 = 0
        var at = 0
        while bytes.count &- at >= 8 {
            // Per byte: bit 7 is set by 0x3F from `A` on and by 0x25 from behind `Z` on; no sum carries into the next byte.
            let word = unsafe bytes.loadUnaligned(fromByteOffset: at, as: UInt64.self)
            found |= (word &+ 0x3F3F_3F3F_3F3F_3F3F) & ~(word &+ 0x2525_2525_2525_2525)
            at &+= 8
        }
        if found & 0x8080_8080_8080_8080 != 0 { return true }
        while at < bytes.count {
            if unsafe bytes[at] &- 0x41 < 26 { return true }
            at &+= 1
        }
        return false
    }

    /// Whether all of `bytes` is valid UTF-8, eight bytes at a time while it is ASCII.
    @inline(__always)
    static func isValid(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard let base = bytes.baseAddress, bytes.count > 0 else { return true }
        return unsafe isASCII(base, bytes.count) || isValidBeyondASCII(bytes)
    }

    private static func isValidBeyondASCII(_ bytes: UnsafeRawBufferPointer) -> Bool {
        var at = 0
        while at < bytes.count {
            if bytes.count - at >= 8, unsafe bytes.loadUnaligned(fromByteOffset: at, as: UInt64.self) & 0x8080_8080_8080_8080 == 0 {
                at += 8
                continue
            }
            if unsafe bytes[at] < 0x80 {
                at += 1
                continue
            }
            let length = unsafe sequenceLength(bytes, at)
            if length == 0 { return false }
            at += length
        }
        return true
    }
}
