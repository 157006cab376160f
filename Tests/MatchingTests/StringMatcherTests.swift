import Matching
import Primitives
import Testing

@Suite struct StringMatcherTests {
    @Test func literals() {
        var builder = MatcherPoolBuilder()
        let exact = builder.addExact("/aB")
        let prefix = builder.addPrefix("/a")
        let suffix = builder.addSuffix(".png")
        let empty = builder.addExact("")
        let pool = Pool(builder)
        #expect(pool.test(exact, "/aB") && !pool.test(exact, "/ab") && !pool.test(exact, "/aBc") && !pool.test(exact, ""))
        #expect(pool.test(prefix, "/a") && pool.test(prefix, "/ab") && !pool.test(prefix, "/") && !pool.test(prefix, "/A"))
        #expect(pool.test(suffix, ".png") && pool.test(suffix, "/a.png") && !pool.test(suffix, "png") && !pool.test(suffix, "/a.PNG"))
        #expect(pool.test(empty, "") && !pool.test(empty, "a"))
    }

    @Test func caseIsIgnoredWhereAsked() {
        var builder = MatcherPoolBuilder()
        let exact = builder.addExact("/aB", ignoringCase: true)
        let prefix = builder.addPrefix("/A", ignoringCase: true)
        let suffix = builder.addSuffix("Z", ignoringCase: true)
        let pool = Pool(builder)
        #expect(pool.test(exact, "/AB") && pool.test(exact, "/ab") && !pool.test(exact, "/abc"))
        #expect(pool.test(prefix, "/abc") && pool.test(prefix, "/ABC") && !pool.test(prefix, "/b"))
        #expect(pool.test(suffix, "az") && pool.test(suffix, "Z") && !pool.test(suffix, "za"))
    }

    @Test func presenceAndNoCondition() {
        let pool = Pool(MatcherPoolBuilder())
        for value in ["", "a"] { #expect(pool.test(.present, value) && pool.test(StringMatcher(), value)) }
        #expect(StringMatcher().isAny && !StringMatcher.present.isAny)
    }

    @Test func regexIsOfTheWholeText() {
        var builder = MatcherPoolBuilder()
        let (matcher, problem) = builder.addRegex("/a[0-9]+")
        let pool = Pool(builder)
        #expect(problem == nil)
        for value in ["/a1", "/a12"] { #expect(pool.test(matcher, value), "\(value)") }
        for value in ["/a", "/a1x", "/x/a1", ""] { #expect(!pool.test(matcher, value), "\(value)") }
    }

    @Test func badRegexSaysWhyAndNeverHolds() {
        var builder = MatcherPoolBuilder()
        let (matcher, problem) = builder.addRegex("/a([")
        let pool = Pool(builder)
        #expect(problem?.contains("missing") == true, "\(problem ?? "none")")
        for value in ["/a([", "/a", ""] { #expect(!pool.test(matcher, value)) }
    }

    /// RE2 never runs away: a pattern that kills a backtracking engine costs its input.
    @Test func catastrophicRegexIsHarmless() {
        var builder = MatcherPoolBuilder()
        let matcher = builder.addRegex("/(a+)+$").matcher
        let pool = Pool(builder)
        #expect(!pool.test(matcher, "/" + String(repeating: "a", count: 10_000) + "!"))
    }

    @Test func describesItself() {
        var builder = MatcherPoolBuilder()
        let matchers = [
            StringMatcher(), .present, builder.addExact("a"), builder.addPrefix("/B", ignoringCase: true), builder.addSuffix("c"),
            builder.addRegex("d+").matcher,
        ]
        let pool = Pool(builder)
        #expect(
            matchers.map { pool.memory.pool.describe($0) } == [
                "anything", "present", "exact \"a\"", "prefix \"/b\" in any case", "suffix \"c\"", "regex \"d+\"",
            ])
    }
}

@Suite struct RegexRewriteTests {
    @Test func everyMatchIsReplaced() {
        var builder = MatcherPoolBuilder()
        let (swap, problems) = builder.addRewrite("/([a-z]+)([0-9]+)", by: "/\\2-\\1")
        let pool = Pool(builder)
        #expect(problems.isEmpty)
        #expect(pool.rewrite(swap, "/ab12/c3") == "/12-ab/3-c")
        #expect(pool.rewrite(swap, "/none") == "/none")
    }

    @Test func aResultThatIsTooLongIsNone() {
        var builder = MatcherPoolBuilder()
        let rewrite = builder.addRewrite("a", by: String(repeating: "b", count: 100)).rewrite
        let pool = Pool(builder)
        let long = String(repeating: "a", count: RegexRewrite.bytesMax / 100 + 1)
        #expect(pool.rewrite(rewrite, long) == long)
    }

    @Test func problems() {
        var builder = MatcherPoolBuilder()
        #expect(builder.addRewrite("/a", by: "/\\1").problems == [.unknownGroup])
        let broken = builder.addRewrite("/a(", by: "/b").problems
        #expect(broken.count == 1 && broken.first != .unknownGroup)
    }
}
