public import TelemetryModel

/// A stored span in OTLP's terms: the way back from what `OTLPTraceDecoder` makes of one (OpenTelemetry's "OpenTelemetry to Zipkin
/// Transformation"). Spans that came from Zipkin are read by the same rules. A value; for the edge, its texts are Strings.
///
/// Lower case of names, the scope's attributes and the difference between a resource's attributes and a span's are not stored; kind
/// INTERNAL is what has no other.
public struct OTLPSpan: Sendable {
    public struct Event: Sendable, Equatable {
        /// Nanoseconds since 1970.
        public var time: UInt64
        public var name: String
        public var attributes: [OTLPAttribute] = []
        public var droppedAttributes: UInt64 = 0
    }

    public struct Link: Sendable, Equatable {
        public var traceID: TraceID
        public var spanID: SpanID
        public var traceState = ""
        public var attributes: [OTLPAttribute] = []
        public var droppedAttributes: UInt64 = 0
    }

    /// OTLP's numbers.
    public enum Status: UInt64, Sendable {
        case unset = 0, ok, error
    }

    public var traceID: TraceID
    public var id: SpanID
    public var parentID: SpanID
    public var traceState = ""
    public var name: String
    public var kind: SpanKind
    /// Nanoseconds since 1970; 0 = unknown.
    public var start: UInt64
    public var end: UInt64
    /// In the order stored.
    public var attributes: [OTLPAttribute] = []
    /// `service.name` first.
    public var resource: [OTLPAttribute] = []
    public var scopeName = ""
    public var scopeVersion = ""
    public var events: [Event] = []
    public var links: [Link] = []
    public var status = Status.unset
    public var statusMessage = ""
    public var droppedAttributes: UInt64 = 0
    public var droppedEvents: UInt64 = 0
    public var droppedLinks: UInt64 = 0

    public var service: String {
        guard case .text(let name)? = resource.first?.value else { return "" }
        return name
    }

    /// OTLP's name of the kind in lower case.
    public var kindName: String { Self.name(of: kind) }

    public static func name(of kind: SpanKind) -> String {
        switch kind {
        case .unspecified: "internal"
        case .client: "client"
        case .server: "server"
        case .producer: "producer"
        case .consumer: "consumer"
        }
    }

    /// `row` is one of `batch`.
    public init(_ row: SpanRow, of batch: SpanBatch) {
        traceID = row.traceID
        id = row.id
        parentID = row.parentID
        name = batch.string(row.name)
        kind = row.kind
        start = Self.nanoseconds(row.timestamp)
        end = Self.nanoseconds(row.timestamp.addingReportingOverflow(row.duration).partialValue)
        let local = row.localEndpoint == EndpointRow.absent ? EndpointRow() : batch.endpoints[Int(row.localEndpoint)]
        resource.append(OTLPAttribute("service.name", .text(batch.string(local.serviceName))))
        var error: String?
        for index in Int(row.tagStart)..<Int(row.tagStart) + Int(row.tagCount) {
            read(batch.string(batch.tags[index].key), batch.string(batch.tags[index].value), &error)
        }
        if let error {
            status = .error
            if statusMessage.isEmpty, error != "true" { statusMessage = error }
        }
        addEndpoint(local, address: "network.local.address", port: "network.local.port")
        if row.remoteEndpoint != EndpointRow.absent {
            let remote = batch.endpoints[Int(row.remoteEndpoint)]
            add("peer.service", batch.string(remote.serviceName))
            addEndpoint(remote, address: "network.peer.address", port: "network.peer.port")
        }
        for index in Int(row.annotationStart)..<Int(row.annotationStart) + Int(row.annotationCount) {
            let annotation = batch.annotations[index]
            events.append(OTLPPartParser.event(batch.string(annotation.value), time: Self.nanoseconds(annotation.timestamp)))
        }
    }

    private mutating func read(_ key: String, _ value: String, _ error: inout String?) {
        switch key {
        case "error": error = value
        case "otel.status_code":
            if value == "OK" { status = .ok } else if value == "ERROR" { error = error ?? "" }
        case "otel.status_description": statusMessage = value
        case "otel.scope.name": scopeName = value
        case "otel.scope.version": scopeVersion = value
        // The old names say the same again.
        case "otel.library.name": if scopeName.isEmpty { scopeName = value }
        case "otel.library.version": if scopeVersion.isEmpty { scopeVersion = value }
        case "w3c.tracestate": traceState = value
        case "otel.dropped_attributes_count": droppedAttributes = UInt64(value) ?? 0
        case "otel.dropped_events_count": droppedEvents = UInt64(value) ?? 0
        case "otel.dropped_links_count": droppedLinks = UInt64(value) ?? 0
        default:
            if key.hasPrefix("otlp.link."), let link = OTLPPartParser.link(value) {
                links.append(link)
            } else if key != "service.name" {
                let attribute = OTLPAttribute(key, OTLPValue(tag: value))
                if OTLPAttribute.isOfResource(key) { resource.append(attribute) } else { attributes.append(attribute) }
            }
        }
    }

    private mutating func addEndpoint(_ endpoint: EndpointRow, address: String, port: String) {
        var text: [UInt8] = []
        if endpoint.hasIPv4 {
            AddressText.append(ipv4: endpoint.ipv4, to: &text)
        } else if endpoint.hasIPv6 {
            AddressText.append(ipv6High: endpoint.ipv6High, low: endpoint.ipv6Low, to: &text)
        }
        add(address, String(decoding: text, as: UTF8.self))
        if endpoint.port != 0 { add(port, "\(endpoint.port)") }
    }

    /// Adds an attribute that no tag has said already.
    private mutating func add(_ key: String, _ value: String) {
        guard !value.isEmpty, !attributes.contains(where: { $0.key == key }) else { return }
        attributes.append(OTLPAttribute(key, OTLPValue(tag: value)))
    }

    static func nanoseconds(_ microseconds: UInt64) -> UInt64 {
        let (product, isTooLarge) = microseconds.multipliedReportingOverflow(by: 1000)
        return isTooLarge ? .max : product
    }
}
