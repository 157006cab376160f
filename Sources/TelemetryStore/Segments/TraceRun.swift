internal import TelemetryModel

/// Neighbouring spans of one trace in one head batch: what a segment gathers a trace from.
struct TraceRun: BitwiseCopyable {
    var sortKey: UInt64
    var high: UInt64
    var batch: Int32
    var first: Int32
    var count: Int32
    /// Where its first span lies in the batch's bytes.
    var place: Int32

    /// All runs of the batches, by trace in the order of segments, within a trace in the order received.
    static func inOrder(_ batches: [HeadBatch]) -> [TraceRun] {
        var runs: [TraceRun] = []
        for (number, batch) in batches.enumerated() {
            let ids = batch.traceIDs
            let starts = batch.spanStarts
            let spansStart = batch.spansStart
            var first = 0
            while first < ids.count {
                var end = first + 1
                while end < ids.count, ids[end] == ids[first] { end += 1 }
                runs.append(TraceRun(
                    sortKey: ids[first].sortKey, high: ids[first].high, batch: Int32(number), first: Int32(first),
                    count: Int32(end - first),
                    place: Int32(clamping: spansStart + Int(starts[first]))))
                first = end
            }
        }
        runs.sort {
            if $0.sortKey != $1.sortKey { return $0.sortKey < $1.sortKey }
            if $0.high != $1.high { return $0.high < $1.high }
            return $0.batch != $1.batch ? $0.batch < $1.batch : $0.first < $1.first
        }
        return runs
    }
}
