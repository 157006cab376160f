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
    /// What is still to be put between numbers; nil = nothing. For `rate` and `increase` alone.
    private(set) var filling: WindowFilling?
    /// Indices of numbers before which there were stale ones, ascending.
    private var gaps: [Int] = []
    /// No number is less than the one before, and each can be compared: nothing is a break.
    private var isRising = false

    var name: String { labels[LabelSet.metricName] ?? "" }

    /// The samples after a time and up to another one.
    init(_ series: SeriesSamples, after: Int64, through: Int64) {
        labels = series.labels
        dropsName = false
        let isWhole = (series.times.first ?? after) > after && (series.times.last ?? through) <= through
        isRising = series.histograms.isEmpty && Self.isRising(series.values)
        if isWhole, series.histograms.isEmpty, isRising || !series.values.contains(where: { SeriesSamples.isStale($0) }) {
            times = series.times
            values = series.values
            weights = series.weights
            return
        }
        var next = 0
        for (index, time) in series.times.enumerated() {
            let isHistogram = next < series.histograms.count && series.histograms[next].index == index
            defer { next += isHistogram ? 1 : 0 }
            guard time > after, time <= through, !SeriesSamples.isStale(series.values[index]) else {
                if gaps.last != times.count { gaps.append(times.count) }
                continue
            }
            if isHistogram {
                append(series.histograms[next].histogram, at: time)
            } else {
                append(series.values[index], at: time)
                if !series.weights.isEmpty { weights.append(series.weights[index]) }
            }
        }
    }

    /// As most counters are. Nothing of it is stale then, as a stale value is no number.
    private static func isRising(_ values: [Double]) -> Bool {
        let values = values.span
        guard let first = values.indices.first, !values[first].isNaN else { return false }
        for index in values.indices.dropFirst() where !(values[index] >= values[index - 1]) { return false }
        return true
    }

    /// Samples of a counter between which others are to be put. Nil when these have to be there: all samples must be numbers within the
    /// time, and their increase even.
    init?(unfilled series: SeriesSamples, _ filling: WindowFilling?, after: Int64, through: Int64) {
        guard let filling, filling.manner == .even, series.histograms.isEmpty, series.weights.isEmpty,
            let first = series.times.first, let last = series.times.last, first > after, last <= through
        else { return nil }
        self.init(series, after: after, through: through)
        self.filling = filling
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
    var resets: [Int] { resets(among: breaks) }

    func resets(among breaks: [Int]) -> [Int] { breaks.filter { values[$0] < values[$0 - 1] } }

    /// Indices of numbers that are less than those before, or cannot be compared with them, or have stale ones before: nobody knows how a
    /// counter got there.
    var breaks: [Int] {
        if isRising { return [] }
        let values = values.span
        var found: [Int] = []
        var gap = 0
        for index in values.indices.dropFirst() {
            while gap < gaps.count, gaps[gap] < index { gap += 1 }
            if !(values[index] >= values[index - 1]) || (gap < gaps.count && gaps[gap] == index) { found.append(index) }
        }
        return found
    }

    /// Where all numbers are once those between are put in; nil = where they are now.
    func filledTimes(_ breaks: [Int]) -> FilledTimes? {
        var next = 0
        return filling?.filledTimes(times) { index in
            while next < breaks.count, breaks[next] <= index { next += 1 }
            return next == breaks.count || breaks[next] > index + 1
        }
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
