@testable import skein
import Testing

@Suite struct TopKeyTests {
    private func keys(_ text: String) -> [TopKey] {
        var decoder = KeyDecoder()
        return decoder.take(text.utf8) + decoder.finish()
    }

    @Test func keysOfXterm() {
        #expect(keys("\u{1B}[A\u{1B}OB") == [.up, .down])
        #expect(keys("\u{1B}[5~\u{1B}[6~") == [.pageUp, .pageDown])
        #expect(keys("\u{1B}[H\u{1B}[F\u{1B}[1~\u{1B}[4~\u{1B}OH") == [.home, .end, .home, .end, .home])
        // With Shift or Ctrl held they are the same keys.
        #expect(keys("\u{1B}[1;5A") == [.up])
        #expect(keys("\r\n\t\u{7F}\u{3}q") == [.enter, .enter, .tab, .backspace, .interrupt, .character("q")])
        #expect(keys("é語") == [.character("é"), .character("語")])
    }

    /// A function key, a mouse's report or an answer of the terminal must not be taken for the letters in it.
    @Test func whatIsNotKnownIsLeftOutWhole() {
        #expect(keys("\u{1B}[15~\u{1B}[?64;1;2cq") == [.character("q")])
        #expect(keys("\u{1B}qx") == [.character("x")])
        let long = Array(("\u{1B}[" + String(repeating: "1;", count: 400) + "~q").utf8)
        var decoder = KeyDecoder()
        #expect(decoder.take(long) == [.character("q")])
        #expect(long.flatMap { decoder.take([$0]) } == [.character("q")])
    }

    @Test func anEscapeAloneIsAKey() {
        var decoder = KeyDecoder()
        #expect(decoder.take([0x1B]) == [] && decoder.isWaiting)
        #expect(decoder.finish() == [.escape] && !decoder.isWaiting)
        #expect(decoder.take([0x1B]) == [] && decoder.take(Array("[A".utf8)) == [.up])
        #expect(keys("\u{1B}\u{1B}") == [.escape, .escape])
    }

    /// However the bytes are cut, the keys are the same, and what is held is bounded.
    @Test func piecesMakeNoDifference() {
        var random = SystemRandomNumberGenerator()
        let seed = UInt64.random(in: 0...UInt64.max, using: &random)
        var draws = SplitMix(seed)
        let alphabet: [[UInt8]] = [
            [0x1B, 0x5B, 0x41], [0x1B, 0x5B, 0x35, 0x7E], [0x0D], Array("é".utf8), Array("😀".utf8), [0x61], [0xFF], [0xC3, 0x28], [0x03],
        ]
        for _ in 0..<500 {
            let bytes = (0..<draws.below(12)).flatMap { _ in alphabet[draws.below(alphabet.count)] }
            var whole = KeyDecoder()
            var cut = KeyDecoder()
            let expected = whole.take(bytes) + whole.finish()
            var found: [TopKey] = []
            for byte in bytes { found += cut.take([byte]) }
            found += cut.finish()
            #expect(found == expected, "seed \(seed), bytes \(bytes)")
        }
    }
}

/// Numbers from a seed (Steele and others, SplitMix64).
struct SplitMix: RandomNumberGenerator {
    private var state: UInt64

    init(_ seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = (state ^ state >> 30) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
        return mixed ^ mixed >> 31
    }

    mutating func below(_ bound: Int) -> Int { Int(next() % UInt64(bound)) }
}
