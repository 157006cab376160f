internal import Matching

/// One word of a query.
struct Token: Hashable {
    enum Kind: Hashable {
        case end
        /// What cannot be a word; `text` says why.
        case problem
        case identifier
        /// With a colon in it.
        case metricName
        case number, duration, string
        case leftParenthesis, rightParenthesis, leftBrace, rightBrace, leftBracket, rightBracket
        case comma, colon
        /// `=`, `=~` and `!~`; `!=` is an operation.
        case equal, matches, matchesNot
        case at
        case operation(BinaryOperation)
        case aggregation(AggregationOperation)
        case keyword(Keyword)
        /// `start`, `end`, `step`, `range`.
        case preprocessor
    }

    enum Keyword: String, CaseIterable, Hashable {
        case offset, by, without, on, ignoring, bool, smoothed, anchored
        case groupLeft = "group_left"
        case groupRight = "group_right"
    }

    var kind: Kind
    var range: SourceRange
    /// As it was written.
    var text: String

    /// The word of this spelling, in any case: keywords, operators, aggregations, Inf and NaN. Nil for an identifier.
    static func reserved(_ text: String) -> Kind? {
        let lower = text.lowercased()
        if lower == "inf" || lower == "nan" { return .number }
        if ["start", "end", "step", "range"].contains(lower) { return .preprocessor }
        if let operation = BinaryOperation(rawValue: lower) { return .operation(operation) }
        if let aggregation = AggregationOperation(rawValue: lower) { return .aggregation(aggregation) }
        return Keyword(rawValue: lower).map { .keyword($0) }
    }

    /// As Prometheus names it where it is not expected (promql/parser/lex.go, `desc`).
    var described: String {
        switch kind {
        case .end: "end of input"
        case .problem: "error"
        case .identifier: "identifier \(GoText.quoted(text))"
        case .metricName: "metric identifier \(GoText.quoted(text))"
        case .number: "number \(shortened)"
        case .duration: "duration \(shortened)"
        case .string: "string \(shortened)"
        case .keyword: "<\(text)>"
        case .operation, .matches, .matchesNot, .at: "<op:\(text)>"
        case .aggregation: "<aggr:\(text)>"
        default: shortened
        }
    }

    private var shortened: String {
        text.utf8.count > 10 ? GoText.quoted(String(text.unicodeScalars.prefix(10).map(Character.init))) + "..." : GoText.quoted(text)
    }

    /// Whether it can name a label where one is expected: keywords are names there.
    var isLabelName: Bool {
        switch kind {
        case .identifier, .metricName, .keyword, .aggregation, .preprocessor: true
        case .operation(let operation): operation.isWord
        default: false
        }
    }

    /// Between a label's name and its value.
    var matchOperation: LabelMatcher.Operation? {
        switch kind {
        case .equal: .equal
        case .matches: .matches
        case .matchesNot: .matchesNot
        case .operation(.notEqual): .notEqual
        default: nil
        }
    }

    /// Whether it can name a metric: some keywords cannot.
    var isMetricName: Bool {
        switch kind {
        case .identifier, .metricName, .aggregation, .preprocessor: true
        case .keyword(let keyword): [.offset, .by, .without, .smoothed, .anchored].contains(keyword)
        case .operation(let operation): operation.isWord && operation != .atan2
        default: false
        }
    }
}
