internal import Primitives
internal import TelemetryModel
public import Matching

/// Makes a tree of a query's text, by recursive descent with precedences; the grammar and its complaints are those of
/// promql/parser/generated_parser.y. The first problem ends it. Pure; costs the text's length.
public struct Parser {
    private let text: String
    private let limits: PromQLLimits
    private let tokens: [Token]
    private var next = 0
    /// Levels open at the moment.
    private var nesting = 0

    private init(_ text: String, _ limits: PromQLLimits) {
        self.text = text
        self.limits = limits
        tokens = Lexer.tokens(of: text)
    }

    /// A whole query, types checked.
    public static func parse(_ text: String, limits: PromQLLimits = PromQLLimits()) throws(PromQLError) -> Expression {
        try checkLength(text, limits)
        var parser = Parser(text, limits)
        do throws(ParseProblem) {
            let expression = try parser.whole()
            try TypeChecker(query: text).check(expression)
            return expression
        } catch { throw .parse(error) }
    }

    /// One selector's matchers, as `match[]` has them.
    public static func parseSelector(_ text: String, limits: PromQLLimits = PromQLLimits()) throws(PromQLError) -> [LabelMatcher] {
        try checkLength(text, limits)
        var parser = Parser(text, limits)
        do throws(ParseProblem) {
            guard parser.token.isMetricName || parser.token.kind == .leftBrace else { throw parser.unexpected() }
            let selector = try parser.selector()
            try parser.expectEnd()
            try TypeChecker(query: text).check(.selector(selector))
            return selector.matchers
        } catch { throw .parse(error) }
    }

    private static func checkLength(_ text: String, _ limits: PromQLLimits) throws(PromQLError) {
        if text.utf8.count <= limits.textBytesMax { return }
        throw .parse(ParseProblem(SourceRange(0, 0), "query is longer than \(limits.textBytesMax) bytes", in: text))
    }

    // Tokens.

    private var token: Token { tokens[next] }
    private var following: Token { tokens[min(next + 1, tokens.count - 1)] }
    /// Behind the token before.
    private var lastEnd: Int { next > 0 ? tokens[next - 1].range.end : 0 }

    private mutating func advance() { if next + 1 < tokens.count { next += 1 } }

    private mutating func take(_ kind: Token.Kind) -> Bool {
        guard token.kind == kind else { return false }
        advance()
        return true
    }

    private func problem(_ range: SourceRange, _ reason: String) -> ParseProblem { ParseProblem(range, reason, in: text) }

    /// The token at hand, which nobody wants here.
    private func unexpected(in context: String = "", expected: String = "") -> ParseProblem {
        if token.kind == .problem { return problem(token.range, token.text) }
        let place = context.isEmpty ? "" : " in \(context)"
        let wish = expected.isEmpty ? "" : ", expected \(expected)"
        return problem(token.range, "unexpected \(token.described)\(place)\(wish)")
    }

    // Expressions.

    /// An expression, and the levels of its tree.
    private struct Parsed {
        var expression: Expression
        var depth: Int
    }

    private mutating func whole() throws(ParseProblem) -> Expression {
        if token.kind == .end { throw problem(SourceRange(0, 0), "no expression found in input") }
        let parsed = try expression(above: 0)
        try expectEnd()
        return parsed.expression
    }

    private func expectEnd() throws(ParseProblem) { if token.kind != .end { throw unexpected() } }

    private func node(_ expression: Expression, over depth: Int) throws(ParseProblem) -> Parsed {
        guard depth < limits.depthMax else { throw tooDeep(expression.range, limits.depthMax) }
        return Parsed(expression: expression, depth: depth + 1)
    }

    private func tooDeep(_ range: SourceRange, _ levels: Int) -> ParseProblem {
        problem(range, "expression is nested too deeply, more than \(levels) levels")
    }

