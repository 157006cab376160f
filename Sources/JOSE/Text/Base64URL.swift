public import Primitives

/// base64url without padding (RFC 7515 2, RFC 4648 5), and base64 with padding for the certificates of a key (RFC 7517 4.7).
public enum Base64URL {
    /// Appends the bytes that `text` stands for.
    ///
    /// Strict: no padding, no white space, no other alphabet, and the bits that no byte uses are zero (RFC 4648 3.5), so that no two texts
    /// stand for the same bytes. False leaves `bytes` as it was.
    public static func decode(_ text: LentBytes, into bytes: inout ByteBuffer) -> Bool {
        let before = bytes.count
        let whole = text.count & ~3
        let rest = text.count & 3
        guard rest != 1 else { return false }
        // Any invalid character sets the top bit.
        var seen: UInt32 = 0
        let out = unsafe bytes.reserve(text.count / 4 * 3 + 3).assumingMemoryBound(to: UInt8.self)
        var written = 0
        var index = 0
        while index < whole {
            let group = value(text[index]) << 18 | value(text[index + 1]) << 12 | value(text[index + 2]) << 6 | value(text[index + 3])
            seen |= group
            unsafe out[written] = UInt8(truncatingIfNeeded: group >> 16)
            unsafe out[written + 1] = UInt8(truncatingIfNeeded: group >> 8)
            unsafe out[written + 2] = UInt8(truncatingIfNeeded: group)
            written += 3
            index += 4
        }
        if rest >= 2 {
            let third = rest == 3 ? value(text[index + 2]) : 0
            let group = value(text[index]) << 18 | value(text[index + 1]) << 12 | third << 6
            seen |= group | (group & (rest == 3 ? 0xFF : 0xFFFF) != 0 ? invalid : 0)
            unsafe out[written] = UInt8(truncatingIfNeeded: group >> 16)
            unsafe out[written + 1] = UInt8(truncatingIfNeeded: group >> 8)
            written += rest - 1
        }
        bytes.commit(written)
        if seen & invalid == 0 { return true }
        bytes.truncate(to: before)
        return false
    }

    /// As above, for the edge.
    public static func decode(_ text: String) -> [UInt8]? {
        var bytes = ByteBuffer()
        let isRead = Array(text.utf8).withLentBytes { decode($0, into: &bytes) }
        return isRead ? bytes.contents : nil
    }

    public static func encode(_ bytes: [UInt8]) -> String {
        var text: [UInt8] = []
        text.reserveCapacity((bytes.count * 4 + 2) / 3)
        var index = 0
        while index < bytes.count {
            let count = min(3, bytes.count - index)
            var group = UInt32(bytes[index]) << 16
            if count > 1 { group |= UInt32(bytes[index + 1]) << 8 }
            if count > 2 { group |= UInt32(bytes[index + 2]) }
            for place in 0...count { text.append(character(group >> UInt32(18 - 6 * place) & 63)) }
            index += 3
        }
        return String(decoding: text, as: UTF8.self)
    }

    /// base64 (RFC 4648 4), padded: what `x5c` holds.
    static func decodePadded(_ text: LentBytes) -> [UInt8]? {
        guard text.count % 4 == 0 else { return nil }
        var end = text.count
        while end > 0, text.count - end < 2, text[end - 1] == UInt8(ascii: "=") { end -= 1 }
        var plain: [UInt8] = []
        for index in 0..<end {
            switch text[index] {
            case UInt8(ascii: "+"): plain.append(UInt8(ascii: "-"))
            case UInt8(ascii: "/"): plain.append(UInt8(ascii: "_"))
            case UInt8(ascii: "-"), UInt8(ascii: "_"): return nil
            case let other: plain.append(other)
            }
        }
        var bytes = ByteBuffer()
        return plain.withLentBytes { decode($0, into: &bytes) } ? bytes.contents : nil
    }

    private static let invalid: UInt32 = 1 << 31

    /// Six bits; `invalid`, shifted or not, for what is no character of the alphabet.
    @inline(__always)
    private static func value(_ character: UInt8) -> UInt32 {
        switch character {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"): UInt32(character) - 65
        case UInt8(ascii: "a")...UInt8(ascii: "z"): UInt32(character) - 71
        case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt32(character) + 4
        case UInt8(ascii: "-"): 62
        case UInt8(ascii: "_"): 63
        // Stays at the top however far it is shifted.
        default: 0xFFFF_FFFF
        }
    }

    private static func character(_ value: UInt32) -> UInt8 {
        switch UInt8(truncatingIfNeeded: value) {
        case let value where value < 26: 65 + value
        case let value where value < 52: 71 + value
        case let value where value < 62: value - 4
        case 62: UInt8(ascii: "-")
        default: UInt8(ascii: "_")
        }
    }
}

extension [UInt8] {
    /// The bytes for the time of the call.
    func withLentBytes<Result>(_ body: (LentBytes) -> Result) -> Result {
        unsafe withUnsafeBytes { unsafe body(LentBytes($0)) }
    }
}
