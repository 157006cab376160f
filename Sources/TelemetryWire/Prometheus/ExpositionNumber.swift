/// Numbers of an exposition, as Go's `strconv.ParseFloat` takes them; `nan` and `inf` in any case.
enum ExpositionNumber {
    /// Digits of a number that are read at all.
    static let bytesMax = 512

    static func value(_ bytes: ArraySlice<UInt8>) -> Double? {
        if let small = wholeNumber(bytes) { return small }
        guard !bytes.isEmpty, bytes.count <= bytesMax else { return nil }
        let text = String(decoding: bytes, as: UTF8.self)
        // Swift reads `nan(0x7)` and `snan` as well.
        switch text.lowercased() {
        case "nan": return .nan
        case "inf", "+inf", "infinity", "+infinity": return .infinity
        case "-inf", "-infinity": return -.infinity
        default: break
        }
        guard let last = bytes.last, last &- UInt8(ascii: "0") < 10 || last == UInt8(ascii: ".") || isHexadecimal(bytes) else { return nil }
        return Double(text)
    }

    /// Most are a few digits.
    private static func wholeNumber(_ bytes: ArraySlice<UInt8>) -> Double? {
        guard !bytes.isEmpty, bytes.count <= 15 else { return nil }
        var value: Int64 = 0
        for byte in bytes {
            let digit = byte &- UInt8(ascii: "0")
            guard digit < 10 else { return nil }
            value = value * 10 + Int64(digit)
        }
        return Double(value)
    }

    private static func isHexadecimal(_ bytes: ArraySlice<UInt8>) -> Bool {
        bytes.dropFirst(bytes.first == UInt8(ascii: "-") || bytes.first == UInt8(ascii: "+") ? 1 : 0).prefix(2).elementsEqual("0x".utf8)
    }
}
