import TelemetryModel

/// The OTLP protobuf request of a batch: one `ResourceSpans` per service, tags as string attributes.
///
/// What OTLP has no field for goes where its exporters put it: the local service in `service.name`, the remote one in `peer.service`.
enum OTLPBody {
    static func write(_ batch: SpanBatch) -> [UInt8] {
        var byService: [String: [Int]] = [:]
        for (index, span) in batch.spans.enumerated() {
            byService[batch.string(batch.endpoints[Int(span.localEndpoint)].serviceName), default: []].append(index)
        }
        var request: [UInt8] = []
        for service in byService.keys.sorted() {
            var scopeSpans: [UInt8] = []
            for index in byService[service] ?? [] { field(2, span(batch, batch.spans[index]), &scopeSpans) }
            var resource: [UInt8] = []
            field(1, attribute(Array("service.name".utf8), Array(service.utf8)), &resource)
            var resourceSpans: [UInt8] = []
            field(1, resource, &resourceSpans)
            field(2, scopeSpans, &resourceSpans)
            field(1, resourceSpans, &request)
        }
        return request
    }

    private static func span(_ batch: SpanBatch, _ row: SpanRow) -> [UInt8] {
        var out: [UInt8] = []
        field(1, bigEndian(row.traceID.high) + bigEndian(row.traceID.low), &out)
        field(2, bigEndian(row.id.rawValue), &out)
        if !row.parentID.isNone { field(4, bigEndian(row.parentID.rawValue), &out) }
        field(5, text(batch, row.name), &out)
        varint(6 << 3, &out)
        // SPAN_KIND_SERVER = 2, SPAN_KIND_CLIENT = 3.
        varint(row.kind == .client ? 3 : 2, &out)
        fixed(7, row.timestamp &* 1000, &out)
        fixed(8, (row.timestamp &+ row.duration) &* 1000, &out)
        for index in 0..<Int(row.tagCount) {
            let tag = batch.tags[Int(row.tagStart) + index]
            field(9, attribute(text(batch, tag.key), text(batch, tag.value)), &out)
        }
        if row.remoteEndpoint != EndpointRow.absent {
            field(9, attribute(Array("peer.service".utf8), text(batch, batch.endpoints[Int(row.remoteEndpoint)].serviceName)), &out)
        }
        return out
    }

    private static func attribute(_ key: [UInt8], _ value: [UInt8]) -> [UInt8] {
        var any: [UInt8] = []
        field(1, value, &any)
        var out: [UInt8] = []
        field(1, key, &out)
        field(2, any, &out)
        return out
    }

    private static func text(_ batch: SpanBatch, _ reference: TextRef) -> [UInt8] {
        Array(batch.text[Int(reference.offset)..<Int(reference.offset) + Int(reference.count)])
    }

    private static func bigEndian(_ value: UInt64) -> [UInt8] {
        (0..<8).map { UInt8(truncatingIfNeeded: value >> UInt64(56 - 8 * $0)) }
    }

    private static func varint(_ value: UInt64, _ out: inout [UInt8]) {
        var rest = value
        while rest >= 0x80 {
            out.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        out.append(UInt8(truncatingIfNeeded: rest))
    }

    private static func field(_ number: UInt64, _ bytes: [UInt8], _ out: inout [UInt8]) {
        varint(number << 3 | 2, &out)
        varint(UInt64(bytes.count), &out)
        out.append(contentsOf: bytes)
    }

    private static func fixed(_ number: UInt64, _ value: UInt64, _ out: inout [UInt8]) {
        varint(number << 3 | 1, &out)
        for shift in stride(from: UInt64(0), to: 64, by: 8) { out.append(UInt8(truncatingIfNeeded: value >> shift)) }
    }
}
