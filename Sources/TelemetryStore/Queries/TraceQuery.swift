public import TelemetryModel

/// Which traces to find; Zipkin's query parameters after parsing (semantics 2.11, "Query rules").
///
/// Every criterion but the time range may be met by a different span of the trace; when `serviceName` is set, only spans whose
/// local endpoint has that name count.
public struct TraceQuery: Sendable, Equatable {
    /// One part of an annotation query.
    public enum Term: Sendable, Equatable {
        /// `key=value`: a tag with exactly this value.
        case tag(key: String, value: String)
        /// A bare word: an annotation with this value, or a tag with this key.
        case annotationOrKey(String)
    }

    /// Lower-case; empty = any.
    public var serviceName = ""
    public var remoteServiceName = ""
    public var spanName = ""
    public var terms: [Term] = []
    /// Microseconds; nil = any. `durationMax` counts only together with `durationMin`.
    public var durationMin: UInt64?
    public var durationMax: UInt64?
    /// Milliseconds since 1970, inclusive.
    public var endTimestamp: UInt64
    /// Milliseconds before `endTimestamp`, inclusive.
    public var lookback: UInt64 = 86_400_000
    /// Traces, newest first.
    public var limit = 10

    public init(endTimestamp: UInt64) { self.endTimestamp = endTimestamp }

    /// Splits an annotation query on " and ": `k=v` is a tag, `k` or `k=` a bare word; empty parts are ignored and a later part
    /// with the same key replaces the earlier, as in Zipkin.
    public static func terms(annotationQuery: String) -> [Term] {
        var terms: [Term] = []
        var keys: [String] = []
        let query = Array(annotationQuery.utf8)
        let separator = Array(" and ".utf8)
        var start = 0
        var at = 0
        var parts: [ArraySlice<UInt8>] = []
        while at < query.count {
            if query[at] == separator[0], at + separator.count <= query.count, query[at..<at + separator.count].elementsEqual(separator) {
                parts.append(query[start..<at])
                at += separator.count
                start = at
            } else {
                at += 1
            }
        }
        parts.append(query[start...])
        for part in parts {
            let text = String(decoding: part, as: UTF8.self)
            guard !text.isEmpty else { continue }
            let term: Term
            let key: String
            if let equals = text.firstIndex(of: "=") {
                key = trimmed(text[..<equals])
                let value = trimmed(text[text.index(after: equals)...])
                term = value.isEmpty ? .annotationOrKey(key) : .tag(key: key, value: value)
            } else {
                key = trimmed(text[...])
                term = .annotationOrKey(key)
            }
            guard !key.isEmpty else { continue }
            if let known = keys.firstIndex(of: key) {
                terms[known] = term
            } else {
                keys.append(key)
                terms.append(term)
            }
        }
        return terms
    }

    private static func trimmed(_ text: Substring) -> String {
        var rest = text
        while let first = rest.first, first.isWhitespace { rest.removeFirst() }
        while let last = rest.last, last.isWhitespace { rest.removeLast() }
        return String(rest)
    }

    /// Microseconds, inclusive on both ends.
    var timestampRange: ClosedRange<UInt64> {
        let (end, overflow) = endTimestamp.multipliedReportingOverflow(by: 1000)
        let last = overflow ? UInt64.max : end
        let start = (endTimestamp > lookback ? endTimestamp - lookback : 0).multipliedReportingOverflow(by: 1000)
        return min(start.overflow ? UInt64.max : start.partialValue, last)...last
    }

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

/// One call between services, summed: Zipkin's dependency link.
public struct DependencyLink: Sendable, Hashable {
    public var parent: String
    public var child: String
    public var callCount: UInt64
    public var errorCount: UInt64

    public init(parent: String, child: String, callCount: UInt64, errorCount: UInt64) {
        self.parent = parent
        self.child = child
        self.callCount = callCount
        self.errorCount = errorCount
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
            if !durationMet, let least = durationMin, span.duration >= least, span.duration <= durationMax ?? UInt64.max { durationMet = true }
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
        return serviceMet && remoteMet && nameMet && durationMet && !termsMet.contains(false)
    }
}

/// Bounds of one query.
public enum QueryLimits {
    /// Terms of an annotation query that are looked at.
    public static let termsMax = 24
    /// Traces of one answer.
    public static let tracesMax = 10_000
}
