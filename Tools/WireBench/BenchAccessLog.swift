internal import Primitives
import TelemetryModel
import TelemetryWire

private func ringEntry() -> [UInt8] {
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
    record.cluster = NameID(1)
    record.route = NameID(2)
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

func benchAccessLog() {
    let entry = ringEntry()
    let names = NameTable(["outbound|9080||reviews.default.svc.cluster.local", "default"])
    let identity = ProxySpanIdentity(serviceName: "productpage.default", nodeID: "sidecar~10.0.0.1~p.default~default.svc.cluster.local")
    let builder = ProxySpanBuilder(identity: identity)
    guard let json = try? AccessLogFormat.json(AccessLogFormat.istioJSON), let text = try? AccessLogFormat.text(AccessLogFormat.istioText)
    else { return }
    var output: [UInt8] = []
    for (name, program) in [("istio json", json.program(capture: json.headers)), ("istio text", text.program(capture: text.headers))] {
        measure("access log, \(name), one line", units: 100_000) {
            output.removeAll(keepingCapacity: true)
            let span = unsafe entry.span.bytes
            var sum = 0
            for _ in 0..<100_000 {
                if let view = RequestRecordView(span) {
                    program.append(view, names: names, emitUnixNanoseconds: 1_760_751_421_000_000_000, to: &output)
                }
                if output.count > 1 << 20 {
                    sum &+= output.count
                    output.removeAll(keepingCapacity: true)
                }
            }
            return sum
        }
    }
    var batch = SpanBatch()
    measure("proxy span from a record", units: 100_000) {
        let span = unsafe entry.span.bytes
        var sum = 0
        for index in 0..<100_000 {
            if index % 256 == 0 {
                sum &+= batch.text.count
                batch.removeAll()
            }
            if let view = RequestRecordView(span) { builder.append(view, names: names, to: &batch) }
        }
        return sum
    }
}

func benchMetrics() {
    let bounds = HistogramBounds(upperBounds: [
        0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 300_000, 600_000, 1_800_000, 3_600_000,
    ])
    let counts = [UInt64](repeating: 1234, count: 20)
    // 25 labels, as Istio has.
    let series = (0..<455).map { index -> [UInt8] in
        var labels: [UInt8] = []
        for label in 0..<25 { ExpositionWriter.appendLabel("destination_workload_\(label)", "reviews-v\(index)", to: &labels) }
        return labels
    }
    var output: [UInt8] = []
    measure("exposition, one scrape of 10,010 series of histograms with 25 labels", units: 1) {
        output.removeAll(keepingCapacity: true)
        var writer = ExpositionWriter(format: .openMetrics)
        writer.begin(
            MetricFamily(name: "istio_request_duration_milliseconds", help: "d", kind: .histogram, unit: "milliseconds"), to: &output)
        for labels in series { writer.histogram(labels: labels, bounds: bounds, bucketCounts: counts, sum: 12345.5, to: &output) }
        writer.end(to: &output)
        return output.count
    }
}
