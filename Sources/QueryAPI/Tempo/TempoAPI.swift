public import HTTPService
public import Primitives
internal import TelemetryModel
internal import TelemetryWire

/// The part of Tempo's HTTP API that Grafana's Tempo source needs to find a trace and to show it (grafana.com/docs/tempo, "Tempo HTTP
/// API").
///
/// `handle` runs on the server's thread and blocks on nothing; the store is read on the pool.
public final class TempoAPI: Sendable {
    private enum Endpoint {
        case trace(String, isV2: Bool), search
        case tags(isV2: Bool), tagValues(String, isV2: Bool)
    }

    private let store: any TraceQuerying
    private let pool: QueryPool
    private let version: String
    private let lookbackDefault: UInt64
    private let nowMilliseconds: @Sendable () -> UInt64

    /// `lookbackDefault`: milliseconds, for searches that do not say.
    public init(
        store: any TraceQuerying, pool: QueryPool, version: String, lookbackDefault: UInt64 = 86_400_000,
        nowMilliseconds: @escaping @Sendable () -> UInt64 = { SystemClock.unixNanoseconds() / 1_000_000 }
    ) {
        self.store = store
        self.pool = pool
        self.version = version
        self.lookbackDefault = lookbackDefault
        self.nowMilliseconds = nowMilliseconds
    }

    /// Answers `path`, which is the request's without the prefix that Tempo's API has here; every path of it is Tempo's.
    public func handle(_ request: borrowing ServiceRequest, path: Substring, _ responder: Responder) -> ServiceOutcome {
        if let refusal = APIReply.refusal(request.method) { return .respond(refusal) }
        switch path {
        case "/api/echo": return .respond(APIReply.text(200, "echo"))
        case "/api/status/buildinfo": return .respond(buildInformation())
        case _ where path.hasPrefix("/api/metrics/"):
            return .respond(APIReply.text(404, "metrics from TraceQL are not supported; Prometheus' API has metrics from spans"))
        default: break
        }
        guard let endpoint = Self.endpoint(path) else {
            return .respond(APIReply.text(404, "no such path in Tempo's API; there is /api/echo, /api/search and /api/v2/traces/{id}"))
        }
        let parameters = TempoParameters(
            values: request.parameters, nowMilliseconds: nowMilliseconds(), lookbackDefault: lookbackDefault)
        let acceptsGzip = request.acceptsGzip
        let wantsProtobuf = request.header("accept")?.contains("application/protobuf") ?? false
        return pool.answer(responder) { [self] in answer(endpoint, parameters, wantsProtobuf).coded(acceptsGzip: acceptsGzip) }
    }

    private static func endpoint(_ path: Substring) -> Endpoint? {
        let isV2 = path.hasPrefix("/api/v2/")
        guard path.hasPrefix("/api/") else { return nil }
        let rest = path.dropFirst(isV2 ? "/api/v2/".count : "/api/".count)
        if rest == "search", !isV2 { return .search }
        if rest == "search/tags" { return .tags(isV2: isV2) }
        if rest.hasPrefix("search/tag/"), rest.hasSuffix("/values"), rest.count > "search/tag//values".count {
            return .tagValues(QueryString.decode(rest.dropFirst("search/tag/".count).dropLast("/values".count).utf8), isV2: isV2)
        }
        guard rest.hasPrefix("traces/"), rest.count > "traces/".count else { return nil }
        let id = rest.dropFirst("traces/".count)
        return id.contains("/") ? nil : .trace(QueryString.decode(id.utf8), isV2: isV2)
    }

    private func buildInformation() -> ServiceResponse {
        var body: [UInt8] = []
        body.append(text: "{\"version\":")
        body.append(jsonString: version)
        body.append(text: ",\"revision\":\"\",\"branch\":\"\",\"buildUser\":\"\",\"buildDate\":\"\",\"goVersion\":\"\"}")
        return APIReply.json(body)
    }

    /// On the pool. Every error becomes an answer, in plain text as Tempo's are.
    private func answer(_ endpoint: Endpoint, _ parameters: TempoParameters, _ wantsProtobuf: Bool) -> ServiceResponse {
        do {
            switch endpoint {
            case .trace(let id, let isV2): return try trace(id, isV2: isV2, parameters, wantsProtobuf)
            case .search: return try search(parameters)
            case .tags(let isV2): return try tags(isV2: isV2, parameters)
            case .tagValues(let tag, let isV2): return try values(tag, isV2: isV2, parameters)
            }
        } catch let error as ParameterError {
            return APIReply.text(400, error.text)
        } catch let error as TraceQLError {
            return APIReply.text(400, error.description)
        } catch QueryFailure.unavailable(let reason) {
            return APIReply.text(503, reason, headers: [("Retry-After", "\(QueryPool.retryAfterSeconds)")])
        } catch {
            return APIReply.text(500, "the query failed: \(error)")
        }
    }

    // MARK: Traces

