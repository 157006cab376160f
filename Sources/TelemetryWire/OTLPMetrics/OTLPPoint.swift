import TelemetryModel

/// One data point of any kind, as far as the kinds share fields: `start_time_unix_nano` and `time_unix_nano` are 2 and 3 in each.
struct OTLPPoint {
    private let labels: OTLPLabels
    private let isDelta: Bool
    private(set) var time: Int64 = 0
    /// Exemplars that came with it and are left out: they name no trace, or are too many.
    private(set) var droppedExemplars = 0
    private var exemplars: [SeriesExemplar] = []
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
    /// A list had more entries than are taken.
    private var isCut = false

    init(_ labels: OTLPLabels, isDelta: Bool) {
        self.labels = labels
        self.isDelta = isDelta
    }

    mutating func read(_ reader: inout ProtobufReader, kind: UInt32) throws(ProtobufError) {
        let most = OTLPMetricsDecoder.boundsMax
        while try reader.next() {
            switch (kind, reader.field) {
            case (_, 2): start = Int64(clamping: try reader.fixed64Field() / 1_000_000)
            case (_, 3): time = Int64(clamping: try reader.fixed64Field() / 1_000_000)
            case (5, 8), (7, 8), (9, 10), (10, 10), (11, 8): hasNoValue = try reader.varintField() & 1 != 0
            case (5, 4), (7, 4): number = Double(bitPattern: try reader.fixed64Field())
            case (5, 6), (7, 6): number = Double(Int64(bitPattern: try reader.fixed64Field()))
            case (9, 4), (10, 4), (11, 4): count = try reader.fixed64Field()
            case (9, 5), (10, 5), (11, 5): sum = Double(bitPattern: try reader.fixed64Field())
            case (9, 6): if try !reader.appendFixed64(to: &bucketCounts, most: most + 1) { isCut = true }
            case (9, 7): if try !reader.appendDoubles(to: &bounds, most: most) { isCut = true }
            case (10, 6), (10, 7), (10, 8), (10, 9), (10, 14): try exponential.read(&reader)
            case (11, 6): try quantile(ProtobufReader(reader, try reader.bytesField()))
            case (5, 5), (7, 5), (9, 8), (10, 11):
                try exemplar(ProtobufReader(reader, try reader.bytesField()))
            default: try reader.skipField()
            }
        }
    }

