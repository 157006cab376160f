internal import TelemetryModel
internal import TelemetryStore

/// Puts samples between those of wide windows, so that ranges and look-backs shorter than a window find some. Pure.
struct WindowFilling {
    /// Samples that one window may become.
    static let partsMax: Int64 = 256

    private let stretches: [TelemetryStore.SeriesSelection.Stretch]
    private let reading: WindowReading
    private let through: Int64

    /// `through`: nothing is needed behind it. Milliseconds since 1970.
    init(_ stretches: [TelemetryStore.SeriesSelection.Stretch], _ reading: WindowReading, through: Int64) {
        self.stretches = stretches.filter { $0.resolution > 0 }
        self.reading = reading
        self.through = through
    }

    func fill(_ series: SeriesSamples) -> SeriesSamples {
        series.histograms.isEmpty && series.weights.isEmpty ? fillNumbers(series) : fillAnything(series)
    }

    /// Series of numbers alone, the most. What divisions give is used again while samples are as far apart as before.
    private func fillNumbers(_ series: SeriesSamples) -> SeriesSamples {
        let times = series.times.span
        let values = series.values.span
        var filled = SeriesSamples(labels: series.labels)
        filled.times.reserveCapacity(room(for: series))
        filled.values.reserveCapacity(room(for: series))
        var index = 0
        for stretch in stretches {
            let window = stretch.resolution
            var division = Division()
            while index < times.count, times[index] < stretch.end {
                let (time, value) = (times[index], values[index])
                filled.times.append(time)
                let parts = time < stretch.start || SeriesSamples.isStale(value) ? 1 : parts(times, values, index, window, &division)
                filled.values.append(parts > 1 && reading.manner == .shared(isSum: true) ? value * (1 / Double(parts)) : value)
                if parts > 1 { appendParts(times, values, index, division, &filled) }
                index += 1
            }
        }
        // Behind the last windows everything is as it came.
        filled.times.append(contentsOf: series.times[index...])
        filled.values.append(contentsOf: series.values[index...])
        return filled
    }

    /// The parts of a sample but the first.
    @inline(__always)
    private func appendParts(
        _ times: Span<Int64>, _ values: Span<Double>, _ index: Int, _ division: Division, _ filled: inout SeriesSamples
    ) {
        let value = values[index]
        let increase = reading.manner == .even ? values[index + 1] - value : 0
        let share = reading.manner == .shared(isSum: true) ? 1 / Double(division.parts) : 1
        var (at, rest) = (times[index], Int64(0))
        for part in 1..<division.parts {
            // The way times the part, by the parts, rounded down.
            at += division.spacing
            rest += division.rest
            if rest >= division.parts { (at, rest) = (at + 1, rest - division.parts) }
            if at > through { break }
            filled.times.append(at)
            switch reading.manner {
            case .even: filled.values.append(value + increase * (Double(part) / Double(division.parts)))
            case .held: filled.values.append(value)
            case .shared(let isSum): filled.values.append(isSum ? value * share : value)
            }
        }
    }

    /// A length in parts.
    private struct Division {
        var length: Int64 = -1
        var parts: Int64 = 1
        var spacing: Int64 = 0
        var rest: Int64 = 0
        /// Number of the window that a sample is in, and its time.
        var window: Int64 = 0
        var time = Int64.min
    }

    /// As `parts(_:_:_:)`, and how they lie in `division`.
    @inline(__always)
    private func parts(
        _ times: Span<Int64>, _ values: Span<Double>, _ index: Int, _ window: Int64, _ division: inout Division
    ) -> Int64 {
        let time = times[index]
        let isLast = index + 1 >= times.count
        if reading.manner == .even {
            guard !isLast, values[index + 1] >= values[index] else { return 1 }
            let number = division.time == time ? division.window : time / window
            division.window = times[index + 1] / window
            division.time = times[index + 1]
            guard division.window - number <= 1 else { return 1 }
        }
        let latest = time.addingReportingOverflow(window).overflow ? Int64.max : time + window
        let length = (isLast ? latest : min(times[index + 1], latest)) - time
        if length != division.length {
            division.length = length
            division.parts = min(max((length + reading.spacing - 1) / reading.spacing, 1), Self.partsMax)
            (division.spacing, division.rest) = length.quotientAndRemainder(dividingBy: division.parts)
        }
        return division.parts
    }

