/// Quantiles and fractions of classic histograms: cumulative counts by upper bound (promql/quantile.go, `BucketQuantile`).
struct ClassicQuantile {
    struct Bucket {
        var upper: Double
        /// Observations up to the bound.
        var count: Double
    }

    /// Counts that fell with a higher bound, and were held up.
    struct Correction {
        var lowest = Double.infinity
        var highest = -Double.infinity
        var difference = 0.0
    }

    /// Relative differences that are rounding only.
    private static let tolerance = 1e-12

    /// `buckets` ascend by bound. NaN without a bucket for +Inf, observations, or two buckets.
    static func quantile(_ q: Double, _ buckets: [Bucket]) -> (value: Double, correction: Correction?) {
        if q.isNaN { return (.nan, nil) }
        if q < 0 { return (-.infinity, nil) }
        if q > 1 { return (.infinity, nil) }
        guard buckets.last?.upper == .infinity else { return (.nan, nil) }
        var buckets = coalesced(buckets)
        let correction = makeMonotonic(&buckets)
        guard buckets.count >= 2, let observations = buckets.last?.count, observations != 0 else { return (.nan, nil) }
        var rank = q * observations
        let found = buckets.dropLast().firstIndex { $0.count >= rank } ?? buckets.count - 1
        if found == buckets.count - 1 { return (buckets[found - 1].upper, correction) }
        if found == 0, buckets[0].upper <= 0 { return (buckets[0].upper, correction) }
        var (start, count) = (0.0, buckets[found].count)
        if found > 0 {
            start = buckets[found - 1].upper
            count -= buckets[found - 1].count
            rank -= buckets[found - 1].count
        }
        return (start + (buckets[found].upper - start) * (rank / count), correction)
    }

    static func fraction(from low: Double, to high: Double, _ buckets: [Bucket]) -> Double {
        guard buckets.last?.upper == .infinity else { return .nan }
        let buckets = coalesced(buckets)
        guard let count = buckets.last?.count, count != 0, !low.isNaN, !high.isNaN else { return .nan }
        if low >= high { return 0 }
        let below = rank(of: low, buckets).map { min($0, count) } ?? count
        let above = rank(of: high, buckets).map { min($0, count) } ?? count
        return (above - below) / count
    }

    private static func rank(of value: Double, _ buckets: [Bucket]) -> Double? {
        var rank = 0.0
        var lower = (buckets.first?.upper ?? 0) > 0 ? 0.0 : -.infinity
        for bucket in buckets {
            if lower >= value { return rank }
            if bucket.upper > value {
                return lower == -.infinity ? bucket.count : rank + (bucket.count - rank) * (value - lower) / (bucket.upper - lower)
            }
            (rank, lower) = (bucket.count, bucket.upper)
        }
        return nil
    }

    /// One bucket for each bound.
    private static func coalesced(_ buckets: [Bucket]) -> [Bucket] {
        var result: [Bucket] = []
        for bucket in buckets {
            if result.last?.upper == bucket.upper { result[result.count - 1].count += bucket.count } else { result.append(bucket) }
        }
        return result
    }

    private static func makeMonotonic(_ buckets: inout [Bucket]) -> Correction? {
        var correction: Correction?
        var before = buckets[0].count
        for index in buckets.indices.dropFirst() {
            let count = buckets[index].count
            if count == before { continue }
            if areAlmostEqual(before, count) {
                buckets[index].count = before
            } else if count < before {
                var seen = correction ?? Correction()
                seen.lowest = min(seen.lowest, buckets[index].upper)
                seen.highest = max(seen.highest, buckets[index].upper)
                seen.difference = max(seen.difference, before - count)
                correction = seen
                buckets[index].count = before
            } else {
                before = count
            }
        }
        return correction
    }

    /// util/almost.
    private static func areAlmostEqual(_ left: Double, _ right: Double) -> Bool {
        if left.isNaN, right.isNaN { return true }
        if left == right { return true }
        let sum = left.magnitude + right.magnitude
        let difference = (left - right).magnitude
        if left == 0 || right == 0 || sum < .leastNormalMagnitude { return difference < tolerance * .leastNormalMagnitude }
        return difference / min(sum, .greatestFiniteMagnitude) < tolerance
    }
}
