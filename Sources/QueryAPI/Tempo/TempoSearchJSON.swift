internal import TelemetryModel
internal import TelemetryWire

/// What was found, as Tempo answers `/api/search` (tempo.proto's `SearchResponse` in protobuf's JSON: 64-bit numbers are texts).
struct TempoSearchJSON {
    private var bytes: [UInt8] = []
    /// Fields of the query, shown with each span.
    private let fields: [SpanField]
    private let spansMax: Int

    private init(_ fields: [SpanField], _ spansMax: Int) {
        self.fields = fields
        self.spansMax = spansMax
    }

    static func write(_ result: TraceScan.Result, of condition: SpansetCondition, spansMax: Int) throws(ParameterError) -> [UInt8] {
        var writer = TempoSearchJSON(fields(of: condition), spansMax)
        writer.bytes.append(text: "{\"traces\":[")
        for (index, match) in result.matches.enumerated() {
            if index > 0 { writer.bytes.append(UInt8(ascii: ",")) }
            writer.trace(match)
            try TraceScanNotice.checkSize(writer.bytes.count)
        }
        writer.bytes.append(text: "],\"metrics\":")
        writer.bytes.append(text: metrics(result))
        writer.bytes.append(UInt8(ascii: "}"))
        return writer.bytes
    }

    static func metrics(_ result: TraceScan.Result) -> String {
        "{\"inspectedTraces\":\(result.inspectedTraces),\"inspectedBytes\":\"\(result.inspectedBytes)\"}"
    }

    /// In order of their key, each once.
    private static func fields(of condition: SpansetCondition) -> [SpanField] {
        var found = Set<SpanField>()
        func collect(_ condition: SpanCondition) {
            switch condition {
            case .constant: break
            case .all(let parts), .any(let parts): for part in parts { collect(part) }
            case .compare(let field, _, _), .match(let field, _, _), .exists(let field, _): found.insert(field)
            }
        }
        func collect(_ condition: SpansetCondition) {
            switch condition {
            case .span(let condition): collect(condition)
            case .all(let parts), .any(let parts): for part in parts { collect(part) }
            }
        }
        collect(condition)
        return found.filter { $0 != .name && $0 != .duration }.sorted { TraceQLField.key($0) ?? "" < TraceQLField.key($1) ?? "" }
    }

    private mutating func trace(_ match: TraceScan.Match) {
        bytes.append(text: "{\"traceID\":\"")
        HexCodec.append(match.trace.spans.first?.traceID ?? .none, to: &bytes)
        bytes.append(text: "\",\"rootServiceName\":")
        bytes.append(jsonString: match.facts.rootService)
        bytes.append(text: ",\"rootTraceName\":")
        bytes.append(jsonString: match.facts.rootName)
        bytes.append(text: ",\"startTimeUnixNano\":\"\(Self.nanoseconds(match.facts.start))\",\"durationMs\":")
        bytes.append(text: "\(UInt32(min(match.facts.duration / 1e6, 4_294_967_295)))")
        // The older name of the first set stands beside the list.
        let spanset = spanset(match)
        bytes.append(text: ",\"spanSet\":")
        bytes += spanset
        bytes.append(text: ",\"spanSets\":[")
        bytes += spanset
        bytes.append(text: "],\"serviceStats\":{")
        var services: [String: (spans: Int, errors: Int)] = [:]
        for span in match.trace.spans {
            let service = match.trace.nameOfService(span.localEndpoint)
            services[service, default: (0, 0)].spans += 1
            if match.trace.hasError(span) { services[service, default: (0, 0)].errors += 1 }
        }
        for (index, (name, counts)) in services.sorted(by: { $0.key < $1.key }).enumerated() {
            if index > 0 { bytes.append(UInt8(ascii: ",")) }
            bytes.append(jsonString: name)
            bytes.append(text: ":{\"spanCount\":\(counts.spans)")
            if counts.errors > 0 { bytes.append(text: ",\"errorCount\":\(counts.errors)") }
            bytes.append(UInt8(ascii: "}"))
        }
        bytes.append(text: "}}")
    }

    private func spanset(_ match: TraceScan.Match) -> [UInt8] {
        let trace = UniqueSpanIDs.applied(to: match.trace).trace
        let matcher = SpanMatcher(match.trace, match.facts)
        var out: [UInt8] = []
        out.append(text: "{\"spans\":[")
        for (index, row) in match.rows.prefix(spansMax).enumerated() {
            if index > 0 { out.append(UInt8(ascii: ",")) }
            let span = trace.spans[row]
            out.append(text: "{\"spanID\":\"")
            HexCodec.append16(span.id.rawValue, to: &out)
            out.append(text: "\",\"name\":")
            out.append(jsonString: trace.string(span.name))
            out.append(text: ",\"startTimeUnixNano\":\"\(Self.nanoseconds(span.timestamp))\"")
            out.append(text: ",\"durationNanos\":\"\(Self.nanoseconds(span.duration))\"")
            let attributes = fields.compactMap { field in
                TraceQLField.key(field).flatMap { key in
                    matcher.text(field, match.trace.spans[row]).map { OTLPAttribute(key, OTLPValue(tag: $0)) }
                }
            }
            if !attributes.isEmpty {
                out.append(text: ",\"attributes\":")
                out += OTLPTraceJSON.attributes(attributes)
            }
            out.append(UInt8(ascii: "}"))
        }
        out.append(text: "],\"matched\":\(match.rows.count)}")
        return out
    }

    private static func nanoseconds(_ microseconds: UInt64) -> UInt64 {
        let (product, isTooLarge) = microseconds.multipliedReportingOverflow(by: 1000)
        return isTooLarge ? .max : product
    }
}