    private func trace(_ text: String, isV2: Bool, _ parameters: TempoParameters, _ wantsProtobuf: Bool) throws -> ServiceResponse {
        // A time range is where Tempo looks; a trace is found here wherever it is.
        _ = try parameters.timeRange()
        let spans = try store.trace(try ZipkinParameters.traceID(text.lowercased()))
        guard !spans.spans.isEmpty else { return APIReply.text(404, "trace not found") }
        try TraceScanNotice.checkSize(spans.byteCount)
        let trace = OTLPTrace(spans)
        guard !wantsProtobuf else {
            let message = OTLPTraceProtobuf.encode(trace)
            guard isV2 else { return Self.protobuf(message) }
            // tempo.proto's TraceByIDResponse: the trace is its first field, and a status of 0, COMPLETE, is not written.
            var writer = ProtobufWriter()
            writer.data(1, message)
            return Self.protobuf(writer.bytes)
        }
        var body: [UInt8] = []
        body.append(text: isV2 ? "{\"trace\":{\"resourceSpans\":" : "{\"batches\":")
        body += OTLPTraceJSON.resourceSpans([trace], .plain)
        body.append(text: isV2 ? "},\"status\":\"COMPLETE\"}" : "}")
        return APIReply.json(body)
    }

    private static func protobuf(_ body: [UInt8]) -> ServiceResponse {
        ServiceResponse(status: 200, contentType: "application/protobuf", headers: [APIReply.crossOrigin], body: body)
    }

    private func search(_ parameters: TempoParameters) throws -> ServiceResponse {
        let condition = try parameters.searchCondition()
        let limit = try parameters.limit()
        let spansMax = try parameters.spansPerSpanset()
        let result = try TraceScan(store: store).run(condition, try parameters.timeRange(), limit: limit.count)
        let body = try TempoSearchJSON.write(result, of: condition, spansMax: spansMax)
        return APIReply.json(body, headers: TraceScanNotice.warningFields(result.cut ?? limit.cut))
    }

    // MARK: Tags

    private func tags(isV2: Bool, _ parameters: TempoParameters) throws -> ServiceResponse {
        let scope = parameters.text("scope") ?? "none"
        let scopes = ["none", "resource", "span", "intrinsic"]
        // Scopes that stored spans have nothing of are empty.
        guard scopes.contains(scope) || ["event", "link", "instrumentation", "trace"].contains(scope) else {
            throw ParameterError(text: "invalid scope: \(ZipkinParameters.quoted(scope))")
        }
        let names = try tempoTags(parameters).names()
        var lists = [("resource", names.resource), ("span", names.span), ("intrinsic", TraceQLField.intrinsics)]
        if scope != "none" { lists = lists.filter { $0.0 == scope } }
        var body: [UInt8] = []
        if isV2 {
            body.append(text: "{\"scopes\":[")
            for (index, (scope, tags)) in lists.enumerated() {
                body.append(text: index > 0 ? ",{\"name\":\"\(scope)\",\"tags\":" : "{\"name\":\"\(scope)\",\"tags\":")
                body.append(jsonStrings: tags)
                body.append(UInt8(ascii: "}"))
            }
            body.append(UInt8(ascii: "]"))
        } else {
            body.append(text: "{\"tagNames\":")
            body.append(jsonStrings: Set(lists.flatMap(\.1)).sorted())
        }
        body.append(text: ",\"metrics\":\(TempoSearchJSON.metrics(names.result))}")
        return APIReply.json(body, headers: TraceScanNotice.warningFields(names.result.cut))
    }

    private func values(_ tag: String, isV2: Bool, _ parameters: TempoParameters) throws -> ServiceResponse {
        guard let field = isV2 ? TraceQLField.parse(tag) : TraceQLField.unscoped(tag) else {
            throw ParameterError(
                text: "\(ZipkinParameters.quoted(tag)) is no field; write resource.x, span.x, .x or one of "
                    + TraceQLField.intrinsics.joined(separator: ", "))
        }
        let (values, type, result) = try tempoTags(parameters).values(of: field)
        var body: [UInt8] = []
        body.append(text: "{\"tagValues\":")
        if isV2 {
            body.append(UInt8(ascii: "["))
            for (index, value) in values.enumerated() {
                if index > 0 { body.append(UInt8(ascii: ",")) }
                body.append(text: "{\"type\":\"\(type == "string" ? TempoTags.valueType(value) : type)\",\"value\":")
                body.append(jsonString: value)
                body.append(UInt8(ascii: "}"))
            }
            body.append(UInt8(ascii: "]"))
        } else {
            body.append(jsonStrings: values)
        }
        body.append(text: ",\"metrics\":\(TempoSearchJSON.metrics(result))}")
        return APIReply.json(body, headers: TraceScanNotice.warningFields(result.cut))
    }

    private func tempoTags(_ parameters: TempoParameters) throws -> TempoTags {
        let asked = try? parameters.limit().count
        return TempoTags(
            store: store, range: try parameters.timeRange(), condition: parameters.lenientCondition(),
            limit: parameters.text("limit") == nil ? TempoTags.valuesMax : max(1, min(asked ?? TempoTags.valuesMax, TempoTags.valuesMax)))
    }
}
