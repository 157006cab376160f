internal import Glibc
internal import TelemetryModel

/// One sign's buckets of a native histogram with their indices written out, ascending; the form in which they are worked on.
struct BucketTable {
    var indices: [Int32] = []
    /// One count for each index.
    var counts: [Double] = []

    init() {}

    /// Buckets that spans promise and counts do not hold are left out.
    init(_ spans: [NativeHistogram.Span], _ counts: [Double]) {
        self.counts = counts
        indices.reserveCapacity(counts.count)
        var index: Int32 = 0
        for span in spans {
            index &+= span.offset
            for _ in 0..<span.length where indices.count < counts.count {
                indices.append(index)
                index &+= 1
            }
        }
        if indices.count < counts.count { self.counts.removeLast(counts.count - indices.count) }
    }

    /// Spans without empty buckets (`Compact(0)` of model/histogram).
    var compact: (spans: [NativeHistogram.Span], counts: [Double]) {
        var spans: [NativeHistogram.Span] = []
        var kept: [Double] = []
        var end: Int32 = 0
        for (index, count) in zip(indices, counts) where count != 0 {
            if index == end, !spans.isEmpty {
                spans[spans.count - 1].length += 1
            } else {
                spans.append(NativeHistogram.Span(offset: index &- end, length: 1))
            }
            kept.append(count)
            end = index &+ 1
        }
        return (spans, kept)
    }

    /// The buckets of a coarser schema: halving `levels` times.
    func reduced(by levels: Int32) -> BucketTable {
        guard levels > 0 else { return self }
        var result = BucketTable()
        for (index, count) in zip(indices, counts) { result.appendOrAdd(((index &- 1) >> levels) &+ 1, count) }
        return result
    }

    /// For indices that do not fall.
    mutating func appendOrAdd(_ index: Int32, _ count: Double) {
        if indices.last == index { counts[counts.count - 1] += count } else { indices.append(index); counts.append(count) }
    }

    /// Both tables' buckets; `combine` is given 0 for a missing one.
    func merged(with other: BucketTable, _ combine: (Double, Double) -> Double) -> BucketTable {
        var result = BucketTable()
        result.indices.reserveCapacity(max(indices.count, other.indices.count))
        var (mine, theirs) = (0, 0)
        while mine < indices.count || theirs < other.indices.count {
            let index = min(mine < indices.count ? indices[mine] : .max, theirs < other.indices.count ? other.indices[theirs] : .max)
            let hasMine = mine < indices.count && indices[mine] == index
            let hasTheirs = theirs < other.indices.count && other.indices[theirs] == index
            result.indices.append(index)
            result.counts.append(combine(hasMine ? counts[mine] : 0, hasTheirs ? other.counts[theirs] : 0))
            mine += hasMine ? 1 : 0
            theirs += hasTheirs ? 1 : 0
        }
        return result
    }

    /// Whether a populated bucket of `previous` is missing or smaller here.
    func hasFallen(since previous: BucketTable) -> Bool {
        var mine = 0
        for (index, count) in zip(previous.indices, previous.counts) where count != 0 {
            while mine < indices.count, indices[mine] < index { mine += 1 }
            guard mine < indices.count, indices[mine] == index, counts[mine] >= count else { return true }
        }
        return false
    }

    /// The absolute upper bound of an exponential bucket: 2^(index · 2^−schema).
    static func bound(_ index: Int32, _ schema: Int32) -> Double {
        if schema <= 0 {
            let exponent = Int64(index) << Int64(-schema)
            return exponent == 1024 ? .greatestFiniteMagnitude : ldexp(1, Int32(clamping: exponent))
        }
        let exponent = Int64(index) >> Int64(schema)
        let fraction = Double(Int64(index) - exponent << Int64(schema)) / Double(Int64(1) << Int64(schema))
        if fraction == 0, exponent == 1024 { return .greatestFiniteMagnitude }
        return ldexp(exp2(fraction), Int32(clamping: exponent))
    }
}

/// A bucket with its bounds.
struct HistogramBucket {
    var lower: Double
    var upper: Double
    var count: Double
}
