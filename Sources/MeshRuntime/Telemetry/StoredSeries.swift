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
        return found.sorted { left, right in
            left.labels.lexicographicallyPrecedes(right.labels) { $0.name == $1.name ? $0.value < $1.value : $0.name < $1.name }
        }
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
        guard let store = holder.stores?.series else {
            throw QueryFailure.unavailable(reason: holder.problem ?? StoreError.closed.description)
        }
        return store
    }

    private static func union<Item: Hashable>(_ selectors: [[LabelMatcher]], _ find: ([LabelMatcher]) -> [Item]) -> Set<Item> {
        selectors.isEmpty ? Set(find([])) : selectors.reduce(into: []) { $0.formUnion(find($1)) }
    }
}

/// What one query reads from.
struct StoredSeriesSource: SeriesSource {
    private let store: SeriesStore

    init(_ store: SeriesStore) { self.store = store }

    func select(_ selection: PromQL.SeriesSelection, _ body: (SeriesSamples) throws(PromQLError) -> Void) throws(PromQLError) {
        let (from, isBeyond) = selection.after.addingReportingOverflow(1)
        guard !isBeyond, from <= selection.through else { return }
        let found: TelemetryStore.SeriesSelection
        do throws(SeriesQueryError) {
            found = try store.select(SeriesQuery(selection.matchers, from: from, through: selection.through))
        } catch {
            switch error {
            case .tooManySamples: throw .tooManySamples
            case .store(let reason): throw .source(reason.description)
            }
        }
        let isSparse = selection.range == 0 && found.resolution > Self.spacingMax
        for series in found.series {
            try body(isSparse ? Self.filled(series, every: found.resolution, through: selection.through) : series)
        }
    }

    /// Between two samples an instant selector looks back so far; where windows are wider, each sample is repeated within its window.
    private static let spacingMax: Int64 = 240_000

    private static func filled(_ series: SeriesSamples, every resolution: Int64, through end: Int64) -> SeriesSamples {
        guard series.histograms.isEmpty else { return series }
        var filled = SeriesSamples(labels: series.labels)
        for index in series.times.indices {
            let next = index + 1 < series.times.count ? series.times[index + 1] : series.times[index] &+ resolution
            let last = min(min(next, series.times[index] &+ resolution), end &+ 1)
            var time = series.times[index]
            repeat {
                filled.times.append(time)
                filled.values.append(series.values[index])
                time &+= spacingMax
            } while time < last && !SeriesSamples.isStale(series.values[index])
        }
        return filled
    }
}
