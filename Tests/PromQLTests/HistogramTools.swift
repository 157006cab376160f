@testable import PromQL
import TelemetryModel

/// What tests do with native histograms, besides evaluating.
enum HistogramTools {
    static func sum(_ left: NativeHistogram, _ right: NativeHistogram) -> NativeHistogram {
        (try? HistogramArithmetic.add(left, right))?.histogram ?? left
    }

    static func difference(_ left: NativeHistogram, _ right: NativeHistogram) -> NativeHistogram {
        (try? HistogramArithmetic.subtract(left, right))?.histogram ?? left
    }

    /// The hints that a store of chunks gives: a chunk's first sample is unknown, the ones behind it were not reset. A reset begins a
    /// chunk, and so does another layout.
    static func storedHint(of histogram: NativeHistogram, after previous: NativeHistogram?) -> NativeHistogram.ResetHint {
        if histogram.resetHint == .gauge { return .gauge }
        guard let previous, previous.resetHint != .gauge, previous.schema == histogram.schema, histogram.resetHint != .reset,
            previous.zeroThreshold == histogram.zeroThreshold, previous.customBounds == histogram.customBounds
        else { return .unknown }
        var plain = histogram
        plain.resetHint = .unknown
        return HistogramArithmetic.wasReset(plain, since: previous) ? .unknown : .noReset
    }

    static func areAlmostEqual(_ left: NativeHistogram, _ right: NativeHistogram) -> Bool {
        let (left, right) = (HistogramArithmetic.compact(left), HistogramArithmetic.compact(right))
        return left.schema == right.schema && Tolerance.areAlmostEqual(left.count, right.count)
            && Tolerance.areAlmostEqual(left.sum, right.sum)
            && left.zeroThreshold == right.zeroThreshold && Tolerance.areAlmostEqual(left.zeroCount, right.zeroCount)
            && left.customBounds == right.customBounds && left.positiveSpans == right.positiveSpans
            && left.negativeSpans == right.negativeSpans
            && zip(left.positiveCounts, right.positiveCounts).allSatisfy { Tolerance.areAlmostEqual($0, $1) }
            && zip(left.negativeCounts, right.negativeCounts).allSatisfy { Tolerance.areAlmostEqual($0, $1) }
    }

    static func text(of histogram: NativeHistogram) -> String {
        "schema \(histogram.schema) zero \(histogram.zeroThreshold) hint \(histogram.resetHint) bounds \(histogram.customBounds) "
            + HistogramShape.text(of: histogram)
    }
}

enum Tolerance {
    static let relative = 0.000001

    static func areAlmostEqual(_ left: Double, _ right: Double) -> Bool {
        if SeriesSamples.isStale(left) || SeriesSamples.isStale(right) {
            return SeriesSamples.isStale(left) && SeriesSamples.isStale(right)
        }
        if left.isNaN && right.isNaN || left == right { return true }
        let sum = left.magnitude + right.magnitude
        let difference = (left - right).magnitude
        if left == 0 || right == 0 || sum < .leastNormalMagnitude { return difference < relative * .leastNormalMagnitude }
        return difference / min(sum, .greatestFiniteMagnitude) < relative
    }
}

/// Classic histograms of a load made into native ones with custom bounds, as `load_with_nhcb` wants.
enum ClassicConversion {
    private struct Parts {
        var labels: LabelSet
        /// By time: cumulative counts by bound, the count and the sum.
        var buckets: [Int64: [Double: Double]] = [:]
        var counts: [Int64: Double] = [:]
        var sums: [Int64: Double] = [:]
    }

    static func natives(of series: [SeriesSamples]) -> [SeriesSamples] {
        var found: [LabelSet: Parts] = [:]
        for one in series {
            let name = one.labels[LabelSet.metricName] ?? ""
            guard let suffix = ["_bucket", "_count", "_sum"].first(where: { name.hasSuffix($0) }) else { continue }
            var labels = one.labels.filtered { $0 != "le" }
            labels[LabelSet.metricName] = String(name.dropLast(suffix.count))
            var parts = found[labels] ?? Parts(labels: labels)
            for (time, value) in zip(one.times, one.values) {
                switch suffix {
                case "_bucket":
                    guard let bound = Double((one.labels["le"] ?? "").replacing("+", with: "")) ?? nil else { continue }
                    parts.buckets[time, default: [:]][bound] = value
                case "_count": parts.counts[time] = value
                default: parts.sums[time] = value
                }
            }
            found[labels] = parts
        }
        return found.values.map(native)
    }

    private static func native(_ parts: Parts) -> SeriesSamples {
        var series = SeriesSamples(labels: parts.labels)
        for time in Set(parts.buckets.keys).union(parts.counts.keys).union(parts.sums.keys).sorted() {
            let bounds = (parts.buckets[time] ?? [:]).sorted { $0.key < $1.key }
            let total = parts.counts[time] ?? bounds.last?.value ?? 0
            var histogram = NativeHistogram(schema: NativeHistogram.customSchema, count: total, sum: parts.sums[time] ?? 0)
            histogram.customBounds = bounds.map(\.key).filter { $0 < .infinity }
            var before = 0.0
            for (bound, count) in bounds where bound < .infinity {
                histogram.positiveCounts.append(count - before)
                before = count
            }
            histogram.positiveCounts.append(total - before)
            histogram.positiveSpans = [NativeHistogram.Span(offset: 0, length: UInt32(histogram.positiveCounts.count))]
            series.histograms.append((series.times.count, histogram))
            series.times.append(time)
            series.values.append(histogram.sum)
        }
        return series
    }
}
