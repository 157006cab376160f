internal import Matching
internal import TelemetryModel

/// Parses the part of TraceQL that finds traces: selectors `{…}` with comparisons, `&&`, `||` and parentheses, and selectors joined by
/// `&&` and `||`. As in Tempo, `&&` and `||` bind alike, from left to right. What else TraceQL has is named in the error.
///
/// Depth and size are bounded; nothing traps. Cost is linear in the text.
struct TraceQLParser {
    static let bytesMax = 16 << 10
    static let comparisonsMax = 64
    static let depthMax = 32

    private var lexer: TraceQLLexer
    private var token: TraceQLToken
    private var comparisons = 0

    static func parse(_ text: String) throws(TraceQLError) -> SpansetCondition {
        guard text.utf8.count <= bytesMax else { throw TraceQLError(place: 1, text: "a query has at most \(bytesMax) bytes") }
        var lexer = TraceQLLexer(text)
        let first = try lexer.nextToken()
        var parser = TraceQLParser(lexer: lexer, token: first)
        let condition = try parser.spansetExpression(depth: 0)
        guard parser.token.kind == .end else { throw parser.unsupportedBehindSpanset() }
        return condition
    }

    private mutating func advance() throws(TraceQLError) { token = try lexer.nextToken() }

    private func syntaxError(_ text: String) -> TraceQLError { TraceQLError(place: token.place, text: text) }

    private func expected(_ what: String) -> TraceQLError { syntaxError("expected \(what), found \(token.source)") }

    private func checkDepth(_ depth: Int) throws(TraceQLError) {
        if depth > Self.depthMax { throw syntaxError("parentheses are at most \(Self.depthMax) deep") }
    }

    // MARK: Spansets

    private mutating func spansetExpression(depth: Int) throws(TraceQLError) -> SpansetCondition {
        var condition = try spanset(depth: depth)
        while token.kind == .and || token.kind == .or {
            let isAnd = token.kind == .and
            try advance()
            let right = try spanset(depth: depth)
            switch (isAnd, condition) {
            case (true, .all(let parts)): condition = .all(parts + [right])
            case (false, .any(let parts)): condition = .any(parts + [right])
            default: condition = isAnd ? .all([condition, right]) : .any([condition, right])
            }
        }
        return condition
    }

    private mutating func spanset(depth: Int) throws(TraceQLError) -> SpansetCondition {
        try checkDepth(depth)
        switch token.kind {
        case .openParenthesis:
            try advance()
            let inner = try spansetExpression(depth: depth + 1)
            guard token.kind == .closeParenthesis else { throw token.kind == .end ? expected("\")\"") : unsupportedBehindSpanset() }
            try advance()
            return inner
        case .openBrace:
            try advance()
            var condition = SpanCondition.constant(true)
            if token.kind != .closeBrace { condition = try fieldExpression(depth: depth + 1) }
            guard token.kind == .closeBrace else { throw expected("\"}\", \"&&\" or \"||\"") }
            try advance()
            return .span(condition)
        default: throw expected("a selector such as { status = error }")
        }
    }

    private func unsupportedBehindSpanset() -> TraceQLError {
        let supported = "selectors {…} are joined by && and ||"
        switch token.kind {
        case .symbol("|"): return syntaxError("pipelines (|) are not supported; \(supported)")
        case .comparison, .symbol: return syntaxError("the structural operator \(token.source) is not supported; \(supported)")
        case .word("with"): return syntaxError("hints (with) are not supported; \(supported)")
        default: return expected("\"&&\", \"||\" or the end of the query")
        }
    }

    // MARK: Fields

    private mutating func fieldExpression(depth: Int) throws(TraceQLError) -> SpanCondition {
        var condition = try fieldOperand(depth: depth)
        while token.kind == .and || token.kind == .or {
            let isAnd = token.kind == .and
            try advance()
            let right = try fieldOperand(depth: depth)
            switch (isAnd, condition) {
            case (true, .all(let parts)): condition = .all(parts + [right])
            case (false, .any(let parts)): condition = .any(parts + [right])
            default: condition = isAnd ? .all([condition, right]) : .any([condition, right])
            }
        }
        return condition
    }

    private mutating func fieldOperand(depth: Int) throws(TraceQLError) -> SpanCondition {
        try checkDepth(depth)
        switch token.kind {
        case .openParenthesis:
            try advance()
            let inner = try fieldExpression(depth: depth + 1)
            guard token.kind == .closeParenthesis else { throw expected("\")\", \"&&\" or \"||\"") }
            try advance()
            // Kept apart from its neighbours, which bind from left to right.
            return .all([inner])
        case .word("true"), .word("false"):
            let value = token.kind == .word("true")
            try advance()
            return .constant(value)
        case .word(let name): return try comparisonOperand(name)
        case .symbol("!"), .symbol("-"):
            throw syntaxError("\(token.source) is not supported before a field; compare it with a value instead")
        default: throw expected("a field such as resource.service.name, span.http.method, name, duration, status or kind")
        }
    }

