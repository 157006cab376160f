public import TelemetryModel

/// Spans to Zipkin v2 JSON, byte for byte as Zipkin writes them: its field order, its escaping, tags sorted by key
/// (Zipkin v2 API; semantics 2.11). Used by the query API and by the exporter to an external Zipkin.
///
/// Appends to the caller's array and keeps nothing; any thread. Cost is linear in the output.
public enum ZipkinJSONEncoder {
    /// `[span,span,...]` of the whole batch.
    public static func appendList(_ batch: SpanBatch, to bytes: inout [UInt8]) {
        bytes.append(UInt8(ascii: "["))
        for index in batch.spans.indices {
            if index > 0 { bytes.append(UInt8(ascii: ",")) }
            append(batch.spans[index], of: batch, to: &bytes)
        }
        bytes.append(UInt8(ascii: "]"))
    }

    /// `[[span,...],[span,...]]`: one inner list for each range of `batch.spans` in `traces`.
    public static func appendLists(_ batch: SpanBatch, traces: [Range<Int>], to bytes: inout [UInt8]) {
        bytes.append(UInt8(ascii: "["))
        for (index, trace) in traces.enumerated() {
            if index > 0 { bytes.append(UInt8(ascii: ",")) }
            bytes.append(UInt8(ascii: "["))
            for span in trace {
                if span > trace.lowerBound { bytes.append(UInt8(ascii: ",")) }
                append(batch.spans[span], of: batch, to: &bytes)
            }
            bytes.append(UInt8(ascii: "]"))
        }
        bytes.append(UInt8(ascii: "]"))
    }

    /// One span object. `span` is a row of `batch`.
    public static func append(_ span: SpanRow, of batch: SpanBatch, to bytes: inout [UInt8]) {
        bytes.append(ascii: "{\"traceId\":\"")
        HexCodec.append(span.traceID, to: &bytes)
        bytes.append(UInt8(ascii: "\""))
        if !span.parentID.isNone {
            bytes.append(ascii: ",\"parentId\":\"")
            HexCodec.append16(span.parentID.rawValue, to: &bytes)
            bytes.append(UInt8(ascii: "\""))
        }
        bytes.append(ascii: ",\"id\":\"")
        HexCodec.append16(span.id.rawValue, to: &bytes)
        bytes.append(UInt8(ascii: "\""))
        switch span.kind {
        case .unspecified: break
        case .client: bytes.append(ascii: ",\"kind\":\"CLIENT\"")
        case .server: bytes.append(ascii: ",\"kind\":\"SERVER\"")
        case .producer: bytes.append(ascii: ",\"kind\":\"PRODUCER\"")
        case .consumer: bytes.append(ascii: ",\"kind\":\"CONSUMER\"")
        }
        if !span.name.isEmpty {
            bytes.append(ascii: ",\"name\":")
            append(span.name, of: batch, to: &bytes)
        }
        if span.timestamp != 0 {
            bytes.append(ascii: ",\"timestamp\":")
            bytes.append(decimal: span.timestamp)
        }
        if span.duration != 0 {
            bytes.append(ascii: ",\"duration\":")
            bytes.append(decimal: span.duration)
        }
        if span.localEndpoint != EndpointRow.absent {
            bytes.append(ascii: ",\"localEndpoint\":")
            append(batch.endpoints[Int(span.localEndpoint)], of: batch, to: &bytes)
        }
        if span.remoteEndpoint != EndpointRow.absent {
            bytes.append(ascii: ",\"remoteEndpoint\":")
            append(batch.endpoints[Int(span.remoteEndpoint)], of: batch, to: &bytes)
        }
        if span.annotationCount > 0 { appendAnnotations(span, of: batch, to: &bytes) }
        if span.tagCount > 0 { appendTags(span, of: batch, to: &bytes) }
        if span.flags.contains(.debug) { bytes.append(ascii: ",\"debug\":true") }
        if span.flags.contains(.shared) { bytes.append(ascii: ",\"shared\":true") }
        bytes.append(UInt8(ascii: "}"))
    }

