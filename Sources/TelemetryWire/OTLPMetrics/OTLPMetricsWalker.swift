import TelemetryModel

/// One pass over one OTLP metrics request (opentelemetry/proto/metrics/v1/metrics.proto).
struct OTLPMetricsWalker {
    private let body: ProtobufReader
    private(set) var outcome = OTLPMetricsOutcome()
    private var resource = OTLPResource()
    /// The newest time of the resource's points.
    private var newest: Int64 = 0

    init(_ body: ProtobufReader) { self.body = body }

    private struct Metric {
        var name = ""
        var unit = ""
        /// Field number and place of what it holds; 0 = nothing that is known.
        var kind: UInt32 = 0
        var data = 0..<0
    }

    mutating func request(_ take: (MetricPoint) -> Void) throws(ProtobufError) {
        var reader = body
        while try reader.next() {
            guard reader.field == 1 else {
                if reader.wireType == 3 { throw reader.error(.unknownWireType) }
                try reader.skipField()
                continue
            }
            try resourceMetrics(try reader.bytesField(), take)
        }
    }

    private mutating func resourceMetrics(_ range: Range<Int>, _ take: (MetricPoint) -> Void) throws(ProtobufError) {
        resource = OTLPResource(attributes: [])
        newest = 0
        try eachMessage(1, in: range) { (walker, range) throws(ProtobufError) in
            walker.resource = OTLPResource(attributes: try walker.attributes(1, in: range))
        }
        try eachMessage(2, in: range) { (walker, range) throws(ProtobufError) in
            try walker.eachMessage(2, in: range) { (walker, range) throws(ProtobufError) in try walker.metric(range, take) }
        }
        if newest > 0, let info = resource.targetInfo(at: newest) { take(info) }
    }

    private mutating func metric(_ range: Range<Int>, _ take: (MetricPoint) -> Void) throws(ProtobufError) {
        var metric = Metric()
        var reader = ProtobufReader(body, range)
        while try reader.next() {
            switch reader.field {
            case 1: metric.name = text(try reader.bytesField())
            case 3: metric.unit = text(try reader.bytesField())
            case 5, 7, 9, 10, 11:
                metric.kind = reader.field
                metric.data = try reader.bytesField()
            default: try reader.skipField()
            }
        }
        try points(metric, take)
    }

    private mutating func points(_ metric: Metric, _ take: (MetricPoint) -> Void) throws(ProtobufError) {
        var temporality: UInt64 = 2
        var isMonotonic = false
        var reader = ProtobufReader(body, metric.data)
        while try reader.next() {
            switch reader.field {
            case 2 where metric.kind != 5 && metric.kind != 11: temporality = try reader.varintField()
            case 3 where metric.kind == 7: isMonotonic = try reader.varintField() != 0
            default: try reader.skipField()
            }
        }
        let name = PrometheusNaming.metric(metric.name, unit: metric.unit, isCounter: isMonotonic, isGauge: metric.kind == 5)
        let isDelta = temporality == 1
        try eachMessage(1, in: metric.data) { (walker, range) throws(ProtobufError) in
            guard !name.isEmpty else { return walker.outcome.reject("its metric has no name") }
            var point = OTLPPoint(try walker.labels(metric.kind, in: range), resource: walker.resource, isDelta: isDelta)
            var reader = ProtobufReader(walker.body, range)
            try point.read(&reader, kind: metric.kind)
            walker.newest = max(walker.newest, point.time)
            let kind: MetricPoint.Kind = metric.kind == 7 && isMonotonic ? .counter : .gauge
            if let reason = point.emit(name, metric.kind, kind, take) {
                walker.outcome.reject(reason)
            } else {
                walker.outcome.acceptedPoints += 1
            }
        }
    }

    // MARK: Pieces

    /// Attributes of a point stand in another field for each kind.
    private mutating func labels(_ kind: UInt32, in range: Range<Int>) throws(ProtobufError) -> OTLPLabels {
        var labels = OTLPLabels()
        let field: UInt32 = kind == 9 ? 9 : kind == 10 ? 1 : 7
        for (name, value) in try attributes(field, in: range) { labels.add(attribute: name, value) }
        return labels
    }

    private mutating func attributes(_ field: UInt32, in range: Range<Int>) throws(ProtobufError) -> [(name: String, value: String)] {
        var list: [(name: String, value: String)] = []
        try eachMessage(field, in: range) { (walker, range) throws(ProtobufError) in
            guard list.count < OTLPMetricsDecoder.attributesMax else { throw walker.body.error(.lengthOutOfRange) }
            var name = ""
            var value: [UInt8] = []
            var reader = ProtobufReader(walker.body, range)
            while try reader.next() {
                switch reader.field {
                case 1: name = walker.text(try reader.bytesField())
                case 2: _ = try OTLPValueText.append(tag: walker.body, try reader.bytesField(), to: &value)
                default: try reader.skipField()
                }
            }
            list.append((name, String(decoding: value, as: UTF8.self)))
        }
        return list.sorted { $0.name < $1.name }
    }

    private mutating func eachMessage(
        _ field: UInt32, in range: Range<Int>, _ take: (inout OTLPMetricsWalker, Range<Int>) throws(ProtobufError) -> Void
    ) throws(ProtobufError) {
        var reader = ProtobufReader(body, range)
        while try reader.next() {
            if reader.field == field { try take(&self, try reader.bytesField()) } else { try reader.skipField() }
        }
    }

    private func text(_ range: Range<Int>) -> String { unsafe String(decoding: body.bytes(range), as: UTF8.self) }
}
