internal import Primitives

/// How many spans one stands for that its sender has sampled: 2^56 / (2^56 − T), where T is the threshold `th` of OpenTelemetry's member
/// of a `tracestate` (OpenTelemetry, "TraceState: Probability Sampling" and "TraceState Handling": `ot=…;th:HEX;…`, one to fourteen digits
/// that are filled up with zeros on the right).
enum SamplingWeight: Hashable {
    /// Nothing is said.
    case unknown
    /// At least 1.
    case weight(Double)
    /// What is said is no threshold, or one that makes a weight above the bound.
    case refused

    private static let thresholdDigitsMax = 14
    /// 2^56.
    private static let full: UInt64 = 1 << 56

    /// The weight that a trace state gives. Linear in it; keeps nothing. Any bytes may be there.
    init(_ traceState: LentBytes, weightMax: Double) {
        guard let member = Self.memberValue(in: traceState, "ot=", separator: UInt8(ascii: ",")),
            let digits = Self.memberValue(in: member, "th:", separator: UInt8(ascii: ";"))
        else {
            self = .unknown
            return
        }
        guard !digits.isEmpty, digits.count <= Self.thresholdDigitsMax else {
            self = .refused
            return
        }
        var threshold: UInt64 = 0
        for index in 0..<digits.count {
            // The specification writes lower case alone.
            switch digits[index] {
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

    /// What stands behind `key` in the first member of a list that begins so. Spaces around members are left out.
    private static func memberValue(in list: LentBytes, _ key: StaticString, separator: UInt8) -> LentBytes? {
        let key = LentBytes(key)
        var start = 0
        while start < list.count {
            var end = start
            while end < list.count, list[end] != separator { end += 1 }
            var (from, to) = (start, end)
            while from < to, isSpace(list[from]) { from += 1 }
            while from < to, isSpace(list[to - 1]) { to -= 1 }
            if list[from..<to].hasPrefix(key) { return list[from + key.count..<to] }
            start = end + 1
        }
        return nil
    }

    private static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 }
}
