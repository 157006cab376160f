import TelemetryModel

/// Bytes of native histograms, one after another.
///
/// ```
/// u8 reset hint | zigzag schema | u64 zero threshold | u64 sum | number zero count, count
/// | spans, counts of positive buckets | the same of negative ones | varint bounds, u64…
/// spans: varint count, (zigzag offset, varint length)… ; counts: varint count, number…
/// number: varint 2 × integer, or 1 and u64 bits
/// ```
enum NativeCodec {
    private static let integerMax = 9_007_199_254_740_992.0

    static func write(_ histogram: NativeHistogram, to writer: inout ByteWriter) {
        writer.append(histogram.resetHint.rawValue)
        writer.append(zigzag: Int64(histogram.schema))
        writer.append(histogram.zeroThreshold.bitPattern)
        writer.append(histogram.sum.bitPattern)
        write(histogram.zeroCount, to: &writer)
        write(histogram.count, to: &writer)
        write(histogram.positiveSpans, histogram.positiveCounts, to: &writer)
        write(histogram.negativeSpans, histogram.negativeCounts, to: &writer)
        writer.append(varint: UInt64(histogram.customBounds.count))
        for bound in histogram.customBounds { writer.append(bound.bitPattern) }
    }

    private static func write(_ spans: [NativeHistogram.Span], _ counts: [Double], to writer: inout ByteWriter) {
        writer.append(varint: UInt64(spans.count))
        for span in spans {
            writer.append(zigzag: Int64(span.offset))
            writer.append(varint: UInt64(span.length))
        }
        writer.append(varint: UInt64(counts.count))
        for count in counts { write(count, to: &writer) }
    }

    private static func write(_ number: Double, to writer: inout ByteWriter) {
        let isInteger = number >= 0 && number <= integerMax && Double(UInt64(number)).bitPattern == number.bitPattern
        if isInteger { return writer.append(varint: UInt64(number) << 1) }
        writer.append(varint: 1)
        writer.append(number.bitPattern)
    }

    /// Fails the reader on damage and on what is no valid histogram.
    static func read(_ reader: inout ByteReader) -> NativeHistogram {
        var histogram = NativeHistogram()
        histogram.resetHint = NativeHistogram.ResetHint(rawValue: reader.byte()) ?? .unknown
        histogram.schema = Int32(clamping: reader.zigzag())
        histogram.zeroThreshold = Double(bitPattern: reader.uint64())
        histogram.sum = Double(bitPattern: reader.uint64())
        histogram.zeroCount = number(&reader)
        histogram.count = number(&reader)
        (histogram.positiveSpans, histogram.positiveCounts) = buckets(&reader)
        (histogram.negativeSpans, histogram.negativeCounts) = buckets(&reader)
        for _ in 0..<reader.count(bytesEach: 8) { histogram.customBounds.append(Double(bitPattern: reader.uint64())) }
        if reader.failed || !histogram.isValid { reader.fail() }
        return histogram
    }

    private static func buckets(_ reader: inout ByteReader) -> ([NativeHistogram.Span], [Double]) {
        var spans: [NativeHistogram.Span] = []
        for _ in 0..<reader.count(bytesEach: 2) {
            let offset = Int32(clamping: reader.zigzag())
            spans.append(NativeHistogram.Span(offset: offset, length: UInt32(clamping: reader.varint())))
        }
        var counts: [Double] = []
        for _ in 0..<reader.count() { counts.append(number(&reader)) }
        return (spans, counts)
    }

    private static func number(_ reader: inout ByteReader) -> Double {
        let code = reader.varint()
        return code & 1 == 0 ? Double(code >> 1) : Double(bitPattern: reader.uint64())
    }
}