    /// Operators that bind tighter than the given precedence.
    private mutating func expression(above precedence: Int) throws(ParseProblem) -> Parsed {
        nesting += 1
        defer { nesting -= 1 }
        guard nesting <= limits.nestingMax else { throw tooDeep(token.range, limits.nestingMax) }
        var left = try prefixed()
        while case .operation(let operation) = token.kind, operation.precedence > precedence {
            advance()
            var binary = Binary(operation: operation, left: left.expression, right: left.expression)
            try modifiers(of: &binary)
            let right = try expression(above: operation.isRightAssociative ? operation.precedence - 1 : operation.precedence)
            binary.right = right.expression
            left = try node(.binary(binary), over: max(left.depth, right.depth))
        }
        return left
    }

    private mutating func prefixed() throws(ParseProblem) -> Parsed {
        let start = token.range.start
        guard token.kind == .operation(.add) || token.kind == .operation(.subtract) else { return try postfixed() }
        let isNegative = token.kind == .operation(.subtract)
        advance()
        // As tight as `*`, so that a power goes first.
        let operand = try expression(above: BinaryOperation.multiply.precedence)
        if case .number(var literal) = operand.expression {
            if isNegative { literal.value.negate() }
            literal.range.start = start
            return Parsed(expression: .number(literal), depth: operand.depth)
        }
        return try node(.unary(Unary(isNegative: isNegative, operand: operand.expression, start: start)), over: operand.depth)
    }

    private mutating func postfixed() throws(ParseProblem) -> Parsed {
        var parsed = try primary()
        while true {
            switch token.kind {
            case .leftBracket: parsed = try bracketed(parsed)
            case .keyword(.offset): try offset(&parsed.expression)
            case .at: try at(&parsed.expression)
            case .keyword(let keyword) where keyword == .anchored || keyword == .smoothed:
                throw problem(parsed.expression.range, "\(keyword.rawValue) modifier is experimental and not enabled")
            default: return parsed
            }
        }
    }

    private mutating func primary() throws(ParseProblem) -> Parsed {
        switch token.kind {
        case .number, .duration: return try node(.number(literal()), over: 0)
        case .string: return try node(.string(StringLiteral(value: unquoted(), range: tokens[next - 1].range)), over: 0)
        case .leftParenthesis: return try parenthesized()
        case .aggregation where isAggregation: return try aggregation()
        case .identifier where following.kind == .leftParenthesis, .preprocessor where following.kind == .leftParenthesis:
            return try call()
        default:
            guard token.isMetricName || token.kind == .leftBrace else { throw unexpected() }
            return try node(.selector(selector()), over: 0)
        }
    }

    private mutating func parenthesized() throws(ParseProblem) -> Parsed {
        let start = token.range.start
        advance()
        let inner = try expression(above: 0)
        guard take(.rightParenthesis) else { throw unexpected() }
        return try node(.parenthesized(Parenthesized(inner: inner.expression, range: SourceRange(start, lastEnd))), over: inner.depth)
    }

    private mutating func unquoted() throws(ParseProblem) -> String {
        guard let value = GoText.unquoted(token.text) else {
            throw problem(token.range, "error unquoting string \(GoText.quoted(token.text)): invalid syntax")
        }
        advance()
        return value
    }

    private mutating func literal() throws(ParseProblem) -> NumberLiteral {
        let token = token
        advance()
        if token.kind == .duration {
            do {
                return NumberLiteral(value: Double(try PromDuration.parse(token.text)) / 1000, isDuration: true, range: token.range)
            } catch { throw problem(token.range, PromDuration.reason(error, token.text)) }
        }
        guard let value = GoNumber.parse(token.text) else {
            let reason = "error parsing number: strconv.ParseFloat: parsing \(GoText.quoted(token.text)): invalid syntax"
            throw problem(token.range, reason)
        }
        return NumberLiteral(value: value, isDuration: false, range: token.range)
    }

    // Calls and aggregations.