    private static func appendAnnotations(_ span: SpanRow, of batch: SpanBatch, to bytes: inout [UInt8]) {
        bytes.append(ascii: ",\"annotations\":[")
        let start = Int(span.annotationStart)
        for index in start..<start + Int(span.annotationCount) {
            if index > start { bytes.append(UInt8(ascii: ",")) }
            bytes.append(ascii: "{\"timestamp\":")
            bytes.append(decimal: batch.annotations[index].timestamp)
            bytes.append(ascii: ",\"value\":")
            append(batch.annotations[index].value, of: batch, to: &bytes)
            bytes.append(UInt8(ascii: "}"))
        }
        bytes.append(UInt8(ascii: "]"))
    }

    private static func appendTags(_ span: SpanRow, of batch: SpanBatch, to bytes: inout [UInt8]) {
        bytes.append(ascii: ",\"tags\":{")
        let start = Int(span.tagStart)
        let end = start + Int(span.tagCount)
        func precedes(_ first: TagRow, _ second: TagRow) -> Bool {
            slice(first.key, of: batch).lexicographicallyPrecedes(slice(second.key, of: batch))
        }
        // Most senders sort already; then nothing is copied.
        let isSorted = (start + 1..<max(end, start + 1)).allSatisfy { !precedes(batch.tags[$0], batch.tags[$0 - 1]) }
        if isSorted {
            for index in start..<end { append(batch.tags[index], isFirst: index == start, of: batch, to: &bytes) }
        } else {
            let sorted = batch.tags[start..<end].sorted(by: precedes)
            for index in sorted.indices { append(sorted[index], isFirst: index == 0, of: batch, to: &bytes) }
        }
        bytes.append(UInt8(ascii: "}"))
    }

    private static func append(_ tag: TagRow, isFirst: Bool, of batch: SpanBatch, to bytes: inout [UInt8]) {
        if !isFirst { bytes.append(UInt8(ascii: ",")) }
        append(tag.key, of: batch, to: &bytes)
        bytes.append(UInt8(ascii: ":"))
        append(tag.value, of: batch, to: &bytes)
    }

    private static func append(_ endpoint: EndpointRow, of batch: SpanBatch, to bytes: inout [UInt8]) {
        bytes.append(UInt8(ascii: "{"))
        let start = bytes.count
        func comma(_ bytes: inout [UInt8]) {
            if bytes.count > start { bytes.append(UInt8(ascii: ",")) }
        }
        if !endpoint.serviceName.isEmpty {
            bytes.append(ascii: "\"serviceName\":")
            append(endpoint.serviceName, of: batch, to: &bytes)
        }
        if endpoint.hasIPv4 {
            comma(&bytes)
            bytes.append(ascii: "\"ipv4\":\"")
            AddressText.append(ipv4: endpoint.ipv4, to: &bytes)
            bytes.append(UInt8(ascii: "\""))
        }
        if endpoint.hasIPv6 {
            comma(&bytes)
            bytes.append(ascii: "\"ipv6\":\"")
            AddressText.append(ipv6High: endpoint.ipv6High, low: endpoint.ipv6Low, to: &bytes)
            bytes.append(UInt8(ascii: "\""))
        }
        if endpoint.port != 0 {
            comma(&bytes)
            bytes.append(ascii: "\"port\":")
            bytes.append(decimal: UInt64(endpoint.port))
        }
        bytes.append(UInt8(ascii: "}"))
    }

    private static func append(_ text: TextRef, of batch: SpanBatch, to bytes: inout [UInt8]) {
        bytes.append(UInt8(ascii: "\""))
        unsafe batch.text.withUnsafeBytes {
            unsafe bytes.append(jsonEscaping: UnsafeRawBufferPointer(rebasing: $0[Int(text.offset)..<Int(text.offset) + Int(text.count)]))
        }
        bytes.append(UInt8(ascii: "\""))
    }

    private static func slice(_ text: TextRef, of batch: SpanBatch) -> ArraySlice<UInt8> {
        batch.text[Int(text.offset)..<Int(text.offset) + Int(text.count)]
    }
}
