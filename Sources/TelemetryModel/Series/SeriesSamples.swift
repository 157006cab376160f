/// The samples of one series, oldest first: what a store answers and PromQL computes with.
///
/// A value. `times` and `values` have one element a sample.
public struct SeriesSamples: Sendable {
    public var labels: LabelSet
    /// Milliseconds since 1970, strictly ascending.
    public var times: [Int64]
    /// `staleMarker` = the series ended here. Where a sample is a histogram, its sum.
    public var values: [Double]
    /// The histograms among the samples, by their index in `times`, ascending. Empty for series of numbers alone.
    public var histograms: [(index: Int, histogram: NativeHistogram)]
    /// Of how many samples each value is the mean; empty = of one.
    public var weights: [Double] = []

    public init(
        labels: LabelSet, times: [Int64] = [], values: [Double] = [], histograms: [(index: Int, histogram: NativeHistogram)] = []
    ) {
        self.labels = labels
        self.times = times
        self.values = values
        self.histograms = histograms
    }

    /// The NaN that ends a series at its time (Prometheus' `value.StaleNaN`); compared by its bits.
    public static let staleMarker = Double(bitPattern: 0x7FF0_0000_0000_0002)

    public static func isStale(_ value: Double) -> Bool { value.bitPattern == staleMarker.bitPattern }
}
