public import TelemetryModel

/// A bucket that holds something, with which of its bounds belong to it: what Prometheus' API prints.
public struct FilledBucket: Sendable, Equatable {
    /// web/api/v1: 0 = open left, 1 = open right, 2 = open on both sides, 3 = closed on both sides.
    public var rule: Int
    public var lower: Double
    public var upper: Double
    public var count: Double

    /// Ascending; those without observations are left out.
    public static func all(of histogram: NativeHistogram) -> [FilledBucket] {
        let isCustom = HistogramShape.isCustom(histogram)
        return HistogramShape.buckets(of: histogram).filter { $0.count != 0 }.map { bucket in
            let hasLower = isCustom ? bucket.lower == -.infinity : bucket.lower < 0
            let hasUpper = isCustom || bucket.upper > 0
            let rule = hasLower ? (hasUpper ? 3 : 1) : (hasUpper ? 0 : 2)
            return FilledBucket(rule: rule, lower: bucket.lower, upper: bucket.upper, count: bucket.count)
        }
    }
}