    private mutating func quantile(_ message: ProtobufReader) throws(ProtobufError) {
        var reader = message
        guard quantiles.count < OTLPMetricsDecoder.boundsMax else {
            isCut = true
            return
        }
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

    private mutating func exemplar(_ message: ProtobufReader) throws(ProtobufError) {
        var reader = message
        var one = SeriesExemplar(time: 0, value: 0, traceID: .none, spanID: .none)
        while try reader.next() {
            switch reader.field {
            case 2: one.time = Int64(clamping: try reader.fixed64Field() / 1_000_000)
            case 3: one.value = Double(bitPattern: try reader.fixed64Field())
            case 6: one.value = Double(Int64(bitPattern: try reader.fixed64Field()))
            case 4:
                let id = try reader.bytesField()
                if id.count == 8 { one.spanID = SpanID(reader.bigEndian(id)) }
            case 5:
                let id = try reader.bytesField()
                guard id.count == 16 else { continue }
                let middle = id.lowerBound + 8
                one.traceID = TraceID(high: reader.bigEndian(id.lowerBound..<middle), low: reader.bigEndian(middle..<id.upperBound))
            default: try reader.skipField()
            }
        }
        if one.traceID.isNone || exemplars.count >= OTLPMetricsDecoder.exemplarsMax {
            droppedExemplars += 1
        } else {
            exemplars.append(one)
        }
    }

    // MARK: Series

    /// Gives the point's series to `take`; or says why it is none.
    func emit(
        _ name: String, _ field: UInt32, _ kind: MetricPoint.Kind, _ translation: OTLPTranslation, _ take: (MetricPoint) -> String?
    ) -> String? {
        guard !isCut else { return "\(name) has more than \(OTLPMetricsDecoder.boundsMax) bounds or quantiles" }
        switch field {
        case 9: return emitHistogram(name, translation, take)
        case 10: return emitExponential(name, take)
        case 11: return emitSummary(name, take)
        default: return take(point(labels.labels(name), kind, .number(number)))
        }
    }

    private func point(_ labels: LabelSet, _ kind: MetricPoint.Kind, _ value: MetricPoint.Value) -> MetricPoint {
        var point = MetricPoint(labels: labels, kind: kind, time: time, value: value)
        if start > 0, kind != .gauge || isDelta { point.created = start }
        point.isStale = hasNoValue
        point.isIncrease = isDelta && !hasNoValue
        if kind != .summary { point.exemplars = exemplars }
        return point
    }

    private func emitHistogram(_ name: String, _ translation: OTLPTranslation, _ take: (MetricPoint) -> String?) -> String? {
        var histogram = ClassicHistogram(bounds: [], buckets: [Double(count)], count: Double(count), sum: sum)
        if !bucketCounts.isEmpty {
            histogram.bounds = bounds
            histogram.buckets = bucketCounts.map { Double($0) }
        }
        guard histogram.buckets.count == histogram.bounds.count + 1 else {
            return "\(name) has \(bucketCounts.count) buckets for \(bounds.count) bounds: expected one more than bounds"
        }
        // Said or not, the last bucket goes up to +Inf.
        if histogram.bounds.last == .infinity {
            histogram.bounds.removeLast()
            let last = histogram.buckets.removeLast()
            histogram.buckets[histogram.buckets.count - 1] += last
        }
        guard histogram.isValid else { return "the bounds of \(name) do not ascend, or one is not finite" }
        guard translation.convertsHistograms else { return take(point(labels.labels(name), .histogram, .classic(histogram))) }
        let native = NativeHistogram(histogram)
        guard native.isValid else { return "\(name) has more than \(NativeHistogram.bucketsMax) buckets" }
        return take(point(labels.labels(name), .histogram, .histogram(native)))
    }

    private func emitExponential(_ name: String, _ take: (MetricPoint) -> String?) -> String? {
        switch exponential.native(count: count, sum: sum ?? .nan) {
        case .success(let made): return take(point(labels.labels(name), .histogram, .histogram(made)))
        case .failure(let problem): return "\(name) \(problem.text)"
        }
    }

    private func emitSummary(_ name: String, _ take: (MetricPoint) -> String?) -> String? {
        var reason = take(point(labels.labels(name + "_sum"), .summary, .number(sum ?? 0)))
        reason = take(point(labels.labels(name + "_count"), .summary, .number(Double(count)))) ?? reason
        for one in quantiles {
            let labels = labels.labels(name, adding: [("quantile", Self.text(one.quantile))])
            reason = take(point(labels, .gauge, .number(one.value))) ?? reason
        }
        return reason
    }

    private static func text(_ value: Double) -> String {
        var bytes: [UInt8] = []
        FloatText.append(value, to: &bytes)
        return String(decoding: bytes, as: UTF8.self)
    }
}

extension NativeHistogram {
    /// The same buckets with bounds of their own (Prometheus: `convert_histograms_to_nhcb`). A sum that is not known is 0 there.
    fileprivate init(_ classic: ClassicHistogram) {
        self.init(schema: Self.customSchema, count: classic.count, sum: classic.sum ?? 0, customBounds: classic.bounds)
        guard let first = classic.buckets.firstIndex(where: { $0 > 0 }), let last = classic.buckets.lastIndex(where: { $0 > 0 }) else {
            return
        }
        positiveCounts = Array(classic.buckets[first...last])
        positiveSpans = [Span(offset: Int32(clamping: first), length: UInt32(clamping: positiveCounts.count))]
    }
}
