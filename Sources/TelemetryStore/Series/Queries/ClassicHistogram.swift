import Primitives
import TelemetryModel

/// A classic histogram as Prometheus shows it: series `_bucket` with a label `le` for each bucket, `_sum` and `_count`
/// (prometheus.io/docs/concepts/metric_types).
enum HistogramPart: Hashable, Sendable {
    /// Buckets up to and with this one.
    case bucket(Int)
    case count
    case sum

    static let suffixes: [(part: HistogramPart, suffix: String)] = [(.bucket(0), "_bucket"), (.count, "_count"), (.sum, "_sum")]
    static let boundLabel = "le"

    var suffix: String {
        switch self {
        case .bucket: "_bucket"
        case .count: "_count"
        case .sum: "_sum"
        }
    }

    /// The labels of this part of a histogram.
    func labels(_ histogram: LabelSet, _ bounds: [Double]) -> LabelSet {
        var labels = histogram
        labels[LabelSet.metricName] = (histogram[LabelSet.metricName] ?? "") + suffix
        if case .bucket(let index) = self { labels[Self.boundLabel] = Self.text(bound: index, bounds) }
        return labels
    }

    static func text(bound index: Int, _ bounds: [Double]) -> String { index < bounds.count ? GoFloat.general(bounds[index]) : "+Inf" }

    /// The part's values of a track of histograms.
    func values(_ track: Track) -> [Double] {
        switch self {
        case .count: return rawColumn(track, track.width - 2)
        case .sum: return track.columns[track.width - 1]
        case .bucket(let last):
            var values = track.columns[0]
            for column in track.columns[1..<max(last + 1, 1)] { for index in values.indices { values[index] += column[index] } }
            return marked(values, track)
        }
    }

    private func rawColumn(_ track: Track, _ number: Int) -> [Double] { marked(track.columns[number], track) }

    /// The sum alone says that the histogram ended.
    private func marked(_ values: [Double], _ track: Track) -> [Double] {
        let sums = track.columns[track.width - 1]
        guard sums.contains(where: SeriesSamples.isStale) else { return values }
        return zip(values, sums).map { SeriesSamples.isStale($1) ? SeriesSamples.staleMarker : $0 }
    }
}
