internal import Matching
internal import TelemetryModel

/// Holds conditions against the spans of one trace. Used while the trace is there; cost is conditions times tags.
struct SpanMatcher {
    private let trace: SpanBatch
    private let facts: TraceFacts

    init(_ trace: SpanBatch, _ facts: TraceFacts) {
        self.trace = trace
        self.facts = facts
    }

    /// Rows of the spans that made the trace match, in its order; nil when it does not match. Of `any` all that match count.
    func matchedRows(_ condition: SpansetCondition) -> [Int]? {
        switch condition {
        case .span(let condition):
            let rows = trace.spans.indices.filter { meets(condition, trace.spans[$0]) }
            return rows.isEmpty ? nil : rows
        case .all(let parts):
            var union = Set<Int>()
            for part in parts {
                guard let rows = matchedRows(part) else { return nil }
                union.formUnion(rows)
            }
            return union.sorted()
        case .any(let parts):
            let union = Set(parts.compactMap { matchedRows($0) }.joined())
            return union.isEmpty ? nil : union.sorted()
        }
    }

    private func meets(_ condition: SpanCondition, _ span: SpanRow) -> Bool {
        switch condition {
        case .constant(let value): return value
        case .all(let parts): return parts.allSatisfy { meets($0, span) }
        case .any(let parts): return parts.contains { meets($0, span) }
        case .exists(let field, let isWanted): return (text(field, span) != nil) == isWanted
        case .match(let field, let pattern, let isWanted):
            guard let text = text(field, span) else { return false }
            return pattern.matches(text) == isWanted
        case .compare(let field, let comparison, let value): return compares(field, comparison, value, span)
        }
    }

    private func compares(_ field: SpanField, _ comparison: SpanComparison, _ value: SpanValue, _ span: SpanRow) -> Bool {
        switch (field, value) {
        case (.duration, .duration(let wanted)): return comparison.holds(Double(span.duration) * 1000, wanted)
        case (.traceDuration, .duration(let wanted)): return comparison.holds(facts.duration, wanted)
        case (.status, .status(let wanted)): return comparison.holds(trace.spanStatus(span).rawValue, wanted.rawValue)
        // What is stored does not tell INTERNAL from no kind.
        case (.kind, .kind(let wanted)): return comparison.holds(span.kind.rawValue, wanted.rawValue)
        case (.isRoot, .boolean(let wanted)): return comparison.holds(span.parentID.isNone ? 1 : 0, wanted ? 1 : 0)
        // Zipkin's tag `error` says by being there that there was one; its value is what happened.
        case (.tag("error"), .boolean(let wanted)): return comparison.holds(trace.hasError(span) ? 1 : 0, wanted ? 1 : 0)
        case (_, .boolean(let wanted)):
            guard let text = text(field, span), text == "true" || text == "false" else { return false }
            return comparison.holds(text == "true" ? 1 : 0, wanted ? 1 : 0)
        case (_, .number(let wanted)), (_, .duration(let wanted)):
            guard let text = text(field, span), let number = Double(text) else { return false }
            return comparison.holds(number, wanted)
        case (_, .text(let wanted)):
            guard let text = text(field, span) else { return false }
            return comparison.holds(text, field.isLowercased ? wanted.lowercased() : wanted)
        case (_, .status), (_, .kind): return false
        }
    }

    /// Nil when the span has no such thing.
    func text(_ field: SpanField, _ span: SpanRow) -> String? {
        func known(_ text: String) -> String? { text.isEmpty ? nil : text }
        switch field {
        case .name: return known(trace.string(span.name))
        case .service: return known(trace.nameOfService(span.localEndpoint))
        case .kind: return trace.kindName(span)
        case .status: return trace.spanStatus(span).rawValue
        case .statusMessage: return trace.tag("otel.status_description", span) ?? trace.tag("error", span)
        case .duration: return "\(span.duration)"
        case .traceDuration: return "\(facts.duration)"
        case .rootName: return known(facts.rootName)
        case .rootService: return known(facts.rootService)
        case .isRoot: return span.parentID.isNone ? "true" : "false"
        case .tag("service.name"): return known(trace.nameOfService(span.localEndpoint))
        case .tag("span.kind"): return trace.tag("span.kind", span) ?? trace.kindName(span)
        case .tag(let key): return trace.tag(key, span)
        }
    }
}

extension SpanBatch {
    /// The value of a tag; nil when the span has none of that key.
    func tag(_ key: String, _ span: SpanRow) -> String? {
        let wanted = key.utf8
        for tag in tags(of: span) where Int(tag.key.count) == wanted.count {
            let start = Int(tag.key.offset)
            if text[start..<start + wanted.count].elementsEqual(wanted) { return string(tag.value) }
        }
        return nil
    }

    func spanStatus(_ span: SpanRow) -> SpanStatus {
        if hasError(span) { return .error }
        return tag("otel.status_code", span) == "OK" ? .ok : .unset
    }

    /// OTLP's name of the kind, in lower case.
    func kindName(_ span: SpanRow) -> String {
        switch span.kind {
        case .unspecified: "internal"
        case .client: "client"
        case .server: "server"
        case .producer: "producer"
        case .consumer: "consumer"
        }
    }
}
