internal import TelemetryModel

/// The sum of native histograms: buckets without gaps, at the coarsest schema that was added. A value.
///
/// All that are added have the same zero threshold and, with bounds of their own, the same bounds: `DeltaSeries` tells others apart.
struct DeltaHistogram: Sendable {
    /// Buckets of one sign; a total that would have more takes a coarser schema (deltatocumulative does so at 160).
    static let bucketsMax = 320

    private var sum: NativeHistogram
    private var positive = Buckets()
    private var negative = Buckets()

    /// Consecutive buckets.
    private struct Buckets: Sendable {
        /// Prometheus' number of the first one.
        var start = 0
        var counts: [Double] = []

        var end: Int { start + counts.count }

        init() {}

        /// Nil = the spans reach over more buckets than a histogram may have.
        init?(_ spans: [NativeHistogram.Span], _ counts: [Double]) {
            var index = 0
            var taken = counts.startIndex
            for span in spans {
                index += Int(span.offset)
                if self.counts.isEmpty { start = index }
                guard index + Int(span.length) - start <= NativeHistogram.bucketsMax else { return nil }
                self.counts += [Double](repeating: 0, count: index - end)
                self.counts += counts[taken..<taken + Int(span.length)]
                taken += Int(span.length)
                index += Int(span.length)
            }
        }

        /// At a schema that is so much coarser: bucket i ends where (i − 1) · 2^levels + 1 … i · 2^levels did.
        func reduced(by levels: Int32) -> Buckets {
            guard levels > 0, !counts.isEmpty else { return self }
            var made = Buckets()
            made.start = ((start - 1) >> levels) + 1
            made.counts = [Double](repeating: 0, count: ((end - 2) >> levels) + 1 - made.start + 1)
            for (place, count) in counts.enumerated() { made.counts[((start + place - 1) >> levels) + 1 - made.start] += count }
            return made
        }

        /// How many buckets both take together.
        func span(with other: Buckets) -> Int {
            counts.isEmpty ? other.counts.count : other.counts.isEmpty ? counts.count : max(end, other.end) - min(start, other.start)
        }

        mutating func add(_ other: Buckets) {
            guard !other.counts.isEmpty else { return }
            if counts.isEmpty {
                self = other
                return
            }
            if other.start < start {
                counts.insert(contentsOf: [Double](repeating: 0, count: start - other.start), at: 0)
                start = other.start
            }
            if other.end > end { counts += [Double](repeating: 0, count: other.end - end) }
            for (place, count) in other.counts.enumerated() { counts[other.start - start + place] += count }
        }

        var spans: [NativeHistogram.Span] {
            counts.isEmpty ? [] : [NativeHistogram.Span(offset: Int32(clamping: start), length: UInt32(clamping: counts.count))]
        }
    }

    /// The first one; valid (`NativeHistogram.isValid`). Nil = it has too many buckets.
    init?(_ first: NativeHistogram) {
        sum = NativeHistogram(schema: first.schema, zeroThreshold: first.zeroThreshold, customBounds: first.customBounds)
        guard add(first) else { return nil }
    }

    /// False = together they would have too many buckets; nothing is added then.
    mutating func add(_ other: NativeHistogram) -> Bool {
        guard let theirPositive = Buckets(other.positiveSpans, other.positiveCounts),
            let theirNegative = Buckets(other.negativeSpans, other.negativeCounts)
        else { return false }
        let isCustom = sum.schema == NativeHistogram.customSchema
        var schema = min(sum.schema, other.schema)
        while true {
            let mine = (positive.reduced(by: sum.schema - schema), negative.reduced(by: sum.schema - schema))
            let theirs = (theirPositive.reduced(by: other.schema - schema), theirNegative.reduced(by: other.schema - schema))
            if isCustom || max(mine.0.span(with: theirs.0), mine.1.span(with: theirs.1)) <= Self.bucketsMax {
                (positive, negative) = mine
                positive.add(theirs.0)
                negative.add(theirs.1)
                break
            }
            guard schema > NativeHistogram.exponentialSchemas.lowerBound else { return false }
            schema -= 1
        }
        sum.schema = schema
        sum.count += other.count
        sum.sum += other.sum
        sum.zeroCount += other.zeroCount
        return true
    }

    var native: NativeHistogram {
        var made = sum
        (made.positiveSpans, made.positiveCounts) = (positive.spans, positive.counts)
        (made.negativeSpans, made.negativeCounts) = (negative.spans, negative.counts)
        return made
    }

    /// Memory, about.
    var byteCount: Int { 160 + (positive.counts.count + negative.counts.count + sum.customBounds.count) * 8 }
}
