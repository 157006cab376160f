/// A kind of telemetry that comes in batches.
public enum TelemetrySignal: String, Sendable, CaseIterable {
    case spans
    case metrics
    case logs

    /// What its items are called in names of counters: `skein_receiver_<items>_total`.
    public var items: String {
        switch self {
        case .spans: "spans"
        case .metrics: "metric_points"
        case .logs: "log_records"
        }
    }
}

/// Decoded telemetry of one signal in one piece of memory: what receivers make, queues carry, and sinks and exporters take.
///
/// A value; whoever holds it owns it. `SpanBatch` is the one for spans.
public protocol TelemetryBatch: Sendable {
    static var signal: TelemetrySignal { get }

    init()

    /// Spans, points or log records.
    var itemCount: Int { get }
    /// Nothing is to be stored.
    var isEmpty: Bool { get }
    /// Bytes of the contents, about: what bounds of queues count.
    var byteCount: Int { get }
    /// Bytes that the batch would keep after `removeAll()`, about.
    var capacityBytes: Int { get }

    /// Empties the batch and keeps its memory for the next use.
    mutating func removeAll()
}

extension TelemetryBatch {
    public var isEmpty: Bool { itemCount == 0 }
}
