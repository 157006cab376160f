public import TelemetryModel

extension TraceQuery {
    /// The time of a trace: the earliest timestamp of a parentless span, else the earliest of all; 0 = it has none.
    public static func timestamp(of trace: SpanBatch) -> UInt64 {
        var time = TraceTime()
        for span in trace.spans { time.note(span.timestamp, isRoot: span.parentID.isNone) }
        return time.timestamp
    }

    /// Whether the spans of one whole trace meet the query.
    public func matches(_ trace: SpanBatch) -> Bool {
        let time = TraceQuery.timestamp(of: trace)
        guard time != 0, timestampRange.contains(time) else { return false }
        return ExactMatcher(self).matches(trace)
    }
}

/// Evaluates a query on decoded spans, byte for byte.
struct ExactMatcher {
    private let service: [UInt8]
    private let remoteService: [UInt8]
    private let name: [UInt8]
    private let terms: [(key: [UInt8], value: [UInt8])]
    private let durationMin: UInt64?
    private let durationMax: UInt64?
    private let traits: [TraceTrait]

    init(_ query: TraceQuery) {
        service = Array(query.serviceName.utf8)
        remoteService = Array(query.remoteServiceName.utf8)
        name = Array(query.spanName.utf8)
        terms = query.terms.prefix(QueryLimits.termsMax).map { term in
            switch term {
            case .tag(let key, let value): (Array(key.utf8), Array(value.utf8))
            case .annotationOrKey(let key): (Array(key.utf8), [])
            }
        }
        traits = Array(query.traits.prefix(QueryLimits.traitsMax))
        durationMin = query.durationMin
        durationMax = query.durationMax
    }

    private func equal(_ text: [UInt8], _ batch: SpanBatch, _ reference: TextRef) -> Bool {
        let start = Int(reference.offset)
        return text.count == Int(reference.count) && batch.text[start..<start + text.count].elementsEqual(text)
    }

    /// Everything but the time range.
    func matches(_ trace: SpanBatch) -> Bool {
        var serviceMet = service.isEmpty
        var remoteMet = remoteService.isEmpty
        var nameMet = name.isEmpty
        var durationMet = durationMin == nil
        var termsMet = [Bool](repeating: false, count: terms.count)
        for span in trace.spans {
            if !service.isEmpty {
                guard span.localEndpoint != EndpointRow.absent,
                    equal(service, trace, trace.endpoints[Int(span.localEndpoint)].serviceName)
                else { continue }
                serviceMet = true
            }
            if !remoteMet, span.remoteEndpoint != EndpointRow.absent,
                equal(remoteService, trace, trace.endpoints[Int(span.remoteEndpoint)].serviceName)
            { remoteMet = true }
            if !nameMet, equal(name, trace, span.name) { nameMet = true }
            if !durationMet, let least = durationMin, span.duration >= least, span.duration <= durationMax ?? UInt64.max {
                durationMet = true
            }
            for (index, term) in terms.enumerated() where !termsMet[index] {
                if term.value.isEmpty {
                    for row in 0..<Int(span.annotationCount)
                    where equal(term.key, trace, trace.annotations[Int(span.annotationStart) + row].value) { termsMet[index] = true }
                }
                for row in 0..<Int(span.tagCount) {
                    let tag = trace.tags[Int(span.tagStart) + row]
                    if equal(term.key, trace, tag.key), term.value.isEmpty || equal(term.value, trace, tag.value) { termsMet[index] = true }
                }
            }
        }
        guard serviceMet, remoteMet, nameMet, durationMet, !termsMet.contains(false) else { return false }
        return traits.allSatisfy { $0.isMet(by: trace) }
    }
}

/// Bounds of one query.
public enum QueryLimits {
    /// Terms of an annotation query that are looked at.
    public static let termsMax = 24
    /// Traits that are looked at.
    public static let traitsMax = 4
    /// Traces of one answer.
    public static let tracesMax = 10_000
}
