import Primitives
import Testing

@Suite struct ASCIITests {
    @Test func everyByte() {
        for byte in UInt8.min...UInt8.max {
            let isUpper = byte >= 65 && byte <= 90
            #expect(ASCII.lower(byte) == (isUpper ? byte + 32 : byte))
            let digit = byte < 128 ? Character(UnicodeScalar(byte)).hexDigitValue : nil
            #expect(Int(ASCII.hexValue(byte)) == digit ?? 255)
        }
    }

    @Test(arguments: [
        ("0", 0), ("007", 7), ("18446744073709551615", UInt64.max), ("18446744073709551616", nil), ("99999999999999999999", nil),
        ("000000000000000000001", nil), ("", nil), ("+1", nil), ("-1", nil), ("1 ", nil), (" 1", nil), ("1_0", nil), ("0x1", nil),
        ("\u{661}", nil),
    ] as [(String, UInt64?)])
    func decimal(text: String, value: UInt64?) {
        #expect(unsafe Array(text.utf8).withUnsafeBytes { unsafe ASCII.decimal($0) } == value)
    }

    @Test func equality() {
        func equal(_ left: String, _ right: StaticString) -> (Bool, Bool) {
            unsafe Array(left.utf8).withUnsafeBytes { unsafe (ASCII.equal($0, right), ASCII.equal($0, ignoringCase: right)) }
        }
        #expect(equal("close", "close") == (true, true))
        #expect(equal("ClOsE", "close") == (false, true))
        #expect(equal("close", "closed") == (false, false))
        #expect(equal("", "") == (true, true))
        // `[` and `{` differ by the case bit and are no letters.
        #expect(equal("[", "{") == (false, false))
        #expect(equal("@", "`") == (false, false))
    }

    /// Whole strings are worked on in words, the last over the one before it.
    @Test(arguments: [1, 2] as [UInt64])
    func stringsAreAsTheirBytes(seed: UInt64) {
        var random = RandomSource(seed: seed)
        for count in 0..<40 {
            for _ in 0..<50 {
                let bytes = (0..<count).map { _ in UInt8(truncatingIfNeeded: random.next()) }
                var lower = [UInt8](repeating: 0, count: count)
                unsafe bytes.withUnsafeBytes { source in
                    unsafe lower.withUnsafeMutableBytes { unsafe ASCII.lower(source, into: $0) }
                }
                #expect(lower == bytes.map { ASCII.lower($0) }, "seed \(seed)")
                var other = bytes
                if count > 0, random.below(2) == 0 { other[Int(random.below(UInt32(count)))] ^= 0x20 }
                let isEqual = unsafe bytes.withUnsafeBytes { left in
                    unsafe other.withUnsafeBytes { unsafe LentBytes(left) == LentBytes($0) }
                }
                #expect(isEqual == (bytes == other), "seed \(seed): \(bytes) and \(other)")
            }
        }
    }

    @Test(arguments: [1, 2, 3] as [UInt64])
    func eightAtOnceAreAsOneByOne(seed: UInt64) {
        var random = RandomSource(seed: seed)
        for _ in 0..<20_000 {
            // Bytes around the letters' ends, with and without the top bit, are where lanes would disturb each other.
            var word: UInt64 = 0
            var expected: UInt64 = 0
            for lane in 0..<8 {
                let byte =
                    random.below(2) == 0
                    ? UInt8(truncatingIfNeeded: random.next())
                    : [64, 65, 90, 91, 96, 97, 122, 123, 0, 127, 128, 193, 218, 255][Int(random.below(14))]
                word |= UInt64(byte) << UInt64(8 * lane)
                expected |= UInt64(ASCII.lower(byte)) << UInt64(8 * lane)
            }
            #expect(ASCII.lower(eight: word) == expected, "seed \(seed): \(String(word, radix: 16))")
        }
    }

