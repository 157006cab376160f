internal import TelemetryModel

/// What conditions ask of a trace as a whole, computed once for it.
struct TraceFacts {
    /// Nanoseconds from the first start to the last end.
    var duration: Double = 0
    /// The first start, microseconds since 1970; 0 = no span has a time.
    var start: UInt64 = 0
    var rootName = ""
    var rootService = ""
    /// Microseconds since 1970, of the first span without a parent, else of the first at all; 0 = no span has a time. It is the time by
    /// which a store finds a trace.
    var timestamp: UInt64 = 0

    init(_ trace: SpanBatch) {
        guard let summary = TraceSummary(trace) else { return }
        start = summary.start
        duration = Double(summary.duration) * 1000
        rootName = summary.operation
        rootService = summary.service
        var earliest: UInt64 = 0
        for span in trace.spans where span.timestamp > 0 {
            if earliest == 0 || span.timestamp < earliest { earliest = span.timestamp }
            if span.parentID.isNone, timestamp == 0 || span.timestamp < timestamp { timestamp = span.timestamp }
        }
        if timestamp == 0 { timestamp = earliest }
    }
}
