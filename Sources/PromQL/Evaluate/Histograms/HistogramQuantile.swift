internal import Glibc
internal import TelemetryModel

/// Quantiles, fractions and deviations of native histograms (promql/quantile.go): linear inside custom buckets and the zero bucket,
/// exponential inside exponential ones.
struct HistogramQuantile {
    enum Remark { case none, resultIsNaN, skewedByNaNs }

    static func quantile(_ q: Double, of histogram: NativeHistogram) -> (value: Double, remark: Remark) {
        if q < 0 { return (-.infinity, .none) }
        if q > 1 { return (.infinity, .none) }
        guard histogram.count != 0, !q.isNaN else { return (.nan, .none) }
        // Observations of NaN are in the count and in no bucket, so ranks hold from below only.
        let isForward = histogram.sum.isNaN || q < 0.5
        let rank = (isForward ? q : 1 - q) * histogram.count
        var (bucket, count) = find(rank, in: histogram, isForward: isForward)
        if let end = narrow(&bucket, of: histogram) { return (end, .none) }
        count = min(count, histogram.count)
        let remark: Remark = histogram.sum.isNaN ? .skewedByNaNs : .none
        if count < rank { return histogram.sum.isNaN ? (.nan, .resultIsNaN) : (bucket.upper, .none) }
        let part = (isForward ? rank - (count - bucket.count) : count - rank) / bucket.count
        return (interpolate(bucket, part, isLinear: HistogramShape.isCustom(histogram) || (bucket.lower <= 0 && bucket.upper >= 0)), remark)
    }

    /// The bucket in which the rank falls, and what is counted up to its end.
    private static func find(_ rank: Double, in histogram: NativeHistogram, isForward: Bool) -> (HistogramBucket, Double) {
        var found = HistogramBucket(lower: 0, upper: 0, count: 0)
        var count = 0.0
        let buckets = HistogramShape.buckets(of: histogram)
        for bucket in isForward ? buckets : buckets.reversed() {
            found = bucket
            if bucket.count == 0 { continue }
            count += bucket.count
            if count >= rank { break }
        }
        return (found, count)
    }

    /// Zero ends a bucket that only one sign can fill. A result for buckets without an end.
    private static func narrow(_ bucket: inout HistogramBucket, of histogram: NativeHistogram) -> Double? {
        if HistogramShape.isCustom(histogram) {
            if bucket.lower == -.infinity {
                if bucket.upper <= 0 { return bucket.upper }
                bucket.lower = 0
            } else if bucket.upper == .infinity {
                return bucket.lower
            }
        } else if bucket.lower < 0, bucket.upper > 0 {
            narrowZero(&bucket, of: histogram)
        }
        return nil
    }

    private static func narrowZero(_ bucket: inout HistogramBucket, of histogram: NativeHistogram) {
        if histogram.negativeCounts.isEmpty, !histogram.positiveCounts.isEmpty { bucket.lower = 0 }
        if histogram.positiveCounts.isEmpty, !histogram.negativeCounts.isEmpty { bucket.upper = 0 }
    }

    private static func interpolate(_ bucket: HistogramBucket, _ part: Double, isLinear: Bool) -> Double {
        if isLinear { return bucket.lower + (bucket.upper - bucket.lower) * part }
        let (lower, upper) = (log2(bucket.lower.magnitude), log2(bucket.upper.magnitude))
        if bucket.lower > 0 { return exp2(lower + (upper - lower) * part) }
        return -exp2(upper + (lower - upper) * (1 - part))
    }

    /// The share of observations between two values; of those that are NaN none.
    static func fraction(from low: Double, to high: Double, of histogram: NativeHistogram) -> Double {
        guard histogram.count != 0, !low.isNaN, !high.isNaN else { return .nan }
        if low >= high { return 0 }
        let buckets = HistogramShape.buckets(of: histogram)
        let count = histogram.sum.isNaN ? buckets.reduce(0) { $0 + $1.count } : histogram.count
        let below = rank(of: low, buckets, histogram).map { min($0, count) } ?? count
        let above = rank(of: high, buckets, histogram).map { min($0, count) } ?? count
        return (above - below) / histogram.count
    }

    /// Observations below a value; nil above all buckets.
    private static func rank(of value: Double, _ buckets: [HistogramBucket], _ histogram: NativeHistogram) -> Double? {
        var rank = 0.0
        for bucket in buckets {
            var bucket = bucket
            let isZero = bucket.lower <= 0 && bucket.upper >= 0
            if isZero { narrowZero(&bucket, of: histogram) }
            if bucket.lower >= value { return rank }
            if bucket.upper > value {
                return rank + bucket.count * part(of: value, bucket, isLinear: isZero || HistogramShape.isCustom(histogram))
            }
            rank += bucket.count
        }
        return nil
    }

    private static func part(of value: Double, _ bucket: HistogramBucket, isLinear: Bool) -> Double {
        // Nothing is known of where in an endless bucket observations are: none of it counts.
        if bucket.lower == -.infinity { return 1 }
        if isLinear { return (value - bucket.lower) / (bucket.upper - bucket.lower) }
        let (lower, upper, at) = (log2(bucket.lower.magnitude), log2(bucket.upper.magnitude), log2(value.magnitude))
        return value > 0 ? (at - lower) / (upper - lower) : 1 - (at - upper) / (lower - upper)
    }

    /// The mean square distance from the mean, each bucket at its middle.
    static func variance(of histogram: NativeHistogram) -> Double {
        let mean = histogram.sum / histogram.count
        var squares = KahanSum()
        for bucket in HistogramShape.buckets(of: histogram) where bucket.count != 0 {
            let distance = middle(of: bucket, isCustom: HistogramShape.isCustom(histogram)) - mean
            squares.add(bucket.count * distance * distance)
        }
        return (squares.sum + squares.lost) / histogram.count
    }

    private static func middle(of bucket: HistogramBucket, isCustom: Bool) -> Double {
        if isCustom { return (bucket.upper + bucket.lower) / 2 }
        if bucket.lower <= 0, bucket.upper >= 0 { return 0 }
        let middle = (bucket.upper * bucket.lower).squareRoot()
        return bucket.upper < 0 ? -middle : middle
    }
}
