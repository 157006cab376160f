/// One observation of a series as it comes from elsewhere: what decoders make.
public struct MetricPoint: Sendable {
    /// What the sender says the series is.
    public enum Kind: UInt8, Sendable, BitwiseCopyable {
        case unknown, counter, gauge, histogram, summary
    }

    public enum Value: Sendable {
        case number(Double)
        case classic(ClassicHistogram)
        case histogram(NativeHistogram)
    }

    public var labels: LabelSet
    public var kind: Kind
    /// Milliseconds since 1970.
    public var time: Int64
    public var value: Value
    /// When the counter began, milliseconds since 1970; nil = not said.
    public var created: Int64?
    /// The value is what was added since `created`, not the sum so far (OTLP's delta temporality).
    public var isIncrease = false
    /// The series ends at this time: its value says nothing (staleness marker; OTLP: no recorded value).
    public var isStale = false

    /// False: it brings exemplars of its series and no value.
    public var hasValue = true
    /// Observations that the series counts, with their traces.
    public var exemplars: [SeriesExemplar] = []

    public init(labels: LabelSet, kind: Kind, time: Int64, value: Value, created: Int64? = nil) {
        self.labels = labels
        self.kind = kind
        self.time = time
        self.value = value
        self.created = created
    }
}
