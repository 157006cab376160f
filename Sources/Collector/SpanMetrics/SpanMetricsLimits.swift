/// Bounds of the metrics that are made from spans: memory, names and times.
public struct SpanMetricsLimits: Sendable {
    /// How long a half of an edge waits for the other one, nanoseconds (semantics 3.2).
    public var edgeWaitNanoseconds: UInt64 = 10_000_000_000
    /// Halves that wait (semantics 3.2). One more, and the time of the oldest is over early, which is counted.
    public var edgesOpenMax = 10_000
    /// Combinations of service, operation, kind and status that have series of their own. What comes above is summed up by kind and status,
    /// in series with the label `skein_overflow="span_metrics"`.
    public var operationsMax = 20_000
    /// The same for combinations of client, server and connection type.
    public var edgesMax = 10_000
    /// Different texts that are kept for both, at most `InternedTexts.numberMax`. What needs another one is summed up as above.
    public var textsMax = 65_536
    /// Bytes of a service's, an operation's, a peer's name; longer ones are cut.
    public var textBytesMax = 256
    /// Spans around calls of proxies that are remembered, so that they are not counted as well; a power of two. See `ProxiedCalls`.
    public var proxiedCallsMax = 32_768
    /// Series that were not added to for so long end, nanoseconds.
    public var idleNanoseconds: UInt64 = 15 * 60 * 1_000_000_000
    /// The largest weight that a sender's sampling may give to a span; what claims more counts once.
    public var weightMax = 1_000_000.0

    /// Exemplars of one recording, of operations and of edges each.
    public var exemplarsMax = 2000

    public init() {}

    /// What is wrong with these limits, or nil.
    public var problem: String? {
        if edgesOpenMax < 1 || operationsMax < 1 || edgesMax < 1 { return "edgesOpenMax, operationsMax and edgesMax must be at least 1" }
        if textsMax < 2 || textsMax > InternedTexts.numberMax { return "textsMax must be in 2...\(InternedTexts.numberMax)" }
        if textBytesMax < 4 || textBytesMax > 4096 { return "textBytesMax must be in 4...4096" }
        if proxiedCallsMax < ProxiedCalls.setSize || proxiedCallsMax & (proxiedCallsMax - 1) != 0 {
            return "proxiedCallsMax must be a power of two of at least \(ProxiedCalls.setSize)"
        }
        if !(weightMax >= 1) { return "weightMax must be at least 1" }
        return nil
    }
}
