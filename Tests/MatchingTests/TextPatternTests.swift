import Matching
import Testing

@Suite struct TextPatternTests {
    /// A matcher that sees only the beginning of a value would select other series than Prometheus does.
    @Test(arguments: [
        ("a.c", "abc", true), ("a.c", "xabc", false), ("a.c", "a\nc", true), ("", "", true), (".+", "", false), ("a|bc", "bc", true),
        ("é", "é", true), (".", "é", true), ("(?i)AB", "ab", true), ("a$", "a", true),
    ])
    func wholeTextMatches(pattern: String, text: String, expected: Bool) throws {
        #expect(try TextPattern(pattern).matches(text) == expected)
    }

    @Test(arguments: [
        ("(.*)-(?P<rest>.*)", "a-b", "$1", "a"), ("(.*)-(?P<rest>.*)", "a-b", "${1}x", "ax"), ("(.*)-(?P<rest>.*)", "a-b", "$1x", ""),
        ("(.*)-(?P<rest>.*)", "a-b", "${rest}$$$", "b$$"), ("(.*)-(?P<rest>.*)", "a-b", "$9,$2", ",b"), ("(a)|(b)", "b", "<$1$2>", "<b>"),
        ("a", "a", "${1", "${1"), ("", "", "value-$1", "value-"), ("(.*)", "é", "$1$0", "éé"),
    ])
    func replacementNamesGroups(pattern: String, text: String, template: String, expected: String) throws {
        #expect(try TextPattern(pattern).expand(template, with: text) == expected)
    }

    @Test func nothingIsExpandedWithoutAMatch() throws { #expect(try TextPattern("a").expand("x", with: "b") == nil) }

    @Test(arguments: [("*", "missing argument to repetition operator: `*`"), ("(", "missing closing )"), ("[a", "missing closing ]")])
    func reasonIsInTheWordsOfGo(pattern: String, reason: String) {
        let problem = #expect(throws: TextPattern.Problem.self) { try TextPattern(pattern) }
        #expect(problem?.reason.contains("error parsing regexp: " + reason) == true, "\(problem?.reason ?? "")")
    }
}
