import TelemetryModel

/// The load that the figures are stated for, from a seed: traces of eight spans over twelve services and forty operations, ten tags a
/// span (a random request id, a URL with a random number, a random peer address and port among them), random ids. As Zipkin JSON it
/// averages 674 bytes a span, as OTLP 462.
struct SpanGenerator {
    private var state: UInt64
    private var clock: UInt64

    static let spansPerTrace = 8
    private let services = SpanGenerator.services
    private let operations = SpanGenerator.operations
    private let regions = ["eu-west-1a", "eu-west-1b", "eu-west-1c"]

    /// `start` is the first timestamp, microseconds.
    init(seed: UInt64, start: UInt64) {
        state = seed
        clock = start
    }

    static let services = [
        "frontend", "productpage", "details", "reviews", "ratings", "cart", "checkout", "payment", "shipping", "inventory", "users",
        "search",
    ]
    static let operations = (0..<40).map {
        "\(["get", "list", "create", "update"][$0 % 4]) /api/v1/\(SpanGenerator.resources[$0 / 4])"
    }
    static let resources = ["users", "orders", "items", "carts", "payments", "reviews", "ratings", "stock", "labels", "queries"]

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }

    private static func hex(_ value: UInt64, _ digits: Int, into text: inout [UInt8]) {
        var shift = (digits - 1) * 4
        while shift >= 0 {
            let digit = UInt8((value >> UInt64(shift)) & 15)
            text.append(digit < 10 ? 48 + digit : 87 + digit)
            shift -= 4
        }
    }

    /// Fills `batch` with `count` spans, whole traces.
    mutating func fill(_ batch: inout SpanBatch, spans count: Int) {
        batch.removeAll()
        while batch.spans.count < count { appendTrace(&batch) }
    }

    private mutating func appendTrace(_ batch: inout SpanBatch) {
        let traceID = TraceID(high: next() | 1, low: next())
        clock &+= 200 + next() % 400
        var ids: [UInt64] = []
        for index in 0..<Self.spansPerTrace {
            let id = next() | 1
            let random = next()
            let more = next()
            let operation = Int(random % 40)
            let service = services[(operation * 7 + index / 2) % 12]
            let peer = services[(operation + index + 3) % 12]
            var span = SpanRow(traceID: traceID, id: SpanID(id))
            if index > 0 { span.parentID = SpanID(ids[Int(more % UInt64(index))]) }
            ids.append(id)
            span.timestamp = clock &+ UInt64(index) * 700 &+ (random >> 8) % 60_000
            // Roughly log-uniform between 0.1 ms and 0.4 s.
            let octave = (random >> 40) % 12
            span.duration = (100 << octave) &+ (more >> 20) % (100 << octave)
            span.kind = index % 2 == 0 ? .server : .client
            span.name = batch.append(text: operations[operation])
            var endpoint = EndpointRow(serviceName: batch.append(text: service))
            endpoint.ipv4 = 0x0A80_A164 &+ UInt32(services.firstIndex(of: service) ?? 0)
            endpoint.hasIPv4 = true
            endpoint.port = 9080
            span.localEndpoint = UInt32(batch.endpoints.count)
            batch.endpoints.append(endpoint)
            if span.kind == .client {
                span.remoteEndpoint = UInt32(batch.endpoints.count)
                var remote = EndpointRow(serviceName: batch.append(text: peer))
                remote.ipv4 = 0x0A80_A164 &+ UInt32(services.firstIndex(of: peer) ?? 0)
                remote.hasIPv4 = true
                remote.port = 9080
                batch.endpoints.append(remote)
            }
            span.tagStart = UInt32(batch.tags.count)
            let status = random >> 52 < 4000 ? 200 : (more & 1 == 0 ? 404 : 503)
            let method = operations[operation].hasPrefix("create") ? "POST" : operations[operation].hasPrefix("update") ? "PUT" : "GET"
            tag("component", "proxy", &batch)
            tag("http.method", method, &batch)
            let path = "/api/v1/\(Self.resources[operation / 4])/\(100_000 + (more >> 4) % 900_000)"
            tag("http.url", "http://\(service).ns.svc.cluster.local:9080\(path)", &batch)
            tag("http.status_code", String(status), &batch)
            tag("http.protocol", "HTTP/1.1", &batch)
            tag("upstream_cluster", "outbound|9080||\(peer).ns", &batch)
            let key = batch.append(text: "guid:x-request-id")
            let start = batch.text.count
            let high = next()
            let low = next()
            Self.hex(high >> 32, 8, into: &batch.text)
            batch.text.append(45)
            Self.hex(high >> 16, 4, into: &batch.text)
            batch.text.append(45)
            Self.hex(high & 0xFFF | 0x4000, 4, into: &batch.text)
            batch.text.append(45)
            Self.hex(low >> 48 & 0x3FFF | 0x8000, 4, into: &batch.text)
            batch.text.append(45)
            Self.hex(low, 12, into: &batch.text)
            batch.tags.append(TagRow(key: key, value: TextRef(offset: UInt32(start), count: 36)))
            tag("peer.address", "10.\(more >> 24 & 255).\(more >> 32 & 255).\(more >> 40 & 255)", &batch)
            tag("peer.port", String(32768 + (more >> 48) % 28_000), &batch)
            tag("zone", regions[Int(more >> 12 & 0xFFF) % 3], &batch)
            span.tagCount = UInt32(batch.tags.count) - span.tagStart
            batch.spans.append(span)
        }
    }

    private func tag(_ key: String, _ value: String, _ batch: inout SpanBatch) {
        let key = batch.append(text: key)
        batch.tags.append(TagRow(key: key, value: batch.append(text: value)))
    }
}
