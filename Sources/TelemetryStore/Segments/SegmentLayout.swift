import TelemetryModel

/// The rules by which segments were written. Files keep segments of earlier rules until retention takes them or a merge rewrites them.
enum SegmentLayout {
    /// Traces in order of a hash of the whole id; links of unmerged spans.
    static let first: Int64 = 1
    /// Traces in order of a hash of the id's low half, so that both halves of a trace with mixed ids are neighbours; links of merged trees.
    static let current: Int64 = 2

    static func traceID(sortKey: UInt64, high: UInt64, layout: Int64) -> TraceID {
        layout == first ? TraceID(firstSortKey: sortKey, high: high) : TraceID(sortKey: sortKey, high: high)
    }
}
