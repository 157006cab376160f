import PromQL
import Testing

@Suite struct ParserTests {
    static func failure(_ text: String, _ limits: PromQLLimits = PromQLLimits()) -> String {
        do {
            return "no problem: " + Printer.text(of: try Parser.parse(text, limits: limits))
        } catch { return error.message }
    }

    /// Texts of Prometheus (promql/parser/parse_test.go), which users search for.
    @Test(arguments: [
        ("", "unknown position: parse error: no expression found in input"),
        ("# only a comment", "1:1: parse error: no expression found in input"),
        ("(1", "1:3: parse error: unclosed left parenthesis"),
        ("1)", "1:2: parse error: unexpected right parenthesis ')'"),
        ("a{b=\"c\"", "1:8: parse error: unexpected end of input inside braces"),
        ("a[5m", "1:5: parse error: unexpected end of input in duration expression"),
        ("foo(a)", "1:1: parse error: unknown function with name \"foo\""),
        ("sum()", "1:1: parse error: no arguments for aggregate expression provided"),
        ("sum(a, b)", "1:1: parse error: wrong number of arguments for aggregate expression provided, expected 1, got 2"),
        ("topk(a)", "1:1: parse error: wrong number of arguments for aggregate expression provided, expected 2, got 1"),
        ("rate(a)", "1:6: parse error: expected type range vector in call to function \"rate\", got instant vector"),
        ("abs(a[5m])", "1:5: parse error: expected type instant vector in call to function \"abs\", got range vector"),
        ("abs()", "1:1: parse error: expected 1 argument(s) in call to \"abs\", got 0"),
        ("round(a, 1, 2)", "1:1: parse error: expected at most 2 argument(s) in call to \"round\", got 3"),
        ("label_join(a)", "1:1: parse error: expected at least 3 argument(s) in call to \"label_join\", got 1"),
        ("abs(a,)", "1:6: parse error: trailing commas not allowed in function call args"),
        ("sum(1)", "1:5: parse error: expected type instant vector in aggregation expression, got scalar"),
        ("-\"a\"", "1:1: parse error: unary expression only allowed on expressions of type scalar or instant vector, got \"string\""),
        ("1 + \"a\"", "1:5: parse error: binary expression must contain only scalar and instant vector types"),
        ("1 == 1", "1:3: parse error: comparisons between scalars must use BOOL modifier"),
        ("a + bool b", "1:3: parse error: bool modifier can only be used on comparison operators"),
        ("a and 1", "1:1: parse error: set operator \"and\" not allowed in binary scalar expression"),
        ("1 + on(x) a", "1:1: parse error: vector matching only allowed between instant vectors"),
        ("a and on(x) group_left(y) b", "1:1: parse error: no grouping allowed for \"and\" operation"),
        ("a * on(x) group_left(x) b", "1:3: parse error: label \"x\" must not occur in ON and GROUP clause at once"),
        ("{}", "1:1: parse error: vector selector must contain at least one non-empty matcher"),
        ("{a=~\".*\"}", "1:1: parse error: vector selector must contain at least one non-empty matcher"),
        ("a{__name__=\"b\"}", "1:1: parse error: metric name must not be set twice: \"a\" or \"b\""),
        ("a{b}", "1:4: parse error: unexpected \"}\" in label matching, expected label matching operator"),
        ("a[5m][5m]", "1:6: parse error: ranges only allowed for vector selectors"),
        ("a offset 5m[5m]", "1:12: parse error: no offset modifiers allowed before range"),
        ("a offset 1m offset 2m", "1:1: parse error: offset may not be set multiple times"),
        (
            "1 offset 1m",
            "1:1: parse error: offset modifier must be preceded by an instant vector selector or range vector selector or a subquery"
        ),
        ("a[0s]", "1:3: parse error: duration must be greater than 0"),
        ("a @ b", "1:5: parse error: unexpected identifier \"b\" in @, expected timestamp"),
        ("a\n+\n%", "3:1: parse error: unexpected <op:%>"),
        ("\"a", "1:1: parse error: unterminated quoted string"),
        ("a !b", "1:3: parse error: unexpected character after '!': 'b'"),
        ("a = b", "1:3: parse error: unexpected \"=\""),
        ("1 2", "1:3: parse error: unexpected number \"2\""),
        ("sort_by_label(a, \"b\")", "1:1: parse error: function \"sort_by_label\" is not enabled"),
        ("a{b=~\"(\"}", "1:3: parse error: error parsing regexp: missing closing ): `^(?s:()$`"),
    ])
    func problemsAreWordedAsInPrometheus(text: String, message: String) {
        #expect(Self.failure(text) == message, "\(text)")
    }