    private mutating func call() throws(ParseProblem) -> Parsed {
        let name = token
        advance()
        let (arguments, depth) = try self.arguments()
        guard let function = FunctionSignature.named(name.text) else {
            throw problem(name.range, "unknown function with name \(GoText.quoted(name.text))")
        }
        if function.isExperimental { throw problem(name.range, "function \(GoText.quoted(name.text)) is not enabled") }
        let range = SourceRange(name.range.start, lastEnd)
        return try node(.call(Call(function: function, arguments: arguments, range: range)), over: depth)
    }

    private mutating func arguments() throws(ParseProblem) -> (list: [Expression], depth: Int) {
        advance()
        var list: [Expression] = []
        var depth = 0
        while !take(.rightParenthesis) {
            let argument = try expression(above: 0)
            list.append(argument.expression)
            depth = max(depth, argument.depth)
            if take(.rightParenthesis) { break }
            let comma = token
            guard take(.comma) else { throw unexpected() }
            if token.kind == .rightParenthesis { throw problem(comma.range, "trailing commas not allowed in function call args") }
        }
        return (list, depth)
    }

    /// Else its name is a metric's.
    private var isAggregation: Bool {
        [.leftParenthesis, .keyword(.by), .keyword(.without)].contains(following.kind)
    }

    private mutating func aggregation() throws(ParseProblem) -> Parsed {
        guard case .aggregation(let operation) = token.kind else { throw unexpected() }
        let start = token.range.start
        advance()
        var grouping = try aggregationModifier()
        guard token.kind == .leftParenthesis else { throw unexpected(in: "aggregation") }
        let (arguments, depth) = try self.arguments()
        if grouping == nil { grouping = try aggregationModifier() }
        let range = SourceRange(start, lastEnd)
        let inner = try operand(of: operation, arguments, range)
        let node = Aggregation(
            operation: operation, inner: inner, parameter: operation.hasParameter ? arguments.first : nil, labels: grouping?.labels ?? [],
            isWithout: grouping?.isWithout ?? false, range: range)
        return try self.node(.aggregation(node), over: depth)
    }

    private func operand(
        of operation: AggregationOperation, _ arguments: [Expression], _ range: SourceRange
    ) throws(ParseProblem) -> Expression {
        guard let last = arguments.last else { throw problem(range, "no arguments for aggregate expression provided") }
        if operation.isExperimental {
            let advice = "must be enabled with --enable-feature=promql-experimental-functions"
            throw problem(range, "\(operation.rawValue)() is experimental and \(advice)")
        }
        let wanted = operation.hasParameter ? 2 : 1
        guard arguments.count == wanted else {
            let counts = "expected \(wanted), got \(arguments.count)"
            throw problem(range, "wrong number of arguments for aggregate expression provided, \(counts)")
        }
        return last
    }

    private mutating func aggregationModifier() throws(ParseProblem) -> (labels: [String], isWithout: Bool)? {
        guard token.kind == .keyword(.by) || token.kind == .keyword(.without) else { return nil }
        let isWithout = token.kind == .keyword(.without)
        advance()
        return (try labelList(), isWithout)
    }

    private mutating func labelList() throws(ParseProblem) -> [String] {
        guard take(.leftParenthesis) else { throw unexpected(in: "grouping opts", expected: "\"(\"") }
        var labels: [String] = []
        while !take(.rightParenthesis) {
            labels.append(try labelName())
            if take(.rightParenthesis) { break }
            guard take(.comma) else { throw unexpected(in: "grouping opts", expected: "\",\" or \")\"") }
        }
        return labels
    }

    private mutating func labelName() throws(ParseProblem) -> String {
        if token.kind == .string {
            let range = token.range
            let name = try unquoted()
            if name.isEmpty { throw problem(range, "invalid label name for grouping: \"\"") }
            return name
        }
        guard token.isLabelName, GoText.isPlainLabelName(token.text) else { throw unexpected(in: "grouping opts", expected: "label") }
        defer { advance() }
        return token.text
    }

    // Between two operands.

