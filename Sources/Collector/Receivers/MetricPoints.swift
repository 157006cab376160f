internal import TelemetryModel
internal import TelemetryWire

/// Points of decoders on their way into a batch.
enum MetricPoints {
    /// Labels of a series, and bytes of all its labels.
    private static let labelsMax = SeriesIdentity.labelsMax
    private static let bytesMax = SeriesIdentity.bytesMax - 64

    /// Adds the point; or says why it cannot be taken.
    static func append(_ point: MetricPoint, to batch: inout SeriesBatch) -> String? {
        if point.isIncrease { return "it has delta temporality, which is not taken yet: let the sender prefer cumulative temporality" }
        guard point.labels[LabelSet.metricName] != nil else { return "its series has no name" }
        guard point.labels.count <= labelsMax else { return "its series has more than \(labelsMax) labels" }
        let bytes = point.labels.labels.reduce(0) { $0 + $1.name.utf8.count + $1.value.utf8.count + 6 }
        guard bytes <= bytesMax else { return "the labels of its series take more than \(bytesMax) bytes" }
        let created = point.created ?? 0
        switch point.value {
        case .number(let value):
            batch.append(batch.append(point.labels, kind(point.kind)), time: point.time, value: value, created: created)
        case .histogram(let histogram):
            batch.append(batch.append(point.labels, .nativeHistogram), time: point.time, histogram, created: created)
        }
        return nil
    }

    /// The parts of histograms and summaries that come as series of their own only grow.
    private static func kind(_ kind: MetricPoint.Kind) -> SeriesKind {
        switch kind {
        case .counter, .histogram: .counter
        case .gauge: .gauge
        case .unknown, .summary: .unknown
        }
    }
}

/// OTLP's metrics: `/v1/metrics` and `MetricsService/Export`.
enum OTLPMetrics: OTLPSignal {
    static let path = "/v1/metrics"
    static let service = "opentelemetry.proto.collector.metrics.v1.MetricsService"
    static let noun = "metrics"

    static func decodeRequest(
        _ body: UnsafeRawBufferPointer, _ encoding: OTLPResponse.Encoding, into batch: inout SeriesBatch
    ) throws(OTLPDecodeError) -> OTLPMetricsOutcome {
        var refused: [String] = []
        func take(_ point: MetricPoint) { if let reason = MetricPoints.append(point, to: &batch) { refused.append(reason) } }
        var outcome = OTLPMetricsOutcome()
        switch encoding {
        case .protobuf: unsafe outcome = try OTLPMetricsDecoder.decode(body, take)
        case .json: unsafe outcome = try OTLPMetricsDecoder.decodeJSON(body, take)
        }
        outcome.refuse(refused)
        return outcome
    }

    static func appendSuccess(_ outcome: OTLPMetricsOutcome, _ encoding: OTLPResponse.Encoding, to bytes: inout [UInt8]) {
        OTLPResponse.appendSuccess(rejected: outcome.rejectedPoints, "rejectedDataPoints", outcome.message, encoding, to: &bytes)
    }
}

extension OTLPMetricsOutcome: DecodeOutcome {
    var acceptedItems: Int { acceptedPoints }
    var refusedItems: Int { rejectedPoints }
    var droppedParts: OTLPDroppedParts? { nil }
}
