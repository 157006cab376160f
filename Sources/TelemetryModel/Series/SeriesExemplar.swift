/// One observation of a series with the trace it came from.
public struct SeriesExemplar: Hashable, Sendable, BitwiseCopyable {
    /// Milliseconds since 1970.
    public var time: Int64
    /// In the series' unit.
    public var value: Double
    public var traceID: TraceID
    /// `.none` = not known.
    public var spanID: SpanID

    public init(time: Int64, value: Double, traceID: TraceID, spanID: SpanID) {
        self.time = time
        self.value = value
        self.traceID = traceID
        self.spanID = spanID
    }
}
