internal import Primitives
internal import TelemetryModel

/// Traces that meet a condition that a store alone cannot answer: the store narrows down, newest first and some at a time, and the
/// condition is held against each trace. On the query pool; blocks on the store.
struct TraceScan {
    /// Traces looked at for one answer.
    static let tracesMax = 5_000
    /// Bytes of spans looked at for one answer.
    static let bytesMax = 256 << 20
    /// After this long no further page is read: a scan holds one of the query threads.
    static let nanosecondsMax: UInt64 = 5_000_000_000
    /// Traces read from the store at once, at first and at most.
    private static let pageFirst = 50
    private static let pageMax = 500

    struct Match {
        var trace: SpanBatch
        var facts: TraceFacts
        /// Of the spans that made the trace match.
        var rows: [Int]
    }

    struct Result {
        /// Newest first.
        var matches: [Match] = []
        var inspectedTraces = 0
        var inspectedBytes = 0
        /// Why older traces were not looked at although fewer than the limit were found; nil = all were.
        var cut: String?
    }

    let store: any TraceQuerying
    /// Nanoseconds of a clock that never goes back.
    var now: () -> UInt64 = { SystemClock.monotonicNow().nanoseconds }

    /// `query` has the time range; its criteria are made here.
    func run(_ condition: SpansetCondition, _ range: TraceQuery, limit: Int) throws -> Result {
        var query = range
        let begin = now()
        StoreCriteria.narrow(&query, by: condition)
        var result = Result()
        var seen = Set<TraceID>()
        var page = min(max(limit, Self.pageFirst), Self.pageMax)
        let oldest = range.timestampRange.lowerBound
        while result.matches.count < limit {
            query.limit = page
            let found = try store.search(query)
            var earliest = UInt64.max
            var isNew = false
            for trace in found {
                guard let id = trace.spans.first?.traceID else { continue }
                let facts = TraceFacts(trace)
                if facts.timestamp > 0 { earliest = min(earliest, facts.timestamp) }
                guard seen.insert(id).inserted else { continue }
                isNew = true
                result.inspectedTraces += 1
                result.inspectedBytes += trace.byteCount
                guard let rows = SpanMatcher(trace, facts).matchedRows(condition), result.matches.count < limit else { continue }
                result.matches.append(Match(trace: trace, facts: facts, rows: rows))
            }
            guard found.count >= page, earliest != .max, result.matches.count < limit else { break }
            let isSlow = now() &- begin >= Self.nanosecondsMax
            if isSlow || result.inspectedTraces >= Self.tracesMax || result.inspectedBytes >= Self.bytesMax {
                let size = result.inspectedBytes >> 20
                result.cut = "only the newest \(result.inspectedTraces) traces (\(size) MB) of the time range were looked at"
                break
            }
            // The bound is in milliseconds and inclusive: the traces of the last one come again, and are known.
            query.endTimestamp = earliest / 1000 + 1
            let from = oldest / 1000
            guard query.endTimestamp > from else { break }
            query.lookback = query.endTimestamp - from
            // More of them in one millisecond than a page holds: a larger page gets past them.
            page = isNew ? Self.pageMax : min(page * 2, ZipkinLimits.tracesMax)
            if !isNew, found.count >= ZipkinLimits.tracesMax {
                result.cut = "more than \(ZipkinLimits.tracesMax) traces began in one millisecond; older ones were not looked at"
                break
            }
        }
        return result
    }
}
