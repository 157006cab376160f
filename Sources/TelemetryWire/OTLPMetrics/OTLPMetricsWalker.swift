import TelemetryModel

/// One pass over one OTLP metrics request (opentelemetry/proto/metrics/v1/metrics.proto).
struct OTLPMetricsWalker {
    private let body: ProtobufReader
    private let translation: OTLPTranslation
    private let namer: PrometheusNamer
    private(set) var outcome = OTLPMetricsOutcome()
    private var resource = OTLPResource()
    /// Labels that the points of a scope have of it.
    private var scope = OTLPLabels()
    /// The newest time of the resource's points.
    private var newest: Int64 = 0

    init(_ body: ProtobufReader, _ translation: OTLPTranslation) {
        self.body = body
        self.translation = translation
        namer = PrometheusNamer(strategy: translation.strategy)
    }

    private struct Metric {
        var name = ""
        var unit = ""
        /// Field number and place of what it holds; 0 = nothing that is known.
        var kind: UInt32 = 0
        var data = 0..<0
        var isDelta = false
        var isMonotonic = false
        /// Why none of its points can be taken.
        var problem: String?

        var hasTemporality: Bool { kind == 7 || kind == 9 || kind == 10 }
    }

    mutating func request(_ take: (MetricPoint) -> String?) throws(ProtobufError) {
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

    private mutating func resourceMetrics(_ range: Range<Int>, _ take: (MetricPoint) -> String?) throws(ProtobufError) {
        resource = OTLPResource()
        newest = 0
        try eachMessage(1, in: range) { (walker, range) throws(ProtobufError) in
            walker.resource = OTLPResource(try walker.attributes(1, in: range), walker.translation, walker.namer)
        }
        try eachMessage(2, in: range) { (walker, range) throws(ProtobufError) in
            walker.scope = try walker.scopeLabels(range)
            try walker.eachMessage(2, in: range) { (walker, range) throws(ProtobufError) in try walker.metric(range, take) }
        }
        guard newest > 0, let info = resource.targetInfo(at: newest) else { return }
        if let name = resource.unnamedInfo { outcome.warn("no label of target_info can be named after the attribute \"\(name)\"") }
        if let reason = take(info) { outcome.warn("target_info is left out, because \(reason)") }
    }

    /// Empty where scopes are not promoted, and for a scope without a name (Prometheus: `promote_scope_metadata`).
    private mutating func scopeLabels(_ range: Range<Int>) throws(ProtobufError) -> OTLPLabels {
        guard translation.promotesScope else { return OTLPLabels() }
        var (name, version, schema) = ("", "", "")
        var attributes = OTLPAttributes()
        var reader = ProtobufReader(body, range)
        while try reader.next() {
            switch reader.field {
            case 1:
                let range = try reader.bytesField()
                attributes = try self.attributes(3, in: range)
                var scope = ProtobufReader(body, range)
                while try scope.next() {
                    switch scope.field {
                    case 1: name = text(try scope.bytesField())
                    case 2: version = text(try scope.bytesField())
                    default: try scope.skipField()
                    }
                }
            case 3: schema = text(try reader.bytesField())
            default: try reader.skipField()
            }
        }
        var labels = OTLPLabels()
        guard !name.isEmpty else { return labels }
        for (name, value) in attributes.list { labels.add(attribute: "otel_scope_" + name, value, namer) }
        labels.set("otel_scope_name", name)
        labels.set("otel_scope_version", version)
        labels.set("otel_scope_schema_url", schema)
        return labels
    }

    private mutating func metric(_ range: Range<Int>, _ take: (MetricPoint) -> String?) throws(ProtobufError) {
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
        try readTemporality(of: &metric)
        try points(metric, take)
    }

    private func readTemporality(of metric: inout Metric) throws(ProtobufError) {
        var temporality: UInt64 = 0
        var reader = ProtobufReader(body, metric.data)
        while try reader.next() {
            switch reader.field {
            case 2 where metric.hasTemporality: temporality = try reader.varintField()
            case 3 where metric.kind == 7: metric.isMonotonic = try reader.varintField() != 0
            default: try reader.skipField()
            }
        }
        metric.isDelta = temporality == 1
        if metric.hasTemporality, !(1...2).contains(temporality) {
            metric.problem = "\(metric.name) has no aggregation temporality: expected delta (1) or cumulative (2)"
        }
    }

    private mutating func points(_ metric: Metric, _ take: (MetricPoint) -> String?) throws(ProtobufError) {
        let name = namer.metric(metric.name, unit: metric.unit, isCounter: metric.isMonotonic, isGauge: metric.kind == 5)
        let kind: MetricPoint.Kind = metric.kind == 7 && metric.isMonotonic ? .counter : .gauge
        try eachMessage(1, in: metric.data) { (walker, range) throws(ProtobufError) in
            let attributes = try walker.attributes(metric.kind == 9 ? 9 : metric.kind == 10 ? 1 : 7, in: range)
            let labels = walker.labels(attributes)
            var point = OTLPPoint(labels, isDelta: metric.isDelta)
            var reader = ProtobufReader(walker.body, range)
            try point.read(&reader, kind: metric.kind)
            walker.newest = max(walker.newest, point.time)
            let reason = walker.problem(metric, name, attributes, labels)
                ?? point.emit(name ?? "", metric.kind, kind, walker.translation, take)
            if let reason {
                walker.outcome.reject(reason)
            } else {
                walker.outcome.acceptedPoints += 1
                walker.outcome.exemplars += point.droppedExemplars
            }
        }
    }

    /// Why a point is none, before its value is looked at.
    private func problem(_ metric: Metric, _ name: String?, _ attributes: OTLPAttributes, _ labels: OTLPLabels) -> String? {
        if name == nil {
            return metric.name.isEmpty ? "its metric has no name" : "no series can be named after the metric \"\(metric.name)\""
        }
        if let problem = metric.problem ?? resource.problem { return problem }
        if attributes.isCut { return "it has more than \(OTLPMetricsDecoder.attributesMax) attributes" }
        return labels.unnamed.map { "no label can be named after its attribute \"\($0)\"" }
    }

    // MARK: Pieces

    /// The attributes of a point, then what it has of its resource and its scope (Prometheus: `createAttributes`).
    private func labels(_ attributes: OTLPAttributes) -> OTLPLabels {
        var labels = OTLPLabels(attributes, namer)
        labels.fill(from: resource.promoted)
        labels.replace(by: scope)
        labels.replace(by: resource.identity)
        return labels
    }

    private mutating func attributes(_ field: UInt32, in range: Range<Int>) throws(ProtobufError) -> OTLPAttributes {
        var attributes = OTLPAttributes()
        try eachMessage(field, in: range) { (walker, range) throws(ProtobufError) in
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
            attributes.append(name, String(decoding: value, as: UTF8.self))
        }
        return attributes.sorted
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
