internal import TelemetryModel
internal import TelemetryWire

/// Names and values of tags, for completion. A store keeps no index of them: what the newest traces of the time range have is what is
/// offered. On the query pool; blocks on the store.
struct TempoTags {
    /// Traces looked at.
    static let tracesMax = 200
    /// Names and values of one answer, unless the client asks for fewer.
    static let valuesMax = 5_000

    let store: any TraceQuerying
    let range: TraceQuery
    let condition: SpansetCondition
    /// Of names and of values.
    let limit: Int

    struct Names {
        var resource: [String] = []
        var span: [String] = []
        var result: TraceScan.Result
    }

    func names() throws -> Names {
        let result = try TraceScan(store: store).run(condition, range, limit: Self.tracesMax)
        var resource: Set<String> = result.matches.isEmpty ? [] : ["service.name"]
        var span = Set<String>()
        for match in result.matches {
            for row in match.trace.spans {
                let attributes = OTLPSpan(row, of: match.trace)
                for attribute in attributes.resource where resource.count < limit { resource.insert(attribute.key) }
                for attribute in attributes.attributes where span.count < limit { span.insert(attribute.key) }
            }
        }
        return Names(resource: resource.sorted(), span: span.sorted(), result: result)
    }

    /// Values as texts, sorted, and what was looked at for them.
    func values(of field: SpanField) throws -> (values: [String], type: String, result: TraceScan.Result) {
        var values = Set<String>()
        var result = TraceScan.Result()
        switch field {
        case .status: return (SpanStatus.allCases.map(\.rawValue), "keyword", result)
        case .kind: return (["client", "consumer", "internal", "producer", "server"], "keyword", result)
        case .service, .rootService: if isUnfiltered { return (Array(try store.services().prefix(limit)), "string", result) }
        case .name:
            if isUnfiltered {
                for service in try store.services() where values.count < limit { values.formUnion(try store.spanNames(service: service)) }
                return (Array(values.sorted().prefix(limit)), "string", result)
            }
        case .tag(let key):
            let configured = isUnfiltered ? try store.autocompleteValues(key: key) : []
            if !configured.isEmpty { return (Array(configured.prefix(limit)), "string", result) }
        default: break
        }
        let both = SpansetCondition.all([.span(.exists(field, true)), condition])
        result = try TraceScan(store: store).run(both, range, limit: Self.tracesMax)
        for match in result.matches {
            let matcher = SpanMatcher(match.trace, match.facts)
            for row in match.trace.spans where values.count < limit {
                if let value = matcher.text(field, row) { values.insert(value) }
            }
        }
        return (values.sorted(), "string", result)
    }

    private var isUnfiltered: Bool {
        if case .span(.constant(true)) = condition { true } else { false }
    }

    /// TraceQL's type of a value, which decides how a client writes it into a query.
    static func valueType(_ value: String) -> String {
        switch OTLPValue(tag: value) {
        case .integer: "int"
        case .boolean: "bool"
        case .double: "float"
        case .text: "string"
        }
    }
}
