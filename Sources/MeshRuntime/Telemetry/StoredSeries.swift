internal import Matching
internal import PromQL
internal import QueryAPI
internal import Synchronization
internal import TelemetryModel
internal import TelemetryStore

/// The embedded series as receivers and queries see them. Any thread.
final class StoredSeries: BatchSink, SeriesQuerying {
    private let holder: StoreHolder
    /// Kinds and helps of families, from those who know them.
    private let families = Mutex<@Sendable () -> [String: (kind: String, help: String)]>({ [:] })

    init(_ holder: StoreHolder) { self.holder = holder }

    func describe(by families: @escaping @Sendable () -> [String: (kind: String, help: String)]) {
        self.families.withLock { $0 = families }
    }

    func submit(_ batch: consuming SeriesBatch, completion: @escaping @Sendable (Result<Void, BatchRejection>) -> Void) {
        switch holder.place(for: batch, deliver: { batch, stores in stores.series.submit(batch) { _ in } }) {
        case .stores(let stores): stores.series.submit(batch, completion: completion)
        case .kept: completion(.success(()))
        case .refused: completion(.failure(.unavailable(reason: holder.problem ?? StoreError.closed.description)))
        }
    }

    func openSource() throws -> any SeriesSource { StoredSeriesSource(try store()) }

    func labelNames(_ selectors: [[LabelMatcher]], in range: ClosedRange<Int64>) throws -> [String] {
        let store = try store()
        return Self.union(selectors) { store.labelNames($0, from: range.lowerBound, through: range.upperBound) }.sorted()
    }

    func labelValues(_ name: String, _ selectors: [[LabelMatcher]], in range: ClosedRange<Int64>) throws -> [String] {
        let store = try store()
        return Self.union(selectors) { store.labelValues(name, $0, from: range.lowerBound, through: range.upperBound) }.sorted()
    }

    func series(_ selectors: [[LabelMatcher]], in range: ClosedRange<Int64>) throws -> [LabelSet] {
        let store = try store()
        let found = Self.union(selectors) {
            store.series($0, from: range.lowerBound, through: range.upperBound, limit: PrometheusLimits.itemsMax + 1)
        }
        return found.sorted(by: Self.precedes)
    }

    private static func precedes(_ left: LabelSet, _ right: LabelSet) -> Bool {
        left.labels.lexicographicallyPrecedes(right.labels) { $0.name == $1.name ? $0.value < $1.value : $0.name < $1.name }
    }

    func exemplars(
        _ selectors: [[LabelMatcher]], in range: ClosedRange<Int64>, limit: Int
    ) throws -> (found: [(labels: LabelSet, exemplars: [SeriesExemplar])], isCut: Bool) {
        guard let stores = holder.stores else { throw unavailable }
        var found: [LabelSet: [SeriesExemplar]] = [:]
        for selector in selectors {
            for (labels, exemplars) in stores.series.exemplars(selector, from: range.lowerBound, through: range.upperBound) {
                found[labels] = exemplars
            }
        }
        let existing = try stores.traces.existing(Set(found.values.lazy.joined().map(\.traceID)))
        var room = limit
        var shown: [(labels: LabelSet, exemplars: [SeriesExemplar])] = []
        var isCut = false
        for (labels, exemplars) in found.sorted(by: { Self.precedes($0.key, $1.key) }) {
            let kept = exemplars.filter { existing.contains($0.traceID) }
            if kept.count > room { isCut = true }
            // The newest say most.
            let part = Array(kept.suffix(room))
            room -= part.count
            if !part.isEmpty { shown.append((labels, part)) }
        }
        return (shown, isCut)
    }

    func metadata() -> [String: MetricMetadata] {
        families.withLock { $0 }().mapValues { MetricMetadata(type: $0.kind == "untyped" ? "unknown" : $0.kind, help: $0.help) }
    }

    func sizes() -> SeriesSizes {
        guard let statistics = holder.stores?.series.statistics() else { return SeriesSizes() }
        var sizes = SeriesSizes()
        sizes.seriesCount = Int(clamping: statistics.series)
        sizes.samplesStored = statistics.samplesAccepted
        return sizes
    }

    func census(limit: Int) throws -> SeriesCensus { try store().censusReport(limit: limit) }

    func cardinalityReport(limit: Int) throws -> [SeriesFamily] { try store().cardinalityReport(limit: limit) }

    /// Nil while there is no store.
    func statistics() -> SeriesStatistics? { holder.stores?.series.statistics() }

    func store() throws -> SeriesStore {
        guard let store = holder.stores?.series else { throw unavailable }
        return store
    }

    private var unavailable: QueryFailure { .unavailable(reason: holder.problem ?? StoreError.closed.description) }

    private static func union<Item: Hashable>(_ selectors: [[LabelMatcher]], _ find: ([LabelMatcher]) -> [Item]) -> Set<Item> {
        selectors.isEmpty ? Set(find([])) : selectors.reduce(into: []) { $0.formUnion(find($1)) }
    }
}
