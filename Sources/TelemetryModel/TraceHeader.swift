/// A header that carries trace context, in the order in which we write them.
public enum TraceHeader: UInt8, Sendable, BitwiseCopyable, CaseIterable {
    case b3TraceID, b3SpanID, b3ParentSpanID, b3Sampled, b3Flags, b3Single, traceparent

    @inlinable public var name: StaticString {
        switch self {
        case .b3TraceID: "x-b3-traceid"
        case .b3SpanID: "x-b3-spanid"
        case .b3ParentSpanID: "x-b3-parentspanid"
        case .b3Sampled: "x-b3-sampled"
        case .b3Flags: "x-b3-flags"
        case .b3Single: "b3"
        case .traceparent: "traceparent"
        }
    }

    /// No value is longer: `{32}-{16}-{1}-{16}`.
    public static let valueBytesMax = 68
}