    @Test(arguments: [
        "sum", "by", "by{bool=\"1\"}", "offset offset 5m", "sum by (by, on, sum, offset) (quantile)", "start + end", "nan == bool Inf",
        "a{nan=\"1\"}",
        "{\"a b\", \"c d\"=\"e\"}", "a and b or c unless d", "2 ^ 3 ^ 2", "a % on () b", "a[5m] @ start() offset 1m", "a @ end()",
        "(a)[5m:1m]",
        "min_over_time(rate(a[5m])[30m:] offset -1h)", "a{b='c', d=`e`}", "\t a \r\n", "a:b", "1h5m", "5m + 3",
    ])
    func wordsAreNamesWhereTheyCanBe(text: String) {
        #expect(!(Self.failure(text).contains("parse error")), "\(Self.failure(text))")
    }

    @Test func operatorsBindAsTheyShould() throws {
        let query = "-a ^ 2 ^ b * c + d > e and f or g"
        guard case .binary(let or) = try Parser.parse(query), case .binary(let and) = or.left, case .binary(let greater) = and.left,
            case .binary(let plus) = greater.left, case .binary(let times) = plus.left, case .unary(let minus) = times.left,
            case .binary(let power) = minus.operand, case .binary(let inner) = power.right
        else {
            Issue.record("another tree")
            return
        }
        #expect([or, and, greater, plus, times, power, inner].map(\.operation.rawValue) == ["or", "and", ">", "+", "*", "^", "^"])
        #expect(or.matching.cardinality == .manyToMany)
    }

    @Test func selectorsAlone() throws {
        #expect(try Parser.parseSelector("up{a=\"b\"}").count == 2)
        #expect(throws: PromQLError.self) { try Parser.parseSelector("up + 1") }
        #expect(throws: PromQLError.self) { try Parser.parseSelector("{}") }
    }

    @Test func sizesAreBounded() {
        let deep = "1:65: parse error: expression is nested too deeply, more than 64 levels"
        #expect(Self.failure(String(repeating: "(", count: 100_000) + "1" + String(repeating: ")", count: 100_000)) == deep)
        #expect(Self.failure(String(repeating: "-", count: 100_000) + "a") == deep)
        #expect(Self.failure("1" + String(repeating: " + 1", count: 100_000)).contains("nested too deeply"))
        #expect(Self.failure("1" + String(repeating: "^1", count: 100_000)).contains("nested too deeply"))
        #expect(Self.failure("a" + String(repeating: "[1m:1m]", count: 100_000)).contains("nested too deeply"))
        #expect(Self.failure(String(repeating: "sum(", count: 100_000)).contains("nested too deeply"))
        #expect(Self.failure("a{" + String(repeating: "b=\"c\",", count: 100_000) + "}").contains("more than 10000 matchers"))
        #expect(Self.failure("a{" + String(repeating: "b=\"c\",", count: 1_000_000) + "}").contains("longer than 1048576 bytes"))
        #expect(!Self.failure("1" + String(repeating: " + 1", count: 120)).contains("parse error"))
    }

    /// Nothing that looks like a query may end the process.
    @Test func anyTokensAreAnswered() {
        let seed = UInt64.random(in: 1...UInt64.max)
        var draw = Draw(seed: seed)
        let pieces = [
            "(", ")", "{", "}", "[", "]", ",", ":", "@", "=", "=~", "!=", "!~", "!", "+", "-", "*", "/", "%", "^", "==", ">", "<=", "and",
            "or",
            "unless", "atan2", "bool", "on", "ignoring", "group_left", "by", "without", "sum", "topk", "count_values", "rate", "abs",
            "time", "up",
            "a.b", "\"x\"", "'y", "`z`", "\"\\xff\"", "\"\\u12\"", "1", "5m", "1e400", "0x", "0xFFFFFFFFFFFFFFFFFF", "1_", "9999999999y",
            "NaN", "Inf",
            "offset", "start", "end", "()", "#", "\n", "é", "\u{0}", "1h1h", "1m1h", "-", " ", "smoothed", "step", "</", ">/",
        ]
        print("tokens from seed \(seed)")
        for _ in 0..<50_000 {
            let chosen = (0..<Int.random(in: 1...12, using: &draw)).map { _ in draw.one(of: pieces) }
            let text = chosen.joined(separator: draw.chance(0.5) ? " " : "")
            guard let expression = try? Parser.parse(text) else { continue }
            _ = PrettyPrinter.text(of: expression)
            _ = try? PromQLEngine().evaluate(expression, at: 0, over: MemorySource())
            _ = try? PromQLEngine().evaluate(expression, from: 0, through: 60_000, step: 30_000, over: MemorySource())
        }
    }
}
