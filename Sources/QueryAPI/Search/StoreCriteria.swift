internal import TelemetryModel

/// What a store's own query can say of a condition. It finds every trace that meets the condition, and others: the condition is held
/// against what was found.
enum StoreCriteria {
    /// `query` with what the condition demands in any case.
    static func narrow(_ query: inout TraceQuery, by condition: SpansetCondition) {
        switch condition {
        case .span(let condition): narrow(&query, by: condition)
        // Zipkin's criteria may be met by different spans, but not under a service: the first of the conditions speaks for all.
        case .all(let parts): if let first = parts.first { narrow(&query, by: first) }
        case .any(let parts): if parts.count == 1 { narrow(&query, by: parts[0]) }
        }
    }

    private static func narrow(_ query: inout TraceQuery, by condition: SpanCondition) {
        switch condition {
        case .all(let parts): for part in parts { narrow(&query, by: part) }
        case .any(let parts): if parts.count == 1 { narrow(&query, by: parts[0]) }
        case .constant, .exists(_, false): break
        case .exists(.tag(let key), true): demand(&query, key)
        case .exists: break
        case .match(.tag(let key), _, _): demand(&query, key)
        case .match: break
        case .compare(let field, let comparison, let value): narrow(&query, field, comparison, value)
        }
    }

    private static func narrow(_ query: inout TraceQuery, _ field: SpanField, _ comparison: SpanComparison, _ value: SpanValue) {
        switch (field, comparison, value) {
        case (.service, .equal, .text(let name)), (.tag("service.name"), .equal, .text(let name)):
            if query.serviceName.isEmpty { query.serviceName = name.lowercased() }
        case (.name, .equal, .text(let name)): if query.spanName.isEmpty { query.spanName = name.lowercased() }
        case (.status, .equal, .status(.error)), (.tag("error"), .equal, .boolean(true)): add(&query, .annotationOrKey("error"))
        case (.tag("error"), _, .boolean): break
        case (.duration, _, .duration(let nanoseconds)): narrow(&query, comparison, microseconds: nanoseconds / 1000)
        case (.tag(let key), .equal, .text(let text)) where !text.isEmpty && !isComputed(key): add(&query, .tag(key: key, value: text))
        case (.tag(let key), _, _): demand(&query, key)
        default: break
        }
    }

    private static func narrow(_ query: inout TraceQuery, _ comparison: SpanComparison, microseconds: Double) {
        let least = UInt64(exactly: microseconds.rounded(.down)) ?? 0
        switch comparison {
        case .equal, .greater, .greaterOrEqual: query.durationMin = max(query.durationMin ?? 0, least)
        default: break
        }
    }

    private static func demand(_ query: inout TraceQuery, _ key: String) {
        if !isComputed(key) { add(&query, .annotationOrKey(key)) }
    }

    /// A tag that conditions find although it may not be stored as one.
    private static func isComputed(_ key: String) -> Bool { key.isEmpty || key == "service.name" || key == "span.kind" }

    private static func add(_ query: inout TraceQuery, _ term: TraceQuery.Term) {
        if query.terms.count < ZipkinLimits.termsMax, !query.terms.contains(term) { query.terms.append(term) }
    }
}
