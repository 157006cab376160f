internal import ArgumentParser

/// What the rows of `skein top` are.
enum TopDimension: String, ExpressibleByArgument, CaseIterable, Sendable {
    case service, route, edge, endpoint, family

    /// Labels that tell the rows apart, of the series that are asked for.
    var labels: [String] {
        switch self {
        case .service: ["destination_service"]
        case .edge: ["source_workload", "source_workload_namespace", "destination_workload", "destination_workload_namespace"]
        case .route: ["route", "cluster"]
        case .endpoint: ["cluster", "endpoint"]
        case .family: ["metric"]
        }
    }

    /// Families whose series have these labels, and which of the series count. What a proxy hands to its own workload its clients'
    /// proxies have counted, so of our own families that is left out.
    private var source: (requests: String, duration: String, selector: String) {
        switch self {
        case .service, .edge, .family: ("istio_requests_total", "istio_request_duration_milliseconds", "")
        case .route: ("skein_route_requests_total", "skein_route_request_duration_milliseconds", Self.outbound)
        case .endpoint: ("skein_endpoint_requests_total", "skein_endpoint_request_duration_milliseconds", Self.outbound)
        }
    }

    private static let outbound = "{cluster!~\"inbound[|].*\"}"

    /// Labels that say how a request ended, and who says so.
    private var outcomeLabels: [String] {
        switch self {
        case .service, .edge, .family: ["reporter", "request_protocol", "response_code", "grpc_response_status", "response_flags"]
        case .route, .endpoint: ["outcome"]
        }
    }

    /// Requests a second by row and by how they ended. `window` in Prometheus' form.
    func requestsQuery(window: String) -> String {
        "sum by (\((labels + outcomeLabels).joined(separator: ","))) (rate(\(source.requests)\(source.selector)[\(window)])) > 0"
    }

    /// Requests a second up to each bucket's bound by row, and by reporter where two report.
    func durationsQuery(window: String) -> String {
        let reporter = outcomeLabels.contains("reporter") ? ["reporter"] : []
        let kept = (labels + reporter + ["le"]).joined(separator: ",")
        return "sum by (\(kept)) (rate(\(source.duration)_bucket\(source.selector)[\(window)]))"
    }

    /// Retries a second by cluster or route; nil = they are not known by these rows.
    func retriesQuery(window: String) -> String? {
        switch self {
        case .service: "sum by (cluster) (rate(skein_route_retries_total[\(window)])) > 0"
        case .route: "sum by (route,cluster) (rate(skein_route_retries_total[\(window)])) > 0"
        case .edge, .endpoint, .family: nil
        }
    }

    /// What is ejected or fails its health checks, a series each; nil = not known by these rows. Endpoints are counted once, whoever
    /// ejects them.
    var ejectedQuery: String? {
        switch self {
        case .service, .endpoint: "min by (cluster,endpoint) (skein_endpoint_healthy) == 0"
        case .route, .edge, .family: nil
        }
    }

    /// The heading of the names.
    var title: String {
        switch self {
        case .service: "SERVICE"
        case .route: "ROUTE"
        case .edge: "EDGE"
        case .endpoint: "ENDPOINT"
        case .family: "METRIC"
        }
    }

    var next: TopDimension {
        let all = Self.allCases
        let place = all.firstIndex(of: self) ?? 0
        return all[(place + 1) % all.count]
    }

    /// `outbound|9080|v1|reviews` is `reviews:9080 v1`; nil = there is none.
    private static func cluster(_ name: String?) -> String? {
        guard let name, !name.isEmpty else { return nil }
        let parts = name.split(separator: "|", omittingEmptySubsequences: false)
        guard parts.count == 4, parts[0] == "outbound" else { return name }
        return "\(parts[3]):\(parts[1])" + (parts[2].isEmpty ? "" : " \(parts[2])")
    }

    /// The row's name from its labels.
    func name(_ labels: [String: String]) -> String {
        func value(_ name: String) -> String {
            let value = labels[name] ?? ""
            return value.isEmpty ? "unknown" : value
        }
        switch self {
        case .service: return value("destination_service")
        case .edge: return "\(value("source_workload")) → \(value("destination_workload"))"
        case .route: return Self.cluster(labels["cluster"]).map { "\(value("route")) → \($0)" } ?? value("route")
        case .endpoint: return Self.cluster(labels["cluster"]).map { "\(value("endpoint")) of \($0)" } ?? value("endpoint")
        case .family: return value("metric")
        }
    }
}
