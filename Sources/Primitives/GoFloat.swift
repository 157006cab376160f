/// Numbers as Go's `strconv.FormatFloat` writes them, in the fewest digits that read back the same: what Prometheus' users see.
public enum GoFloat {
    /// Format 'f': never an exponent. `0.1`, `1000000`, `+Inf`, `NaN`.
    public static func plain(_ value: Double) -> String { text { append(plain: value, to: &$0) } }

    /// Format 'g', `%g` and `%v`: an exponent below 1e-4 and from 1e+06 on.
    public static func general(_ value: Double) -> String {
        guard let number = Digits(value) else { return plain(value) }
        let exponent = number.point - 1
        let isShort = number.count == 0 || (exponent >= -4 && exponent < 6)
        return isShort ? plain(value) : scientific(value)
    }

    /// Format 'e': `1.5e-07`.
    public static func scientific(_ value: Double) -> String { text { append(scientific: value, to: &$0) } }

    /// As `plain`.
    public static func append(plain value: Double, to bytes: inout [UInt8]) {
        // Counts, the most of what is asked for.
        if value.magnitude < 0x1p53, let whole = Int64(exactly: value), whole != 0 { return bytes.append(contentsOf: String(whole).utf8) }
        // Swift writes these in the same digits, and without an exponent.
        if value.magnitude >= 0x1p-10, value.magnitude < 0x1p53 {
            var stream = DigitStream(taking: &bytes)
            value.write(to: &stream)
            return stream.giveBack(to: &bytes)
        }
        guard let number = Digits(value) else { return append(special: value, to: &bytes) }
        if number.isNegative { bytes.append(minus) }
        if number.point <= 0 {
            bytes.append(zero)
            guard number.count > 0 else { return }
            bytes.append(point)
            bytes.append(contentsOf: repeatElement(zero, count: -number.point))
            number.write(0..<number.count, to: &bytes)
        } else {
            let whole = min(number.count, number.point)
            number.write(0..<whole, to: &bytes)
            bytes.append(contentsOf: repeatElement(zero, count: number.point - whole))
            guard whole < number.count else { return }
            bytes.append(point)
            number.write(whole..<number.count, to: &bytes)
        }
    }

    /// As `scientific`.
    public static func append(scientific value: Double, to bytes: inout [UInt8]) {
        guard let number = Digits(value) else { return append(special: value, to: &bytes) }
        if number.isNegative { bytes.append(minus) }
        if number.count == 0 { bytes.append(zero) } else { number.write(0..<1, to: &bytes) }
        if number.count > 1 {
            bytes.append(point)
            number.write(1..<number.count, to: &bytes)
        }
        let exponent = number.count == 0 ? 0 : number.point - 1
        bytes.append(UInt8(ascii: "e"))
        bytes.append(exponent < 0 ? minus : UInt8(ascii: "+"))
        if exponent.magnitude < 10 { bytes.append(zero) }
        bytes.append(contentsOf: String(exponent.magnitude).utf8)
    }

    private static let zero = UInt8(ascii: "0")
    private static let minus = UInt8(ascii: "-")
    private static let point = UInt8(ascii: ".")

    private static func append(special value: Double, to bytes: inout [UInt8]) {
        bytes.append(contentsOf: (value.isNaN ? "NaN" : value > 0 ? "+Inf" : "-Inf").utf8)
    }

    /// Takes digits as they are written, without a text between.
    private struct DigitStream: TextOutputStream {
        private var bytes: [UInt8] = []

        init(taking given: inout [UInt8]) { swap(&bytes, &given) }

        mutating func giveBack(to owner: inout [UInt8]) { swap(&bytes, &owner) }

        mutating func write(_ text: String) { bytes.append(contentsOf: text.utf8) }

        /// What the standard library calls with ASCII, as the digits of a number; were it not to, it would call `write`.
        mutating func _writeASCII(_ digits: UnsafeBufferPointer<UInt8>) { unsafe bytes.append(contentsOf: digits) }
    }

    private static func text(_ body: (inout [UInt8]) -> Void) -> String {
        var bytes: [UInt8] = []
        body(&bytes)
        return String(decoding: bytes, as: UTF8.self)
    }

    /// The shortest digits of a finite number, without zeros at either end: `15` with `point` = 1 is 1.5.
    private struct Digits {
        /// Shortest digits are 17 at most; Swift writes zeros before the point of large ones.
        private var digits = InlineArray<32, UInt8>(repeating: 0)
        private(set) var count = 0
        /// Digits before the point; may be negative or behind the last digit.
        private(set) var point = 0
        let isNegative: Bool

        init?(_ value: Double) {
            guard value.isFinite else { return nil }
            isNegative = value.sign == .minus
            var text = value.magnitude.description
            text.withUTF8 { text in
                let end = unsafe text.firstIndex(of: UInt8(ascii: "e")) ?? text.count
                unsafe readDigits(UnsafeRawBufferPointer(text)[..<end])
                guard count > 0, end < text.count else { return }
                unsafe readExponent(UnsafeRawBufferPointer(text)[(end + 1)...])
            }
        }

        private mutating func readDigits(_ text: Slice<UnsafeRawBufferPointer>) {
            var isBehindPoint = false
            for unsafe byte in unsafe text {
                if byte == GoFloat.point {
                    isBehindPoint = true
                } else if count == 0, byte == GoFloat.zero {
                    if isBehindPoint { point -= 1 }
                } else if count < digits.count {
                    digits[count] = byte
                    count += 1
                    if !isBehindPoint { point += 1 }
                }
            }
            while count > 0, digits[count - 1] == GoFloat.zero { count -= 1 }
            if count == 0 { point = 0 }
        }

        private mutating func readExponent(_ text: Slice<UnsafeRawBufferPointer>) {
            var exponent = 0
            for unsafe byte in unsafe text where byte >= GoFloat.zero { exponent = exponent * 10 + Int(byte - GoFloat.zero) }
            point += unsafe text.first == GoFloat.minus ? -exponent : exponent
        }

        func write(_ range: Range<Int>, to bytes: inout [UInt8]) {
            for index in range { bytes.append(digits[index]) }
        }
    }
}
