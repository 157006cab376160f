import Matching
import Testing

@Suite struct NamedMatcherTests {
    enum Condition {
        case exact(String), prefix(String), regex(String), present
    }

    static func matcher(_ condition: Condition, isNegated: Bool, _ builder: inout MatcherPoolBuilder) -> NamedMatcher {
        let matcher =
            switch condition {
            case .exact(let text): builder.addExact(text)
            case .prefix(let text): builder.addPrefix(text)
            case .regex(let pattern): builder.addRegex(pattern).matcher
            case .present: StringMatcher.present
            }
        return builder.addNamed("a", matcher, isNegated: isNegated)
    }

    @Test(arguments: [
        (Condition.exact("jason"), [["a: jason"], ["A:  jason "]], [["a: Jason"], ["a: jasons"], ["b: jason"], ["a: j", "a: ason"], []]),
        (.prefix("b"), [["a: bc"], ["a: b"]], [["a: cb"], ["a:"], []]),
        (.regex("b+"), [["a: bbb"]], [["a: bbbc"], ["a:"], ["x: b"]]),
        (.present, [["a: b"], ["a:"]], [["b: a"], []]),
        // Of a repeated field each value is looked at alone.
        (.exact("b"), [["a: b", "x: y", "A: c"], ["a: c", "a: b"]], [["a: b,c"], ["a: c", "a: d"]]),
    ] as [(Condition, [[String]], [[String]])])
    func header(condition: Condition, yes: [[String]], no: [[String]]) {
        var builder = MatcherPoolBuilder()
        let matcher = Self.matcher(condition, isNegated: false, &builder)
        let pool = Pool(builder)
        for fields in yes { #expect(pool.test(header: matcher, fields) == true, "\(fields)") }
        for fields in no { #expect(pool.test(header: matcher, fields) == false, "\(fields)") }
    }

    @Test(arguments: [
        (Condition.exact("b"), [["a: c"], ["a: c", "a: d"], ["x: b"], []], [["a: b"], ["a: c", "a: b"]]),
        // A field that is not there is read as an empty one.
        (.regex(".*"), [], [["a: b"], ["x: y"], []]),
        (.present, [["b: c"], []], [["a: b"], ["a:"]]),
    ] as [(Condition, [[String]], [[String]])])
    func withoutHeader(condition: Condition, yes: [[String]], no: [[String]]) {
        var builder = MatcherPoolBuilder()
        let matcher = Self.matcher(condition, isNegated: true, &builder)
        let pool = Pool(builder)
        for fields in yes { #expect(pool.test(header: matcher, fields) == true, "\(fields)") }
        for fields in no { #expect(pool.test(header: matcher, fields) == false, "\(fields)") }
    }

    @Test(arguments: [
        (Condition.exact("1"), ["?a=1", "?b=2&a=1", "?a=1&a=2"], ["", "?", "?a=2", "?a=2&a=1", "?A=1", "?aa=1", "?a", "?a="]),
        (.regex("[0-9]+"), ["?a=12"], ["?a=1x", "?a=", "?a"]),
        (.exact(""), ["?a", "?a=", "?b&a&c", "?a&a=1"], ["", "?b", "?a=1"]),
        (.exact("b=c"), ["?a=b=c"], ["?a=b"]),
        (.present, ["?a", "?a=1", "?&a"], ["?b", "?ab=1", ""]),
    ] as [(Condition, [String], [String])])
    func parameter(condition: Condition, yes: [String], no: [String]) {
        var builder = MatcherPoolBuilder()
        let matcher = Self.matcher(condition, isNegated: false, &builder)
        let pool = Pool(builder)
        for query in yes { #expect(pool.test(parameter: matcher, query: query), "\(query)") }
        for query in no { #expect(!pool.test(parameter: matcher, query: query), "\(query)") }
    }
}
