import Matching
import PromQL
import TelemetryModel

/// Series in memory, in the order of their labels.
struct MemorySource: SeriesSource {
    private(set) var series: [SeriesSamples] = []

    mutating func add(_ new: SeriesSamples) {
        if let index = series.firstIndex(where: { $0.labels == new.labels }) {
            series[index] = new
        } else {
            series.append(new)
            series.sort { LabelOrder.precedes($0.labels, $1.labels) }
        }
    }

    /// What the source says of every selection that found something.
    var approximation: SeriesApproximation?
    /// Of the samples of every series.
    var filling: WindowFilling?

    func select(
        _ selection: SeriesSelection, _ body: (SeriesSamples, WindowFilling?) throws(PromQLError) -> Void
    ) throws(PromQLError) -> SeriesApproximation? {
        for one in series where selection.matchers.allSatisfy({ $0.accepts(one.labels[$0.name] ?? "") }) {
            // Only what is asked for, so that an evaluator which asks for too little is found out.
            var part = SeriesSamples(labels: one.labels)
            for (index, time) in one.times.enumerated() where time > selection.after && time <= selection.through {
                if let histogram = one.histograms.first(where: { $0.index == index }) {
                    part.histograms.append((part.times.count, histogram.histogram))
                }
                part.times.append(time)
                part.values.append(one.values[index])
                if !one.weights.isEmpty { part.weights.append(one.weights[index]) }
            }
            if !part.times.isEmpty { try body(part, filling) }
        }
        return approximation
    }
}

enum LabelOrder {
    static func precedes(_ left: LabelSet, _ right: LabelSet) -> Bool {
        for (mine, theirs) in zip(left.labels, right.labels) where mine != theirs {
            return mine.name == theirs.name ? mine.value < theirs.value : mine.name < theirs.name
        }
        return left.count < right.count
    }
}
