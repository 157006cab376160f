@testable import Collector
import Primitives
import TelemetryModel

/// A span in plain values, for tests of what is made from spans.
struct SpanSketch {
    var trace: UInt64 = 1
    var traceHigh: UInt64 = 0
    var id: UInt64
    var parent: UInt64 = 0
    var kind = SpanKind.unspecified
    var service = ""
    var name = "op"
    /// Microseconds.
    var duration: UInt64 = 1000
    var remote = ""
    var isShared = false
    var tags: [(String, String)] = []

    static func client(
        _ id: UInt64, _ service: String, under parent: UInt64 = 0, remote: String = "", _ tags: (String, String)...
    ) -> Self {
        SpanSketch(id: id, parent: parent, kind: .client, service: service, remote: remote, tags: tags)
    }

    static func server(
        _ id: UInt64, _ service: String, under parent: UInt64 = 0, remote: String = "", _ tags: (String, String)...
    ) -> Self {
        SpanSketch(id: id, parent: parent, kind: .server, service: service, remote: remote, tags: tags)
    }

    func with(_ change: (inout SpanSketch) -> Void) -> Self {
        var copy = self
        change(&copy)
        return copy
    }

    /// As a sidecar of Istio or this proxy reports it.
    var proxied: Self { with { $0.tags.append(("component", "proxy")) } }

    static func batch(_ spans: [SpanSketch]) -> SpanBatch {
        var batch = SpanBatch()
        for span in spans { span.append(to: &batch) }
        return batch
    }

    private func append(to batch: inout SpanBatch) {
        var row = SpanRow(traceID: TraceID(high: traceHigh, low: trace), id: SpanID(id))
        row.parentID = SpanID(parent)
        row.kind = kind
        row.duration = duration
        row.name = batch.append(text: name)
        row.flags = isShared ? .shared : []
        row.localEndpoint = endpoint(service, &batch)
        row.remoteEndpoint = endpoint(remote, &batch)
        row.tagStart = UInt32(batch.tags.count)
        for (key, value) in tags {
            let key = batch.append(text: key)
            batch.tags.append(TagRow(key: key, value: batch.append(text: value)))
        }
        row.tagCount = UInt32(tags.count)
        batch.spans.append(row)
    }

    private func endpoint(_ name: String, _ batch: inout SpanBatch) -> UInt32 {
        guard !name.isEmpty else { return EndpointRow.absent }
        let service = batch.append(text: name)
        batch.endpoints.append(EndpointRow(serviceName: service))
        return UInt32(batch.endpoints.count - 1)
    }
}

/// Span metrics under a clock of the test's.
struct SpanMetricsBench {
    var metrics: SpanMetrics
    /// Seconds since the start, 100 at first.
    var now = 100.0

    init(_ names: SpanMetricsNames = .tempo, _ change: (inout SpanMetricsLimits) -> Void = { _ in }) {
        var limits = SpanMetricsLimits()
        change(&limits)
        metrics = SpanMetrics(names, limits: limits)
    }

    var moment: SpanMetricsMoment {
        SpanMetricsMoment(
            monotonic: MonotonicInstant(nanoseconds: UInt64(now * 1e9)), unixMilliseconds: 1_700_000_000_000 + Int64(now * 1000))
    }

    mutating func observe(_ spans: SpanSketch...) { observe(SpanSketch.batch(spans)) }

    mutating func observe(_ batch: SpanBatch) { metrics.observe(metrics.reader.facts(of: batch), of: batch, at: moment) }

    /// Samples as `name{labels} value`, histograms as `name{labels} [buckets, count, sum]`, labels by name, in order of text.
    mutating func lines(_ prefix: String = "") throws -> [String] {
        var batch = SeriesBatch()
        metrics.record(into: &batch, at: moment)
        return try batch.points.map { point in
            let one = batch.identities[Int(point.identity)]
            let bytes = Array(batch.identityBytes[Int(one.offset)..<Int(one.offset + one.count)])
            let labels = try SeriesIdentityReader(bytes).labels()
            let rest = labels.labels.filter { $0.name != "__name__" }.map { "\($0.name)=\($0.value)" }.joined(separator: ",")
            let name = "\(labels["__name__"] ?? ""){\(rest)}"
            if SeriesSamples.isStale(point.value) || SeriesSamples.isStale(batch.points[0].value) { return "\(name) ends" }
            guard one.kind == .classicHistogram else { return "\(name) \(short(point.value))" }
            let numbers = batch.numbers[Int(point.payload)..<Int(point.payload) + Int(one.columns)]
            return "\(name) [\(numbers.map(short).joined(separator: ", "))]"
        }.filter { $0.hasPrefix(prefix) }.sorted()
    }

    /// Exemplars of the next recording as `value trace/span`, of one metric, in the order of the batch.
    mutating func exemplars(_ metric: String) throws -> [String] {
        var batch = SeriesBatch()
        metrics.record(into: &batch, at: moment)
        return try batch.exemplars.compactMap { number, exemplar in
            let one = batch.identities[Int(number)]
            let bytes = Array(batch.identityBytes[Int(one.offset)..<Int(one.offset + one.count)])
            guard try SeriesIdentityReader(bytes).labels()["__name__"] == metric else { return nil }
            let high = exemplar.traceID.high == 0 ? "" : "\(exemplar.traceID.high):"
            return "\(short(exemplar.value)) \(high)\(exemplar.traceID.low)/\(exemplar.spanID.rawValue)"
        }
    }

    /// `client>server[/connection] calls` for each edge, with ` failed N` where calls failed.
    mutating func edges() throws -> [String] {
        var calls: [String: String] = [:]
        var failed: [String: String] = [:]
        for line in try lines("traces_service_graph_request_") {
            let name = line.prefix { $0 != "{" }
            let labels = line.drop { $0 != "{" }.dropFirst().prefix { $0 != "}" }.split(separator: ",").reduce(into: [String: String]()) {
                let parts = $1.split(separator: "=")
                $0[String(parts[0])] = String(parts[1])
            }
            let value = String(line[line.index(after: line.lastIndex(of: " ") ?? line.startIndex)...])
            let connection = labels["connection_type"].map { "/\($0)" } ?? ""
            let edge = "\(labels["client"] ?? "")>\(labels["server"] ?? "")\(connection)"
            if name == "traces_service_graph_request_total" { calls[edge] = value }
            if name == "traces_service_graph_request_failed_total", value != "0" { failed[edge] = value }
        }
        return calls.map { "\($0.key) \($0.value)" + (failed[$0.key].map { " failed \($0)" } ?? "") }.sorted()
    }

    func outcome(_ outcome: EdgeOutcome) -> UInt64 { metrics.pairing.count(outcome) }

    private func short(_ value: Double) -> String { value == value.rounded() ? "\(Int(value))" : "\((value * 1e6).rounded() / 1e6)" }
}
