internal import PromQL
internal import TelemetryModel
internal import TelemetryStore

/// What one PromQL query reads from: samples as they came where they are kept and few enough, else the tiers' windows, and then it says so.
struct StoredSeriesSource: SeriesSource {
    /// A selector that would read more samples than this reads coarser windows, if its range and step allow any.
    static let samplesWanted = 10_000_000
    private let store: SeriesStore

    init(_ store: SeriesStore) { self.store = store }

    func select(
        _ selection: PromQL.SeriesSelection, _ body: (SeriesSamples, WindowFilling?) throws(PromQLError) -> Void
    ) throws(PromQLError) -> SeriesApproximation? {
        let (from, isBeyond) = selection.after.addingReportingOverflow(1)
        guard !isBeyond, from <= selection.through else { return nil }
        let reading = WindowReading(selection.function, range: selection.range, step: selection.step)
        var found: TelemetryStore.SeriesSelection
        do throws(SeriesQueryError) {
            found = try store.select(SeriesQuery(
                selection.matchers, from: from, through: selection.through, coarsest: reading.coarsest,
                samplesWanted: Self.samplesWanted, gaugeValue: reading.gaugeValue))
        } catch {
            switch error {
            case .tooManySamples: throw .tooManySamples
            case .store(let reason): throw .source(reason.description)
            }
        }
        guard let last = found.stretches.last(where: { $0.resolution > 0 }), !found.series.isEmpty else {
            for series in found.series { try body(series, nil) }
            return nil
        }
        let filling = WindowFilling(found.stretches, reading, through: selection.through)
        // Each goes when it was looked at: what is made of it takes its memory, which is there already.
        found.series.reverse()
        while let series = found.series.popLast() { try body(series, filling) }
        return SeriesApproximation(window: found.resolution, end: last.end)
    }
}

/// How a function or an instant selector reads windows.
struct WindowReading: Hashable {
    /// A look-back of five minutes must find a sample. Milliseconds.
    private static let heldSpacing: Int64 = 240_000

    let manner: WindowFilling.Manner
    let gaugeValue: SeriesQuery.GaugeValue
    /// The widest windows that may be read where finer ones are kept, milliseconds.
    let coarsest: Int64
    /// Samples must not be further apart than this, milliseconds.
    let spacing: Int64

    /// `range`: of a range selector, 0 for an instant selector; `step`: 0 for a single one; milliseconds.
    init(_ function: String, range: Int64, step: Int64) {
        let isRange = range > 0
        (manner, gaugeValue) =
            switch isRange ? function : "" {
            case "rate", "increase", "irate": (.even, .last)
            case "avg_over_time", "count_over_time": (.shared(isSum: false), .mean)
            case "sum_over_time": (.shared(isSum: true), .sum)
            case "min_over_time": (.held, .least)
            case "max_over_time": (.held, .most)
            default: (.held, .last)
            }
        // Windows no wider than a range and than a step tell steps apart. A single step's range should have ten of them.
        coarsest =
            switch isRange ? function : "" {
            case "": isRange ? 0 : step
            case "rate", "increase", "avg_over_time", "count_over_time", "sum_over_time", "min_over_time", "max_over_time":
                step > 0 ? min(range, step) : range / 10
            default: 0
            }
        // Two samples in every range, and one more against chance.
        spacing = isRange ? max(range / 3, 1) : Self.heldSpacing
    }
}

extension WindowFilling {
    init(_ stretches: [TelemetryStore.SeriesSelection.Stretch], _ reading: WindowReading, through: Int64) {
        self.init(
            stretches.map { Stretch(start: $0.start, end: $0.end, resolution: $0.resolution) }, reading.manner, spacing: reading.spacing,
            through: through)
    }
}
