/// SHA-256 sums as `verifyCertificateSpki` and `verifyCertificateHash` have them.
public enum PinText {
    /// 32 bytes of standard base64 (RFC 4648 4); nil = it is not that.
    public static func bytes(base64 text: String) -> [UInt8]? {
        let characters = Array(text.utf8)
        guard characters.count == 44, characters[43] == UInt8(ascii: "=") else { return nil }
        var bytes: [UInt8] = []
        var bits: UInt32 = 0
        var held = 0
        for character in characters.dropLast() {
            guard let value = sextet(character) else { return nil }
            bits = bits << 6 & 0xFFFF | UInt32(value)
            held += 6
            if held >= 8 {
                held -= 8
                bytes.append(UInt8(truncatingIfNeeded: bits >> UInt32(held)))
            }
        }
        return bytes
    }

    /// 64 hexadecimal digits, perhaps with a colon between each two; nil = it is not that.
    public static func bytes(hexadecimal text: String) -> [UInt8]? {
        let digits = text.utf8.filter { $0 != UInt8(ascii: ":") }
        guard digits.count == 64, text.utf8.count == 64 || text.utf8.count == 95 else { return nil }
        var bytes: [UInt8] = []
        for place in stride(from: 0, to: 64, by: 2) {
            guard let byte = UInt8(String(decoding: digits[place..<place + 2], as: UTF8.self), radix: 16) else { return nil }
            bytes.append(byte)
        }
        return bytes
    }

    static func isBase64(_ text: String) -> Bool { bytes(base64: text) != nil }
    static func isHexadecimal(_ text: String) -> Bool { bytes(hexadecimal: text) != nil }

    private static func sextet(_ character: UInt8) -> UInt8? {
        switch character {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"): character - UInt8(ascii: "A")
        case UInt8(ascii: "a")...UInt8(ascii: "z"): character - UInt8(ascii: "a") + 26
        case UInt8(ascii: "0")...UInt8(ascii: "9"): character - UInt8(ascii: "0") + 52
        case UInt8(ascii: "+"): 62
        case UInt8(ascii: "/"): 63
        default: nil
        }
    }
}
