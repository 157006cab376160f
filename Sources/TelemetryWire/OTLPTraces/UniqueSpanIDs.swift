public import TelemetryModel

/// Gives the server's half of a shared span (Zipkin's `shared: true`) an id of its own, because OTLP, Jaeger and Tempo know spans by their
/// ids alone. The client's half keeps its id and becomes the server's parent; spans below go with the half whose service they are of.
public enum UniqueSpanIDs {
    /// The trace with ids that are unique as far as sharing made them not so, and the rows that got one. The new id is the same at each
    /// call. Cost is linear in the spans.
    public static func applied(to trace: SpanBatch) -> (trace: SpanBatch, changed: Set<Int>) {
        guard trace.spans.contains(where: { $0.flags.contains(.shared) }) else { return (trace, []) }
        var clients: [SpanID: Int] = [:]
        var used = Set<SpanID>()
        for (row, span) in trace.spans.enumerated() {
            used.insert(span.id)
            if !span.flags.contains(.shared), clients[span.id] == nil { clients[span.id] = row }
        }
        var result = trace
        var servers: [SpanID: Int] = [:]
        var changed = Set<Int>()
        for (row, span) in trace.spans.enumerated() where span.flags.contains(.shared) && clients[span.id] != nil {
            if servers[span.id] == nil { servers[span.id] = row }
            result.spans[row].id = fresh(span.id, &used)
            result.spans[row].parentID = span.id
            changed.insert(row)
        }
        for (row, span) in trace.spans.enumerated() where !changed.contains(row) {
            guard let server = servers[span.parentID], let client = clients[span.parentID], row != client else { continue }
            let isClients = service(span, trace) == service(trace.spans[client], trace)
            if !isClients || service(span, trace) == service(trace.spans[server], trace) {
                result.spans[row].parentID = result.spans[server].id
            }
        }
        return (result, changed)
    }

    private static func fresh(_ id: SpanID, _ used: inout Set<SpanID>) -> SpanID {
        // SplitMix64's step: ids far from those in use, and the same for the same id.
        var candidate = id.rawValue
        repeat {
            candidate = candidate &+ 0x9E37_79B9_7F4A_7C15
            candidate = (candidate ^ candidate >> 30) &* 0xBF58_476D_1CE4_E5B9
        } while candidate == 0 || !used.insert(SpanID(candidate)).inserted
        return SpanID(candidate)
    }

    private static func service(_ span: SpanRow, _ trace: SpanBatch) -> String {
        span.localEndpoint == EndpointRow.absent ? "" : trace.string(trace.endpoints[Int(span.localEndpoint)].serviceName)
    }
}
