/// How many spans one stands for that its sender has sampled: 2^56 / (2^56 − T), where T is the threshold `th` of OpenTelemetry's member of
/// a `tracestate` (OpenTelemetry, "TraceState: Probability Sampling" and "TraceState Handling": `ot=…;th:HEX;…`, one to fourteen digits that
/// are filled up with zeros on the right).
enum SamplingWeight: Hashable {
    /// Nothing is said.
    case unknown
    /// At least 1.
    case weight(Double)
    /// What is said is no threshold, or one that makes a weight above the bound.
    case refused

    private static let thresholdDigitsMax = 14
    private static let ot = (UInt8(ascii: "o"), UInt8(ascii: "t"))
    private static let th = (UInt8(ascii: "t"), UInt8(ascii: "h"))
    /// 2^56.
    private static let full: UInt64 = 1 << 56

    /// The weight that `text[range]` gives. Linear in the text; keeps nothing. Any bytes may be there.
    init(_ text: [UInt8], _ range: Range<Int>, weightMax: Double) {
        guard let member = Self.value(in: text, range, key: Self.ot, equals: UInt8(ascii: "="), separator: UInt8(ascii: ",")),
            let digits = Self.value(in: text, member, key: Self.th, equals: UInt8(ascii: ":"), separator: UInt8(ascii: ";"))
        else {
            self = .unknown
            return
        }
        guard !digits.isEmpty, digits.count <= Self.thresholdDigitsMax else {
            self = .refused
            return
        }
        var threshold: UInt64 = 0
        for index in digits {
            // The specification writes lower case alone.
            switch text[index] {
            case let digit where digit &- 0x30 < 10: threshold = threshold << 4 | UInt64(digit &- 0x30)
            case let letter where letter &- 0x61 < 6: threshold = threshold << 4 | UInt64(letter &- 0x57)
            default:
                self = .refused
                return
            }
        }
        threshold <<= UInt64(4 * (Self.thresholdDigitsMax - digits.count))
        let weight = Double(Self.full) / Double(Self.full - threshold)
        self = weight <= weightMax ? .weight(weight) : .refused
    }

    /// The value of the first member of a list with this key of two letters. Spaces around members are left out.
    private static func value(
        in text: [UInt8], _ range: Range<Int>, key: (UInt8, UInt8), equals: UInt8, separator: UInt8
    ) -> Range<Int>? {
        var start = range.lowerBound
        while start < range.upperBound {
            let end = text[start..<range.upperBound].firstIndex(of: separator) ?? range.upperBound
            var (from, to) = (start, end)
            while from < to, isSpace(text[from]) { from += 1 }
            while from < to, isSpace(text[to - 1]) { to -= 1 }
            if to - from > 2, text[from] == key.0, text[from + 1] == key.1, text[from + 2] == equals { return from + 3..<to }
            start = end + 1
        }
        return nil
    }

    private static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 }
}
