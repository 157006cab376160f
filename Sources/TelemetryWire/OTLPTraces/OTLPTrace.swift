public import TelemetryModel

/// The spans of one trace, grouped as OTLP groups them (trace.proto, `ResourceSpans`): by resource, then by scope, each in the order in
/// which they first appear. A value; cost is linear in the spans.
public struct OTLPTrace: Sendable {
    public struct Scope: Sendable {
        public var name: String
        public var version: String
        public var spans: [OTLPSpan] = []
    }

    public struct Resource: Sendable {
        public var attributes: [OTLPAttribute]
        public var scopes: [Scope] = []
    }

    public private(set) var resources: [Resource] = []

    /// Ids that Zipkin's spans share are made unique (`UniqueSpanIDs`).
    public init(_ batch: SpanBatch) {
        let trace = UniqueSpanIDs.applied(to: batch).trace
        var places: [[OTLPAttribute]: Int] = [:]
        for row in trace.spans {
            let span = OTLPSpan(row, of: trace)
            let place = places[span.resource] ?? resources.count
            if place == resources.count {
                places[span.resource] = place
                resources.append(Resource(attributes: span.resource))
            }
            let scope = resources[place].scopes.firstIndex { $0.name == span.scopeName && $0.version == span.scopeVersion }
            if let scope {
                resources[place].scopes[scope].spans.append(span)
            } else {
                resources[place].scopes.append(Scope(name: span.scopeName, version: span.scopeVersion, spans: [span]))
            }
        }
    }
}
