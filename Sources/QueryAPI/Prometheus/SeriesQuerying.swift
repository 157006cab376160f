public import Matching
public import PromQL
public import TelemetryModel

/// What Prometheus' API needs of a store of series. Every call may block on the disk; any thread, several at once. Times are milliseconds
/// since 1970, and both ends of a range belong to it.
///
/// Each selector is a list of conditions that all have to hold; a series is meant when any selector accepts it. No selectors = all series.
public protocol SeriesQuerying: AnyObject, Sendable {
    /// What one query reads from: the same state for all its selectors.
    func openSource() throws -> any SeriesSource
    /// Sorted.
    func labelNames(_ selectors: [[LabelMatcher]], in range: ClosedRange<Int64>) throws -> [String]
    /// Sorted.
    func labelValues(_ name: String, _ selectors: [[LabelMatcher]], in range: ClosedRange<Int64>) throws -> [String]
    /// Sorted by their labels.
    func series(_ selectors: [[LabelMatcher]], in range: ClosedRange<Int64>) throws -> [LabelSet]
    /// Exemplars whose traces can be shown, by series and oldest first; `isCut` when there are more than `limit`.
    func exemplars(
        _ selectors: [[LabelMatcher]], in range: ClosedRange<Int64>, limit: Int
    ) throws -> (found: [(labels: LabelSet, exemplars: [SeriesExemplar])], isCut: Bool)
    /// What is known of metrics, by their families' names.
    func metadata() -> [String: MetricMetadata]
    func sizes() -> SeriesSizes
    /// The greatest counts over all series, `limit` of each kind.
    func census(limit: Int) throws -> SeriesCensus
    /// Metrics with most series, those that overflow first.
    func cardinalityReport(limit: Int) throws -> [SeriesFamily]
}

/// What senders say of a metric.
public struct MetricMetadata: Sendable, Equatable {
    /// In Prometheus' words: counter, gauge, histogram, summary, unknown.
    public var type: String
    public var help: String
    public var unit: String

    public init(type: String, help: String = "", unit: String = "") {
        self.type = type
        self.help = help
        self.unit = unit
    }
}

/// A moment's sizes of a store of series.
public struct SeriesSizes: Sendable, Equatable {
    public var seriesCount = 0
    public var samplesStored: UInt64 = 0
    /// Milliseconds since 1970; nil = there are none.
    public var earliest: Int64?
    public var latest: Int64?

    public init() {}
}
