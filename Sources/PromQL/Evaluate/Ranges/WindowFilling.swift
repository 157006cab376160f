public import TelemetryModel

/// Puts samples between those of wide windows, so that ranges and look-backs shorter than a window find some. Pure.
public struct WindowFilling: Sendable {
    /// Samples that one window may become.
    public static let partsMax: Int64 = 256

    /// A stretch of time whose samples stand for windows of one width.
    public struct Stretch: Sendable {
        /// From `start` on, before `end`. Milliseconds since 1970.
        public var start: Int64
        public var end: Int64
        /// Width of a window, milliseconds; 0 = every sample as it came. Windows begin at multiples of it.
        public var resolution: Int64

        public init(start: Int64, end: Int64, resolution: Int64) {
            self.start = start
            self.end = end
            self.resolution = resolution
        }
    }

    /// What is between samples.
    public enum Manner: Hashable, Sendable {
        /// Between two samples of a counter its increase is even.
        case even
        /// A value holds until the next.
        case held
        /// A window's value is shared out to the parts that stand for it: its sum, or its weight.
        case shared(isSum: Bool)
    }

    let manner: Manner
    private let stretches: [Stretch]
    /// Samples must not be further apart than this, milliseconds.
    private let spacing: Int64
    private let through: Int64

    /// `stretches`: in order of time; `through`: nothing is needed behind it. Milliseconds since 1970.
    public init(_ stretches: [Stretch], _ manner: Manner, spacing: Int64, through: Int64) {
        self.stretches = stretches.filter { $0.resolution > 0 }
        self.manner = manner
        self.spacing = max(spacing, 1)
        self.through = through
    }

    public func fill(_ series: SeriesSamples) -> SeriesSamples {
        series.histograms.isEmpty && series.weights.isEmpty ? fillNumbers(series) : fillAnything(series)
    }

    /// Series of numbers alone, the most.
    private func fillNumbers(_ series: SeriesSamples) -> SeriesSamples {
        let values = series.values.span
        let places = manner == .even
            ? filledTimes(series.times) { values[$0 + 1] >= values[$0] } : filledTimes(series.times) { !SeriesSamples.isStale(values[$0]) }
        var filled = SeriesSamples(labels: series.labels, times: places.times)
        filled.values.reserveCapacity(places.times.count)
        for index in values.indices {
            let (value, parts) = (values[index], places.parts[index])
            let count = places.starts[index + 1] - places.starts[index]
            guard parts > 1 else {
                filled.values.append(value)
                continue
            }
            switch manner {
            case .held, .shared(isSum: false): filled.values.append(contentsOf: repeatElement(value, count: count))
            case .shared(isSum: true): filled.values.append(contentsOf: repeatElement(value * (1 / Double(parts)), count: count))
            case .even:
                filled.values.append(value)
                let increase = values[index + 1] - value
                for part in 1..<count { filled.values.append(value + increase * (Double(part) / Double(parts))) }
            }
        }
        return filled
    }

    /// Where samples at these times are, with those put between them. `isOpen`: whether there may be any behind a sample, by its index; for
    /// even increases it is not asked of the last one, behind which nothing is known.
    func filledTimes(_ times: [Int64], isOpen: (Int) -> Bool) -> FilledTimes {
        var filled = FilledTimes(room: times.count, each: parts(of: stretches.reduce(0) { max($0, $1.resolution) }))
        let last = times.count - 1
        var index = 0
        for stretch in stretches {
            var division = Division()
            while index < times.count, times[index] < stretch.end {
                let isInside = times[index] >= stretch.start && !(manner == .even && index == last) && isOpen(index)
                if isInside, isDivided(times.span, index, stretch.resolution, &division) {
                    filled.append(times[index], division, through: through)
                } else {
                    filled.append(times[index])
                }
                index += 1
            }
        }
        // Behind the last windows everything is as it came.
        for time in times[index...] { filled.append(time) }
        return filled
    }

    /// Whether there are parts behind a sample, and how they lie in `division`, which is good as long as samples are as far apart.
    @inline(__always)
    private func isDivided(_ times: Span<Int64>, _ index: Int, _ window: Int64, _ division: inout Division) -> Bool {
        let time = times[index]
        if manner == .even {
            // Nothing is known of what lies across a gap.
            let number = division.time == time ? division.window : time / window
            division.window = times[index + 1] / window
            division.time = times[index + 1]
            guard division.window - number <= 1 else { return false }
        }
        let latest = time.addingReportingOverflow(window).overflow ? Int64.max : time + window
        let length = (index + 1 < times.count ? min(times[index + 1], latest) : latest) - time
        if length != division.length {
            division.length = length
            division.parts = parts(of: length)
            (division.spacing, division.rest) = length.quotientAndRemainder(dividingBy: division.parts)
        }
        return division.parts > 1
    }

    /// How many parts a length becomes.
    private func parts(of length: Int64) -> Int64 { min(max((length + spacing - 1) / spacing, 1), Self.partsMax) }

    private func fillAnything(_ series: SeriesSamples) -> SeriesSamples {
        var filled = SeriesSamples(labels: series.labels)
        let histograms = Dictionary(series.histograms.map { ($0.index, $0.histogram) }) { first, _ in first }
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
        switch manner {
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
            let later = manner == .even && way > 0 ? histograms[index + 1] : nil
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
        if manner == .even {
            // Nothing is known of what lies between a reset's two sides, or across a gap.
            guard index + 1 < series.times.count, series.values[index + 1] >= series.values[index],
                series.times[index + 1] / window - series.times[index] / window <= 1
            else { return 1 }
        }
        return parts(of: end(series, index, window) - series.times[index])
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
