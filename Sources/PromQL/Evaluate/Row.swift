internal import TelemetryModel

/// One series over the steps: a number, a histogram or nothing at each.
struct Row {
    /// A step without a sample. No sample of a result is stale, and no arithmetic gives these bits.
    static let absent = SeriesSamples.staleMarker

    @inline(__always)
    static func isAbsent(_ value: Double) -> Bool { value.bitPattern == absent.bitPattern }

    var labels: LabelSet
    /// With delayed removal of names: the name goes in the end.
    var dropsName = false
    /// The step of the first value.
    var base = 0
    /// One for each step from `base` on; `absent` where there is no number.
    var values: [Double] = []
    /// As long as `values`, or empty when there are none.
    var histograms: [NativeHistogram?] = []

    /// Behind the last step.
    var end: Int { base + values.count }
    var hasHistograms: Bool { !histograms.isEmpty }

    /// A number that is the same or not at each step, as scalars are.
    static func scalar(_ values: [Double]) -> Row { Row(labels: LabelSet(), values: values) }

    @inline(__always)
    func value(at step: Int) -> Double {
        let index = step - base
        return index >= 0 && index < values.count ? values[index] : Row.absent
    }

    func histogram(at step: Int) -> NativeHistogram? {
        let index = step - base
        return index >= 0 && index < histograms.count ? histograms[index] : nil
    }

    func isPresent(at step: Int) -> Bool { !Row.isAbsent(value(at: step)) || histogram(at: step) != nil }

    var isEmpty: Bool { values.allSatisfy { Row.isAbsent($0) } && histograms.allSatisfy { $0 == nil } }

    var sampleCount: Int {
        var count = 0
        for index in values.indices where !Row.isAbsent(values[index]) || (hasHistograms && histograms[index] != nil) { count += 1 }
        return count
    }

    /// What it is charged with, in samples.
    var charge: Int { values.count + histograms.reduce(0) { $0 + ($1.map { HistogramShape.charge(for: $0) } ?? 0) } }

    /// Sets a step at or behind the end, with nothing between.
    mutating func append(_ value: Double, at step: Int) {
        pad(to: step)
        values.append(value)
        if hasHistograms { histograms.append(nil) }
    }

    mutating func append(_ histogram: NativeHistogram, at step: Int) {
        pad(to: step)
        if !hasHistograms { histograms = Array(repeating: nil, count: values.count) }
        values.append(Row.absent)
        histograms.append(histogram)
    }

    private mutating func pad(to step: Int) {
        if values.isEmpty { base = step }
        while end < step {
            values.append(Row.absent)
            if hasHistograms { histograms.append(nil) }
        }
    }

    mutating func removeHistograms() { histograms = [] }

    /// The labels that say what is measured; they go when an operation makes something else of it (schema.IsMetadataLabel).
    private static let metadata: Set<String> = [LabelSet.metricName, "__type__", "__unit__"]

    static func withoutMetadata(_ labels: LabelSet) -> LabelSet {
        labels.labels.contains { $0.name.hasPrefix("__") }
            ? labels.filtered { !$0.hasPrefix("__") || !metadata.contains($0) } : labels
    }
}
