import TelemetryModel

/// A trace as OTLP's `TracesData` in protobuf (trace.proto), which is also what Tempo calls `Trace`. Any thread; cost is linear in the
/// output.
public enum OTLPTraceProtobuf {
    public static func encode(_ trace: OTLPTrace) -> [UInt8] {
        var writer = ProtobufWriter()
        for resource in trace.resources {
            writer.message(1) { writer in
                writer.message(1) { append(resource.attributes, field: 1, &$0) }
                for scope in resource.scopes {
                    writer.message(2) { writer in
                        writer.message(1) { writer in
                            if !scope.name.isEmpty { writer.text(1, scope.name) }
                            if !scope.version.isEmpty { writer.text(2, scope.version) }
                        }
                        for span in scope.spans { writer.message(2) { append(span, &$0) } }
                    }
                }
            }
        }
        return writer.bytes
    }

    /// OTLP's number of a kind; what has none is INTERNAL, which is not stored.
    static func number(of kind: SpanKind) -> UInt64 {
        switch kind {
        case .unspecified: 1
        case .server: 2
        case .client: 3
        case .producer: 4
        case .consumer: 5
        }
    }

    private static func append(_ span: OTLPSpan, _ writer: inout ProtobufWriter) {
        writer.data(1, bigEndian([span.traceID.high, span.traceID.low]))
        writer.data(2, bigEndian([span.id.rawValue]))
        if !span.traceState.isEmpty { writer.text(3, span.traceState) }
        if !span.parentID.isNone { writer.data(4, bigEndian([span.parentID.rawValue])) }
        writer.text(5, span.name)
        writer.varint(6, number(of: span.kind))
        writer.fixed64(7, span.start)
        writer.fixed64(8, span.end)
        append(span.attributes, field: 9, &writer)
        if span.droppedAttributes > 0 { writer.varint(10, span.droppedAttributes) }
        for event in span.events {
            writer.message(11) { writer in
                writer.fixed64(1, event.time)
                writer.text(2, event.name)
                append(event.attributes, field: 3, &writer)
                if event.droppedAttributes > 0 { writer.varint(4, event.droppedAttributes) }
            }
        }
        if span.droppedEvents > 0 { writer.varint(12, span.droppedEvents) }
        for link in span.links {
            writer.message(13) { writer in
                writer.data(1, bigEndian([link.traceID.high, link.traceID.low]))
                writer.data(2, bigEndian([link.spanID.rawValue]))
                if !link.traceState.isEmpty { writer.text(3, link.traceState) }
                append(link.attributes, field: 4, &writer)
                if link.droppedAttributes > 0 { writer.varint(5, link.droppedAttributes) }
            }
        }
        if span.droppedLinks > 0 { writer.varint(14, span.droppedLinks) }
        guard span.status != .unset || !span.statusMessage.isEmpty else { return }
        writer.message(15) { writer in
            if !span.statusMessage.isEmpty { writer.text(2, span.statusMessage) }
            if span.status != .unset { writer.varint(3, span.status.rawValue) }
        }
    }

    private static func append(_ attributes: [OTLPAttribute], field: UInt64, _ writer: inout ProtobufWriter) {
        for attribute in attributes {
            writer.message(field) { writer in
                writer.text(1, attribute.key)
                writer.message(2) { writer in
                    switch attribute.value {
                    case .text(let text): writer.text(1, text)
                    case .boolean(let value): writer.varint(2, value ? 1 : 0)
                    case .integer(let number): writer.varint(3, UInt64(bitPattern: number))
                    case .double(let number): writer.fixed64(4, number.bitPattern)
                    }
                }
            }
        }
    }

    private static func bigEndian(_ words: [UInt64]) -> [UInt8] {
        words.flatMap { word in (0..<8).map { UInt8(truncatingIfNeeded: word >> UInt64(56 - 8 * $0)) } }
    }
}
