import TelemetryModel

/// What the trace tables hold at one moment: readers take a copy and look at nothing newer.
struct StoreSnapshot: Sendable {
    struct Row: Sendable {
        var number: Int64
        var batch: HeadBatch
        /// Microseconds since 1970, when it was committed.
        var arrival: UInt64
    }

    var head: [Row] = []
    /// In order of number, which is nearly order of time.
    var segments: [Segment] = []
}

/// What the writer, maintenance and readers of the trace tables share under the lock of its monitor.
struct TraceState {
    var snapshot = StoreSnapshot()
    /// Odd while segments are deleted, or merged ones take the place, and the number, of others: between commit and publication a number's
    /// rows are not those of the segment in the snapshot, and a reader would take them for damaged or for other traces'.
    var rewrites = 0
    var headSpans = 0
    var headBytes = 0
    var isClosed = false
    /// The traces' part; what changes with the snapshot is filled in when asked for.
    var statistics = StoreStatistics()

    /// Journal rows at most before they are compacted.
    private static let journalRowsMax = 4096

    mutating func append(_ row: StoreSnapshot.Row) {
        snapshot.head.append(row)
        headSpans += row.batch.spanCount
        headBytes += row.batch.memoryBytes
    }

    /// The oldest rows are in a segment now.
    mutating func removeHead(_ rows: Int) {
        for row in snapshot.head.prefix(rows) {
            headSpans -= row.batch.spanCount
            headBytes -= row.batch.memoryBytes
        }
        snapshot.head.removeFirst(rows)
    }

    func isCompactionDue(_ configuration: StoreConfiguration) -> Bool {
        guard let oldest = snapshot.head.first else { return false }
        return headSpans >= configuration.headSpansMax || snapshot.head.count >= Self.journalRowsMax
            || headBytes >= StoreBudget(configuration.retentionBytes).headBytesMax
            || WallClock.nowMicroseconds() &- oldest.arrival > configuration.headAgeSecondsMax &* 1_000_000
    }

    /// A moment's figures of the trace tables.
    func figures() -> StoreStatistics {
        var result = statistics
        result.journalSpans = UInt64(headSpans)
        result.journalBytes = UInt64(headBytes)
        result.journalRows = UInt64(snapshot.head.count)
        result.segments = UInt64(snapshot.segments.count)
        for segment in snapshot.segments {
            result.spansStored += UInt64(segment.spanCount)
            result.segmentBytes += UInt64(segment.byteCount)
        }
        result.spansStored += result.journalSpans
        return result
    }
}
