internal import TelemetryModel
internal import TelemetryWire

/// Traces and lists in the JSON of Jaeger's v1 API (jaeger's `model/json`), which its UI and Grafana read. Times are microseconds.
struct JaegerJSON {
    /// A list of traces, without its last bracket.
    private(set) var bytes: [UInt8] = [UInt8(ascii: "[")]

    /// The whole list.
    var list: [UInt8] { bytes + [UInt8(ascii: "]")] }

    /// `{"data":…,"total":N,"limit":0,"offset":0,"errors":null}`
    static func envelope(_ data: [UInt8], total: Int = 0) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.append(text: "{\"data\":")
        bytes += data
        bytes.append(text: ",\"total\":\(total),\"limit\":0,\"offset\":0,\"errors\":null}")
        return bytes
    }

    static func failure(_ status: UInt16, _ message: String) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.append(text: "{\"data\":null,\"total\":0,\"limit\":0,\"offset\":0,\"errors\":[{\"code\":\(status),\"msg\":")
        bytes.append(jsonString: message)
        bytes.append(text: "}]}")
        return bytes
    }

    /// One trace. Spans with one resource share a process.
    mutating func append(_ batch: SpanBatch) {
        let (trace, changed) = UniqueSpanIDs.applied(to: batch)
        var processes: [[OTLPAttribute]: Int] = [:]
        var order: [[OTLPAttribute]] = []
        if bytes.count > 1 { bytes.append(UInt8(ascii: ",")) }
        bytes.append(text: "{\"traceID\":")
        append(trace.spans.first?.traceID ?? .none)
        bytes.append(text: ",\"spans\":[")
        for (row, stored) in trace.spans.enumerated() {
            if row > 0 { bytes.append(UInt8(ascii: ",")) }
            let span = OTLPSpan(stored, of: trace)
            let process = processes[span.resource] ?? order.count
            if process == order.count {
                processes[span.resource] = process
                order.append(span.resource)
            }
            append(span, stored, process: process, hasNewID: changed.contains(row))
        }
        bytes.append(text: "],\"processes\":{")
        for (number, resource) in order.enumerated() {
            if number > 0 { bytes.append(UInt8(ascii: ",")) }
            bytes.append(text: "\"p\(number + 1)\":{\"serviceName\":")
            if case .text(let name)? = resource.first?.value { bytes.append(jsonString: name) } else { bytes.append(text: "\"\"") }
            bytes.append(text: ",\"tags\":")
            append(resource.dropFirst())
            bytes.append(UInt8(ascii: "}"))
        }
        bytes.append(text: "},\"warnings\":null}")
    }

    private mutating func append(_ span: OTLPSpan, _ stored: SpanRow, process: Int, hasNewID: Bool) {
        bytes.append(text: "{\"traceID\":")
        append(span.traceID)
        bytes.append(text: ",\"spanID\":")
        append(span.id)
        // 1 = sampled, 2 = debug.
        bytes.append(text: ",\"flags\":\(stored.flags.contains(.debug) ? 3 : 1),\"operationName\":")
        bytes.append(jsonString: span.name)
        bytes.append(text: ",\"references\":[")
        if !span.parentID.isNone { append("CHILD_OF", span.traceID, span.parentID) }
        for (index, link) in span.links.enumerated() {
            if index > 0 || !span.parentID.isNone { bytes.append(UInt8(ascii: ",")) }
            append("FOLLOWS_FROM", link.traceID, link.spanID)
        }
        bytes.append(text: "],\"startTime\":\(stored.timestamp),\"duration\":\(stored.duration),\"tags\":")
        append(tags(of: span)[...])
        bytes.append(text: ",\"logs\":[")
        for (index, event) in span.events.enumerated() {
            if index > 0 { bytes.append(UInt8(ascii: ",")) }
            bytes.append(text: "{\"timestamp\":\(event.time / 1000),\"fields\":")
            append(([OTLPAttribute("event", .text(event.name))] + event.attributes)[...])
            bytes.append(UInt8(ascii: "}"))
        }
        bytes.append(text: "],\"processID\":\"p\(process + 1)\",\"warnings\":")
        let warnings = warningTexts(of: span, stored, hasNewID: hasNewID)
        if warnings.isEmpty { bytes.append(text: "null") } else { bytes.append(jsonStrings: warnings) }
        bytes.append(UInt8(ascii: "}"))
    }

    /// What OTLP has fields for, Jaeger has tags for (OpenTelemetry specification, "OpenTelemetry to Jaeger Transformation").
    private func tags(of span: OTLPSpan) -> [OTLPAttribute] {
        var tags = span.attributes
        if !tags.contains(where: { $0.key == "span.kind" }) { tags.append(OTLPAttribute("span.kind", .text(span.kindName))) }
        switch span.status {
        case .unset: break
        case .ok: tags.append(OTLPAttribute("otel.status_code", .text("OK")))
        case .error:
            tags.append(OTLPAttribute("otel.status_code", .text("ERROR")))
            tags.append(OTLPAttribute("error", .boolean(true)))
        }
        for (key, value) in [
            ("otel.status_description", span.statusMessage), ("otel.scope.name", span.scopeName), ("otel.scope.version", span.scopeVersion),
            ("w3c.tracestate", span.traceState),
        ] where !value.isEmpty {
            tags.append(OTLPAttribute(key, .text(value)))
        }
        return tags
    }

    private func warningTexts(of span: OTLPSpan, _ stored: SpanRow, hasNewID: Bool) -> [String] {
        var warnings: [String] = []
        if stored.timestamp == 0 { warnings.append("the span has no start time") }
        if hasNewID { warnings.append("the span has the id of its client's span (Zipkin's shared spans); it is shown with one of its own") }
        for (count, what) in [(span.droppedAttributes, "attributes"), (span.droppedEvents, "events"), (span.droppedLinks, "links")]
        where count > 0 {
            warnings.append("\(count) \(what) of the span were dropped before it was stored")
        }
        return warnings
    }

    private mutating func append(_ type: String, _ trace: TraceID, _ span: SpanID) {
        bytes.append(text: "{\"refType\":\"\(type)\",\"traceID\":")
        append(trace)
        bytes.append(text: ",\"spanID\":")
        append(span)
        bytes.append(UInt8(ascii: "}"))
    }

    private mutating func append(_ attributes: ArraySlice<OTLPAttribute>) {
        bytes.append(UInt8(ascii: "["))
        for (index, attribute) in attributes.enumerated() {
            if index > 0 { bytes.append(UInt8(ascii: ",")) }
            bytes.append(text: "{\"key\":")
            bytes.append(jsonString: attribute.key)
            switch attribute.value {
            case .text(let text):
                bytes.append(text: ",\"type\":\"string\",\"value\":")
                bytes.append(jsonString: text)
            case .integer(let number): bytes.append(text: ",\"type\":\"int64\",\"value\":\(number)")
            case .boolean(let value): bytes.append(text: ",\"type\":\"bool\",\"value\":\(value)")
            // JSON has no other numbers.
            case .double(let number) where number.isFinite: bytes.append(text: ",\"type\":\"float64\",\"value\":\(number)")
            case .double(let number): bytes.append(text: ",\"type\":\"string\",\"value\":\"\(number)\"")
            }
            bytes.append(UInt8(ascii: "}"))
        }
        bytes.append(UInt8(ascii: "]"))
    }

    private mutating func append(_ id: TraceID) {
        bytes.append(UInt8(ascii: "\""))
        HexCodec.append(id, to: &bytes)
        bytes.append(UInt8(ascii: "\""))
    }

    private mutating func append(_ id: SpanID) {
        bytes.append(UInt8(ascii: "\""))
        HexCodec.append16(id.rawValue, to: &bytes)
        bytes.append(UInt8(ascii: "\""))
    }
}
