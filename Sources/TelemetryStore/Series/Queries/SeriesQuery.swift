public import Matching
public import TelemetryModel

/// What is asked of a series store.
public struct SeriesQuery: Sendable {
    /// Which number of a window stands for a gauge where windows are read; for a single sample all are its value.
    public enum GaugeValue: Sendable, CaseIterable {
        case last
        /// The sum by the number of samples, which is then the window's weight (`SeriesSamples.weights`).
        case mean
        case sum
        case least
        case most
    }

    /// All must accept a series; `__name__` and `le` of expanded classic histograms among its labels.
    public var matchers: [LabelMatcher]
    /// Milliseconds since 1970, both included.
    public var from: Int64
    public var through: Int64
    /// Windows may be as wide as this, milliseconds; 0 = every sample as it came, where it is still kept.
    public var coarsest: Int64
    /// The finest tier that is still kept answers unless more samples than this would be read, about; then the coarser ones, one by one,
    /// up to `coarsest`. 0 = the coarsest at once.
    public var samplesWanted: Int
    public var gaugeValue: GaugeValue

    public init(
        _ matchers: [LabelMatcher], from: Int64, through: Int64, coarsest: Int64 = 0, samplesWanted: Int = 0, gaugeValue: GaugeValue = .last
    ) {
        self.matchers = matchers
        self.from = from
        self.through = through
        self.coarsest = coarsest
        self.samplesWanted = samplesWanted
        self.gaugeValue = gaugeValue
    }
}

/// What a query found.
public struct SeriesSelection: Sendable {
    /// A stretch of time in which windows of one width were read.
    public struct Stretch: Hashable, Sendable {
        /// From `start` on, before `end`. Milliseconds since 1970.
        public var start: Int64
        public var end: Int64
        /// Width of a window, milliseconds; 0 = every sample as it came. Windows begin at multiples of it.
        public var resolution: Int64

        public init(start: Int64, end: Int64, resolution: Int64) {
            self.start = start
            self.end = end
            self.resolution = resolution
        }
    }

    public var series: [SeriesSamples] = []
    /// In order of time, without gaps.
    public var stretches: [Stretch] = []
    /// Blocks that could not be read, and are missing.
    public var damagedBlocks = 0

    /// The widest windows that were read, milliseconds; 0 = every sample as it came.
    public var resolution: Int64 { stretches.reduce(0) { max($0, $1.resolution) } }
}

/// Why a query was not answered.
public enum SeriesQueryError: Error, Equatable, Sendable {
    /// More samples than `SeriesConfiguration.querySamplesMax`.
    case tooManySamples(max: Int)
    /// The store could not be read.
    case store(StoreError)
}
