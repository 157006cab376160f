internal import TelemetryModel

/// One series' samples for windows over them: numbers and histograms apart, none of them stale, each in the order of time.
struct RangeSamples {
    let labels: LabelSet
    let dropsName: Bool
    /// Milliseconds, one for each number.
    var times: [Int64] = []
    var values: [Double] = []
    /// Of how many samples each number is the mean; empty = of one.
    var weights: [Double] = []
    /// Milliseconds, one for each histogram.
    var histogramTimes: [Int64] = []
    var histograms: [NativeHistogram] = []

    var name: String { labels[LabelSet.metricName] ?? "" }

    /// The samples after a time and up to another one.
    init(_ series: SeriesSamples, after: Int64, through: Int64) {
        labels = series.labels
        dropsName = false
        let isWhole = (series.times.first ?? after) > after && (series.times.last ?? through) <= through
        if isWhole, series.histograms.isEmpty, !series.values.contains(where: { SeriesSamples.isStale($0) }) {
            times = series.times
            values = series.values
            weights = series.weights
            return
        }
        var next = 0
        for (index, time) in series.times.enumerated() {
            let isHistogram = next < series.histograms.count && series.histograms[next].index == index
            defer { next += isHistogram ? 1 : 0 }
            guard time > after, time <= through, !SeriesSamples.isStale(series.values[index]) else { continue }
            if isHistogram {
                append(series.histograms[next].histogram, at: time)
            } else {
                append(series.values[index], at: time)
                if !series.weights.isEmpty { weights.append(series.weights[index]) }
            }
        }
    }

    /// What a subquery found. Hints of counter resets hold between neighbours of the original series only, so they are forgotten.
    init(_ row: Row, _ steps: Steps) {
        labels = row.labels
        dropsName = row.dropsName
        for index in row.values.indices {
            let time = steps.time(row.base + index)
            if row.hasHistograms, var histogram = row.histograms[index] {
                if histogram.resetHint != .gauge { histogram.resetHint = .unknown }
                append(histogram, at: time)
            } else if !Row.isAbsent(row.values[index]) {
                append(row.values[index], at: time)
            }
        }
    }

    private mutating func append(_ value: Double, at time: Int64) {
        times.append(time)
        values.append(value)
    }

    private mutating func append(_ histogram: NativeHistogram, at time: Int64) {
        histogramTimes.append(time)
        histograms.append(histogram)
    }

    /// Where a counter fell: indices of the samples before which it was reset.
    var resets: [Int] {
        var found: [Int] = []
        for index in values.indices.dropFirst() where values[index] < values[index - 1] { found.append(index) }
        return found
    }

    /// The samples after a time and up to another one, together again.
    func series(after: Int64, through: Int64) -> SeriesSamples {
        var series = SeriesSamples(labels: labels)
        var (number, histogram) = (0, 0)
        while number < times.count || histogram < histogramTimes.count {
            let isNumber = histogram >= histogramTimes.count || (number < times.count && times[number] < histogramTimes[histogram])
            let time = isNumber ? times[number] : histogramTimes[histogram]
            if time > after, time <= through {
                if !isNumber { series.histograms.append((series.times.count, histograms[histogram])) }
                series.values.append(isNumber ? values[number] : histograms[histogram].sum)
                series.times.append(time)
            }
            if isNumber { number += 1 } else { histogram += 1 }
        }
        return series
    }
}
