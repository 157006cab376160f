import TelemetryModel

/// Traces as JSON of OTLP's messages. Appends to the caller's bytes; any thread; cost is linear in the output.
public struct OTLPTraceJSON {
    /// How ids and names of enumerations are written.
    public enum Dialect: Sendable {
        /// OTLP's own rules (specification, "JSON Protobuf Encoding"): ids in hex, enumerations as numbers.
        case otlp
        /// Protobuf's plain mapping, as Tempo answers it: ids in base64, enumerations by name.
        case plain
    }

    private let dialect: Dialect
    private var bytes: [UInt8] = []

    private init(_ dialect: Dialect) { self.dialect = dialect }

    /// `[ResourceSpans, ...]` of all traces.
    public static func resourceSpans(_ traces: [OTLPTrace], _ dialect: Dialect) -> [UInt8] {
        var writer = OTLPTraceJSON(dialect)
        writer.list(traces.flatMap(\.resources)) { writer, resource in writer.resource(resource) }
        return writer.bytes
    }

    /// `[KeyValue, ...]`.
    public static func attributes(_ attributes: [OTLPAttribute]) -> [UInt8] {
        var writer = OTLPTraceJSON(.otlp)
        writer.list(attributes) { writer, attribute in writer.attribute(attribute) }
        return writer.bytes
    }

    private mutating func resource(_ resource: OTLPTrace.Resource) {
        bytes.append(ascii: "{\"resource\":{\"attributes\":")
        list(resource.attributes) { $0.attribute($1) }
        bytes.append(ascii: "},\"scopeSpans\":")
        list(resource.scopes) { writer, scope in
            writer.bytes.append(ascii: "{\"scope\":{")
            if !scope.name.isEmpty {
                writer.member("name", scope.name, isFirst: true)
                if !scope.version.isEmpty { writer.member("version", scope.version) }
            }
            writer.bytes.append(ascii: "},\"spans\":")
            writer.list(scope.spans) { $0.span($1) }
            writer.bytes.append(UInt8(ascii: "}"))
        }
        bytes.append(UInt8(ascii: "}"))
    }

    private mutating func span(_ span: OTLPSpan) {
        bytes.append(ascii: "{\"traceId\":")
        id(span.traceID)
        bytes.append(ascii: ",\"spanId\":")
        id(span.id)
        if !span.parentID.isNone {
            bytes.append(ascii: ",\"parentSpanId\":")
            id(span.parentID)
        }
        if !span.traceState.isEmpty { member("traceState", span.traceState) }
        member("name", span.name)
        bytes.append(ascii: ",\"kind\":")
        kind(span.kind)
        time("startTimeUnixNano", span.start)
        time("endTimeUnixNano", span.end)
        if !span.attributes.isEmpty {
            bytes.append(ascii: ",\"attributes\":")
            list(span.attributes) { $0.attribute($1) }
        }
        dropped("droppedAttributesCount", span.droppedAttributes)
        if !span.events.isEmpty {
            bytes.append(ascii: ",\"events\":")
            list(span.events) { $0.event($1) }
        }
        dropped("droppedEventsCount", span.droppedEvents)
        if !span.links.isEmpty {
            bytes.append(ascii: ",\"links\":")
            list(span.links) { $0.link($1) }
        }
        dropped("droppedLinksCount", span.droppedLinks)
        bytes.append(ascii: ",\"status\":{")
        if !span.statusMessage.isEmpty { member("message", span.statusMessage, isFirst: true) }
        if span.status != .unset {
            if !span.statusMessage.isEmpty { bytes.append(UInt8(ascii: ",")) }
            bytes.append(ascii: "\"code\":")
            switch dialect {
            case .otlp: bytes.append(decimal: span.status.rawValue)
            case .plain: bytes.append(ascii: span.status == .ok ? "\"STATUS_CODE_OK\"" : "\"STATUS_CODE_ERROR\"")
            }
        }
        bytes.append(ascii: "}}")
    }

    private mutating func event(_ event: OTLPSpan.Event) {
        bytes.append(ascii: "{\"timeUnixNano\":\"")
        bytes.append(decimal: event.time)
        bytes.append(UInt8(ascii: "\""))
        member("name", event.name)
        rest(event.attributes, event.droppedAttributes)
    }

