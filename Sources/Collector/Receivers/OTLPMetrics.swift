internal import Primitives
internal import TelemetryModel
internal import TelemetryWire

/// OTLP's metrics: `/v1/metrics` and `MetricsService/Export`. What is sent as increases is stored as totals.
struct OTLPMetrics: OTLPSignal {
    static let path = "/v1/metrics"
    static let service = "opentelemetry.proto.collector.metrics.v1.MetricsService"
    static let noun = "metrics"

    let translation: OTLPTranslation
    let totals: DeltaTotals

    func decodeRequest(
        _ body: UnsafeRawBufferPointer, _ encoding: OTLPResponse.Encoding, into batch: inout SeriesBatch
    ) throws(OTLPDecodeError) -> OTLPMetricsResult {
        var points = MetricPoints()
        func take(_ point: MetricPoint) -> String? { points.take(point, into: &batch) }
        var result = OTLPMetricsResult(totals: totals)
        switch encoding {
        case .protobuf: unsafe result.outcome = try OTLPMetricsDecoder.decode(body, translation, take)
        case .json: unsafe result.outcome = try OTLPMetricsDecoder.decodeJSON(body, translation, take)
        }
        guard let addition = totals.add(points.increases, now: SystemClock.monotonicNow()) else {
            result.isHeld = true
            return result
        }
        for total in addition.totals { MetricPoints.append(total, to: &batch) }
        if let refusal = addition.firstRefusal { result.outcome.refuse(addition.refused, because: refusal.text) }
        result.addition = addition
        result.addition.totals = []
        return result
    }

    static func appendSuccess(_ result: OTLPMetricsResult, _ encoding: OTLPResponse.Encoding, to bytes: inout [UInt8]) {
        OTLPResponse.appendSuccess(
            rejected: result.outcome.rejectedPoints, "rejectedDataPoints", result.outcome.message, encoding, to: &bytes)
    }
}

/// What a request of OTLP's metrics came to, and the totals that wait for the store's answer.
struct OTLPMetricsResult: DecodeOutcome {
    let totals: DeltaTotals
    var outcome = OTLPMetricsOutcome()
    var addition = DeltaTotals.Addition()
    /// The totals of one of its series wait for the store's answer to another request.
    var isHeld = false

    init(totals: DeltaTotals) { self.totals = totals }

    var acceptedItems: Int { outcome.acceptedPoints }
    var refusedItems: Int { outcome.rejectedPoints }
    var droppedParts: OTLPDroppedParts? { nil }
    var droppedExemplars: Int { outcome.exemplars }
    var rejection: BatchRejection? { isHeld ? .overloaded : nil }

    func settle(isStored: Bool) { totals.settle(addition, isStored: isStored) }
}
