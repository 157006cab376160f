public import TelemetryModel

/// The trace that an exemplar's labels name: `trace_id` and `span_id`, in the hexadecimal digits of W3C's and Zipkin's headers.
public enum ExemplarLabels {
    private static let traceNames = ["trace_id", "traceID", "traceid", "TraceID"]
    private static let spanNames = ["span_id", "spanID", "spanid", "SpanID"]

    /// Nil = no trace is named; other labels are left out.
    public static func exemplar(_ labels: [LabelSet.Label], time: Int64, value: Double) -> SeriesExemplar? {
        func text(_ names: [String]) -> Substring { labels.first { names.contains($0.name) }?.value[...] ?? "" }
        let trace = text(traceNames)
        guard trace.utf8.count == 16 || trace.utf8.count == 32, let low = word(trace.suffix(16)),
            let high = trace.utf8.count == 16 ? 0 : word(trace.prefix(16)), high | low != 0
        else { return nil }
        let span = SpanID(word(text(spanNames)) ?? 0)
        return SeriesExemplar(time: time, value: value, traceID: TraceID(high: high, low: low), spanID: span)
    }

    /// Sixteen digits, of either case.
    private static func word(_ digits: Substring) -> UInt64? {
        guard digits.utf8.count == 16, digits.utf8.allSatisfy({ Character(Unicode.Scalar($0)).isHexDigit }) else { return nil }
        return UInt64(digits, radix: 16)
    }
}
