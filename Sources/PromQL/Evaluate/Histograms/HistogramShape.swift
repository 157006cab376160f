internal import Primitives
internal import TelemetryModel

/// The buckets of a native histogram as values on the line, and its printed form (model/histogram).
enum HistogramShape {
    static func isCustom(_ histogram: NativeHistogram) -> Bool { histogram.schema == NativeHistogram.customSchema }

    static func positive(_ histogram: NativeHistogram) -> BucketTable { BucketTable(histogram.positiveSpans, histogram.positiveCounts) }
    static func negative(_ histogram: NativeHistogram) -> BucketTable { BucketTable(histogram.negativeSpans, histogram.negativeCounts) }

    /// All buckets, ascending: negative ones, the zero bucket where it holds something, positive ones. Bounds inside of the zero bucket are
    /// moved to its edge.
    static func buckets(of histogram: NativeHistogram) -> [HistogramBucket] {
        let zero = histogram.zeroThreshold
        var result: [HistogramBucket] = []
        for bucket in negativeBuckets(of: histogram).reversed() {
            let upper = bucket.upper < 0 ? min(bucket.upper, -zero) : bucket.upper
            result.append(HistogramBucket(lower: bucket.lower, upper: upper, count: bucket.count))
        }
        if histogram.zeroCount > 0 { result.append(HistogramBucket(lower: -zero, upper: zero, count: histogram.zeroCount)) }
        for bucket in positiveBuckets(of: histogram) {
            let lower = bucket.lower > 0 ? max(bucket.lower, zero) : bucket.lower
            result.append(HistogramBucket(lower: lower, upper: bucket.upper, count: bucket.count))
        }
        return result
    }

    /// Ascending.
    static func positiveBuckets(of histogram: NativeHistogram) -> [HistogramBucket] {
        let table = positive(histogram)
        return zip(table.indices, table.counts).map {
            HistogramBucket(lower: bound($0 &- 1, histogram), upper: bound($0, histogram), count: $1)
        }
    }

    /// Descending: away from zero.
    static func negativeBuckets(of histogram: NativeHistogram) -> [HistogramBucket] {
        let table = negative(histogram)
        return zip(table.indices, table.counts).map {
            HistogramBucket(lower: -bound($0, histogram), upper: -bound($0 &- 1, histogram), count: $1)
        }
    }

    private static func bound(_ index: Int32, _ histogram: NativeHistogram) -> Double {
        guard isCustom(histogram) else { return BucketTable.bound(index, histogram.schema) }
        if index < 0 { return -.infinity }
        return Int(index) < histogram.customBounds.count ? histogram.customBounds[Int(index)] : .infinity
    }

    /// `{count:3, sum:2, (1,2]:3}`.
    static func text(of histogram: NativeHistogram) -> String {
        var text = "{count:\(GoFloat.general(histogram.count)), sum:\(GoFloat.general(histogram.sum))"
        for bucket in negativeBuckets(of: histogram).reversed() where bucket.count != 0 {
            text += ", [" + body(of: bucket) + ")" + count(of: bucket)
        }
        let zero = HistogramBucket(lower: -histogram.zeroThreshold, upper: histogram.zeroThreshold, count: histogram.zeroCount)
        if zero.count != 0 { text += ", [" + body(of: zero) + "]" + count(of: zero) }
        for bucket in positiveBuckets(of: histogram) where bucket.count != 0 {
            text += (bucket.lower == -.infinity ? ", [" : ", (") + body(of: bucket) + "]" + count(of: bucket)
        }
        return text + "}"
    }

    private static func body(of bucket: HistogramBucket) -> String { "\(GoFloat.general(bucket.lower)),\(GoFloat.general(bucket.upper))" }
    private static func count(of bucket: HistogramBucket) -> String { ":" + GoFloat.general(bucket.count) }

    /// What it is charged with, in samples of numbers.
    static func charge(for histogram: NativeHistogram) -> Int {
        let counts = histogram.positiveCounts.count + histogram.negativeCounts.count
        return 11 + (counts + histogram.positiveSpans.count + histogram.negativeSpans.count) / 2
    }

    /// The same buckets with the same numbers, bit by bit; how spans are cut does not matter.
    static func areEqual(_ left: NativeHistogram, _ right: NativeHistogram) -> Bool {
        left.schema == right.schema && left.count.bitPattern == right.count.bitPattern && left.sum.bitPattern == right.sum.bitPattern
            && (!isCustom(left) || left.customBounds == right.customBounds) && left.zeroThreshold == right.zeroThreshold
            && left.zeroCount.bitPattern == right.zeroCount.bitPattern && areEqual(positive(left), positive(right))
            && areEqual(negative(left), negative(right))
    }

    private static func areEqual(_ left: BucketTable, _ right: BucketTable) -> Bool {
        left.indices == right.indices && left.counts.map(\.bitPattern) == right.counts.map(\.bitPattern)
    }
}
