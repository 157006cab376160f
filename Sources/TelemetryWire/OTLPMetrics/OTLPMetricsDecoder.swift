public import TelemetryModel

/// What became of the points of an OTLP metrics request.
public struct OTLPMetricsOutcome: Equatable, Sendable {
    /// Data points, each counted once however many series it makes.
    public internal(set) var acceptedPoints = 0
    public private(set) var rejectedPoints = 0
    /// Why the first was rejected.
    public private(set) var firstReason: String?
    /// What the sender should know although nothing was rejected for it.
    public private(set) var warning: String?
    /// Exemplars of accepted points that are left out: they name no trace, or are too many.
    public internal(set) var exemplars = 0

    public init() {}

    /// For the sender; empty when everything was taken.
    public var message: String {
        guard rejectedPoints > 0 else { return warning ?? "" }
        let count = "\(rejectedPoints) of \(rejectedPoints + acceptedPoints) points rejected"
        return firstReason.map { "\(count); the first because \($0)" } ?? count
    }

    /// Points that were decoded and cannot be kept.
    public mutating func refuse(_ count: Int, because reason: String) {
        guard count > 0 else { return }
        acceptedPoints = max(0, acceptedPoints - count)
        rejectedPoints += count
        if firstReason == nil { firstReason = reason }
    }

    mutating func reject(_ reason: String) {
        rejectedPoints += 1
        if firstReason == nil { firstReason = reason }
    }

    mutating func warn(_ text: String) { if warning == nil { warning = text } }
}

/// OTLP metrics requests (protobuf, JSON) to points of series, named as Prometheus' OTLP receiver names them: gauges, sums, histograms,
/// exponential histograms and summaries, with `target_info` for what a resource says beyond its identity.
///
/// Points of delta temporality are marked as increases. Any thread; keeps nothing; cost is linear in the body. Nothing recurses.
public enum OTLPMetricsDecoder {
    /// Attributes of one point, and of one resource; a point with more is rejected.
    public static let attributesMax = 256
    /// Bounds of one histogram, and quantiles of one summary; a point with more is rejected.
    public static let boundsMax = 1024
    /// Exemplars of one point.
    public static let exemplarsMax = 1024

    /// Calls `take` for each series of each valid point, in the order of the body; it says why the point cannot be kept, or nil. A body
    /// that is no protobuf message throws; points given before that are the caller's to forget.
    @unsafe
    public static func decode(
        _ body: UnsafeRawBufferPointer, _ translation: OTLPTranslation = OTLPTranslation(), _ take: (MetricPoint) -> String?
    ) throws(OTLPDecodeError) -> OTLPMetricsOutcome {
        let reader = unsafe ProtobufReader(body)
        do throws(ProtobufError) {
            var walker = OTLPMetricsWalker(reader, translation)
            try walker.request(take)
            return walker.outcome
        } catch {
            throw OTLPDecodeError(fault: error.fault, byteOffset: error.offset)
        }
    }

    /// The same for a request in OTLP's JSON; offsets in errors are of the JSON text. A metric that is JSON and no metric is rejected
    /// alone.
    @unsafe
    public static func decodeJSON(
        _ body: UnsafeRawBufferPointer, _ translation: OTLPTranslation = OTLPTranslation(), _ take: (MetricPoint) -> String?
    ) throws(OTLPDecodeError) -> OTLPMetricsOutcome {
        var transcoder = unsafe OTLPJSONTranscoder(body)
        do throws(JSONScanError) {
            try transcoder.request(of: .metrics)
        } catch {
            throw OTLPDecodeError(fault: error.fault, byteOffset: error.offset)
        }
        let result = unsafe transcoder.bytes.withUnsafeBytes { buffer -> Result<OTLPMetricsOutcome, OTLPDecodeError> in
            do throws(OTLPDecodeError) { return .success(unsafe try decode(buffer, translation, take)) } catch { return .failure(error) }
        }
        var outcome = try result.get()
        for _ in 0..<transcoder.dropped.values { outcome.reject("a metric is not what OTLP's JSON asks for") }
        return outcome
    }
}
