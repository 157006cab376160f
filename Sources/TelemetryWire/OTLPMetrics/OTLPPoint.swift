import TelemetryModel

/// One data point of any kind, as far as the kinds share fields: `start_time_unix_nano` and `time_unix_nano` are 2 and 3 in each.
struct OTLPPoint {
    private let labels: OTLPLabels
    private let isDelta: Bool
    private(set) var time: Int64 = 0
    private var start: Int64 = 0
    private var number = 0.0
    private var count: UInt64 = 0
    private var sum: Double?
    private var bucketCounts: [UInt64] = []
    private var bounds: [Double] = []
    private var quantiles: [(quantile: Double, value: Double)] = []
    private var exponential = OTLPExponentialHistogram()
    /// DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK
    private var hasNoValue = false

    init(_ attributes: OTLPLabels, resource: OTLPResource, isDelta: Bool) {
        var labels = attributes
        for (name, value) in resource.identity.values { labels.set(name, value) }
        self.labels = labels
        self.isDelta = isDelta
    }

    mutating func read(_ reader: inout ProtobufReader, kind: UInt32) throws(ProtobufError) {
        while try reader.next() {
            switch (kind, reader.field) {
            case (_, 2): start = Int64(clamping: try reader.fixed64Field() / 1_000_000)
            case (_, 3): time = Int64(clamping: try reader.fixed64Field() / 1_000_000)
            case (5, 8), (7, 8), (9, 10), (10, 10), (11, 8): hasNoValue = try reader.varintField() & 1 != 0
            case (5, 4), (7, 4): number = Double(bitPattern: try reader.fixed64Field())
            case (5, 6), (7, 6): number = Double(Int64(bitPattern: try reader.fixed64Field()))
            case (9, 4), (10, 4), (11, 4): count = try reader.fixed64Field()
            case (9, 5), (10, 5), (11, 5): sum = Double(bitPattern: try reader.fixed64Field())
            case (9, 6): try appendFixed(&reader)
            case (9, 7): try appendDoubles(&reader, to: &bounds, most: OTLPMetricsDecoder.boundsMax)
            case (10, 6), (10, 7), (10, 8), (10, 9), (10, 14): try exponential.read(&reader)
            case (11, 6): try quantile(ProtobufReader(reader, try reader.bytesField()))
            default: try reader.skipField()
            }
        }
    }

    private mutating func appendFixed(_ reader: inout ProtobufReader) throws(ProtobufError) {
        var counts: [Double] = []
        let most = OTLPMetricsDecoder.boundsMax
        try appendDoubles(&reader, to: &counts, most: most + 1 - min(bucketCounts.count, most))
        bucketCounts += counts.map(\.bitPattern)
    }

    private mutating func quantile(_ message: ProtobufReader) throws(ProtobufError) {
        var reader = message
        guard quantiles.count < OTLPMetricsDecoder.boundsMax else { throw reader.error(.lengthOutOfRange) }
        var one = (quantile: 0.0, value: 0.0)
        while try reader.next() {
            switch reader.field {
            case 1: one.quantile = Double(bitPattern: try reader.fixed64Field())
            case 2: one.value = Double(bitPattern: try reader.fixed64Field())
            default: try reader.skipField()
            }
        }
        quantiles.append(one)
    }

    // MARK: Series

    /// Gives the point's series to `take`; or says why it is none.
    func emit(_ name: String, _ field: UInt32, _ kind: MetricPoint.Kind, _ take: (MetricPoint) -> Void) -> String? {
        switch field {
        case 9: return emitHistogram(name, take)
        case 10: return emitExponential(name, take)
        case 11: emitSummary(name, take)
        default: take(point(labels.labels(name), kind, number))
        }
        return nil
    }

    private func point(_ labels: LabelSet, _ kind: MetricPoint.Kind, _ value: Double) -> MetricPoint {
        var point = MetricPoint(labels: labels, kind: kind, time: time, value: .number(hasNoValue ? SeriesSamples.staleMarker : value))
        if kind != .gauge, start > 0 { point.created = start }
        point.isIncrease = isDelta && kind != .gauge && !hasNoValue
        return point
    }

    private func emitHistogram(_ name: String, _ take: (MetricPoint) -> Void) -> String? {
        guard bucketCounts.isEmpty || bucketCounts.count == bounds.count + 1 else {
            return "\(name) has \(bucketCounts.count) buckets for \(bounds.count) bounds: expected one more than bounds"
        }
        guard zip(bounds, bounds.dropFirst()).allSatisfy({ $0 < $1 }) else { return "the bounds of \(name) do not ascend" }
        if let sum { take(point(labels.labels(name + "_sum"), .histogram, sum)) }
        take(point(labels.labels(name + "_count"), .histogram, Double(count)))
        var below: UInt64 = 0
        for (index, bound) in bounds.enumerated() where !bucketCounts.isEmpty && bound != .infinity {
            below = below &+ bucketCounts[index]
            take(point(bucket(name, bound), .histogram, Double(below)))
        }
        take(point(bucket(name, .infinity), .histogram, Double(count)))
        return nil
    }

