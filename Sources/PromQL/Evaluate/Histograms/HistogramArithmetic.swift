internal import TelemetryModel

/// Sums, differences and multiples of native histograms, and whether a counter was reset between two (model/histogram/float_histogram.go).
enum HistogramArithmetic {
    /// One has exponential buckets, the other custom ones.
    struct Incompatible: Error {}

    struct Outcome {
        var histogram: NativeHistogram
        /// One says that it was reset, the other that it was not.
        var hintsCollide = false
        /// Custom bounds were reduced to those of both.
        var boundsReconciled = false
    }

    // With a number.

    static func multiply(_ histogram: NativeHistogram, by factor: Double) -> NativeHistogram {
        var result = scaled(histogram) { $0 * factor }
        if factor < 0 { result.resetHint = .gauge }
        return result
    }

    /// By zero: infinite or NaN, and no buckets.
    static func divide(_ histogram: NativeHistogram, by divisor: Double) -> NativeHistogram {
        var result = scaled(histogram) { $0 / divisor }
        if divisor == 0 {
            result.positiveSpans = []
            result.positiveCounts = []
            result.negativeSpans = []
            result.negativeCounts = []
        }
        if divisor < 0 { result.resetHint = .gauge }
        return result
    }

    private static func scaled(_ histogram: NativeHistogram, _ change: (Double) -> Double) -> NativeHistogram {
        var result = histogram
        result.zeroCount = change(result.zeroCount)
        result.count = change(result.count)
        result.sum = change(result.sum)
        for index in result.positiveCounts.indices { result.positiveCounts[index] = change(result.positiveCounts[index]) }
        for index in result.negativeCounts.indices { result.negativeCounts[index] = change(result.negativeCounts[index]) }
        return result
    }

    static func compact(_ histogram: NativeHistogram) -> NativeHistogram {
        var result = histogram
        (result.positiveSpans, result.positiveCounts) = HistogramShape.positive(histogram).compact
        (result.negativeSpans, result.negativeCounts) = HistogramShape.negative(histogram).compact
        return result
    }

    // With another one.

    static func add(_ left: NativeHistogram, _ right: NativeHistogram) throws(Incompatible) -> Outcome { try combine(left, right, +) }
    static func subtract(_ left: NativeHistogram, _ right: NativeHistogram) throws(Incompatible) -> Outcome { try combine(left, right, -) }

    /// Empty buckets are left out of the result.
    static func combine(
        _ left: NativeHistogram, _ right: NativeHistogram, _ combine: (Double, Double) -> Double
    ) throws(Incompatible) -> Outcome {
        var (left, right, wereReconciled) = try aligned(left, right)
        let collide = adjustHint(of: &left, by: right)
        left.count = combine(left.count, right.count)
        left.sum = combine(left.sum, right.sum)
        left.zeroCount = combine(left.zeroCount, right.zeroCount)
        let positive = HistogramShape.positive(left).merged(with: HistogramShape.positive(right), combine)
        let negative = HistogramShape.negative(left).merged(with: HistogramShape.negative(right), combine)
        (left.positiveSpans, left.positiveCounts) = positive.compact
        (left.negativeSpans, left.negativeCounts) = negative.compact
        return Outcome(histogram: left, hintsCollide: collide, boundsReconciled: wereReconciled)
    }

    /// Both in one layout: the coarser schema, the larger zero bucket, the bounds that both have.
    static func aligned(
        _ left: NativeHistogram, _ right: NativeHistogram
    ) throws(Incompatible) -> (NativeHistogram, NativeHistogram, wereReconciled: Bool) {
        guard HistogramShape.isCustom(left) == HistogramShape.isCustom(right) else { throw Incompatible() }
        if HistogramShape.isCustom(left) {
            if left.customBounds == right.customBounds { return (left, right, false) }
            let bounds = common(left.customBounds, right.customBounds)
            return (mapped(left, to: bounds), mapped(right, to: bounds), true)
        }
        var (left, right) = (left, right)
        while left.zeroThreshold != right.zeroThreshold {
            if left.zeroThreshold < right.zeroThreshold {
                widenZero(of: &left, to: right.zeroThreshold)
            } else {
                widenZero(of: &right, to: left.zeroThreshold)
            }
        }
        let schema = min(left.schema, right.schema)
        return (reduced(left, to: schema), reduced(right, to: schema), false)
    }

    static func reduced(_ histogram: NativeHistogram, to schema: Int32) -> NativeHistogram {
        guard schema < histogram.schema, !HistogramShape.isCustom(histogram), schema != NativeHistogram.customSchema else {
            return histogram
        }
        var result = histogram
        result.schema = schema
        (result.positiveSpans, result.positiveCounts) = HistogramShape.positive(histogram).reduced(by: histogram.schema - schema).compact
        (result.negativeSpans, result.negativeCounts) = HistogramShape.negative(histogram).reduced(by: histogram.schema - schema).compact
        return result
    }

