internal import Primitives
internal import TelemetryModel
internal import TelemetryWire

/// Our own families by route and by endpoint. Istio's have neither: a series of 25 labels for each would be too many.
///
/// Labels are bounded by the shards' budgets: `route` and `cluster` are names of the configuration, `endpoint` an address; what no row was
/// left for is in one series whose labels say `overflow`. Rows expire as `OutcomeRows` says.
enum OutcomeFamilies {
    private struct Names {
        var requests: MetricFamily
        var duration: MetricFamily
        var retries: MetricFamily?
    }

    private static let routes = Names(
        requests: MetricFamily(
            name: "skein_route_requests_total", help: "Requests by route, the cluster it led to, and how they ended.", kind: .counter),
        duration: MetricFamily(
            name: "skein_route_request_duration_milliseconds",
            help: "Time from the first byte of the request to the last of the response, in milliseconds, by route.", kind: .histogram),
        retries: MetricFamily(name: "skein_route_retries_total", help: "Attempts after the first one, by route.", kind: .counter))

    private static let endpoints = Names(
        requests: MetricFamily(
            name: "skein_endpoint_requests_total", help: "Requests by the endpoint of their last attempt, and how they ended.",
            kind: .counter),
        duration: MetricFamily(
            name: "skein_endpoint_request_duration_milliseconds",
            help: "As skein_route_request_duration_milliseconds, by the endpoint of the last attempt; earlier attempts are in it.",
            kind: .histogram))

    static func write(
        routes shownRoutes: [OutcomeSnapshot], endpoints shownEndpoints: [OutcomeSnapshot], _ catalogs: Catalogs,
        _ writer: inout ExpositionWriter, to bytes: inout [UInt8]
    ) {
        write(shownRoutes, routes, &writer, to: &bytes) { key in
            [("route", labelText(key.route, key, catalogs)), ("cluster", labelText(key.cluster, key, catalogs))]
        }
        write(shownEndpoints, endpoints, &writer, to: &bytes) { key in
            [("cluster", labelText(key.cluster, key, catalogs)), ("endpoint", key == .overflow ? "overflow" : "\(key.endpoint)")]
        }
    }

    private static func labelText(_ id: NameID, _ key: OutcomeKey, _ catalogs: Catalogs) -> String {
        key == .overflow ? "overflow" : catalogs.names.value(id.rawValue)
    }

    private static func write(
        _ rows: [OutcomeSnapshot], _ names: Names, _ writer: inout ExpositionWriter, to bytes: inout [UInt8],
        labels: (OutcomeKey) -> [(name: String, value: String)]
    ) {
        let texts = rows.map { SelfMetrics.labelText(labels($0.key)) }
        // Two keys may print alike, and no parser takes a series twice.
        var sums: [[UInt8]: OutcomeSnapshot] = [:]
        for (text, row) in zip(texts, rows) { if sums[text]?.add(row) == nil { sums[text] = row } }
        guard !sums.isEmpty else { return }
        let sorted = sums.sorted { $0.key.lexicographicallyPrecedes($1.key) }
        writer.begin(names.requests, to: &bytes)
        for (text, row) in sorted {
            for outcome in RequestOutcome.allCases where row.outcomes[Int(outcome.rawValue)] > 0 {
                var own = text
                ExpositionWriter.appendLabel("outcome", "\(outcome)", to: &own)
                writer.counter(labels: own, value: row.outcomes[Int(outcome.rawValue)], to: &bytes)
            }
        }
        writer.begin(names.duration, to: &bytes)
        for (text, row) in sorted {
            writer.histogram(
                labels: text, bounds: RequestFamilies.bounds, bucketCounts: row.duration.buckets, sum: Double(row.duration.sum) / 1000,
                to: &bytes)
        }
        guard let retries = names.retries, sorted.contains(where: { $0.value.retries > 0 }) else { return }
        writer.begin(retries, to: &bytes)
        for (text, row) in sorted where row.retries > 0 { writer.counter(labels: text, value: row.retries, to: &bytes) }
    }
}
