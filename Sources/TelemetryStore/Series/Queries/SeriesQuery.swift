public import Matching
public import TelemetryModel

/// What is asked of a series store.
public struct SeriesQuery: Sendable {
    /// Which number of a window stands for a gauge where windows are read; for a single sample all are its value, but for `samples`,
    /// which is 1.
    public enum GaugeValue: Sendable, CaseIterable {
        case last
        case samples
        case sum
        case least
        case most
    }

    /// All must accept a series; `__name__` and `le` of expanded classic histograms among its labels.
    public var matchers: [LabelMatcher]
    /// Milliseconds since 1970, both included.
    public var from: Int64
    public var through: Int64
    /// Samples may be as far apart as this, milliseconds; 0 = as they came, where they are still kept.
    public var resolution: Int64
    public var gaugeValue: GaugeValue

    public init(_ matchers: [LabelMatcher], from: Int64, through: Int64, resolution: Int64 = 0, gaugeValue: GaugeValue = .last) {
        self.matchers = matchers
        self.from = from
        self.through = through
        self.resolution = resolution
        self.gaugeValue = gaugeValue
    }
}

/// What a query found.
public struct SeriesSelection: Sendable {
    public var series: [SeriesSamples] = []
    /// The widest windows that were read, milliseconds; 0 = every sample as it came. What a look-back has to reach over.
    public var resolution: Int64 = 0
    /// Blocks that could not be read, and are missing.
    public var damagedBlocks = 0
}

/// Why a query was not answered.
public enum SeriesQueryError: Error, Equatable, Sendable {
    /// More samples than `SeriesConfiguration.querySamplesMax`.
    case tooManySamples(max: Int)
    /// The store could not be read.
    case store(StoreError)
}
