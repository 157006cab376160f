import TelemetryModel

/// Makes what callers see of a series' tracks: numbers, histograms, and the parts of classic ones.
struct SampleOutput {
    private let gaugeValue: SeriesQuery.GaugeValue
    private(set) var series: [SeriesSamples] = []
    /// By labels: series that differ in kind or bounds alone are one.
    private var numbers: [LabelSet: Int] = [:]
    /// All labels differ, so nobody has to look.
    private let isDistinct: Bool

    /// `matches`: the series that will come.
    init(_ gaugeValue: SeriesQuery.GaugeValue, _ matches: [MatchedSeries]) {
        self.gaugeValue = gaugeValue
        // Parts of a histogram may be called as another series is.
        isDistinct = matches.allSatisfy { $0.kind != .classicHistogram && $0.form == matches[0].form }
        let count = matches.reduce(0) { $0 + max($1.parts.count, 1) }
        if !isDistinct { numbers.reserveCapacity(count) }
        series.reserveCapacity(count)
    }

    mutating func append(_ match: MatchedSeries, _ tracks: [Track]) {
        guard !tracks.isEmpty else { return }
        if match.kind == .classicHistogram {
            guard let track = tracks.first, tracks.count == 1, track.width == match.bounds.count + 3 else { return }
            for part in match.parts {
                add(SeriesSamples(labels: part.labels(match.labels, match.bounds), times: track.times, values: part.values(track)))
            }
            return
        }
        var samples = SeriesSamples(labels: match.labels)
        for track in tracks {
            let values = values(of: track)
            if track.width == 0 {
                for (index, native) in track.natives.enumerated() where !track.isMarker(index) {
                    samples.histograms.append((samples.times.count + index, native))
                }
            }
            if gaugeValue == .mean, track.width == GaugeColumn.count || !samples.weights.isEmpty {
                let before = samples.weights.isEmpty ? samples.times.map { _ in 1 } : samples.weights
                samples.weights = before + weights(of: track)
            }
            samples.times = samples.times.isEmpty ? track.times : samples.times + track.times
            samples.values = samples.values.isEmpty ? values : samples.values + values
        }
        add(samples)
    }

    private func weights(of track: Track) -> [Double] {
        track.width == GaugeColumn.count ? track.columns[GaugeColumn.samples] : track.times.map { _ in 1 }
    }

    private func values(of track: Track) -> [Double] {
        switch track.width {
        case 0: track.natives.map(\.sum)
        case GaugeColumn.count: windows(track)
        default: track.columns[0]
        }
    }

    private func windows(_ track: Track) -> [Double] {
        let last = track.columns[GaugeColumn.last]
        let values: [Double] =
            switch gaugeValue {
            case .last: last
            case .mean: zip(track.columns[GaugeColumn.sum], track.columns[GaugeColumn.samples]).map { $0 / $1 }
            case .sum: track.columns[GaugeColumn.sum]
            case .least: track.columns[GaugeColumn.least]
            case .most: track.columns[GaugeColumn.most]
            }
        return zip(values, last).map { SeriesSamples.isStale($1) ? $1 : $0 }
    }

    private mutating func add(_ samples: SeriesSamples) {
        if isDistinct { return series.append(samples) }
        guard let known = numbers[samples.labels] else {
            numbers[samples.labels] = series.count
            series.append(samples)
            return
        }
        series[known] = Self.merged(series[known], samples)
    }

    /// Two series with the same labels in order of time; of two samples of one time the first series' stays.
    private static func merged(_ left: SeriesSamples, _ right: SeriesSamples) -> SeriesSamples {
        var merged = SeriesSamples(labels: left.labels)
        let sides = [left, right]
        let hasWeights = !left.weights.isEmpty || !right.weights.isEmpty
        let histograms = sides.map { side in Dictionary(side.histograms.map { ($0.index, $0.histogram) }) { first, _ in first } }
        var next = [0, 0]
        while next[0] < left.times.count || next[1] < right.times.count {
            let side = next[1] >= right.times.count || next[0] < left.times.count && left.times[next[0]] <= right.times[next[1]] ? 0 : 1
            let index = next[side]
            next[side] += 1
            guard merged.times.last != sides[side].times[index] else { continue }
            if let histogram = histograms[side][index] { merged.histograms.append((merged.times.count, histogram)) }
            merged.times.append(sides[side].times[index])
            merged.values.append(sides[side].values[index])
            if hasWeights { merged.weights.append(sides[side].weights.isEmpty ? 1 : sides[side].weights[index]) }
        }
        return merged
    }
}
