/// A histogram with bounds of its own, whole: what becomes `_bucket`, `_sum` and `_count` when it is asked for.
public struct ClassicHistogram: Hashable, Sendable {
    /// Upper bounds, ascending and finite; the bucket up to +Inf has none.
    public var bounds: [Double]
    /// Observations in each bucket, without those in the ones below; one more than bounds.
    public var buckets: [Double]
    public var count: Double
    /// Nil = the sender does not know it.
    public var sum: Double?

    public init(bounds: [Double], buckets: [Double], count: Double, sum: Double?) {
        self.bounds = bounds
        self.buckets = buckets
        self.count = count
        self.sum = sum
    }

    /// Whether the bounds ascend and are finite, and there is one bucket more than bounds.
    public var isValid: Bool {
        buckets.count == bounds.count + 1 && bounds.allSatisfy(\.isFinite) && zip(bounds, bounds.dropFirst()).allSatisfy { $0 < $1 }
    }
}
