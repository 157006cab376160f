internal import TelemetryModel

/// `histogram_quantile` and `histogram_fraction` over vectors that hold classic buckets, native histograms, or both.
struct HistogramFunctions {
    static let bucketLabel = "le"

    private let node: Call
    private let session: Session
    private let steps: Steps
    private var isQuantile: Bool { node.function.name == "histogram_quantile" }

    init(_ node: Call, _ session: Session, _ steps: Steps) {
        self.node = node
        self.session = session
        self.steps = steps
    }

    /// One classic histogram: its buckets' rows, ascending by bound.
    private struct Classic {
        var buckets: [(upper: Double, row: Row)] = []
        /// With the name, without the bound.
        var key: LabelSet
    }

    func rows(_ arguments: [[Row]]) throws(PromQLError) -> [Row] {
        guard let vector = arguments.last, let first = arguments.first?.first?.values else { return [] }
        let second = isQuantile ? first : arguments[1].first?.values ?? []
        if isQuantile { remarkQuantiles(first) }
        let classics = classics(vector)
        var result: [Row] = []
        for row in vector where row.hasHistograms {
            if let native = try native(row, classics[row.labels], first, second) { result.append(native) }
        }
        // In the order in which they came.
        var done: Set<LabelSet> = []
        for row in vector {
            let key = row.labels.filtered { $0 != Self.bucketLabel }
            guard let classic = classics[key], done.insert(key).inserted else { continue }
            if let figures = try self.classic(classic, vector, first, second) { result.append(figures) }
        }
        return try session.merged(result)
    }

    private func remarkQuantiles(_ values: [Double]) {
        for q in values where !(q >= 0 && q <= 1) { session.annotate(.invalidQuantile(q, node.arguments[0].range)) }
    }

    /// For remarks: Prometheus has removed the name before it remarks, unless that waits.
    private func name(of labels: LabelSet) -> String { session.delaysNameRemoval ? labels[LabelSet.metricName] ?? "" : "" }

    private var vectorRange: SourceRange { node.arguments[node.arguments.count - 1].range }

    private func classics(_ rows: [Row]) -> [LabelSet: Classic] {
        var result: [LabelSet: Classic] = [:]
        for row in rows where row.values.contains(where: { !Row.isAbsent($0) }) {
            let text = row.labels[Self.bucketLabel] ?? ""
            guard let upper = GoNumber.parse(text) else {
                session.annotate(.badBucketLabel(text, name(of: row.labels), vectorRange))
                continue
            }
            let key = row.labels.filtered { $0 != Self.bucketLabel }
            result[key, default: Classic(key: key)].buckets.append((upper, row))
        }
        for key in Array(result.keys) { result[key]?.buckets.sort { $0.upper < $1.upper } }
        return result
    }

    private func classic(_ histogram: Classic, _ vector: [Row], _ first: [Double], _ second: [Double]) throws(PromQLError) -> Row? {
        let natives = vector.filter { $0.hasHistograms && $0.labels == histogram.key }
        var row = Row(labels: histogram.key)
        let start = histogram.buckets.map(\.row.base).min() ?? 0
        for step in start..<(histogram.buckets.map(\.row.end).max() ?? 0) {
            try session.worked(histogram.buckets.count)
            if natives.contains(where: { $0.histogram(at: step) != nil }) { continue }
            let buckets = self.buckets(of: histogram, at: step)
            guard !buckets.isEmpty else { continue }
            row.append(value(of: buckets, first[step], second[step], histogram.key), at: step)
        }
        session.dropName(of: &row)
        return row.values.isEmpty ? nil : row
    }

    private func buckets(of histogram: Classic, at step: Int) -> [ClassicQuantile.Bucket] {
        var buckets: [ClassicQuantile.Bucket] = []
        buckets.reserveCapacity(histogram.buckets.count)
        for bucket in histogram.buckets {
            let count = bucket.row.value(at: step)
            if !Row.isAbsent(count) { buckets.append(ClassicQuantile.Bucket(upper: bucket.upper, count: count)) }
        }
        return buckets
    }

    private func value(of buckets: [ClassicQuantile.Bucket], _ first: Double, _ second: Double, _ labels: LabelSet) -> Double {
        guard isQuantile else { return ClassicQuantile.fraction(from: first, to: second, buckets) }
        let (value, correction) = ClassicQuantile.quantile(first, buckets)
        if correction != nil { session.annotate(.forcedMonotonicity(name(of: labels), vectorRange)) }
        return value
    }

    private func native(_ source: Row, _ classic: Classic?, _ first: [Double], _ second: [Double]) throws(PromQLError) -> Row? {
        var row = Row(labels: source.labels, dropsName: source.dropsName)
        let range = node.arguments[0].range
        let name = name(of: source.labels)
        for step in source.base..<source.end {
            guard let histogram = source.histogram(at: step) else { continue }
            try session.worked(16 + histogram.positiveCounts.count)
            if let classic, !buckets(of: classic, at: step).isEmpty {
                session.annotate(.mixedClassicAndNative(name, vectorRange))
                continue
            }
            if !isQuantile {
                if histogram.sum.isNaN { session.annotate(.fractionWithoutNaNs(name, range)) }
                row.append(HistogramQuantile.fraction(from: first[step], to: second[step], of: histogram), at: step)
                continue
            }
            let (value, remark) = HistogramQuantile.quantile(first[step], of: histogram)
            if remark == .resultIsNaN { session.annotate(.quantileOfNaNs(name, range)) }
            if remark == .skewedByNaNs { session.annotate(.quantileSkewedByNaNs(name, range)) }
            row.append(value, at: step)
        }
        session.dropName(of: &row)
        return row.values.isEmpty ? nil : row
    }
}
