import Foundation
@testable import QueryAPI
import Synchronization
import TelemetryModel

/// A store that keeps Zipkin's query rules (semantics 2.11) by the simplest means, for what searches on top of a store.
final class SpanStore: TraceQuerying {
    let traces: [SpanBatch]
    let searches = Mutex<[TraceQuery]>([])

    init(_ traces: [SpanBatch]) { self.traces = traces }

    static func timestamp(_ trace: SpanBatch) -> UInt64 {
        let times = trace.spans.filter { $0.timestamp > 0 }
        return times.filter(\.parentID.isNone).map(\.timestamp).min() ?? times.map(\.timestamp).min() ?? 0
    }

    func find(_ query: TraceQuery) throws -> FoundTraces {
        let found = try search(query)
        return FoundTraces(traces: found, readCount: found.count)
    }

    func search(_ query: TraceQuery) throws -> [SpanBatch] {
        searches.withLock { $0.append(query) }
        let found = traces.filter { trace in
            let time = Self.timestamp(trace)
            guard time > 0, query.timestampRange.contains(time) else { return false }
            let spans = trace.spans.filter { query.serviceName.isEmpty || trace.nameOfService($0.localEndpoint) == query.serviceName }
            guard !spans.isEmpty else { return false }
            if !query.spanName.isEmpty, !spans.contains(where: { trace.string($0.name) == query.spanName }) { return false }
            if let least = query.durationMin, !spans.contains(where: { $0.duration >= least && $0.duration <= query.durationMax ?? .max }) {
                return false
            }
            return query.terms.allSatisfy { term in
                spans.contains { span in
                    trace.tags(of: span).contains { tag in
                        switch term {
                        case .tag(let key, let value): trace.string(tag.key) == key && trace.string(tag.value) == value
                        case .annotationOrKey(let key): trace.string(tag.key) == key
                        }
                    }
                }
            }
        }
        return Array(found.sorted { Self.timestamp($0) > Self.timestamp($1) }.prefix(query.limit))
    }

    func services() throws -> [String] { [] }
    func spanNames(service: String) throws -> [String] { [] }
    func remoteServices(service: String) throws -> [String] { [] }
    func trace(_ id: TraceID) throws -> SpanBatch { traces.first { $0.spans.first?.traceID == id } ?? SpanBatch() }
    func traces(_ ids: [TraceID]) throws -> [SpanBatch] { try ids.map { try trace($0) } }
    func dependencies(endTimestamp: UInt64, lookback: UInt64) throws -> [DependencyLink] { [] }
    func autocompleteValues(key: String) throws -> [String] { [] }
    func statistics() -> StoreStatistics { StoreStatistics() }
}
