internal import TelemetryModel

/// Query parameters of Tempo's API from text (grafana.com/docs/tempo, "Tempo HTTP API"; Tempo's `pkg/api`). Pure.
struct TempoParameters {
    /// Traces of one answer: a greater `limit` is read as this, and the answer says so.
    static let tracesMax = 1_500
    private static let limitDefault: UInt64 = 20
    private static let spansDefault: UInt64 = 3
    /// Tags of a `tags` parameter.
    private static let tagsMax = 64

    let values: [(name: String, value: String)]
    let nowMilliseconds: UInt64
    /// Milliseconds, where no `start` and `end` are given.
    let lookbackDefault: UInt64

    func text(_ name: String) -> String? { values.first { $0.name == name && !$0.value.isEmpty }?.value }

    private func whole(_ name: String) throws(ParameterError) -> UInt64? {
        guard let text = text(name) else { return nil }
        guard let number = UInt32(text) else {
            throw ParameterError(text: "invalid \(name): expected a whole number, not \(ZipkinParameters.quoted(text))")
        }
        return UInt64(number)
    }

    /// Seconds since 1970, both or the last hours.
    func timeRange() throws(ParameterError) -> TraceQuery {
        let start = try whole("start") ?? 0
        let end = try whole("end") ?? 0
        var query = TraceQuery(endTimestamp: nowMilliseconds)
        query.lookback = lookbackDefault
        if start == 0, end == 0 { return query }
        if end > 0 {
            guard end > start else {
                throw ParameterError(text: "http parameter start must be before end. received start=\(start) end=\(end)")
            }
            // All of the last second.
            query.endTimestamp = end * 1000 + 999
        }
        query.lookback = query.endTimestamp > start * 1000 ? query.endTimestamp - start * 1000 : 1
        return query
    }

    func limit() throws(ParameterError) -> (count: Int, cut: String?) {
        let asked = try whole("limit") ?? Self.limitDefault
        guard asked > 0 else { throw ParameterError(text: "invalid limit: must be a positive number") }
        let most = UInt64(Self.tracesMax)
        return (Int(min(asked, most)), asked > most ? "limit=\(asked) is more than the \(most) traces of one answer" : nil)
    }

    /// Spans shown of each trace.
    func spansPerSpanset() throws(ParameterError) -> Int {
        let asked = try whole("spss") ?? Self.spansDefault
        return asked == 0 ? .max : Int(asked)
    }

    /// `q`, or `tags` with `minDuration` and `maxDuration`.
    func searchCondition() throws -> SpansetCondition {
        let tags = text("tags")
        if let query = text("q") {
            if tags != nil { throw ParameterError(text: "can't specify tags and q in the same query") }
            return try TraceQLParser.parse(query)
        }
        var conditions = try tags.map { try Self.tagConditions(of: $0) } ?? []
        var bounds: [Double] = []
        for (name, comparison) in [("minDuration", SpanComparison.greaterOrEqual), ("maxDuration", .lessOrEqual)] {
            guard let text = text(name) else { continue }
            guard let length = GoDuration.nanoseconds(text) else {
                throw ParameterError(
                    text: "invalid \(name): expected a duration such as 1.5s or 100ms, not \(ZipkinParameters.quoted(text))")
            }
            bounds.append(length)
            conditions.append(.compare(.traceDuration, comparison, .duration(nanoseconds: length)))
        }
        if bounds.count == 2, bounds[1] < bounds[0] { throw ParameterError(text: "invalid maxDuration: must be greater than minDuration") }
        return .span(conditions.isEmpty ? .constant(true) : .all(conditions))
    }

    /// The filter of a list of tags or values: what is being typed need be no query yet, and then nothing is left out.
    func lenientCondition() -> SpansetCondition {
        guard let query = text("q"), let condition = try? TraceQLParser.parse(query) else { return .span(.constant(true)) }
        return condition
    }

    // MARK: logfmt

    /// `k=v k2="v 2"`.
    static func tagConditions(of text: String) throws(ParameterError) -> [SpanCondition] {
        var conditions: [SpanCondition] = []
        var known = Set<String>()
        var rest = Substring(text)
        while true {
            rest = rest.drop { $0.isWhitespace }
            guard !rest.isEmpty else { return conditions }
            let key = String(rest.prefix { $0 != "=" && $0 != "\"" && !$0.isWhitespace })
            rest = rest.dropFirst(key.count)
            guard !key.isEmpty else {
                throw ParameterError(text: "invalid tags: expected key=value, found \(ZipkinParameters.quoted(String(rest.prefix(64))))")
            }
            guard known.insert(key).inserted else {
                throw ParameterError(text: "invalid tags: tag \(ZipkinParameters.quoted(key)) has been set twice")
            }
            guard known.count <= tagsMax else { throw ParameterError(text: "invalid tags: at most \(tagsMax) are looked for") }
            guard rest.first == "=" else {
                conditions.append(.exists(TraceQLField.unscoped(key), true))
                continue
            }
            rest.removeFirst()
            conditions.append(tagCondition(key, try logfmtValue(&rest)))
        }
    }

    private static func logfmtValue(_ rest: inout Substring) throws(ParameterError) -> String {
        guard rest.first == "\"" else {
            let value = rest.prefix { !$0.isWhitespace }
            rest = rest.dropFirst(value.count)
            return String(value)
        }
        rest.removeFirst()
        var value = ""
        while let character = rest.popFirst() {
            if character == "\"" { return value }
            if character == "\\", let escaped = rest.popFirst() {
                value.append(escaped == "n" ? "\n" : escaped == "t" ? "\t" : escaped)
            } else {
                value.append(character)
            }
        }
        throw ParameterError(text: "invalid tags: a quoted value has no end")
    }

    private static func tagCondition(_ key: String, _ value: String) -> SpanCondition {
        let field = TraceQLField.unscoped(key)
        switch field {
        case .status: if let status = SpanStatus(rawValue: value) { return .compare(field, .equal, .status(status)) }
        case .tag("error"): if value == "true" || value == "false" { return .compare(field, .equal, .boolean(value == "true")) }
        default: break
        }
        return .compare(field, .equal, .text(value))
    }
}
