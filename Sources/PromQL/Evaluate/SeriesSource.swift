public import Matching
public import TelemetryModel

/// Where samples come from: a store, or a test's memory.
public protocol SeriesSource {
    /// Hands over each series that all matchers accept and that has samples in the time asked for, one after the other; they should come in
    /// the order of their labels, which is the order of vectors. Samples outside of that time may be among them. What `body` throws ends
    /// it. With a filling the samples stand for windows, and samples between them are to be put in before they are looked at.
    ///
    /// Returns what was not as exact as the samples that once came; nil = everything was. Fails with `PromQLError.source`.
    func select(
        _ selection: SeriesSelection, _ body: (SeriesSamples, WindowFilling?) throws(PromQLError) -> Void
    ) throws(PromQLError) -> SeriesApproximation?
}

/// Windows that stand for the samples that came.
public struct SeriesApproximation: Hashable, Sendable {
    /// Width of the widest window, milliseconds.
    public var window: Int64
    /// Behind this time every sample is as it came. Milliseconds since 1970.
    public var end: Int64

    public init(window: Int64, end: Int64) {
        self.window = window
        self.end = end
    }
}

/// What a selector of a query wants, and hints for choosing how fine the samples have to be (storage.SelectHints).
public struct SeriesSelection: Sendable {
    public var matchers: [LabelMatcher]
    /// Milliseconds since 1970. Left-open as everything in Prometheus 3: samples after `after`, up to and with `through`.
    public var after: Int64
    public var through: Int64
    /// Milliseconds of the range selector; 0 for an instant selector, which takes the last sample of the look-back.
    public var range: Int64
    /// Milliseconds between steps; 0 for a single one.
    public var step: Int64
    /// The function or aggregation directly around the selector, such as `rate`; empty = none.
    public var function: String

    public init(matchers: [LabelMatcher], after: Int64, through: Int64, range: Int64, step: Int64, function: String) {
        self.matchers = matchers
        self.after = after
        self.through = through
        self.range = range
        self.step = step
        self.function = function
    }
}