    private mutating func link(_ link: OTLPSpan.Link) {
        bytes.append(ascii: "{\"traceId\":")
        id(link.traceID)
        bytes.append(ascii: ",\"spanId\":")
        id(link.spanID)
        if !link.traceState.isEmpty { member("traceState", link.traceState) }
        rest(link.attributes, link.droppedAttributes)
    }

    private mutating func rest(_ attributes: [OTLPAttribute], _ count: UInt64) {
        if !attributes.isEmpty {
            bytes.append(ascii: ",\"attributes\":")
            list(attributes) { $0.attribute($1) }
        }
        dropped("droppedAttributesCount", count)
        bytes.append(UInt8(ascii: "}"))
    }

    private mutating func attribute(_ attribute: OTLPAttribute) {
        bytes.append(UInt8(ascii: "{"))
        member("key", attribute.key, isFirst: true)
        bytes.append(ascii: ",\"value\":{")
        switch attribute.value {
        case .text(let text): member("stringValue", text, isFirst: true)
        case .integer(let number): member("intValue", "\(number)", isFirst: true)
        case .boolean(let value): bytes.append(ascii: value ? "\"boolValue\":true" : "\"boolValue\":false")
        case .double(let number):
            bytes.append(ascii: "\"doubleValue\":")
            FloatText.append(number, quotesNonFinite: true, to: &bytes)
        }
        bytes.append(ascii: "}}")
    }

    private mutating func id(_ trace: TraceID) {
        switch dialect {
        case .otlp:
            bytes.append(UInt8(ascii: "\""))
            HexCodec.append16(trace.high, to: &bytes)
            HexCodec.append16(trace.low, to: &bytes)
            bytes.append(UInt8(ascii: "\""))
        case .plain: base64([trace.high, trace.low])
        }
    }

    private mutating func id(_ span: SpanID) {
        switch dialect {
        case .otlp:
            bytes.append(UInt8(ascii: "\""))
            HexCodec.append16(span.rawValue, to: &bytes)
            bytes.append(UInt8(ascii: "\""))
        case .plain: base64([span.rawValue])
        }
    }

    private mutating func base64(_ words: [UInt64]) {
        let octets = words.flatMap { word in (0..<8).map { UInt8(truncatingIfNeeded: word >> UInt64(56 - 8 * $0)) } }
        bytes.append(UInt8(ascii: "\""))
        unsafe octets.withUnsafeBytes { unsafe bytes.append(base64: $0) }
        bytes.append(UInt8(ascii: "\""))
    }

    private mutating func kind(_ kind: SpanKind) {
        switch dialect {
        case .otlp: bytes.append(decimal: OTLPTraceProtobuf.number(of: kind))
        case .plain:
            bytes.append(ascii: "\"SPAN_KIND_")
            bytes.append(contentsOf: OTLPSpan.name(of: kind).uppercased().utf8)
            bytes.append(UInt8(ascii: "\""))
        }
    }

    private mutating func time(_ name: StaticString, _ nanoseconds: UInt64) {
        bytes.append(ascii: ",\"")
        bytes.append(ascii: name)
        bytes.append(ascii: "\":\"")
        bytes.append(decimal: nanoseconds)
        bytes.append(UInt8(ascii: "\""))
    }

    private mutating func dropped(_ name: StaticString, _ count: UInt64) {
        guard count > 0 else { return }
        bytes.append(ascii: ",\"")
        bytes.append(ascii: name)
        bytes.append(ascii: "\":")
        bytes.append(decimal: count)
    }

    private mutating func member(_ name: StaticString, _ text: String, isFirst: Bool = false) {
        if !isFirst { bytes.append(UInt8(ascii: ",")) }
        bytes.append(UInt8(ascii: "\""))
        bytes.append(ascii: name)
        bytes.append(ascii: "\":\"")
        bytes.append(jsonEscaping: text)
        bytes.append(UInt8(ascii: "\""))
    }

    private mutating func list<Element>(_ elements: [Element], _ write: (inout OTLPTraceJSON, Element) -> Void) {
        bytes.append(UInt8(ascii: "["))
        for (index, element) in elements.enumerated() {
            if index > 0 { bytes.append(UInt8(ascii: ",")) }
            write(&self, element)
        }
        bytes.append(UInt8(ascii: "]"))
    }
}
