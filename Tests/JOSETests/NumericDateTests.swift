@testable import JOSE
import Primitives
import Testing

@Suite struct NumericDateTests {
    private func seconds(_ text: String) -> Int64 { Array(text.utf8).withLentBytes { NumericDate.seconds($0) } }

    @Test(arguments: [
        ("0", 0), ("-0", 0), ("1300819380", 1_300_819_380), ("1300819380.9", 1_300_819_380), ("-1", -1), ("-0.5", -1), ("-1.0", -1),
        ("1.3e9", 1_300_000_000), ("13E+8", 1_300_000_000), ("1300819380000e-3", 1_300_819_380), ("1300819380999e-3", 1_300_819_380),
        ("0.00013e13", 1_300_000_000), ("9223372036854775807", .max), ("9223372036854775808", .max), ("-9223372036854775808", .min),
        ("1e400", .max), ("-1e400", .min), ("1e99999999999999999999", .max), ("1e-99999999999999999999", 0), ("0e99999999999999999999", 0),
        ("-1e-99999999999999999999", -1), ("0.0", 0), ("-0.0e5", 0), ("100000000000000000000000000e-20", 1_000_000),
    ] as [(String, Int64)]) func examples(text: String, wanted: Int64) { #expect(seconds(text) == wanted) }

    @Test func aThousandDigitsSaturate() {
        #expect(seconds(String(repeating: "9", count: 1000)) == .max)
        #expect(seconds("-" + String(repeating: "9", count: 1000) + ".5e-2") == .min)
        #expect(seconds("0." + String(repeating: "0", count: 1000) + "5e1005") == 50000)
    }

    /// Against shifting the decimal point in a text.
    @Test func randomNumbersAgreeWithTheModel() {
        let seed = UInt64.random(in: 0...UInt64.max)
        var draw = RandomSource(seed: seed)
        for _ in 0..<3000 {
            let whole = draw.below(2) == 0 ? "0" : String(draw.next() >> UInt64(draw.below(64)))
            let fraction = String((0..<draw.below(6)).map { _ in Character(String(draw.below(10))) })
            let exponent = Int(draw.below(24)) - 12
            let sign = draw.below(2) == 0 ? "-" : ""
            let text = sign + whole + (fraction.isEmpty ? "" : "." + fraction) + (exponent == 0 ? "" : "e\(exponent)")
            var digits = whole + fraction
            var after = fraction.count - exponent
            while after < 0 {
                digits += "0"
                after += 1
            }
            if digits.count <= after { digits = String(repeating: "0", count: after - digits.count + 1) + digits }
            let rest = digits.suffix(after).contains { $0 != "0" }
            let left = String(digits.dropLast(after).drop { $0 == "0" })
            let value = left.isEmpty ? 0 : UInt64(left)
            let wanted: Int64 =
                sign.isEmpty
                ? Int64(clamping: value ?? .max)
                : value.map { $0 >= UInt64(1) << 63 ? .min : -Int64($0) - (rest ? 1 : 0) } ?? .min
            #expect(seconds(text) == wanted, "seed \(seed): \(text)")
        }
    }
}
