internal import Foundation
internal import TelemetryModel

/// Makes rows of the answers to the queries of a `TopDimension`. Pure.
struct TopRows {
    /// Of two proxies that report the same requests the client's has seen all of them, also those that reached nobody; it is believed
    /// unless the server's has seen this much more, which then come from clients without a proxy.
    private static let reporterTolerance = 1.1

    private let dimension: TopDimension
    private var drafts: [Key: Draft] = [:]

    private struct Key: Hashable {
        var values: [String]
    }

    private struct Draft {
        var labels: [String: String]
        var byReporter: [String: Reported] = [:]
    }

    private struct Reported {
        var shares: [TopRow.Share] = []
        var buckets: [(bound: Double, count: Double)] = []

        var requests: Double { shares.reduce(0) { $0 + $1.perSecond } }
    }

    private init(_ dimension: TopDimension) { self.dimension = dimension }

    static func rows(
        _ dimension: TopDimension, requests: [PrometheusAnswer.Series], durations: [PrometheusAnswer.Series],
        retries: [PrometheusAnswer.Series]?, ejected: [PrometheusAnswer.Series]?
    ) -> [TopRow] {
        var rows = TopRows(dimension)
        for series in requests { rows.take(request: series) }
        for series in durations { rows.take(bucket: series) }
        return rows.finish(retries: retries, ejected: ejected)
    }

    /// Labels that tell rows apart.
    private func key(_ metric: [String: String]) -> Key { Key(values: dimension.labels.map { metric[$0] ?? "" }) }

    /// More is no rate of anything, and sums of as many stay finite.
    private static let rateMax = 1e15

    private static func number(_ series: PrometheusAnswer.Series) -> Double? {
        guard let text = series.value?.value, let value = Double(text), value >= 0, value <= rateMax else { return nil }
        return value
    }

    private mutating func take(request series: PrometheusAnswer.Series) {
        guard let perSecond = Self.number(series), perSecond > 0 else { return }
        let key = key(series.metric)
        let own = series.metric.filter { dimension.labels.contains($0.key) && !$0.value.isEmpty }
        let rest = series.metric.filter { !dimension.labels.contains($0.key) && $0.key != "reporter" && !$0.value.isEmpty }
        let share = TopRow.Share(labels: rest, outcome: Self.outcome(series.metric), perSecond: perSecond)
        drafts[key, default: Draft(labels: own)].byReporter[series.metric["reporter"] ?? "", default: Reported()].shares.append(share)
    }

    /// From our own label where there is one, else from Istio's.
    static func outcome(_ metric: [String: String]) -> RequestOutcome {
        if let word = metric["outcome"] { return RequestOutcome.allCases.first { "\($0)" == word } ?? .success }
        let code = metric["response_code"].flatMap { UInt16($0) } ?? 0
        let status = metric["grpc_response_status"].flatMap { UInt8($0) } ?? 255
        // What a budget had no room for says nothing of how it ended.
        if metric["response_code"] == "overflow" { return .unanswered }
        return RequestOutcome(responseCode: code, isGRPC: metric["request_protocol"] == "grpc", grpcStatus: status)
    }

    /// A row needs requests: buckets alone are of series that have ended.
    private mutating func take(bucket series: PrometheusAnswer.Series) {
        let key = key(series.metric)
        guard drafts[key] != nil, let count = Self.number(series), let bound = Self.bound(series.metric["le"]) else { return }
        drafts[key]?.byReporter[series.metric["reporter"] ?? "", default: Reported()].buckets.append((bound, count))
    }

    /// Milliseconds; none are below 0.
    private static func bound(_ text: String?) -> Double? {
        guard text != "+Inf" else { return .infinity }
        guard let bound = text.flatMap({ Double($0) }), bound >= 0, bound <= rateMax else { return nil }
        return bound
    }

    // MARK: The end

