import Collector
import Primitives
import TelemetryModel
import TelemetryWire

/// Four spans for each call of a shop: the frontend's server, its client, the cart's server, and its client to a database.
func shopBatch(spans: Int, random: inout RandomSource) -> SpanBatch {
    var batch = SpanBatch()
    func tag(_ key: String, _ value: String) {
        let key = batch.append(text: key)
        batch.tags.append(TagRow(key: key, value: batch.append(text: value)))
    }
    func append(_ trace: TraceID, _ id: SpanID, under parent: SpanID, _ kind: SpanKind, _ service: Int, _ name: String, isDatabase: Bool) {
        var row = SpanRow(traceID: trace, id: id)
        row.parentID = parent
        row.kind = kind
        row.timestamp = 1_760_751_420_310_000
        row.duration = 100 + UInt64(random.below(90_000))
        row.name = batch.append(text: name)
        row.localEndpoint = UInt32(batch.endpoints.count)
        batch.endpoints.append(EndpointRow(serviceName: batch.append(text: "service-\(service)")))
        row.tagStart = UInt32(batch.tags.count)
        tag("http.method", "GET")
        tag("http.path", "/api/orders/\(random.below(100_000))")
        tag("http.status_code", "200")
        tag("http.host", "orders.example.com")
        tag("net.peer.ip", "10.1.3.4")
        tag("request.id", "7f9c4d\(random.next())")
        tag("instance", "pod-7f9c4d-x\(random.below(9))")
        tag("region", "eu-central-1")
        tag("version", "1.24.3")
        if isDatabase { tag("db.system", "postgresql") }
        row.tagCount = UInt32(batch.tags.count) - row.tagStart
        batch.spans.append(row)
    }
    for call in 0..<spans / 4 {
        let trace = TraceID(high: random.next(), low: random.next() | 1)
        let ids = (0..<4).map { _ in SpanID(random.next() | 1) }
        let (front, back) = (call % 6, 6 + call % 6)
        append(trace, ids[0], under: .none, .server, front, "get /cart/{id}", isDatabase: false)
        append(trace, ids[1], under: ids[0], .client, front, "get", isDatabase: false)
        append(trace, ids[2], under: ids[1], .server, back, "get /api/orders/{id} \(call % 20)", isDatabase: false)
        append(trace, ids[3], under: ids[2], .client, back, "select orders", isDatabase: true)
    }
    return batch
}

/// What metrics cost for each span that is stored: with batches of new traces, as many halves waiting as may wait.
func benchSpanMetrics() throws {
    var random = RandomSource(seed: 11)
    let batches = (0..<16).map { _ in shopBatch(spans: 256, random: &random) }
    let plain = NullSink()
    let counting = SpanMetricsSink(NullSink(), .tempo, statistics: CollectorStatistics())
    for (name, sink) in [("nothing", plain as any BatchSink<SpanBatch>), ("metrics", counting)] {
        for round in 0..<6 {
            let before = SystemClock.threadCPUNanoseconds()
            for _ in 0..<120 { for batch in batches { sink.submit(batch) { _ in } } }
            let spans = batches.count * 120 * 256
            if round > 0 { print("\(name): \(Double((SystemClock.threadCPUNanoseconds() - before) * 10 / UInt64(spans)) / 10) ns a span") }
        }
    }
    let series = NullSeriesSink()
    let before = SystemClock.threadCPUNanoseconds()
    counting.record(into: series)
    print("recording: \((SystemClock.threadCPUNanoseconds() - before) / 1000) us")
}

final class NullSeriesSink: BatchSink {
    func submit(_ batch: consuming SeriesBatch, completion: @escaping @Sendable (Result<Void, BatchRejection>) -> Void) {
        print("recording: \(batch.itemCount) series")
        completion(.success(()))
    }
}
