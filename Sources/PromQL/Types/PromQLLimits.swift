/// What a query may cost. The defaults are Prometheus' where it has one (its flags `--query.max-samples`, and web/api/v1 for points).
public struct PromQLLimits: Sendable {
    /// Bytes of a query's text.
    public var textBytesMax = 1 << 20
    /// Brackets, calls and operands inside one another. With `depthMax` it bounds the stack: less than a megabyte even without
    /// optimization.
    public var nestingMax = 64
    /// Levels of a tree; a chain of operators is one level for each.
    public var depthMax = 128
    /// Matchers of one selector.
    public var matchersMax = 10_000
    /// Steps of a range query.
    public var pointsMax = 11_000
    /// Samples held at a time, those of histograms by their size.
    public var samplesMax = 50_000_000
    /// Different warnings and infos kept.
    public var annotationsMax = 1_000
    /// Samples worked on between two questions for the deadline.
    public var workBetweenChecks = 16_384

    public init() {}
}