    /// Samples that a series becomes, about.
    private func room(for series: SeriesSamples) -> Int {
        series.times.count * Int(min(max((stretches.map(\.resolution).max() ?? 0) / reading.spacing, 1), 8))
    }

    private func fillAnything(_ series: SeriesSamples) -> SeriesSamples {
        var filled = SeriesSamples(labels: series.labels)
        let histograms = Dictionary(series.histograms.map { ($0.index, $0.histogram) }) { first, _ in first }
        filled.times.reserveCapacity(room(for: series))
        filled.values.reserveCapacity(room(for: series))
        var stretch = 0
        for index in series.times.indices {
            let time = series.times[index]
            while stretch < stretches.count, stretches[stretch].end <= time { stretch += 1 }
            let window = stretch < stretches.count && stretches[stretch].start <= time ? stretches[stretch].resolution : 0
            let parts = SeriesSamples.isStale(series.values[index]) ? 1 : parts(series, index, window)
            let length = window == 0 ? 0 : end(series, index, window) - time
            for part in 0..<parts {
                let at = time + length * part / parts
                if part > 0, at > through { break }
                filled.times.append(at)
                append(series, histograms, index, Double(part) / Double(parts), share: 1 / Double(parts), to: &filled)
            }
        }
        return filled
    }

    /// Adds what stands at a part (0…1) of the way from a sample to the next one, and has this share of what the sample stands for.
    @inline(__always)
    private func append(
        _ series: SeriesSamples, _ histograms: [Int: NativeHistogram], _ index: Int, _ way: Double, share: Double,
        to filled: inout SeriesSamples
    ) {
        var value = series.values[index]
        var weight = series.weights.isEmpty ? 1 : series.weights[index]
        switch reading.manner {
        case .held: break
        case .shared(let isSum):
            weight *= share
            // Arithmetic would make another NaN of a staleness marker.
            if isSum, !SeriesSamples.isStale(value) { value *= share }
        case .even where way > 0:
            value += (series.values[index + 1] - value) * way
        case .even: break
        }
        if !series.weights.isEmpty { filled.weights.append(weight) }
        if !histograms.isEmpty, let histogram = histograms[index] {
            let later = reading.manner == .even && way > 0 ? histograms[index + 1] : nil
            let shown = later.map { histogram.between($0, way) } ?? histogram
            filled.histograms.append((filled.values.count, shown))
            value = shown.sum
        }
        filled.values.append(value)
    }

    /// Where what a sample stands for ends: the next sample, at most a window later.
    private func end(_ series: SeriesSamples, _ index: Int, _ window: Int64) -> Int64 {
        let time = series.times[index]
        let latest = time.addingReportingOverflow(window).overflow ? Int64.max : time + window
        return index + 1 < series.times.count ? min(series.times[index + 1], latest) : latest
    }

    /// How many samples this one becomes.
    private func parts(_ series: SeriesSamples, _ index: Int, _ window: Int64) -> Int64 {
        guard window > 0 else { return 1 }
        if reading.manner == .even {
            // Nothing is known of what lies between a reset's two sides, or across a gap.
            guard index + 1 < series.times.count, series.values[index + 1] >= series.values[index],
                series.times[index + 1] / window - series.times[index] / window <= 1
            else { return 1 }
        }
        let length = end(series, index, window) - series.times[index]
        return min(max((length + reading.spacing - 1) / reading.spacing, 1), Self.partsMax)
    }
}

extension NativeHistogram {
    /// The histogram at a part (0…1) of the way to a later one; itself where their buckets differ.
    fileprivate func between(_ later: NativeHistogram, _ way: Double) -> NativeHistogram {
        guard schema == later.schema, zeroThreshold == later.zeroThreshold, positiveSpans == later.positiveSpans,
            negativeSpans == later.negativeSpans, customBounds == later.customBounds
        else { return self }
        func mix(_ left: Double, _ right: Double) -> Double { left + (right - left) * way }
        var mixed = self
        mixed.count = mix(count, later.count)
        mixed.sum = mix(sum, later.sum)
        mixed.zeroCount = mix(zeroCount, later.zeroCount)
        mixed.positiveCounts = zip(positiveCounts, later.positiveCounts).map(mix)
        mixed.negativeCounts = zip(negativeCounts, later.negativeCounts).map(mix)
        return mixed
    }
}
