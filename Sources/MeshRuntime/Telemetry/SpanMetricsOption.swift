internal import Collector
internal import TelemetryModel

/// Under which names metrics are made from spans (semantics 3.2), or that none are.
public enum SpanMetricsOption: String, Sendable, CaseIterable {
    /// Those of Tempo's metrics generator.
    case tempo
    /// Those of OpenTelemetry's span metrics connector.
    case otel
    case off

    var names: SpanMetricsNames? {
        switch self {
        case .tempo: .tempo
        case .otel: .otel
        case .off: nil
        }
    }

    /// What counts the spans that the store takes; nil where nothing would record the counts.
    func sink(before traces: StoredTraces?, recordedEvery seconds: UInt64, _ statistics: CollectorStatistics) -> SpanMetricsSink? {
        guard let traces, let names, seconds > 0 else { return nil }
        return SpanMetricsSink(traces, names, statistics: statistics)
    }
}