    private mutating func modifiers(of binary: inout Binary) throws(ParseProblem) {
        if take(.keyword(.bool)) { binary.returnsBool = true }
        if binary.operation.isSetOperation { binary.matching.cardinality = .manyToMany }
        guard token.kind == .keyword(.on) || token.kind == .keyword(.ignoring) else { return }
        binary.matching.isOn = token.kind == .keyword(.on)
        advance()
        binary.matching.labels = try labelList()
        guard token.kind == .keyword(.groupLeft) || token.kind == .keyword(.groupRight) else { return }
        binary.matching.cardinality = token.kind == .keyword(.groupLeft) ? .manyToOne : .oneToMany
        advance()
        if token.kind == .leftParenthesis { binary.matching.include = try labelList() }
    }

    // Selectors.

    private mutating func selector() throws(ParseProblem) -> VectorSelector {
        let start = token.range.start
        var selector = VectorSelector(matchers: [], range: SourceRange(start, start))
        if token.isMetricName {
            selector.name = token.text
            advance()
        }
        if token.kind == .leftBrace { selector.matchers = try matchers() }
        if let name = selector.name { selector.matchers.append(try matcher(LabelSet.metricName, .equal, name, token.range)) }
        selector.range.end = lastEnd
        return selector
    }

    private mutating func matchers() throws(ParseProblem) -> [LabelMatcher] {
        let start = token.range.start
        advance()
        var matchers: [LabelMatcher] = []
        while !take(.rightBrace) {
            guard matchers.count < limits.matchersMax else {
                throw problem(SourceRange(start, token.range.end), "vector selector has more than \(limits.matchersMax) matchers")
            }
            matchers.append(try labelMatcher())
            if take(.rightBrace) { break }
            guard take(.comma) else { throw unexpected(in: "label matching", expected: "\",\" or \"}\"") }
        }
        return matchers
    }

    private mutating func labelMatcher() throws(ParseProblem) -> LabelMatcher {
        let first = token
        let isQuoted = first.kind == .string
        guard isQuoted || first.kind == .identifier else { throw unexpected(in: "label matching", expected: "identifier or \"}\"") }
        var name = first.text
        if isQuoted { name = try unquoted() } else { advance() }
        guard let operation = token.matchOperation else {
            guard isQuoted, token.kind == .comma || token.kind == .rightBrace else {
                if isQuoted { throw unexpected(in: "label matching", expected: "\",\" or \"}\"") }
                throw unexpected(in: "label matching", expected: "label matching operator")
            }
            return try matcher(LabelSet.metricName, .equal, name, first.range)
        }
        advance()
        guard token.kind == .string else { throw unexpected(in: "label matching", expected: "string") }
        let range = SourceRange(first.range.start, token.range.end)
        return try matcher(name, operation, unquoted(), range)
    }

    private func matcher(
        _ name: String, _ operation: LabelMatcher.Operation, _ value: String, _ range: SourceRange
    ) throws(ParseProblem) -> LabelMatcher {
        do { return try LabelMatcher(name, operation, value) } catch { throw problem(range, error.reason) }
    }

    // Behind a selector or a subquery.

    private mutating func bracketed(_ parsed: Parsed) throws(ParseProblem) -> Parsed {
        let start = token.range.start
        advance()
        let length = try duration(in: "subquery or range selector", isPositive: true)
        if take(.colon) { return try subquery(over: parsed, length) }
        guard take(.rightBracket) else { throw unexpected(in: "subquery or range", expected: "\":\" or \"]\"") }
        let range = SourceRange(start, lastEnd)
        guard case .selector(let selector) = parsed.expression else { throw problem(range, "ranges only allowed for vector selectors") }
        if selector.modifiers.offset != 0 { throw problem(range, "no offset modifiers allowed before range") }
        if selector.modifiers.at != nil { throw problem(range, "no @ modifiers allowed before range") }
        return Parsed(expression: .range(RangeSelector(selector: selector, length: length, end: lastEnd)), depth: parsed.depth)
    }

