internal import TelemetryModel

/// Kahan's sum of native histograms: each number with what rounding has lost of it so far (Prometheus' `KahanAdd`).
struct HistogramSum {
    private var sum: NativeHistogram
    /// What was lost, in the layout of the sum.
    private var lost: NativeHistogram
    private(set) var boundsReconciled = false

    init(_ first: NativeHistogram) {
        sum = first
        lost = HistogramArithmetic.multiply(first, by: 0)
        // 0 × infinity.
        if !first.sum.isFinite { lost.sum = 0 }
        if !first.count.isFinite { lost.count = 0 }
        lost = HistogramArithmetic.compact(lost)
    }

    var total: NativeHistogram { (try? HistogramArithmetic.combine(sum, lost, Self.settled))?.histogram ?? sum }

    var hasOverflown: Bool {
        sum.count.isInfinite || sum.sum.isInfinite || sum.zeroCount.isInfinite || sum.positiveCounts.contains { $0.isInfinite }
            || sum.negativeCounts.contains { $0.isInfinite }
    }

    mutating func add(_ other: NativeHistogram) throws(HistogramArithmetic.Incompatible) {
        let (before, addend, wereReconciled) = try HistogramArithmetic.aligned(sum, other)
        // The lost parts may have fewer populated buckets than the sum, so their zero bucket has to be told.
        var (_, losses, _) = try HistogramArithmetic.aligned(before, lost)
        let after = try HistogramArithmetic.add(before, addend)
        boundsReconciled = boundsReconciled || wereReconciled
        losses.count += Self.error(before.count, addend.count, after.histogram.count)
        losses.sum += Self.error(before.sum, addend.sum, after.histogram.sum)
        losses.zeroCount += Self.error(before.zeroCount, addend.zeroCount, after.histogram.zeroCount)
        let positive = Self.errors(HistogramShape.positive(before), HistogramShape.positive(addend))
        let negative = Self.errors(HistogramShape.negative(before), HistogramShape.negative(addend))
        (losses.positiveSpans, losses.positiveCounts) = HistogramShape.positive(losses).merged(with: positive, +).compact
        (losses.negativeSpans, losses.negativeCounts) = HistogramShape.negative(losses).merged(with: negative, +).compact
        losses.resetHint = after.histogram.resetHint
        (sum, lost) = (after.histogram, losses)
    }

    mutating func multiply(by factor: Double) {
        sum = HistogramArithmetic.multiply(sum, by: factor)
        lost = HistogramArithmetic.multiply(lost, by: factor)
    }

    mutating func divide(by divisor: Double) {
        sum = HistogramArithmetic.divide(sum, by: divisor)
        lost = HistogramArithmetic.divide(lost, by: divisor)
    }

    private static func settled(_ sum: Double, _ lost: Double) -> Double { sum.isFinite ? sum + lost : sum }

    private static func errors(_ left: BucketTable, _ right: BucketTable) -> BucketTable {
        left.merged(with: right) { error($0, $1, $0 + $1) }
    }

    /// Neumaier: what the sum of two numbers leaves out.
    private static func error(_ left: Double, _ right: Double, _ sum: Double) -> Double {
        if !sum.isFinite { return 0 }
        return left.magnitude >= right.magnitude ? (left - sum) + right : (right - sum) + left
    }
}

/// Kahan's sum of numbers in Neumaier's form (util/kahansum).
struct KahanSum {
    var sum: Double
    var lost = 0.0

    init(_ first: Double = 0) { sum = first }

    @inline(__always)
    mutating func add(_ value: Double) {
        let total = sum + value
        if total.isInfinite {
            lost = 0
        } else if sum.magnitude >= value.magnitude {
            lost += (sum - total) + value
        } else {
            lost += (value - total) + sum
        }
        sum = total
    }
}