    private mutating func comparisonOperand(_ name: String) throws(TraceQLError) -> SpanCondition {
        guard let field = TraceQLField.parse(name) else {
            throw syntaxError(
                "\(token.source) is not supported; there is resource.x, span.x, .x, \(TraceQLField.intrinsics.joined(separator: ", "))")
        }
        comparisons += 1
        if comparisons > Self.comparisonsMax { throw syntaxError("a query has at most \(Self.comparisonsMax) comparisons") }
        try advance()
        guard case .comparison(let comparison) = token.kind else {
            throw expected("one of \(SpanComparison.allCases.map(\.rawValue).joined(separator: " "))")
        }
        try advance()
        let condition = try valueCondition(field, comparison, name)
        try advance()
        return condition
    }

    /// The token is the value.
    private func valueCondition(
        _ field: SpanField, _ comparison: SpanComparison, _ name: String
    ) throws(TraceQLError) -> SpanCondition {
        if token.kind == .word("nil") {
            guard comparison == .equal || comparison == .notEqual else { throw syntaxError("nil is compared with = and != alone") }
            return .exists(field, comparison == .notEqual)
        }
        if comparison == .matches || comparison == .matchesNot { return try patternCondition(field, comparison, name) }
        switch field {
        case .isRoot: return try rootCondition(comparison)
        case .status:
            guard case .word(let word) = token.kind, let status = SpanStatus(rawValue: word) else { throw expected("ok, error or unset") }
            return .compare(field, try equalityOnly(comparison, name), .status(status))
        case .kind:
            guard case .word(let word) = token.kind, let kind = Self.kindNamed(word) else {
                throw expected("server, client, producer, consumer, internal or unspecified")
            }
            return .compare(field, try equalityOnly(comparison, name), .kind(kind))
        case .duration, .traceDuration:
            guard case .duration(let nanoseconds) = token.kind else { throw expected("a duration such as 100ms or 1.5s") }
            return .compare(field, comparison, .duration(nanoseconds: nanoseconds))
        case .name, .service, .statusMessage, .rootName, .rootService:
            guard case .text(let text) = token.kind else { throw expected("a string in quotes") }
            return .compare(field, comparison, .text(text))
        case .tag:
            switch token.kind {
            case .text(let text): return .compare(field, comparison, .text(text))
            case .number(let number): return .compare(field, comparison, .number(number))
            case .duration(let nanoseconds): return .compare(field, comparison, .duration(nanoseconds: nanoseconds))
            case .word("true"): return .compare(field, try equalityOnly(comparison, name), .boolean(true))
            case .word("false"): return .compare(field, try equalityOnly(comparison, name), .boolean(false))
            // A word of the status or the kind stands for its text.
            case .word(let word) where SpanStatus(rawValue: word) != nil || Self.kindNamed(word) != nil:
                return .compare(field, try equalityOnly(comparison, name), .text(word))
            default: throw expected("a string in quotes, a number, a duration, true, false or nil")
            }
        }
    }

    private func patternCondition(_ field: SpanField, _ comparison: SpanComparison, _ name: String) throws(TraceQLError) -> SpanCondition {
        switch field {
        case .status, .kind, .duration, .traceDuration, .isRoot: throw syntaxError("\(name) is not matched with expressions; compare it")
        default: break
        }
        guard case .text(let pattern) = token.kind else { throw expected("a regular expression in quotes") }
        do throws(TextPattern.Problem) {
            return .match(field, try TextPattern(field.isLowercased ? "(?i:\(pattern))" : pattern), isWanted: comparison == .matches)
        } catch {
            throw syntaxError("the regular expression is none: \(error)")
        }
    }

    /// Root spans have a negative `nestedSetParent`; nothing else of it is known.
    private func rootCondition(_ comparison: SpanComparison) throws(TraceQLError) -> SpanCondition {
        switch (comparison, token.kind) {
        case (.less, .number(0)), (.equal, .number(-1)): return .compare(.isRoot, .equal, .boolean(true))
        case (.greaterOrEqual, .number(0)), (.greater, .number(0)), (.notEqual, .number(-1)):
            return .compare(.isRoot, .equal, .boolean(false))
        default: throw syntaxError("nestedSetParent is supported as nestedSetParent < 0 (root spans) and nestedSetParent >= 0 alone")
        }
    }

    private func equalityOnly(_ comparison: SpanComparison, _ name: String) throws(TraceQLError) -> SpanComparison {
        guard comparison == .equal || comparison == .notEqual else {
            throw syntaxError("\(ZipkinParameters.quoted(name)) is compared with such a value by = and != alone")
        }
        return comparison
    }

    private static func kindNamed(_ word: String) -> SpanKind? {
        switch word {
        case "server": .server
        case "client": .client
        case "producer": .producer
        case "consumer": .consumer
        case "internal", "unspecified": .unspecified
        default: nil
        }
    }
}