    /// True when the hints contradict each other.
    private static func adjustHint(of left: inout NativeHistogram, by right: NativeHistogram) -> Bool {
        switch (left.resetHint, right.resetHint) {
        case let (mine, theirs) where mine == theirs: return false
        case (.gauge, _), (_, .gauge): left.resetHint = .gauge
        case (.unknown, _), (_, .unknown): left.resetHint = .unknown
        default:
            left.resetHint = .unknown
            return true
        }
        return false
    }

    // The zero bucket.

    /// Makes the zero bucket at least so wide; further where the edge would cut a populated bucket.
    private static func widenZero(of histogram: inout NativeHistogram, to threshold: Double) {
        let (count, edge) = zeroCount(of: histogram, for: threshold)
        histogram.zeroCount = count
        histogram.zeroThreshold = edge
        (histogram.positiveSpans, histogram.positiveCounts) = outside(edge, HistogramShape.positive(histogram), histogram.schema).compact
        (histogram.negativeSpans, histogram.negativeCounts) = outside(edge, HistogramShape.negative(histogram), histogram.schema).compact
    }

    private static func outside(_ edge: Double, _ table: BucketTable, _ schema: Int32) -> BucketTable {
        var result = BucketTable()
        for (index, count) in zip(table.indices, table.counts) where BucketTable.bound(index &- 1, schema) >= edge {
            result.appendOrAdd(index, count)
        }
        return result
    }

    /// What the zero bucket would hold with a larger threshold, and the threshold at the edge of the bucket that it would cut.
    private static func zeroCount(of histogram: NativeHistogram, for threshold: Double) -> (count: Double, threshold: Double) {
        var threshold = threshold
        let tables = [HistogramShape.positive(histogram), HistogramShape.negative(histogram)]
        while true {
            var count = histogram.zeroCount
            let before = threshold
            for table in tables {
                for (index, bucket) in zip(table.indices, table.counts) {
                    guard BucketTable.bound(index &- 1, histogram.schema) < threshold else { break }
                    count += bucket
                    let upper = BucketTable.bound(index, histogram.schema)
                    if upper > threshold {
                        if bucket != 0 { threshold = upper }
                        break
                    }
                }
            }
            // Only what the negative buckets moved makes the positive ones' share wrong; counting again is right in both cases.
            if threshold == before { return (count, threshold) }
        }
    }

    // Custom bounds.

    private static func common(_ left: [Double], _ right: [Double]) -> [Double] {
        var result: [Double] = []
        var other = 0
        for bound in left {
            while other < right.count, right[other] < bound { other += 1 }
            if other < right.count, right[other] == bound { result.append(bound) }
        }
        return result
    }

    /// The same observations in wider buckets; `bounds` are some of its own.
    private static func mapped(_ histogram: NativeHistogram, to bounds: [Double]) -> NativeHistogram {
        let table = HistogramShape.positive(histogram)
        var mapped = BucketTable()
        var target = 0
        for (index, count) in zip(table.indices, table.counts) {
            let upper = index >= 0 && Int(index) < histogram.customBounds.count ? histogram.customBounds[Int(index)] : .infinity
            while target < bounds.count, bounds[target] < upper { target += 1 }
            mapped.appendOrAdd(Int32(clamping: target), count)
        }
        var result = histogram
        result.customBounds = bounds
        (result.positiveSpans, result.positiveCounts) = mapped.compact
        return result
    }

    // Counters.

    /// Whether the counter was reset between the two: hints decide, else any count that fell, or a layout that only grows finer with a
    /// reset.
    static func wasReset(_ current: NativeHistogram, since previous: NativeHistogram) -> Bool {
        if current.resetHint == .reset { return true }
        if current.resetHint == .noReset { return false }
        if current.count < previous.count { return true }
        if HistogramShape.isCustom(current) {
            guard HistogramShape.isCustom(previous) else { return true }
            let bounds = current.customBounds == previous.customBounds ? nil : common(current.customBounds, previous.customBounds)
            let (now, then) = (bounds.map { mapped(current, to: $0) } ?? current, bounds.map { mapped(previous, to: $0) } ?? previous)
            return HistogramShape.positive(now).hasFallen(since: HistogramShape.positive(then))
        }
        if current.schema > previous.schema || current.zeroThreshold < previous.zeroThreshold { return true }
        return hasFallen(current, since: previous)
    }

    private static func hasFallen(_ current: NativeHistogram, since previous: NativeHistogram) -> Bool {
        var previous = previous
        if previous.zeroThreshold < current.zeroThreshold {
            widenZero(of: &previous, to: current.zeroThreshold)
            if previous.zeroThreshold != current.zeroThreshold { return true }
        }
        if current.zeroCount < previous.zeroCount { return true }
        let coarse = HistogramShape.isCustom(previous) ? previous : reduced(previous, to: current.schema)
        return HistogramShape.positive(current).hasFallen(since: HistogramShape.positive(coarse))
            || HistogramShape.negative(current).hasFallen(since: HistogramShape.negative(coarse))
    }
}
