import TelemetryModel

/// The buckets of an exponential histogram (opentelemetry/proto/metrics/v1/metrics.proto, ExponentialHistogramDataPoint).
struct OTLPExponentialHistogram {
    private var scale: Int32 = 0
    private var zeroCount: UInt64 = 0
    private var zeroThreshold = 0.0
    private var positive = Buckets()
    private var negative = Buckets()

    private struct Buckets {
        var offset: Int32 = 0
        var counts: [UInt64] = []
        var isCut = false
    }

    /// Why Prometheus has no such histogram; behind the metric's name.
    struct Problem: Error {
        var text: String
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
            case 2: if try !reader.appendVarints(to: &buckets.counts, most: NativeHistogram.bucketsMax) { buckets.isCut = true }
            default: try reader.skipField()
            }
        }
        return buckets
    }

    /// A zig-zag varint (protobuf encoding, "Signed Integers").
    private static func signed(_ value: UInt64) -> Int64 { Int64(bitPattern: value >> 1) ^ -Int64(bitPattern: value & 1) }

    /// What is called zero when the sender does not say (Prometheus' OTLP receiver).
    private static let zeroThresholdDefault = 1e-128

    /// The same histogram at scale 8 at most, each merge of two buckets exact.
    func native(count: UInt64, sum: Double) -> Result<NativeHistogram, Problem> {
        let scales = NativeHistogram.exponentialSchemas
        guard scale >= scales.lowerBound else {
            return .failure(Problem(text: "has scale \(scale); Prometheus' histograms have \(scales.lowerBound) at least"))
        }
        guard !positive.isCut, !negative.isCut else {
            return .failure(Problem(text: "has more than \(NativeHistogram.bucketsMax) buckets"))
        }
        guard zeroThreshold.isFinite, zeroThreshold >= 0 else {
            return .failure(Problem(text: "has a zero threshold that is no positive number"))
        }
        let shift = max(0, scale - scales.upperBound)
        var made = NativeHistogram(
            schema: scale - shift, zeroThreshold: zeroThreshold > 0 ? zeroThreshold : Self.zeroThresholdDefault,
            zeroCount: Double(zeroCount), count: Double(count), sum: sum)
        (made.positiveSpans, made.positiveCounts) = Self.merged(positive, by: shift)
        (made.negativeSpans, made.negativeCounts) = Self.merged(negative, by: shift)
        guard made.isValid else {
            return .failure(Problem(text: "has more than \(NativeHistogram.bucketsMax) buckets, or buckets beyond what numbers can be"))
        }
        return .success(made)
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
