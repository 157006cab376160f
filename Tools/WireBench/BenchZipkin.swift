import TelemetryModel
import TelemetryWire

struct BenchRandom {
    var state: UInt64
    mutating func next() -> UInt64 {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return state
    }
    mutating func hex(_ digits: Int) -> String {
        var text = ""
        while text.utf8.count < digits {
            let word = String(next(), radix: 16)
            text += String(repeating: "0", count: 16 - word.utf8.count) + word
        }
        return String(text.prefix(digits))
    }
}

/// The load of the span benches: eight spans a trace, ten tags a span, 256 spans a body.
func zipkinBody(spans: Int, seed: UInt64) -> [UInt8] {
    var random = BenchRandom(state: seed)
    var text = "["
    var trace = ""
    var parent = ""
    for index in 0..<spans {
        if index % 8 == 0 {
            trace = random.hex(32)
            parent = ""
        }
        let id = random.hex(16)
        let service = "service-\(index % 12)"
        if index > 0 { text += "," }
        text += "{\"traceId\":\"\(trace)\","
        if !parent.isEmpty { text += "\"parentId\":\"\(parent)\"," }
        text += "\"id\":\"\(id)\",\"kind\":\"\(index % 2 == 0 ? "SERVER" : "CLIENT")\",\"name\":\"get /api/operation-\(index % 40)\","
        text += "\"timestamp\":\(1_700_000_000_000_000 + index),\"duration\":\(random.next() % 100_000 + 1),"
        text += "\"localEndpoint\":{\"serviceName\":\"\(service)\",\"ipv4\":\"10.1.2.\(index % 200)\",\"port\":8080},\"tags\":{"
        text += "\"component\":\"proxy\",\"http.method\":\"GET\",\"http.path\":\"/api/v1/items/\(random.next() % 1_000_000)\","
        text += "\"http.status_code\":\"200\",\"http.protocol\":\"HTTP/1.1\",\"request_size\":\"0\","
        text += "\"response_size\":\"\(random.next() % 9000)\","
        text += "\"peer.address\":\"10.2.3.\(random.next() % 250):\(random.next() % 60000)\",\"guid:x-request-id\":\"\(random.hex(32))\","
        text += "\"upstream_cluster\":\"outbound|9080||\(service).default.svc.cluster.local\"}}"
        parent = id
    }
    return Array((text + "]").utf8)
}

func benchZipkin() {
    let spans = 256
    let body = zipkinBody(spans: spans, seed: 42)
    var batch = SpanBatch()
    measure("zipkin json decode, one span", units: spans * 100, bytesPerUnit: body.count / spans) {
        var sum = 0
        for _ in 0..<100 {
            batch.removeAll()
            let decoded = unsafe body.withUnsafeBytes { unsafe (try? ZipkinJSONDecoder.decode($0, into: &batch))?.acceptedSpans ?? 0 }
            sum &+= decoded &+ batch.text.count
        }
        return sum
    }
    var output: [UInt8] = []
    measure("zipkin json encode, one span", units: spans * 100, bytesPerUnit: body.count / spans) {
        var sum = 0
        for _ in 0..<100 {
            output.removeAll(keepingCapacity: true)
            ZipkinJSONEncoder.appendList(batch, to: &output)
            sum &+= output.count
        }
        return sum
    }
}

/// What hostile bodies cost for a byte: batches in which every span is refused, the shortest ones that are and a long one.
func benchRefusedSpans() {
    let long = String(decoding: zipkinBody(spans: 256, seed: 42), as: UTF8.self).replacing(
        "\"guid:x-request-id\"", with: "\"guid:x-request-id\":null,\"x\"")
    for (name, body) in [
        ("long", long), ("empty", "[" + String(repeating: "{},", count: 40_000) + "{}]"),
        ("numbers", "[" + String(repeating: "1,", count: 60_000) + "1]"),
        ("no id", "[" + String(repeating: "{\"traceId\":\"a\"},", count: 7_000) + "1]"),
    ] {
        let bytes = Array(body.utf8)
        var batch = SpanBatch()
        measure("zipkin json decode, all refused, \(name), a kilobyte", units: bytes.count / 1024 * 20, bytesPerUnit: 1024) {
            var sum = 0
            for _ in 0..<20 {
                batch.removeAll()
                sum &+= unsafe bytes.withUnsafeBytes { unsafe (try? ZipkinJSONDecoder.decode($0, into: &batch))?.refusedSpans ?? 0 }
            }
            return sum
        }
    }
}
