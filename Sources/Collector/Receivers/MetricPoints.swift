internal import Primitives
internal import TelemetryModel
internal import TelemetryWire

/// Points of one body on their way into a batch. A value of one call.
struct MetricPoints {
    /// Labels of a series, and bytes of all its labels.
    private static let labelsMax = SeriesIdentity.labelsMax
    private static let labelBytesMax = SeriesIdentity.bytesMax - 64
    /// What the series and the numbers of one body may take: each point of a resource has the resource's labels again, so that a body
    /// could become far more than it is.
    static let bytesMax = 256 << 20

    /// Increases (OTLP's delta temporality), to be added up before they are points of the batch.
    private(set) var increases: [MetricPoint] = []
    private var bytes = 0

    /// Adds the point to the batch or to the increases; or says why it cannot be taken.
    mutating func take(_ point: MetricPoint, into batch: inout SeriesBatch) -> String? {
        guard let name = point.labels[LabelSet.metricName] else { return "its series has no name" }
        guard point.labels.count <= Self.labelsMax else { return "its series has more than \(Self.labelsMax) labels" }
        let labelBytes = point.labels.labels.reduce(0) { $0 + $1.name.utf8.count + $1.value.utf8.count + 6 }
        guard labelBytes <= Self.labelBytesMax else { return "the labels of its series take more than \(Self.labelBytesMax) bytes" }
        let isSplit = if case .classic(let histogram) = point.value { !Self.isVector(histogram) } else { false }
        bytes += point.exemplars.count * 48
        bytes += isSplit ? point.seriesCount * (labelBytes + 128) : labelBytes + 128 + point.valueBytes
        guard bytes <= Self.bytesMax else { return "the series of the request take more than \(Self.bytesMax >> 20) MiB" }
        if point.isIncrease {
            increases.append(point)
        } else {
            Self.append(point, name, to: &batch)
        }
        return nil
    }

    /// Adds a point that was taken before.
    static func append(_ point: MetricPoint, to batch: inout SeriesBatch) {
        append(point, point.labels[LabelSet.metricName] ?? "", to: &batch)
    }

    private static func append(_ point: MetricPoint, _ name: String, to batch: inout SeriesBatch) {
        let created = point.created ?? 0
        switch point.value {
        case .number(let value):
            let identity = batch.append(point.labels, kind(point.kind))
            if point.hasValue { append(identity, point, value, to: &batch) }
            appendExemplars(of: point, to: identity, &batch)
        case .histogram(let histogram):
            let identity = batch.append(point.labels, .nativeHistogram)
            if point.isStale { return batch.appendStale(identity, time: point.time) }
            if point.hasValue { batch.append(identity, time: point.time, histogram, created: created) }
            appendExemplars(of: point, to: identity, &batch)
        case .classic(let histogram):
            guard isVector(histogram), let sum = histogram.sum else { return split(histogram, point, name, to: &batch) }
            let identity = batch.append(point.labels, .classicHistogram, bounds: histogram.bounds)
            if point.isStale { return batch.appendStale(identity, time: point.time) }
            batch.append(identity, time: point.time, buckets: histogram.buckets, count: histogram.count, sum: sum, created: created)
            appendExemplars(of: point, to: identity, &batch)
        }
    }

    private static func appendExemplars(
        of point: MetricPoint, to identity: UInt32, above below: Double = -.infinity, upTo bound: Double = .infinity,
        _ batch: inout SeriesBatch
    ) {
        for exemplar in point.exemplars where exemplar.value > below && exemplar.value <= bound { batch.append(identity, exemplar) }
    }

    private static func append(_ identity: UInt32, _ point: MetricPoint, _ value: Double, to batch: inout SeriesBatch) {
        if point.isStale { return batch.appendStale(identity, time: point.time) }
        batch.append(identity, time: point.time, value: value, created: point.created ?? 0)
    }

    /// Whether the store has it as one series. It writes the labels `le` of such a series as scrapes have them, with an exponent for very
    /// large and very small bounds, which Prometheus' OTLP receiver never does.
    private static func isVector(_ histogram: ClassicHistogram) -> Bool {
        histogram.bounds.count <= SeriesIdentity.boundsMax && histogram.sum != nil
            && histogram.bounds.allSatisfy { $0 == 0 || (1e-4..<1e6).contains($0.magnitude) }
    }

    /// A series for each bucket.
    private static func split(_ histogram: ClassicHistogram, _ point: MetricPoint, _ name: String, to batch: inout SeriesBatch) {
        var before = -Double.infinity
        func append(_ suffix: String, _ bound: Double?, _ value: Double) {
            var labels = point.labels
            labels[LabelSet.metricName] = name + suffix
            if let bound { labels["le"] = GoFloat.plain(bound) }
            let identity = batch.append(labels, .counter)
            Self.append(identity, point, value, to: &batch)
            guard let bound else { return }
            appendExemplars(of: point, to: identity, above: before, upTo: bound, &batch)
            before = bound
        }
        if let sum = histogram.sum { append("_sum", nil, sum) }
        append("_count", nil, histogram.count)
        var below = 0.0
        for (bound, count) in zip(histogram.bounds, histogram.buckets) {
            below += count
            append("_bucket", bound, below)
        }
        append("_bucket", .infinity, histogram.count)
    }

    /// The parts of summaries that come as series of their own only grow.
    private static func kind(_ kind: MetricPoint.Kind) -> SeriesKind {
        switch kind {
        case .counter, .histogram: .counter
        case .gauge: .gauge
        case .unknown, .summary: .unknown
        }
    }
}

extension MetricPoint {
    /// Numbers of its value, in bytes.
    fileprivate var valueBytes: Int {
        switch value {
        case .number: 8
        case .classic(let histogram): (histogram.bounds.count + histogram.buckets.count + 2) * 8
        case .histogram(let histogram):
            128 + (histogram.positiveCounts.count + histogram.negativeCounts.count + histogram.customBounds.count) * 8
                + (histogram.positiveSpans.count + histogram.negativeSpans.count) * 8
        }
    }

    fileprivate var seriesCount: Int { if case .classic(let histogram) = value { histogram.buckets.count + 2 } else { 1 } }
}
