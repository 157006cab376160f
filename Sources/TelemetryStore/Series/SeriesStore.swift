public import Matching
public import TelemetryModel

/// The series in the store's file: points in, durable; samples and labels out. Any thread may call it.
///
/// Made before the file; its tables stand beside the traces' in `TraceStore.open(_:beside:)`.
public final class SeriesStore: BatchSink {
    let tables: SeriesTables
    let file: StoreFile

    init(_ tables: SeriesTables, _ file: StoreFile) {
        self.tables = tables
        self.file = file
    }

    /// A store of series alone, in a file of its own. Errors: as of `TraceStore.open`.
    public static func open(_ store: StoreConfiguration, _ configuration: SeriesConfiguration) throws(StoreError) -> SeriesStore {
        let tables = SeriesTables(configuration, path: store.databasePath)
        return SeriesStore(tables, try StoreFile.open(store, [tables]))
    }

    /// Traces and series in one file.
    public static func open(
        _ store: StoreConfiguration, beside configuration: SeriesConfiguration
    ) throws(StoreError) -> (traces: TraceStore, series: SeriesStore) {
        let tables = SeriesTables(configuration, path: store.databasePath)
        let traces = try TraceStore.open(store, beside: [tables])
        return (traces, SeriesStore(tables, traces.file))
    }

    /// Which samples cannot be read any more, if any; what it says changes with what is met.
    public var damage: StoreDamage? { .series(statistics(), in: tables.path) }

    // MARK: Writing

    /// Takes a batch for storing. Never blocks. `completion` is called exactly once: on the writer thread once the batch is committed and
    /// readable, or at once with `.overloaded`, `.diskFull` or `.closed`. Points that cannot be kept are counted
    /// (`SeriesStatistics.Drop`) and do not make a batch fail: to send them again would not help.
    public func append(_ batch: consuming SeriesBatch, completion: @escaping @Sendable (Result<Void, StoreError>) -> Void) {
        file.submit(batch, to: tables.points, completion: completion)
    }

    public func submit(_ batch: consuming SeriesBatch, completion: @escaping @Sendable (Result<Void, BatchRejection>) -> Void) {
        append(batch) { result in
            completion(result.mapError { $0 == .overloaded ? .overloaded : .unavailable(reason: "\($0)") })
        }
    }

    /// Stores a batch and waits for the commit; waits, too, while the queue is full. Not for event-loop threads.
    public func append(_ batch: SeriesBatch) throws(StoreError) { try file.append(batch, to: tables.points) }

    /// Seals and rolls up all that is due, applies retention and gives free pages back.
    public func flush() throws(StoreError) { try file.flush() }

    /// Closes the file, with all tables that are in it.
    public func close() { file.close() }

    public func statistics() -> SeriesStatistics {
        var result = tables.statistics()
        var shared = StoreStatistics()
        file.describe(tables.points, in: &shared)
        result.pointsRefused = shared.spansRefused.values.reduce(0, +)
        return result
    }

    // MARK: Reading

    /// Samples of all series that match, in ascending time. A damaged block is left out and counted.
    public func select(_ query: SeriesQuery) throws(SeriesQueryError) -> SeriesSelection { try tables.view.select(query) }

    /// Exemplars of all series that match, by series and oldest first. Whether their traces are still there is for the caller to ask.
    public func exemplars(
        _ matchers: [LabelMatcher], from: Int64, through: Int64
    ) -> [(labels: LabelSet, exemplars: [SeriesExemplar])] {
        tables.view.exemplars(matchers, from, through)
    }

    /// Label sets of the series that match and may have samples in the range; times in milliseconds since 1970, both included.
    public func series(_ matchers: [LabelMatcher], from: Int64, through: Int64, limit: Int = Int.max) -> [LabelSet] {
        tables.view.series(matchers, from, through, limit: limit)
    }

    public func labelNames(_ matchers: [LabelMatcher], from: Int64, through: Int64) -> [String] {
        tables.view.labelNames(matchers, from, through)
    }

    public func labelValues(_ name: String, _ matchers: [LabelMatcher], from: Int64, through: Int64) -> [String] {
        tables.view.labelValues(name, matchers, from, through)
    }

    // MARK: Cardinality

    /// Metrics with most series, those that overflow before all others, with the labels and senders that make them so many. Looks at
    /// every series of the metrics it names; as many as `SeriesLimits.familiesMax` at most.
    public func cardinalityReport(limit: Int) -> [SeriesFamily] {
        let counts = tables.families.all
        let overflowing = tables.familyOverflow.leading(limit).named.map(\.family)
        let named = Set(overflowing)
        let rest = counts.filter { !named.contains($0.key) }.sorted {
            $0.value == $1.value ? $0.key.lexicographicallyPrecedes($1.key) : $0.value > $1.value
        }.map(\.key)
        return (overflowing + rest).prefix(min(limit, SeriesLimits.familiesMax)).map { familyReport(of: $0) }
    }

    private func familyReport(of bytes: [UInt8]) -> SeriesFamily {
        var family = SeriesFamily(
            metric: String(decoding: bytes, as: UTF8.self), series: tables.families.count(of: bytes), seriesMax: tables.families.familyMax)
        family.overflow = tables.familyOverflow.count(of: bytes)
        let idle = tables.configuration
        FamilyCensus.describe(&family, tables.index, since: idle.now() - idle.idleMax)
        return family
    }

    /// Metrics that have overflowed since the store was opened, in the order in which they began to: those from `start` on.
    public func overflowingFamilies(from start: Int) -> [String] {
        tables.familyOverflow.overflowing(from: start).map { String(decoding: $0, as: UTF8.self) }
    }

    /// A metric's row of the report.
    public func cardinalityReport(of metric: String) -> SeriesFamily { familyReport(of: Array(metric.utf8)) }

    /// What the first metrics that overflowed had no place for, and all others together.
    public func overflowReport(limit: Int) -> (named: [(metric: String, count: SeriesOverflow)], others: SeriesOverflow) {
        let (named, others) = tables.familyOverflow.leading(limit)
        return (named.map { (String(decoding: $0.family, as: UTF8.self), $0.count) }, others)
    }

    /// The greatest counts over all series, `limit` of each kind.
    public func censusReport(limit: Int) -> SeriesCensus {
        IndexCensus.take(tables.index, families: FamilyCensus.all(tables.index), limit: limit)
    }
}
