import TelemetryModel
import TelemetryWire

/// Pieces of OTLP metrics requests.
extension Message {
    static let second: UInt64 = 1_000_000_000

    /// The series of one metric's points, of a resource and a scope. `kind`: field number of the data; times are in seconds.
    static func metrics(_ metrics: [Message], resource: Message = Message(), scope: Message = Message(), schema: String = "") -> Message {
        var group = Message()
        for metric in metrics { group = group.message(2, metric) }
        group = group.message(1, scope)
        if !schema.isEmpty { group = group.text(3, schema) }
        // The resource after its metrics on purpose: order on the wire is free.
        return Message().message(1, Message().message(2, group).message(1, resource))
    }

    static func metric(
        _ name: String, unit: String = "", _ kind: UInt64, _ points: [Message], temporality: UInt64 = 2, isMonotonic: Bool = false
    ) -> Message {
        var data = Message()
        if kind != 5, kind != 11 { data = data.int(2, temporality) }
        if isMonotonic { data = data.int(3, 1) }
        for point in points { data = data.message(1, point) }
        return Message().text(1, name).text(3, unit).message(kind, data)
    }

    static func gauge(_ name: String, _ value: Double, unit: String = "") -> Message {
        metric(name, unit: unit, 5, [number(value)])
    }

    static func sum(_ name: String, _ points: [Message], unit: String = "", temporality: UInt64 = 2, isMonotonic: Bool = true) -> Message {
        metric(name, unit: unit, 7, points, temporality: temporality, isMonotonic: isMonotonic)
    }

    static func number(_ value: Double, start: UInt64 = 0, time: UInt64 = 100) -> Message {
        point(start: start, time: time).fixed(4, value.bitPattern)
    }

    static func point(start: UInt64 = 0, time: UInt64 = 100) -> Message {
        (start > 0 ? Message().fixed(2, start * second) : Message()).fixed(3, time * second)
    }

    static func histogram(
        _ buckets: [UInt64], _ bounds: [Double], count: UInt64? = nil, sum: Double? = 1, start: UInt64 = 0, time: UInt64 = 100
    ) -> Message {
        let count = count ?? buckets.reduce(0, &+)
        var point = point(start: start, time: time).fixed(4, count).packed(6, buckets).packed(7, bounds.map(\.bitPattern))
        if let sum { point = point.fixed(5, sum.bitPattern) }
        return point
    }

    static func exponential(
        scale: Int32, positive: (Int32, [UInt64]) = (0, []), negative: (Int32, [UInt64]) = (0, []), zero: UInt64 = 0, sum: Double = 1,
        start: UInt64 = 0, time: UInt64 = 100
    ) -> Message {
        let count = (positive.1 + negative.1).reduce(zero, &+)
        return point(start: start, time: time).fixed(4, count).fixed(5, sum.bitPattern).zigzag(6, scale).fixed(7, zero)
            .message(8, Message().zigzag(1, positive.0).varints(2, positive.1))
            .message(9, Message().zigzag(1, negative.0).varints(2, negative.1))
    }

    func packed(_ field: UInt64, _ values: [UInt64]) -> Message {
        data(field, values.flatMap { value in (0..<8).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) } })
    }

    func varints(_ field: UInt64, _ values: [UInt64]) -> Message { data(field, values.flatMap(Message.varint)) }
    func zigzag(_ field: UInt64, _ value: Int32) -> Message { int(field, UInt64(UInt32(bitPattern: value << 1 ^ value >> 31))) }
}

/// What a request comes to.
struct DecodedMetrics {
    var points: [MetricPoint] = []
    var outcome = OTLPMetricsOutcome()

    init(_ request: Message, _ translation: OTLPTranslation = OTLPTranslation()) throws {
        var points: [MetricPoint] = []
        outcome = try unsafe request.bytes.withUnsafeBytes {
            unsafe try OTLPMetricsDecoder.decode($0, translation) {
                points.append($0)
                return nil
            }
        }
        self.points = points
    }

    init(json: String) throws {
        var points: [MetricPoint] = []
        outcome = try unsafe Array(json.utf8).withUnsafeBytes {
            unsafe try OTLPMetricsDecoder.decodeJSON($0) {
                points.append($0)
                return nil
            }
        }
        self.points = points
    }

    /// As PromQL writes them, `target_info` included.
    var series: [String] { points.map { Self.text($0.labels) } }

    static func text(_ labels: LabelSet) -> String {
        let others = labels.labels.filter { $0.name != LabelSet.metricName }.map { "\($0.name)=\"\($0.value)\"" }
        return (labels[LabelSet.metricName] ?? "") + (others.isEmpty ? "" : "{\(others.joined(separator: ","))}")
    }

    /// The only point's histogram.
    var native: NativeHistogram? {
        guard points.count == 1, case .histogram(let histogram) = points[0].value else { return nil }
        return histogram
    }

    var classic: ClassicHistogram? {
        guard points.count == 1, case .classic(let histogram) = points[0].value else { return nil }
        return histogram
    }
}
