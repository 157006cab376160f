import TelemetryModel

/// Zipkin v2 JSON of a batch, for loads that go through HTTP.
enum ZipkinBody {
    static func write(_ batch: SpanBatch) -> [UInt8] {
        var out: [UInt8] = []
        func put(_ text: String) { out.append(contentsOf: text.utf8) }
        func hex(_ value: UInt64) -> String {
            let digits = String(value, radix: 16)
            return String(repeating: "0", count: 16 - digits.count) + digits
        }
        func address(_ value: UInt32) -> String { "\(value >> 24).\(value >> 16 & 255).\(value >> 8 & 255).\(value & 255)" }
        func endpoint(_ name: String, _ index: UInt32) {
            guard index != EndpointRow.absent else { return }
            let row = batch.endpoints[Int(index)]
            put(",\"\(name)\":{\"serviceName\":\"\(batch.string(row.serviceName))\"")
            if row.hasIPv4 { put(",\"ipv4\":\"\(address(row.ipv4))\"") }
            if row.port != 0 { put(",\"port\":\(row.port)") }
            put("}")
        }
        put("[")
        for (number, span) in batch.spans.enumerated() {
            if number > 0 { put(",") }
            put("{\"traceId\":\"\(hex(span.traceID.high))\(hex(span.traceID.low))\",\"id\":\"\(hex(span.id.rawValue))\"")
            if !span.parentID.isNone { put(",\"parentId\":\"\(hex(span.parentID.rawValue))\"") }
            put(",\"kind\":\"\(span.kind == .client ? "CLIENT" : "SERVER")\",\"name\":\"\(batch.string(span.name))\"")
            put(",\"timestamp\":\(span.timestamp),\"duration\":\(span.duration),\"debug\":false")
            endpoint("localEndpoint", span.localEndpoint)
            endpoint("remoteEndpoint", span.remoteEndpoint)
            put(",\"tags\":{")
            for index in 0..<Int(span.tagCount) {
                let tag = batch.tags[Int(span.tagStart) + index]
                put("\(index > 0 ? "," : "")\"\(batch.string(tag.key))\":\"\(batch.string(tag.value))\"")
            }
            put("}}")
        }
        put("]")
        return out
    }
}
