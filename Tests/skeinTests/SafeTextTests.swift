@testable import skein
import Testing

@Suite struct SafeTextTests {
    /// A service may be called anything: its name must not recolour, retitle, answer for or reorder a terminal.
    @Test(arguments: [
        "\u{1B}[2Jx", "a\u{7}b", "\u{9B}31mred", "\u{202E}drowssap", "a\u{200B}b", "a\rb", "a\nb", "\u{85}", "\u{2028}", "\u{E0041}",
        "\u{2066}x\u{2069}", "\u{FFF9}", "\u{AD}", "שלום", "مرحبا", "\u{7F}", "\u{0}", "\u{115F}", "\u{301}x",
    ])
    func nothingThatATerminalActsUponIsLeft(_ hostile: String) {
        let clean = SafeText.clean(hostile)
        for scalar in clean.unicodeScalars {
            let category = scalar.properties.generalCategory
            #expect(category != .control && category != .format && category != .lineSeparator && category != .paragraphSeparator)
            #expect(!(0x590...0x8FF).contains(scalar.value))
        }
        #expect(clean.contains("\u{FFFD}"), "what is left out is seen to be left out")
    }

    @Test func names() {
        let names = ["reviews.bookinfo.svc.cluster.local", "größe", "注文", "a → b", "😀", "e\u{301}"]
        for name in names { #expect(SafeText.clean(name) == name) }
        // Marks that pile up.
        #expect(SafeText.clean("e" + String(repeating: "\u{301}", count: 40)).unicodeScalars.count { $0 == "\u{301}" } == 2)
        #expect(SafeText.clean(String(repeating: "x", count: 100_000)).count == SafeText.scalarsMax)
    }

    @Test func columnsAreFilledExactly() {
        #expect(SafeText.width("abc") == 3 && SafeText.width("注文") == 4 && SafeText.width("e\u{301}") == 1 && SafeText.width("😀") == 2)
        #expect(SafeText.fitted("abc", 5) == "abc  " && SafeText.fitted("abc", 5, rightAligned: true) == "  abc")
        #expect(SafeText.fitted("abcdef", 4) == "abc…" && SafeText.fitted("注文明細", 4) == "注… " && SafeText.fitted("注文", 1) == "…")
        #expect(SafeText.fitted("abc", 0) == "" && SafeText.fitted("abc", -3) == "")
        var draws = SplitMix(7)
        let parts = ["a", "注", "e\u{301}", "😀", "→", "\u{1B}", "ж"]
        for _ in 0..<1000 {
            let text = SafeText.clean((0..<draws.below(20)).map { _ in parts[draws.below(parts.count)] }.joined())
            let columns = draws.below(30)
            #expect(SafeText.width(SafeText.fitted(text, columns)) == columns, "\(text) in \(columns)")
        }
    }

    @Test func jsonKeepsItsMeaning() {
        #expect(SafeText.escaped(json: "{\n \"a\u{9B}\u{202E}b\": \"é注\u{E0041}\"}") == "{\n \"a\\u009b\\u202eb\": \"é注\\udb40\\udc41\"}")
    }
}
