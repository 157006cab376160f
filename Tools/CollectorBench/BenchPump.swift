import Collector
import EventLoops
import Primitives
import Synchronization
import TelemetryModel
import TelemetryWire

final class NullSink: BatchSink {
    let spans = Atomic<Int>(0)

    func submit(_ batch: consuming SpanBatch, completion: @escaping @Sendable (Result<Void, BatchRejection>) -> Void) {
        spans.wrappingAdd(batch.spans.count, ordering: .relaxed)
        completion(.success(()))
    }
}

func exampleEntry(cluster: NameID, route: NameID, isSampled: Bool) -> [UInt8] {
    var record = RequestRecord()
    record.startUnixNanoseconds = 1_760_751_420_310_000_000
    record.times.downstreamReceiveEnd = 1_000_000
    record.times.upstreamSendBegin = 2_000_000
    record.times.upstreamSendEnd = 2_500_000
    record.times.upstreamReceiveBegin = 11_900_000
    record.times.downstreamSendEnd = 13_700_000
    record.responseBodyBytes = 1024
    record.downstreamRemote = SocketEndpoint(ipv4: 0x0A00_0001, port: 41234)
    record.downstreamLocal = SocketEndpoint(ipv4: 0x0A00_0002, port: 9080)
    record.upstreamRemote = SocketEndpoint(ipv4: 0x0A00_0003, port: 9080)
    record.upstreamLocal = SocketEndpoint(ipv4: 0x0A00_0001, port: 55000)
    record.traceID = TraceID(high: 1, low: 2)
    record.spanID = SpanID(3)
    record.isSampled = isSampled
    record.cluster = cluster
    record.route = route
    record.responseCode = 200
    record.details = .viaUpstream
    let texts = [
        "GET", "/reviews/1?x=1", "/reviews/1?x=1", "reviews:9080", "curl/8.5.0", "0b7c2f8e-6a3d-4c55-9d6e-0f1a2b3c4d5e", "10.9.8.7", "http",
    ]
    record.textCount = UInt8(texts.count)
    var bytes = unsafe withUnsafeBytes(of: record) { unsafe Array($0) }
    bytes += [UInt8](repeating: 0, count: RequestRecordView.lengthsOffset - bytes.count)
    for text in texts { bytes += [UInt8(text.utf8.count), 0] }
    for text in texts { bytes += Array(text.utf8) }
    return bytes
}

/// 100,000 records a second for five seconds from one producer, paced by the clock.
func benchPump(outputs: Int, sampledEvery: Int) throws {
    let catalogs = Catalogs()
    let cluster = catalogs.name("outbound|9080||reviews.default.svc.cluster.local")
    let route = catalogs.name("default")
    let statistics = CollectorStatistics()
    let ring = RecordRing(capacity: 4 << 20)
    let format = try AccessLogFormat.json(AccessLogFormat.istioJSON)
    let path = CommandLine.arguments.count > 2 ? CommandLine.arguments[2] : "/tmp/collector-bench.log"
    var history = CaptureHistory()
    let side = CollectorPlan.Side(
        outputs: (0..<outputs).map { _ in CollectorPlan.Output(path: path, format: format) },
        spans: ProxySpanIdentity(serviceName: "productpage.default", nodeID: "sidecar~10.0.0.1~p.default~default.svc.cluster.local"))
    let plan = try CollectorPlan(outbound: side, inbound: CollectorPlan.Side(), history: &history)
    let sink = NullSink()
    let pump = try RecordPump(rings: [ring], plan: plan, sink: sink, catalogs: catalogs, statistics: statistics) { print($0) }
    let plain = exampleEntry(cluster: cluster, route: route, isSampled: false)
    let sampled = exampleEntry(cluster: cluster, route: route, isSampled: true)
    let ownBefore = SystemClock.threadCPUNanoseconds()
    let before = SystemClock.processCPUNanoseconds()
    let start = SystemClock.monotonicNow()
    let total = 500_000
    var sent = 0
    var own: UInt64 = 0
    while sent < total {
        // A thousand records each ten milliseconds.
        for _ in 0..<1000 {
            let entry = sampledEvery > 0 && sent % sampledEvery == 0 ? sampled : plain
            if let out = unsafe ring.reserve(entry.count) {
                unsafe entry.withUnsafeBytes { unsafe out.copyMemory(from: $0.baseAddress.unsafelyUnwrapped, byteCount: $0.count) }
                ring.publish(entry.count)
            }
            sent += 1
        }
        let due = start + UInt64(sent) * 10_000
        let left = due.nanoseconds(since: SystemClock.monotonicNow())
        if left > 0 { pause(nanoseconds: left) }
    }
    own = SystemClock.threadCPUNanoseconds() - ownBefore
    pump.stop()
    let cpu = SystemClock.processCPUNanoseconds() - before - own
    print(
        "pump, \(outputs) JSON access log, 1 in \(sampledEvery) sampled: \(cpu / UInt64(total)) ns of CPU a record; "
            + "\(statistics.total("skein_records_total")) records, \(statistics.total("skein_records_dropped_total")) dropped, "
            + "\(statistics.total("skein_access_log_lines_total")) lines, \(sink.spans.load(ordering: .relaxed)) spans")
}
