import Matching
import TelemetryModel
@testable import TelemetryStore

/// A store of series in a directory of its own, with a clock that only tests move, and small spans.
final class SeriesWorld {
    let directory = TemporaryDirectory()
    let clock: Monitor<Int64>
    var configuration = SeriesConfiguration()
    private(set) var store: SeriesStore

    static let minute: Int64 = 60_000

    init(now: Int64 = 1_000 * 3_600_000, _ change: (inout SeriesConfiguration) -> Void = { _ in }) throws {
        let clock = Monitor(now)
        self.clock = clock
        configuration.tiers = [
            SeriesTier(resolution: 0, span: 10 * Self.minute, ageMax: 0),
            SeriesTier(resolution: Self.minute, span: 20 * Self.minute, ageMax: 0),
            SeriesTier(resolution: 10 * Self.minute, span: 120 * Self.minute, ageMax: 0),
        ]
        configuration.latenessMax = 2 * Self.minute
        configuration.now = { clock.withLock { $0 } }
        change(&configuration)
        store = try Self.open(directory.path, configuration)
    }

    private static func open(_ path: String, _ configuration: SeriesConfiguration) throws -> SeriesStore {
        var store = StoreConfiguration(directory: path)
        store.compactsInBackground = false
        store.groupCommitMilliseconds = 0
        store.retentionAgeSeconds = 0
        return try SeriesStore.open(store, configuration)
    }

    var now: Int64 { clock.withLock { $0 } }
    func advance(_ milliseconds: Int64) { clock.withLock { $0 += milliseconds } }

    func reopen() throws {
        store.close()
        store = try Self.open(directory.path, configuration)
    }

    func append(_ fill: (inout SeriesBatch) -> Void) throws {
        var batch = SeriesBatch()
        fill(&batch)
        try store.append(batch)
    }

    /// Everything that matches, by labels.
    func select(
        _ matchers: [LabelMatcher] = [], resolution: Int64 = 0, _ value: SeriesQuery.GaugeValue = .last
    ) throws -> [LabelSet: SeriesSamples] {
        let selection = try store.select(SeriesQuery(matchers, from: 0, through: Int64.max, coarsest: resolution, gaugeValue: value))
        return Dictionary(selection.series.map { ($0.labels, $0) }) { first, _ in first }
    }

    func samples(_ labels: LabelSet, resolution: Int64 = 0, _ value: SeriesQuery.GaugeValue = .last) throws -> SeriesSamples? {
        try select([LabelMatcher(LabelSet.metricName, .equal, labels[LabelSet.metricName] ?? "")], resolution: resolution, value)[labels]
    }
}

/// Samples that compare by their bits.
struct PlainSample: Hashable, CustomStringConvertible {
    var time: Int64
    var bits: UInt64

    init(_ time: Int64, _ value: Double) {
        self.time = time
        bits = value.bitPattern
    }

    var description: String { "\(time): \(Double(bitPattern: bits))" }
}

extension SeriesSamples {
    var plain: [PlainSample] { zip(times, values).map { PlainSample($0, $1) } }
}
