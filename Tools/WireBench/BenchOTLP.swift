import COTLP
import TelemetryModel
import TelemetryWire

private func varint(_ value: Int) -> [UInt8] {
    var rest = value
    var bytes: [UInt8] = []
    while rest >= 0x80 {
        bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
        rest >>= 7
    }
    return bytes + [UInt8(truncatingIfNeeded: rest)]
}

private func field(_ number: Int, _ bytes: [UInt8]) -> [UInt8] { varint(number << 3 | 2) + varint(bytes.count) + bytes }
private func text(_ number: Int, _ value: String) -> [UInt8] { field(number, Array(value.utf8)) }
private func fixed(_ number: Int, _ value: UInt64) -> [UInt8] {
    varint(number << 3 | 1) + (0..<8).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
}
private func attribute(_ key: String, _ value: String) -> [UInt8] { text(1, key) + field(2, text(1, value)) }

/// 256 spans with ten attributes each, about 462 bytes a span.
func otlpBody(spans: Int) -> [UInt8] {
    var random = BenchRandom(state: 7)
    var scope: [UInt8] = []
    func bytes(_ count: Int) -> [UInt8] { (0..<count).map { _ in UInt8(truncatingIfNeeded: random.next() | 1) } }
    for index in 0..<spans {
        var span = field(1, bytes(16)) + field(2, bytes(8)) + field(4, bytes(8)) + text(5, "get /api/operation-\(index % 40)")
        span +=
            varint(6 << 3) + [index % 2 == 0 ? 2 : 3] + fixed(7, 1_700_000_000_000_000_000 + UInt64(index))
            + fixed(8, 1_700_000_000_009_000_000)
        for (key, value) in [
            ("component", "proxy"), ("http.method", "GET"), ("http.path", "/api/v1/items/\(random.next() % 1_000_000)"),
            ("http.status_code", "200"),
            ("http.protocol", "HTTP/1.1"), ("request_size", "0"), ("response_size", "\(random.next() % 9000)"),
            ("peer.address", "10.2.3.\(random.next() % 250):\(random.next() % 60000)"), ("guid:x-request-id", random.hex(32)),
            ("upstream_cluster", "outbound|9080||service-\(index % 12).default.svc.cluster.local"),
        ] { span += field(9, attribute(key, value)) }
        scope += field(2, span)
    }
    return field(1, field(1, field(1, attribute("service.name", "frontend"))) + field(2, scope))
}

/// The walker beside protobuf-c, which has to build its tree and be copied out of.
func benchOTLP() {
    let spans = 256
    let body = otlpBody(spans: spans)
    var batch = SpanBatch()
    let walker = measure("otlp protobuf decode and map, one span", units: spans * 100, bytesPerUnit: body.count / spans) {
        var sum = 0
        for _ in 0..<100 {
            batch.removeAll()
            let accepted = unsafe body.withUnsafeBytes { unsafe (try? OTLPTraceDecoder.decode($0, into: &batch))?.acceptedSpans ?? 0 }
            sum &+= accepted &+ batch.tags.count
        }
        return sum
    }
    let arena = UnpackArena(bytes: 16 * body.count)
    func unpacked(_ name: String, _ use: (UnsafeMutablePointer<Otlp__ExportTraceServiceRequest>) -> Int) {
        let cost = measure(name, units: spans * 100, bytesPerUnit: body.count / spans) {
            var sum = 0
            for _ in 0..<100 {
                unsafe body.withUnsafeBytes { bytes in
                    guard let root = unsafe arena.unpack(bytes) else { return }
                    sum &+= unsafe use(root)
                }
            }
            return sum
        }
        print("  \((cost / walker * 100).rounded() / 100) times the walker")
    }
    unsafe unpacked("protobuf-c in an arena, spans counted") { unsafe ProtobufCSpans.count($0) }
    unsafe unpacked("protobuf-c in an arena, into a batch") { root in
        batch.removeAll()
        unsafe ProtobufCSpans.append(root, to: &batch)
        return batch.spans.count &+ batch.tags.count
    }
}
