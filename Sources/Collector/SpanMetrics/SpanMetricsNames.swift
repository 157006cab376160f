internal import TelemetryModel

/// What the series are called, and what their buckets are: as Tempo's metrics generator names them, which Grafana's service graph asks for,
/// or as OpenTelemetry's span metrics connector does (semantics 3.2). The service graph's series have Tempo's names in both: there are no
/// others that Grafana knows, and the connector for service graphs has the same.
public enum SpanMetricsNames: String, Sendable, CaseIterable {
    case tempo
    case otel

    var calls: String { self == .tempo ? "traces_spanmetrics_calls_total" : "traces_span_metrics_calls_total" }
    var latency: String { self == .tempo ? "traces_spanmetrics_latency" : "traces_span_metrics_duration_milliseconds" }
    var service: String { self == .tempo ? "service" : "service_name" }
    static let requests = "traces_service_graph_request_total"
    static let failedRequests = "traces_service_graph_request_failed_total"
    static let serverSeconds = "traces_service_graph_request_server_seconds"
    static let clientSeconds = "traces_service_graph_request_client_seconds"

    /// Upper bounds of `latency`'s buckets, ascending, microseconds.
    var latencyBounds: [UInt64] {
        switch self {
        case .tempo: (0..<14).map { 2000 << $0 }
        case .otel:
            [2, 4, 6, 8, 10, 50, 100, 200, 400, 800, 1000, 1400, 2000, 5000, 10_000, 15_000].map { $0 * 1000 }
        }
    }

    /// Microseconds in the unit of `latency`.
    var latencyUnit: Double { self == .tempo ? 1e6 : 1e3 }

    /// Of the service graph's histograms, microseconds; their unit is the second.
    static let edgeBounds: [UInt64] = (0..<8).map { 100_000 << $0 }
    static let edgeUnit = 1e6

    static func kindLabel(_ kind: SpanKind) -> String {
        switch kind {
        // Zipkin has no kind for these, and OTLP's INTERNAL is decoded to none.
        case .unspecified: "SPAN_KIND_INTERNAL"
        case .client: "SPAN_KIND_CLIENT"
        case .server: "SPAN_KIND_SERVER"
        case .producer: "SPAN_KIND_PRODUCER"
        case .consumer: "SPAN_KIND_CONSUMER"
        }
    }

    static func statusLabel(_ status: SpanStatus) -> String {
        switch status {
        case .unset: "STATUS_CODE_UNSET"
        case .ok: "STATUS_CODE_OK"
        case .error: "STATUS_CODE_ERROR"
        }
    }

    static func connectionLabel(_ connection: EdgeConnection) -> String {
        switch connection {
        case .direct: ""
        case .virtualNode: "virtual_node"
        case .messagingSystem: "messaging_system"
        case .database: "database"
        }
    }

    /// Kinds and helps of the families, by name.
    public var families: [String: (kind: String, help: String)] {
        [
            calls: ("counter", "Spans by service, operation, kind and status, weighted by the sender's sampling."),
            latency: ("histogram", "Durations of spans."),
            Self.requests: ("counter", "Calls from one service to another."),
            Self.failedRequests: ("counter", "Calls from one service to another that failed for either."),
            Self.serverSeconds: ("histogram", "Durations of calls between services, as the server saw them."),
            Self.clientSeconds: ("histogram", "Durations of calls between services, as the client saw them."),
        ]
    }
}