    private mutating func subquery(over inner: Parsed, _ length: Int64) throws(ParseProblem) -> Parsed {
        var step: Int64?
        if token.kind != .rightBracket {
            step = try duration(in: "subquery selector", expected: "number, duration, step(), range(), or \"]\"", isPositive: true)
        }
        guard take(.rightBracket) else { throw unexpected(in: "subquery selector", expected: "\"]\"") }
        return try node(.subquery(Subquery(inner: inner.expression, length: length, step: step, end: lastEnd)), over: inner.depth)
    }

    /// Milliseconds of a number or duration, with a sign where one may be.
    private mutating func duration(
        in context: String, expected: String = "number, duration, step(), or range()", isPositive: Bool
    ) throws(ParseProblem) -> Int64 {
        let start = token.range.start
        let isNegative = token.kind == .operation(.subtract)
        if isNegative || token.kind == .operation(.add) { advance() }
        guard token.kind == .number || token.kind == .duration else {
            if token.kind == .leftParenthesis { throw problem(token.range, "experimental duration expression is not enabled") }
            throw unexpected(in: context, expected: expected)
        }
        let literal = try literal()
        let range = SourceRange(start, lastEnd)
        if isPositive, case .operation = token.kind { throw problem(range, "experimental duration expression is not enabled") }
        let milliseconds = ((isNegative ? -literal.value : literal.value) * 1000).rounded()
        if isPositive, !(milliseconds > 0) { throw problem(range, "duration must be greater than 0") }
        guard milliseconds.magnitude <= Double(PromDuration.millisecondsMax) else { throw problem(range, "duration out of range") }
        return Int64(milliseconds)
    }

    private static let selectors = "an instant vector selector or range vector selector or a subquery"

    private mutating func offset(_ expression: inout Expression) throws(ParseProblem) {
        advance()
        let offset = try duration(in: "offset", isPositive: false)
        guard var modifiers = expression.timeModifiers else {
            throw problem(expression.range, "offset modifier must be preceded by \(Self.selectors)")
        }
        guard modifiers.offset == 0 else { throw problem(expression.range, "offset may not be set multiple times") }
        modifiers.offset = offset
        expression.setTime(modifiers, end: lastEnd)
    }

    private mutating func at(_ expression: inout Expression) throws(ParseProblem) {
        advance()
        let moment = try moment(for: expression)
        guard var modifiers = expression.timeModifiers else {
            throw problem(expression.range, "@ modifier must be preceded by \(Self.selectors)")
        }
        guard modifiers.at == nil else { throw problem(expression.range, "@ <timestamp> may not be set multiple times") }
        modifiers.at = moment
        expression.setTime(modifiers, end: lastEnd)
    }

    private mutating func moment(for expression: Expression) throws(ParseProblem) -> TimeModifiers.Moment {
        if token.kind == .preprocessor, following.kind == .leftParenthesis {
            let name = token.text.lowercased()
            guard name == "start" || name == "end" else { throw unexpected(in: "@", expected: "timestamp") }
            advance()
            advance()
            guard take(.rightParenthesis) else { throw unexpected(in: "@", expected: "timestamp") }
            return name == "start" ? .start : .end
        }
        let isNegative = token.kind == .operation(.subtract)
        if isNegative || token.kind == .operation(.add) { advance() }
        guard token.kind == .number || token.kind == .duration else { throw unexpected(in: "@", expected: "timestamp") }
        let value = try literal().value
        let seconds = isNegative ? -value : value
        // Clamped where no time of ours is, so that sums with durations stay in 64 bits.
        guard seconds.magnitude < 0x1p63 else {
            throw problem(expression.range, "timestamp out of bounds for @ modifier: \(Self.fixed(seconds))")
        }
        return .milliseconds(Steps.clamped((seconds * 1000).rounded()))
    }

    /// As `%f` prints what is no time.
    private static func fixed(_ value: Double) -> String { value.isFinite ? GoFloat.plain(value) + ".000000" : GoFloat.plain(value) }
}