    private func finish(retries: [PrometheusAnswer.Series]?, ejected: [PrometheusAnswer.Series]?) -> [TopRow] {
        let retriesByRow = retries.map { sums($0) { Self.number($0) ?? 0 } }
        let ejectedByRow = ejected.map { sums($0) { _ in 1 } }
        var rows = drafts.map { key, draft in
            let reporter = Self.reporter(of: draft)
            let reported = draft.byReporter[reporter] ?? Reported()
            var row = TopRow(name: dimension.name(draft.labels), labels: draft.labels)
            row.shares = reported.shares.sorted { ($0.perSecond, Self.text($1.labels)) > ($1.perSecond, Self.text($0.labels)) }
            row.reporter = reporter.isEmpty ? nil : reporter
            let buckets = BucketQuantiles(reported.buckets)
            (row.p50, row.p95, row.p99) = (buckets.quantile(0.5), buckets.quantile(0.95), buckets.quantile(0.99))
            row.retries = retriesByRow.map { $0[key] ?? 0 }
            row.ejected = ejectedByRow.map { Int($0[key] ?? 0) }
            return row
        }
        qualify(&rows)
        return rows
    }

    private static func text(_ labels: [String: String]) -> String {
        labels.map { "\($0.key)=\($0.value)" }.sorted().joined(separator: " ")
    }

    private static func reporter(of draft: Draft) -> String {
        let source = draft.byReporter["source"]?.requests ?? 0
        let destination = draft.byReporter["destination"]?.requests ?? 0
        if source > 0, destination <= source * reporterTolerance { return "source" }
        return destination > 0 ? "destination" : draft.byReporter.keys.sorted().first ?? ""
    }

    /// Values by the row that their labels mean: `outbound|9080|v2|reviews` is of the service `reviews`.
    private func sums(_ all: [PrometheusAnswer.Series], _ value: (PrometheusAnswer.Series) -> Double) -> [Key: Double] {
        var sums: [Key: Double] = [:]
        for series in all {
            var labels = series.metric
            if dimension == .service, let cluster = labels["cluster"] {
                labels["destination_service"] = cluster.split(separator: "|", omittingEmptySubsequences: false).last.map { String($0) }
            }
            sums[key(labels), default: 0] += value(series)
        }
        return sums
    }

    /// Workloads of several namespaces are told apart by them.
    private func qualify(_ rows: inout [TopRow]) {
        guard dimension == .edge else { return }
        let namespaces = Set(rows.flatMap { [$0.labels["source_workload_namespace"], $0.labels["destination_workload_namespace"]] }
            .compactMap(\.self)).subtracting(["unknown"])
        guard namespaces.count > 1 else { return }
        func end(_ row: TopRow, _ side: String) -> String {
            let workload = row.labels["\(side)_workload"] ?? "unknown"
            guard let namespace = row.labels["\(side)_workload_namespace"], namespace != "unknown" else { return workload }
            return "\(workload).\(namespace)"
        }
        for index in rows.indices { rows[index].name = "\(end(rows[index], "source")) → \(end(rows[index], "destination"))" }
    }
}

/// Quantiles of a classic histogram as PromQL's `histogram_quantile` has them (semantics 3.1): linear within a bucket, the lowest from 0,
/// and the highest finite bound for what lies above it.
struct BucketQuantiles {
    private let buckets: [(bound: Double, count: Double)]

    /// `count`: with those below, in any order.
    init(_ buckets: [(bound: Double, count: Double)]) {
        var sorted = buckets.sorted { $0.bound < $1.bound }
        // Rates of buckets may differ in their last bits.
        for index in sorted.indices.dropFirst() { sorted[index].count = max(sorted[index].count, sorted[index - 1].count) }
        self.buckets = sorted
    }

    /// nil = nothing was counted, or there is no bucket up to +Inf.
    func quantile(_ share: Double) -> Double? {
        guard let last = buckets.last, last.bound == .infinity, buckets.count > 1, last.count > 0 else { return nil }
        let rank = share * last.count
        let index = buckets.firstIndex { $0.count >= rank } ?? buckets.count - 1
        guard index < buckets.count - 1 else { return buckets[buckets.count - 2].bound }
        let lower = index > 0 ? buckets[index - 1] : (bound: min(0, buckets[0].bound), count: 0)
        let within = buckets[index].count - lower.count
        return within > 0 ? lower.bound + (buckets[index].bound - lower.bound) * (rank - lower.count) / within : buckets[index].bound
    }
}
