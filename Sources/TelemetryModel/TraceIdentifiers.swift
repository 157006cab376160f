/// A trace's identifier: 128 bits, or 64 bits when `high` is zero.
///
/// Zipkin normalises a 32-digit id with sixteen leading zeros to its 16-digit form (semantics 2.11), so the two are the
/// same value here, and a zero `high` always prints as sixteen digits. Both halves zero is "no trace".
public struct TraceID: Hashable, Sendable, BitwiseCopyable {
    public var high: UInt64
    public var low: UInt64

    @inlinable
    public init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    public static let none = TraceID(high: 0, low: 0)

    @inlinable public var isNone: Bool { high | low == 0 }
}

/// A span's identifier within its trace; zero is "no span" (for example, the parent of a root).
public struct SpanID: Hashable, Sendable, BitwiseCopyable {
    public var rawValue: UInt64

    @inlinable
    public init(_ rawValue: UInt64) { self.rawValue = rawValue }

    public static let none = SpanID(0)

    @inlinable public var isNone: Bool { rawValue == 0 }
}

/// Zipkin's span kinds; OTLP's INTERNAL is `unspecified`.
public enum SpanKind: UInt8, Sendable, BitwiseCopyable {
    case unspecified = 0
    case client = 1
    case server = 2
    case producer = 3
    case consumer = 4
}
