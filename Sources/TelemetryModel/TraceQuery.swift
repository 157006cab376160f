/// Which traces to find; Zipkin's query parameters after parsing (semantics 2.11, "Query rules").
///
/// Every criterion but the time range may be met by a different span of the trace; when `serviceName` is set, only spans whose
/// local endpoint has that name count.
public struct TraceQuery: Sendable, Equatable {
    /// One part of an annotation query; all must be met.
    public enum Term: Sendable, Equatable {
        /// `key=value`: a tag with exactly this value.
        case tag(key: String, value: String)
        /// A bare word: an annotation with this value, or a tag with this key.
        case annotationOrKey(String)
    }

    /// Lower-case; empty = any.
    public var serviceName = ""
    public var remoteServiceName = ""
    public var spanName = ""
    public var terms: [Term] = []
    /// Must all be met as well, by spans of any service.
    public var traits: [TraceTrait] = []
    /// Microseconds, inclusive; nil = any. `durationMax` counts only together with `durationMin`.
    public var durationMin: UInt64?
    public var durationMax: UInt64?
    /// Milliseconds since 1970, inclusive.
    public var endTimestamp: UInt64
    /// Milliseconds before `endTimestamp`, inclusive.
    public var lookback: UInt64 = 86_400_000
    /// Traces, newest first.
    public var limit = 10
    /// Traces that are read at most to find those that match: the newest that may.
    public var readMax = Int.max

    public init(endTimestamp: UInt64) { self.endTimestamp = endTimestamp }

    /// Microseconds, inclusive on both ends.
    public var timestampRange: ClosedRange<UInt64> {
        let (end, overflow) = endTimestamp.multipliedReportingOverflow(by: 1000)
        let last = overflow ? UInt64.max : end
        let start = (endTimestamp > lookback ? endTimestamp - lookback : 0).multipliedReportingOverflow(by: 1000)
        return min(start.overflow ? UInt64.max : start.partialValue, last)...last
    }
}

/// What a search found.
public struct FoundTraces: Sendable {
    /// Newest first.
    public var traces: [SpanBatch]
    /// Traces that were read for it. As many as `TraceQuery.readMax` = older ones may match.
    public var readCount: Int

    public init(traces: [SpanBatch], readCount: Int) {
        self.traces = traces
        self.readCount = readCount
    }
}

/// Calls from one service to another, summed: Zipkin's dependency link.
public struct DependencyLink: Sendable, Hashable {
    public var parent: String
    public var child: String
    public var callCount: UInt64
    public var errorCount: UInt64

    public init(parent: String, child: String, callCount: UInt64, errorCount: UInt64) {
        self.parent = parent
        self.child = child
        self.callCount = callCount
        self.errorCount = errorCount
    }
}