    private func bucket(_ name: String, _ bound: Double) -> LabelSet {
        labels.labels(name + "_bucket", adding: [("le", Self.text(bound))])
    }

    private func emitExponential(_ name: String, _ take: (MetricPoint) -> Void) -> String? {
        guard let made = exponential.native(count: count, sum: sum ?? .nan, isDelta: isDelta) else {
            return "\(name) has a scale below -4, or more than \(NativeHistogram.bucketsMax) buckets"
        }
        var point = point(labels.labels(name), .histogram, 0)
        if !hasNoValue { point.value = .histogram(made) }
        take(point)
        return nil
    }

    private func emitSummary(_ name: String, _ take: (MetricPoint) -> Void) {
        take(point(labels.labels(name + "_sum"), .summary, sum ?? 0))
        take(point(labels.labels(name + "_count"), .summary, Double(count)))
        for one in quantiles {
            take(point(labels.labels(name, adding: [("quantile", Self.text(one.quantile))]), .gauge, one.value))
        }
    }

    private static func text(_ value: Double) -> String {
        var bytes: [UInt8] = []
        FloatText.append(value, to: &bytes)
        return String(decoding: bytes, as: UTF8.self)
    }
}

/// The buckets of an exponential histogram.
struct OTLPExponentialHistogram {
    private var scale: Int32 = 0
    private var zeroCount: UInt64 = 0
    private var zeroThreshold = 0.0
    private var positive = Buckets()
    private var negative = Buckets()

    private struct Buckets {
        var offset: Int32 = 0
        var counts: [UInt64] = []
    }

    mutating func read(_ reader: inout ProtobufReader) throws(ProtobufError) {
        switch reader.field {
        case 6: scale = Int32(clamping: Self.signed(try reader.varintField()))
        case 7: zeroCount = try reader.fixed64Field()
        case 8: positive = try Self.buckets(ProtobufReader(reader, try reader.bytesField()))
        case 9: negative = try Self.buckets(ProtobufReader(reader, try reader.bytesField()))
        default: zeroThreshold = Double(bitPattern: try reader.fixed64Field())
        }
    }

    private static func buckets(_ message: ProtobufReader) throws(ProtobufError) -> Buckets {
        var reader = message
        var buckets = Buckets()
        while try reader.next() {
            switch reader.field {
            case 1: buckets.offset = Int32(clamping: signed(try reader.varintField()))
            case 2: try appendVarints(&reader, to: &buckets.counts, most: NativeHistogram.bucketsMax)
            default: try reader.skipField()
            }
        }
        return buckets
    }

    private static func signed(_ value: UInt64) -> Int64 { Int64(bitPattern: value >> 1) ^ -Int64(bitPattern: value & 1) }

    /// What is called zero when the sender does not say (Prometheus' OTLP receiver).
    private static let zeroThresholdDefault = 1e-128

    /// The same histogram at scale 8 at most, each merge of two buckets exact; nil where Prometheus has no schema for it.
    func native(count: UInt64, sum: Double, isDelta: Bool) -> NativeHistogram? {
        guard scale >= -4 else { return nil }
        let shift = max(0, scale - 8)
        var made = NativeHistogram(
            schema: scale - shift, zeroThreshold: zeroThreshold > 0 ? zeroThreshold : Self.zeroThresholdDefault,
            zeroCount: Double(zeroCount), count: Double(count), sum: sum, resetHint: isDelta ? .gauge : .unknown)
        (made.positiveSpans, made.positiveCounts) = Self.merged(positive, by: shift)
        (made.negativeSpans, made.negativeCounts) = Self.merged(negative, by: shift)
        return made.isValid ? made : nil
    }

    /// Prometheus numbers a bucket by its upper bound, OTLP by its lower one.
    private static func merged(_ buckets: Buckets, by shift: Int32) -> ([NativeHistogram.Span], [Double]) {
        guard let first = buckets.counts.firstIndex(where: { $0 > 0 }), let last = buckets.counts.lastIndex(where: { $0 > 0 }) else {
            return ([], [])
        }
        let move = Int64(min(shift, 62))
        let start = (Int64(buckets.offset) + Int64(first)) >> move
        var counts = [Double](repeating: 0, count: Int((Int64(buckets.offset) + Int64(last)) >> move - start) + 1)
        for index in first...last { counts[Int((Int64(buckets.offset) + Int64(index)) >> move - start)] += Double(buckets.counts[index]) }
        return ([NativeHistogram.Span(offset: Int32(clamping: start + 1), length: UInt32(counts.count))], counts)
    }
}
