internal import TelemetryModel
internal import TelemetryWire

/// The metric families of the collector. Those of one signal are named after its items: `skein_receiver_spans_total`. Those of requests are
/// the same for all signals; with spans they have no label for it, because they are older than the others.
extension MetricFamily {
    private static func counter(_ name: String, _ help: String) -> MetricFamily { MetricFamily(name: name, help: help, kind: .counter) }
    private static func gauge(_ name: String, _ help: String) -> MetricFamily { MetricFamily(name: name, help: help, kind: .gauge) }

    static let records = counter("skein_records_total", "Request records taken from the workers' rings.")
    static let recordsDropped = counter("skein_records_dropped_total", "Request records lost before the collector, by reason.")
    static let logLines = counter("skein_access_log_lines_total", "Access-log lines written, by path.")
    static let logBytes = counter("skein_access_log_bytes_total", "Access-log bytes written, by path.")
    static let logLinesDropped = counter("skein_access_log_dropped_total", "Access-log lines not written, by path and reason.")
    static let proxySpans = counter("skein_proxy_spans_total", "Spans of this proxy that the store took.")
    static let proxySpansDropped = counter("skein_proxy_spans_dropped_total", "Spans of this proxy that were not stored, by reason.")
    static let tailCut = counter("skein_log_tail_dropped_total", "Lines not given to followers of the log, by reason.")
    static let ringBytes = gauge("skein_record_ring_bytes", "Bytes waiting in the fullest record ring at the last drain.")

    static let requests = counter("skein_receiver_requests_total", "Requests to span receivers, by receiver, transport and outcome.")
    static let receivedBytes = counter("skein_receiver_bytes_total", "Body bytes received, as sent, by receiver and transport.")
    static let partsDropped = counter(
        "skein_receiver_parts_dropped_total",
        "Parts left out of items that were stored, by receiver, transport and part.")
    static let reportsForeign = counter(
        "skein_receiver_reports_foreign_total", "Reports refused because their sender is not whom its certificate names.")
    static let exportRequests = counter("skein_exporter_requests_total", "Requests of an exporter, by exporter and outcome.")

    static let deltaSeries = gauge("skein_delta_series", "Series of delta temporality whose increases are added up.")
    static let deltaBytes = gauge("skein_delta_bytes", "Memory of the totals of series of delta temporality.")
    static let deltaHeld = counter(
        "skein_delta_requests_held_total",
        "Requests told to come again, because the store had not answered for earlier increases of their series.")
    static let deltaRefused = counter("skein_delta_points_refused_total", "Increases that were not added to their total, by reason.")

    static let scrapes = counter("skein_scrapes_total", "Scrapes of other programs' metrics, by outcome.")

    static let scrapeReloads = counter(
        "skein_scrape_reloads_total", "Times that the targets of --scrape-config were read again, by outcome.")

    static let spanMetricsSpans = counter("skein_span_metrics_spans_total", "Spans that were counted for metrics.")
    static let spanMetricsOverflowed = counter(
        "skein_span_metrics_overflowed_total",
        "Spans and calls summed up in series with skein_overflow, because there are too many services, operations or edges.")
    static let spanMetricsWeightsRefused = counter(
        "skein_span_metrics_weights_refused_total", "Spans that count once, because the sampling threshold of their sender is none.")
    static let spanMetricsSeries = gauge("skein_span_metrics_series", "Series that are made from spans, a histogram being one.")
    static let spanMetricsEdges = counter(
        "skein_span_metrics_edges_total", "Client and server spans on the way to an edge of the service graph, by outcome.")
    static let spanMetricsEdgesOpen = gauge("skein_span_metrics_edges_open", "Client and server spans that wait for the other side.")
    static let spanMetricsEdgesEvicted = counter(
        "skein_span_metrics_edges_evicted_total", "Client and server spans that could not wait, because too many did.")
    static let spanMetricsRecordings = counter("skein_span_metrics_recordings_total", "Recordings of metrics from spans, by outcome.")

    static func itemsReceived(_ signal: TelemetrySignal) -> MetricFamily {
        counter("skein_receiver_\(signal.items)_total", "\(signal.words) received and stored, by receiver and transport.")
    }

    static func itemsRejected(_ signal: TelemetrySignal) -> MetricFamily {
        counter(
            "skein_receiver_\(signal.items)_rejected_total", "\(signal.words) received and not stored, by receiver, transport and reason.")
    }

    static func itemsExported(_ signal: TelemetrySignal) -> MetricFamily {
        counter("skein_exporter_\(signal.items)_total", "\(signal.words) that another server accepted, by exporter.")
    }

    static func itemsGivenUp(_ signal: TelemetrySignal) -> MetricFamily {
        counter("skein_exporter_\(signal.items)_dropped_total", "\(signal.words) given up by an exporter, by exporter and reason.")
    }

    static func itemsQueued(_ signal: TelemetrySignal) -> MetricFamily {
        gauge("skein_exporter_queue_\(signal.items)", "\(signal.words) waiting in an exporter, by exporter.")
    }
}

extension TelemetrySignal {
    /// Its items at the beginning of a sentence.
    var words: String {
        switch self {
        case .spans: "Spans"
        case .metrics: "Metric points"
        case .logs: "Log records"
        }
    }

    /// What tells the signal apart in the families that all signals share.
    var labels: [(name: String, value: String)] { self == .spans ? [] : [("signal", rawValue)] }
}
