import Matching
import Primitives
import Testing

@Suite struct PathTemplateTests {
    /// The first lines are the examples of Istio's reference.
    @Test(arguments: [
        ("/foo/{*}", ["/foo/bar"], ["/foo/bar/baz", "/foo/", "/foo", "/foo/bar/"]),
        ("/foo/{**}/", ["/foo/bar/", "/foo/bar/baz.txt/", "/foo//"], ["/foo/bar", "/foo/", "/foo"]),
        (
            "/foo/{*}/bar/{**}", ["/foo/buzz/bar/", "/foo/buzz/bar/baz", "/foo/buzz/bar/b/c"],
            ["/foo//bar/", "/foo/a/b/bar/", "/foo/buzz/bar"]
        ),
        ("/{*}/baz/{*}", ["/a/baz/b"], ["/a/baz/", "/a/b/baz/c"]),
        ("/{**}", ["/", "/a", "/a/b"], ["", "a"]),
        ("/{*}/{*}", ["/a/b"], ["/a", "/a/", "//", "/a/b/"]),
        ("/a/b", ["/a/b"], ["/a", "/a/b/", "/a/bc"]),
        ("/", ["/"], ["", "/a"]),
        ("/a/{**}/b/c", ["/a//b/c", "/a/x/b/c", "/a/x/y/b/c", "/a/b/c/b/c"], ["/a/b/c", "/a/x/b/c/", "/a/x/b/d"]),
    ])
    func paths(template: String, yes: [String], no: [String]) throws {
        var builder = MatcherPoolBuilder()
        let matcher = try builder.addPathTemplate(template)
        let pool = Pool(builder)
        for path in yes { #expect(pool.test(matcher, path), "\(path)") }
        for path in no { #expect(!pool.test(matcher, path), "\(path)") }
    }

    @Test(arguments: [
        ("foo/{*}", PathTemplate.Invalid.noSlashFirst), ("", .noSlashFirst), ("/*/baz/{*}", .operatorIsNoSegment),
        ("/**/baz/{*}", .operatorIsNoSegment), ("/{**}/foo/{*}", .operatorBehindRest), ("/{**}/{**}", .operatorBehindRest),
        ("/foo/{*}.txt", .operatorIsNoSegment), ("/foo/{a}", .operatorIsNoSegment), ("/foo/{*", .operatorIsNoSegment),
        ("/foo}", .operatorIsNoSegment),
    ])
    func isNoTemplate(template: String, why: PathTemplate.Invalid) {
        var builder = MatcherPoolBuilder()
        #expect(throws: why) { _ = try builder.addPathTemplate(template) }
    }

    /// Against the rule written down plainly: segments one by one.
    @Test func agreesWithAnObviousModel() throws {
        func model(_ template: [Substring], _ path: [Substring]) -> Bool {
            guard let first = template.first else { return path.isEmpty }
            if first == "{**}" {
                // `{**}` is any text, slashes included, so at least one place between slashes.
                return path.indices.contains { model(Array(template.dropFirst()), Array(path.dropFirst($0 + 1))) }
            }
            guard let own = path.first else { return false }
            return (first == "{*}" ? !own.isEmpty : first == own) && model(Array(template.dropFirst()), Array(path.dropFirst()))
        }
        var draw = RandomSource(seed: 7)
        let words = ["a", "b", "", "ab"]
        for _ in 0..<2_000 {
            var hasRest = false
            let parts = (0..<Int(1 + draw.below(4))).map { _ -> String in
                let number = draw.below(7)
                if number == 4, !hasRest { return "{*}" }
                if number == 5, !hasRest {
                    hasRest = true
                    return "{**}"
                }
                return words[Int(number % 4)]
            }
            let template = "/" + parts.joined(separator: "/")
            let path = "/" + (0..<Int(1 + draw.below(5))).map { _ in words[Int(draw.below(4))] }.joined(separator: "/")
            var builder = MatcherPoolBuilder()
            let matcher = try builder.addPathTemplate(template)
            let pool = Pool(builder)
            let expected = model(
                template.dropFirst().split(separator: "/", omittingEmptySubsequences: false),
                path.dropFirst().split(separator: "/", omittingEmptySubsequences: false))
            #expect(pool.test(matcher, path) == expected, "\(template) \(path)")
        }
    }
}
