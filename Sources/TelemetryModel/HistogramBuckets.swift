/// The bucket bounds of Istio's histograms, the same numbers for milliseconds and bytes (semantics 2.2).
public enum HistogramBuckets {
    /// Finite bounds and +Inf.
    @inlinable public static var count: Int { 20 }

    /// Upper bounds, inclusive; +Inf is the bucket after the last.
    public static let bounds: [Double] = [
        0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000, 300_000, 600_000, 1_800_000, 3_600_000,
    ]

    /// The bucket of a duration, from microseconds.
    @inlinable
    public static func index(ofMicroseconds value: UInt64) -> Int {
        // 0.5 ms is the only bound that is no whole millisecond.
        value <= 500 ? 0 : index(ofWhole: value / 1000 + (value % 1000 == 0 ? 0 : 1))
    }

    /// The bucket of a size in bytes.
    @inlinable
    public static func index(ofBytes value: UInt64) -> Int {
        value == 0 ? 0 : index(ofWhole: value)
    }

    /// The bucket of a whole number of at least 1: the first bound that is not below it.
    @inlinable
    static func index(ofWhole value: UInt64) -> Int {
        if value <= 1000 {
            if value <= 25 { return value <= 5 ? (value <= 1 ? 1 : 2) : (value <= 10 ? 3 : 4) }
            if value <= 100 { return value <= 50 ? 5 : 6 }
            return value <= 250 ? 7 : (value <= 500 ? 8 : 9)
        }
        if value <= 30_000 {
            if value <= 5000 { return value <= 2500 ? 10 : 11 }
            return value <= 10_000 ? 12 : 13
        }
        if value <= 300_000 { return value <= 60_000 ? 14 : 15 }
        if value <= 600_000 { return 16 }
        return value <= 1_800_000 ? 17 : (value <= 3_600_000 ? 18 : 19)
    }
}
