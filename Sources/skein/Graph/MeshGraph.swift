internal import TelemetryModel

/// Who calls whom, how often, and how it goes. A value.
struct MeshGraph: Equatable {
    struct Edge: Equatable {
        var from: String
        var to: String
        /// A second; with links from traces, of the sampled requests alone.
        var perSecond: Double
        /// 0 … 1; nil = nothing was answered.
        var errorRate: Double?
        /// Milliseconds; nil = not known.
        var p95: Double?
    }

    /// What the edges are made of.
    enum Source: String {
        case metrics, traces
    }

    var source: Source
    /// Most failures first, then most requests.
    var edges: [Edge] = []

    /// Labels of both ends in Istio's metrics. The service stands for a workload that is not known.
    static let labels = [
        "source_workload", "source_workload_namespace", "destination_workload", "destination_workload_namespace", "destination_service",
    ]

    /// From the answers to `requestsQuery` and `durationQuery`. Of two proxies that report an edge, the client's is believed.
    static func metrics(requests: [PrometheusAnswer.Series], durations: [PrometheusAnswer.Series]) -> MeshGraph {
        struct Key: Hashable {
            var from, to: String
        }
        struct Sum {
            var requests = 0.0
            var failures = 0.0
            var answered = 0.0
            var p95: Double?
        }
        var sums: [Key: [String: Sum]] = [:]
        func key(_ metric: [String: String]) -> Key {
            let service = metric["destination_service"] ?? ""
            return Key(
                from: name(metric["source_workload"], metric["source_workload_namespace"], fallback: "unknown"),
                to: name(
                    metric["destination_workload"], metric["destination_workload_namespace"],
                    fallback: service.isEmpty ? "unknown" : service))
        }
        for series in requests {
            guard let rate = series.value.flatMap({ Double($0.value) }), rate > 0 else { continue }
            var sum = sums[key(series.metric)]?[series.metric["reporter"] ?? ""] ?? Sum()
            sum.requests += rate
            switch TopRows.outcome(series.metric) {
            case .failure:
                sum.failures += rate
                sum.answered += rate
            case .success: sum.answered += rate
            case .unanswered: break
            }
            sums[key(series.metric), default: [:]][series.metric["reporter"] ?? ""] = sum
        }
        for series in durations {
            guard let value = series.value.flatMap({ Double($0.value) }), value.isFinite else { continue }
            let reporter = series.metric["reporter"] ?? ""
            let known = sums[key(series.metric)]?[reporter]
            guard known != nil else { continue }
            sums[key(series.metric)]?[reporter]?.p95 = max(known?.p95 ?? 0, value)
        }
        var graph = MeshGraph(source: .metrics)
        for (key, byReporter) in sums {
            guard let sum = byReporter["source"] ?? byReporter.min(by: { $0.key < $1.key })?.value else { continue }
            graph.edges.append(
                Edge(
                    from: key.from, to: key.to, perSecond: sum.requests, errorRate: sum.answered > 0 ? sum.failures / sum.answered : nil,
                    p95: sum.p95))
        }
        return graph.sorted()
    }

    /// Zipkin's dependency links over `seconds`.
    static func traces(_ links: [(parent: String, child: String, calls: UInt64, errors: UInt64)], seconds: Double) -> MeshGraph {
        var graph = MeshGraph(source: .traces)
        graph.edges = links.map { link in
            Edge(
                from: link.parent, to: link.child, perSecond: Double(link.calls) / max(1, seconds),
                errorRate: link.calls > 0 ? Double(link.errors) / Double(link.calls) : nil, p95: nil)
        }
        return graph.sorted()
    }

    /// The requests of each edge a second, by how they ended. `window` in Prometheus' form.
    static func requestsQuery(window: String) -> String {
        let outcome = ["reporter", "request_protocol", "response_code", "grpc_response_status"]
        return "sum by (\((labels + outcome).joined(separator: ","))) (rate(istio_requests_total[\(window)])) > 0"
    }

    static func durationQuery(window: String) -> String {
        let by = (labels + ["reporter", "le"]).joined(separator: ",")
        return "histogram_quantile(0.95, sum by (\(by)) (rate(istio_request_duration_milliseconds_bucket[\(window)])))"
    }

    private func sorted() -> MeshGraph {
        var graph = self
        graph.edges.sort { first, second in
            let failures = (first.perSecond * (first.errorRate ?? 0), second.perSecond * (second.errorRate ?? 0))
            if failures.0 != failures.1 { return failures.0 > failures.1 }
            if first.perSecond != second.perSecond { return first.perSecond > second.perSecond }
            return (first.from, first.to) < (second.from, second.to)
        }
        return graph
    }

    private static func name(_ workload: String?, _ namespace: String?, fallback: String) -> String {
        guard let workload, !workload.isEmpty, workload != "unknown" else { return fallback }
        guard let namespace, !["", "unknown", "default"].contains(namespace) else { return workload }
        return "\(workload).\(namespace)"
    }
}
