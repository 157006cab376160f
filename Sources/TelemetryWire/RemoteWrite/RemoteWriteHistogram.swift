import TelemetryModel

/// A native histogram of remote write: counts as whole numbers with the change from bucket to bucket, or as floats.
struct RemoteWriteHistogram {
    /// Milliseconds since 1970.
    private(set) var time: Int64 = 0
    /// When it began to count, milliseconds since 1970; nil = not said.
    private(set) var created: Int64?
    private var made = NativeHistogram()
    private var hasFloatCounts = false
    private var positiveDeltas: [UInt64] = []
    private var negativeDeltas: [UInt64] = []

    init(_ message: ProtobufReader) throws(ProtobufError) {
        var reader = message
        while try reader.next() { try take(&reader) }
        if !hasFloatCounts {
            made.positiveCounts = Self.counts(positiveDeltas)
            made.negativeCounts = Self.counts(negativeDeltas)
        }
    }

    /// Nil when spans and counts do not agree, or the schema is unknown.
    var value: NativeHistogram? { made.isValid ? made : nil }

    private mutating func take(_ reader: inout ProtobufReader) throws(ProtobufError) {
        let most = NativeHistogram.bucketsMax
        var isWhole = true
        switch reader.field {
        case 1: made.count = Double(try reader.varintField())
        case 2:
            made.count = Double(bitPattern: try reader.fixed64Field())
            hasFloatCounts = true
        case 3: made.sum = Double(bitPattern: try reader.fixed64Field())
        case 4: made.schema = Int32(truncatingIfNeeded: Self.signed(try reader.varintField()))
        case 5: made.zeroThreshold = Double(bitPattern: try reader.fixed64Field())
        case 6: made.zeroCount = Double(try reader.varintField())
        case 7: made.zeroCount = Double(bitPattern: try reader.fixed64Field())
        case 8: made.negativeSpans.append(try Self.span(&reader, made.negativeSpans.count))
        case 9: isWhole = try reader.appendVarints(to: &negativeDeltas, most: most)
        case 10: isWhole = try reader.appendDoubles(to: &made.negativeCounts, most: most)
        case 11: made.positiveSpans.append(try Self.span(&reader, made.positiveSpans.count))
        case 12: isWhole = try reader.appendVarints(to: &positiveDeltas, most: most)
        case 13: isWhole = try reader.appendDoubles(to: &made.positiveCounts, most: most)
        case 14: made.resetHint = NativeHistogram.ResetHint(rawValue: UInt8(clamping: try reader.varintField())) ?? .unknown
        case 15: time = Int64(bitPattern: try reader.varintField())
        case 16: isWhole = try reader.appendDoubles(to: &made.customBounds, most: most)
        case 17:
            let start = Int64(bitPattern: try reader.varintField())
            if start != 0 { created = start }
        default: try reader.skipField()
        }
        if !isWhole { throw reader.error(.tooMany) }
    }

    private static func span(_ reader: inout ProtobufReader, _ count: Int) throws(ProtobufError) -> NativeHistogram.Span {
        guard count < NativeHistogram.bucketsMax else { throw reader.error(.tooMany) }
        var message = ProtobufReader(reader, try reader.bytesField())
        var span = NativeHistogram.Span(offset: 0, length: 0)
        while try message.next() {
            switch message.field {
            case 1: span.offset = Int32(clamping: signed(try message.varintField()))
            case 2: span.length = UInt32(clamping: try message.varintField())
            default: try message.skipField()
            }
        }
        return span
    }

    /// Absolute counts from the differences; each is the one before it and the difference.
    private static func counts(_ deltas: [UInt64]) -> [Double] {
        var sum: Int64 = 0
        return deltas.map { delta in
            sum = sum &+ signed(delta)
            return Double(sum)
        }
    }

    /// A zig-zag varint (protobuf encoding, "Signed Integers").
    private static func signed(_ value: UInt64) -> Int64 { Int64(bitPattern: value >> 1) ^ -Int64(bitPattern: value & 1) }
}
