/// What the samples of a series are, which says how they are rolled up. The raw value is part of files.
public enum SeriesKind: UInt8, Sendable, BitwiseCopyable, CaseIterable {
    /// A number that only grows, but for resets.
    case counter = 0
    case gauge = 1
    /// A whole vector: one count for each bucket of given bounds, then count and sum.
    case classicHistogram = 2
    case nativeHistogram = 3
    /// A number of which nobody said what it is (remote write 1.0). Rolled up as a counter where the metric's name ends like one
    /// (`_total`, `_bucket`, `_count`, `_sum`), else as a gauge.
    case unknown = 4
}
