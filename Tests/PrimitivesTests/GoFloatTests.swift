import Primitives
import Testing

@Suite struct GoFloatTests {
    /// From Go 1.24's `strconv.FormatFloat(v, 'f', -1, 64)`.
    @Test(arguments: [
        (0.0, "0"), (-0.0, "-0"), (1, "1"), (-1, "-1"), (0.1, "0.1"), (-0.5, "-0.5"), (0.00123, "0.00123"), (1_000_000, "1000000"),
        (123.456, "123.456"), (100.5, "100.5"), (1e21, "1000000000000000000000"), (1e-7, "0.0000001"),
        (9_007_199_254_740_991, "9007199254740991"),
        (9_007_199_254_740_992, "9007199254740992"), (-18_014_398_509_481_984, "-18014398509481984"),
        (0.30000000000000004, "0.30000000000000004"),
        (.leastNonzeroMagnitude, "0." + String(repeating: "0", count: 323) + "5"), (.infinity, "+Inf"), (-.infinity, "-Inf"), (.nan, "NaN"),
    ] as [(Double, String)])
    func plain(_ value: Double, _ text: String) { #expect(GoFloat.plain(value) == text) }

    @Test(arguments: [
        (0.0, "0e+00"), (1, "1e+00"), (1.5, "1.5e+00"), (1.5e-7, "1.5e-07"), (-12_345, "-1.2345e+04"), (1e21, "1e+21"),
        (1.7976931348623157e308, "1.7976931348623157e+308"), (.leastNonzeroMagnitude, "5e-324"), (.infinity, "+Inf"), (.nan, "NaN"),
    ] as [(Double, String)])
    func scientific(_ value: Double, _ text: String) { #expect(GoFloat.scientific(value) == text) }

    @Test(arguments: [
        (0.0, "0"), (0.0001, "0.0001"), (0.00001, "1e-05"), (999_999, "999999"), (1_000_000, "1e+06"), (2.5, "2.5"), (.infinity, "+Inf"),
    ] as [(Double, String)])
    func general(_ value: Double, _ text: String) { #expect(GoFloat.general(value) == text) }

    /// Any bits: what is written reads back as the same number, in plain digits or with an exponent of at least two.
    @Test func whatIsWrittenReadsBack() {
        let seed = UInt64.random(in: 0...UInt64.max)
        var random = RandomSource(seed: seed)
        for _ in 0..<20_000 {
            var value = Double(bitPattern: random.next())
            if random.below(3) == 0 { value = Double(Int64(truncatingIfNeeded: random.next()) >> Int64(random.below(60))) }
            guard value.isFinite else { continue }
            let (plain, scientific) = (GoFloat.plain(value), GoFloat.scientific(value))
            #expect(Double(plain) == value && !plain.contains("e"), "seed \(seed): \(value) as \(plain)")
            #expect(Double(scientific) == value, "seed \(seed): \(value) as \(scientific)")
            let digits = plain.utf8.filter { $0 >= 0x30 }.drop { $0 == 0x30 }
            #expect(!plain.contains(".") || !plain.hasSuffix("0"), "seed \(seed): \(plain)")
            #expect(digits.reversed().drop { $0 == 0x30 }.count <= 17, "seed \(seed): \(plain)")
        }
    }
}
