internal import TelemetryModel

/// What a native histogram grew by over a window: the last minus the first, resets added back (promql/functions.go, `histogramRate`).
struct HistogramRate {
    private let isCounter: Bool
    private let name: String
    private let range: SourceRange
    private let session: Session

    init(isCounter: Bool, _ name: String, _ range: SourceRange, _ session: Session) {
        self.isCounter = isCounter
        self.name = name
        self.range = range
        self.session = session
    }

    /// Nil, with a warning, when the layouts do not fit. `points` has two at least.
    func growth(_ points: ArraySlice<NativeHistogram>) -> NativeHistogram? {
        guard var before = points.first, let last = points.last, let second = points.dropFirst().first else { return nil }
        remarkHints(points)
        // Nothing of the first one counts when the counter was reset right behind it, its layout neither.
        if isCounter, HistogramArithmetic.wasReset(second, since: before) {
            before = NativeHistogram(schema: second.schema, customBounds: second.customBounds)
        }
        let layouts = isCounter ? Array(points.dropFirst()) + [before] : [before, last]
        guard Set(layouts.map { HistogramShape.isCustom($0) }).count == 1 else { return mixed() }
        do {
            let schema = layouts.reduce(last.schema) { min($0, $1.schema) }
            var growth = try add(HistogramArithmetic.subtract(HistogramArithmetic.reduced(last, to: schema), before), "subtraction")
            if isCounter { try addResets(points.dropFirst(), from: before, to: &growth) }
            growth.resetHint = .gauge
            return HistogramArithmetic.compact(growth)
        } catch { return mixed() }
    }

    private func addResets(
        _ points: ArraySlice<NativeHistogram>, from first: NativeHistogram, to growth: inout NativeHistogram
    ) throws(HistogramArithmetic.Incompatible) {
        var before = first
        for point in points {
            if HistogramArithmetic.wasReset(point, since: before) { growth = try add(HistogramArithmetic.add(growth, before), "addition") }
            before = point
        }
    }

    private func add(_ outcome: HistogramArithmetic.Outcome, _ operation: String) -> NativeHistogram {
        if outcome.boundsReconciled { session.annotate(.boundsReconciled(operation, range)) }
        return outcome.histogram
    }

    private func mixed() -> NativeHistogram? {
        session.annotate(.mixedSchemas(name, range))
        return nil
    }

    private func remarkHints(_ points: ArraySlice<NativeHistogram>) {
        if isCounter {
            if points.contains(where: { $0.resetHint == .gauge }) { session.annotate(.notACounter(name, range)) }
        } else if points.first?.resetHint != .gauge || points.last?.resetHint != .gauge {
            session.annotate(.notAGauge(name, range))
        }
    }
}

/// The sum or mean of native histograms, in the way of `RunningMean`.
struct HistogramMean {
    private var sum: HistogramSum
    private let isAverage: Bool
    private var count = 1.0
    private var isMoving = false

    init(_ first: NativeHistogram, isAverage: Bool) {
        sum = HistogramSum(first)
        self.isAverage = isAverage
    }

    var boundsReconciled: Bool { sum.boundsReconciled }

    mutating func add(_ histogram: NativeHistogram) throws(HistogramArithmetic.Incompatible) {
        count += 1
        guard isAverage else { return try sum.add(histogram) }
        if !isMoving {
            var next = sum
            try next.add(histogram)
            if !next.hasOverflown {
                sum = next
                return
            }
            isMoving = true
            sum.divide(by: count - 1)
        }
        sum.multiply(by: (count - 1) / count)
        try sum.add(HistogramArithmetic.divide(histogram, by: count))
    }

    var value: NativeHistogram {
        guard isAverage, !isMoving, count > 1 else { return HistogramArithmetic.compact(sum.total) }
        var mean = sum
        mean.divide(by: count)
        return HistogramArithmetic.compact(mean.total)
    }
}