    /// Every length, so that every way of cutting it into words is there; one byte changed at every place.
    @Test func equalityOfEveryLength() {
        var random = RandomSource(seed: 7)
        for count in 0..<40 {
            let left = (0..<count).map { _ in UInt8(truncatingIfNeeded: random.next()) }
            let right = left.map { byte in ASCII.lower(byte) &- 97 < 26 && random.below(2) == 0 ? byte ^ 0x20 : byte }
            #expect(unsafe left.withUnsafeBytes { left in unsafe right.withUnsafeBytes { unsafe ASCII.equalIgnoringCase(left, $0) } })
            for place in 0..<count {
                for change in [1, 0x20, 0x80, UInt8(truncatingIfNeeded: random.next() | 1)] {
                    var changed = right
                    changed[place] ^= change
                    let isSame = ASCII.lower(changed[place]) == ASCII.lower(left[place])
                    let found = unsafe left.withUnsafeBytes { left in
                        unsafe changed.withUnsafeBytes { unsafe ASCII.equalIgnoringCase(left, $0) }
                    }
                    #expect(found == isSame, "\(left) \(changed)")
                    let isEqual = unsafe left.withUnsafeBytes { left in unsafe changed.withUnsafeBytes { unsafe ASCII.equal(left, $0) } }
                    #expect(isEqual == (left == changed), "\(left) \(changed)")
                }
            }
        }
    }

    /// The beginning of a text is not that text.
    @Test(arguments: 0...20) func aBeginningIsNotTheWhole(_ count: Int) {
        let whole = [UInt8](repeating: 0x61, count: count + 1)
        unsafe whole.withUnsafeBytes { whole in
            let beginning = unsafe UnsafeRawBufferPointer(rebasing: whole[..<count])
            #expect(unsafe !ASCII.equal(beginning, whole) && !ASCII.equal(whole, beginning))
            #expect(unsafe ASCII.equal(beginning, beginning) && ASCII.equal(whole, whole))
        }
    }
}

@Suite struct RandomSourceTests {
    @Test(arguments: [1, 2, 3, 7, 10, 100, 1 << 31, UInt32.max])
    func belowStaysBelow(bound: UInt32) {
        var random = RandomSource(seed: UInt64(bound))
        for _ in 0..<2000 { #expect(random.below(bound) < bound) }
        #expect(random.below(0) == 0)
    }

    @Test func belowIsUniform() {
        var random = RandomSource(seed: 42)
        var counts = [Int](repeating: 0, count: 10)
        for _ in 0..<100_000 { counts[Int(random.below(10))] += 1 }
        // Five standard deviations of a binomial with p = 0.1.
        for count in counts { #expect(abs(count - 10_000) < 475) }
    }

    @Test func seedsPinTheDraws() {
        var left = RandomSource(seed: 1)
        var right = RandomSource(seed: 1)
        var other = RandomSource(seed: 2)
        let draws = (0..<8).map { _ in left.next() }
        #expect(draws == (0..<8).map { _ in right.next() })
        #expect(draws != (0..<8).map { _ in other.next() })
    }

    /// Instants saturate: a timeout of "never" must not come round to the past.
    @Test func instantsSaturate() {
        #expect(MonotonicInstant(nanoseconds: .max - 1) + 5 == .distantFuture)
        #expect(MonotonicInstant(nanoseconds: 5).nanoseconds(since: MonotonicInstant(nanoseconds: 9)) == 0)
    }

    /// Against the obvious: every place looked at, byte by byte.
    @Test(arguments: [1, 2, 3] as [UInt64])
    func aPartIsFoundInEitherCase(seed: UInt64) {
        var state = seed
        func next(_ limit: UInt64) -> UInt64 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return (state >> 33) % limit
        }
        // Bytes that differ from a letter by the bit that tells cases apart, too.
        let alphabet = Array("aAbB@`[{Zz0\u{0}\u{e9}".utf8)
        for _ in 0..<5000 {
            let bytes = (0..<next(12)).map { _ in alphabet[Int(next(UInt64(alphabet.count)))] }
            let part = (0..<next(4)).map { _ in ASCII.lower(alphabet[Int(next(UInt64(alphabet.count)))]) }
            let lower = bytes.map(ASCII.lower)
            let expected = part.isEmpty
                || lower.indices.contains { lower[$0...].starts(with: part) }
            #expect(ASCII.isPart(part, of: bytes[...]) == expected, "seed \(seed): \(part) in \(bytes)")
            if bytes.count > 2 { #expect(ASCII.isPart(part, of: bytes[1...]) == ASCII.isPart(part, of: Array(bytes[1...])[...])) }
        }
    }
}
