public import HTTPService
public import Primitives
internal import TelemetryModel
internal import TelemetryWire

/// Jaeger's query APIs over stored traces: v1, which its UI and Grafana's Jaeger source read (jaeger's `query/app`), and v3, which answers
/// in OTLP (jaeger-idl's `api_v3`).
///
/// `handle` runs on the server's thread and blocks on nothing; the store is read on the pool.
public final class JaegerAPI: Sendable {
    private enum Endpoint {
        case services, operations, operationsOf(String), traces, trace(String), dependencies
        case servicesV3, operationsV3, tracesV3, traceV3(String), summaries, dependenciesV3

        /// v3 has another envelope for what goes wrong.
        var isV3: Bool {
            switch self {
            case .servicesV3, .operationsV3, .tracesV3, .traceV3, .summaries, .dependenciesV3: true
            default: false
            }
        }
    }

    /// What a client asked for that there is not.
    private struct NotFound: Error {
        var text: String
    }

    private let store: any TraceQuerying
    private let pool: QueryPool
    private let lookbackDefault: UInt64
    private let nowMilliseconds: @Sendable () -> UInt64

    /// `lookbackDefault`: milliseconds, for searches that do not say.
    public init(
        store: any TraceQuerying, pool: QueryPool, lookbackDefault: UInt64 = 86_400_000,
        nowMilliseconds: @escaping @Sendable () -> UInt64 = { SystemClock.unixNanoseconds() / 1_000_000 }
    ) {
        self.store = store
        self.pool = pool
        self.lookbackDefault = lookbackDefault
        self.nowMilliseconds = nowMilliseconds
    }

    /// Answers `path`, which is the request's without the prefix of Jaeger's API; every path of it is Jaeger's.
    public func handle(_ request: borrowing ServiceRequest, path: Substring, _ responder: Responder) -> ServiceOutcome {
        guard let endpoint = Self.endpoint(path) else {
            let known = "/api/services, /api/traces and /api/v3/traces"
            return .respond(APIReply.text(404, "no such path in Jaeger's query API; there is \(known)"))
        }
        if let refusal = APIReply.refusal(request.method) { return .respond(refusal) }
        let parameters = JaegerParameters(
            values: request.parameters, nowMilliseconds: nowMilliseconds(), lookbackDefault: lookbackDefault)
        let acceptsGzip = request.acceptsGzip
        return pool.answer(responder) { [self] in answer(endpoint, parameters).coded(acceptsGzip: acceptsGzip) }
    }

    private static func endpoint(_ path: Substring) -> Endpoint? {
        var path = path
        if path.hasSuffix("/") { path.removeLast() }
        switch path {
        case "/api/services": return .services
        case "/api/operations": return .operations
        case "/api/traces": return .traces
        case "/api/dependencies": return .dependencies
        case "/api/v3/services": return .servicesV3
        case "/api/v3/operations": return .operationsV3
        case "/api/v3/traces": return .tracesV3
        case "/api/v3/trace-summaries": return .summaries
        case "/api/v3/dependencies": return .dependenciesV3
        default: break
        }
        func last(_ prefix: String, _ suffix: String = "") -> String? {
            guard path.hasPrefix(prefix), path.hasSuffix(suffix), path.count > prefix.count + suffix.count else { return nil }
            let part = path.dropFirst(prefix.count).dropLast(suffix.count)
            return part.contains("/") ? nil : QueryString.decode(part.utf8)
        }
        if let id = last("/api/traces/") { return .trace(id) }
        if let id = last("/api/v3/traces/") { return .traceV3(id) }
        return last("/api/services/", "/operations").map { .operationsOf($0) }
    }

    /// On the pool. Every error becomes an answer in the envelope of the API that was asked.
    private func answer(_ endpoint: Endpoint, _ parameters: JaegerParameters) -> ServiceResponse {
        func failure(_ status: UInt16, _ text: String, _ headers: [(name: String, value: String)] = []) -> ServiceResponse {
            guard endpoint.isV3 else { return APIReply.json(JaegerJSON.failure(status, text), status: status, headers: headers) }
            var body: [UInt8] = []
            body.append(text: "{\"error\":{\"httpCode\":\(status),\"message\":")
            body.append(jsonString: text)
            body.append(text: "}}")
            return APIReply.json(body, status: status, headers: headers)
        }
        do {
            return try read(endpoint, parameters)
        } catch let error as ParameterError {
            return failure(400, error.text)
        } catch let error as NotFound {
            return failure(404, error.text)
        } catch QueryFailure.unavailable(let reason) {
            return failure(503, reason, [("Retry-After", "\(QueryPool.retryAfterSeconds)")])
        } catch {
            return failure(500, "the query failed: \(error)")
        }
    }

    private func read(_ endpoint: Endpoint, _ parameters: JaegerParameters) throws -> ServiceResponse {
        switch endpoint {
        case .services: return names(try store.services())
        case .operationsOf(let service): return names(try store.spanNames(service: service.lowercased()))
        case .operations:
            guard let service = parameters.text("service")?.value else { throw ParameterError(text: "parameter 'service' is required") }
            let operations = try store.spanNames(service: service.lowercased())
            return APIReply.json(JaegerJSON.envelope(Self.operations(operations), total: operations.count))
        case .traces: return try traces(parameters)
        case .trace(let text): return try envelope([try trace(text)])
        case .dependencies:
            let (end, lookback) = try parameters.dependencyRange()
            return APIReply.json(
                JaegerJSON.envelope(Self.linkList(try store.dependencies(endTimestamp: end, lookback: lookback), countsAreText: false)))
        case .servicesV3: return try object("services") { body in body.append(jsonStrings: try store.services()) }
        case .operationsV3:
            let service = parameters.text("service")?.value.lowercased() ?? ""
            return try object("operations") { body in body += Self.operations(try store.spanNames(service: service)) }
        case .tracesV3:
            let result = try search(try parameters.searchV3())
            if result.matches.isEmpty { throw NotFound(text: "No traces found" + (result.cut.map { ": \($0)" } ?? "")) }
            return try otlp(result.matches.map(\.trace), cut: result.cut)
        case .traceV3(let text): return try otlp([try trace(text)], cut: nil)
        case .summaries:
            let result = try search(try parameters.searchV3())
            return object("summaries", headers: TraceScanNotice.warningFields(result.cut)) { body in
                body.append(UInt8(ascii: "["))
                for (index, match) in result.matches.enumerated() {
                    if index > 0 { body.append(UInt8(ascii: ",")) }
                    JaegerSummary.append(match.trace, match.facts, to: &body)
                }
                body.append(UInt8(ascii: "]"))
            }
        case .dependenciesV3:
            let end = try parameters.time("endTime", "end_time") ?? parameters.nowMilliseconds
            let start = try parameters.time("startTime", "start_time") ?? 0
            let links = try store.dependencies(endTimestamp: end, lookback: end > start ? end - start : 1)
            return object("dependencies") { body in body += Self.linkList(links, countsAreText: true) }
        }
    }

    // MARK: Traces

    private func search(_ search: JaegerSearch) throws -> TraceScan.Result {
        try TraceScan(store: store).run(search.condition, search.range, limit: search.limit)
    }

    private func traces(_ parameters: JaegerParameters) throws -> ServiceResponse {
        let ids = parameters.values.filter { $0.name == "traceID" }.map(\.value)
        guard ids.isEmpty else {
            guard ids.count <= ZipkinLimits.traceIDsMax else {
                throw ParameterError(text: "at most \(ZipkinLimits.traceIDsMax) parameters traceID are looked up at once")
            }
            return try envelope(try store.traces(try ids.map { try ZipkinParameters.traceID($0.lowercased()) }))
        }
        let result = try search(try parameters.search())
        return try envelope(result.matches.map(\.trace), cut: result.cut)
    }

    private func trace(_ text: String) throws -> SpanBatch {
        let trace = try store.trace(try ZipkinParameters.traceID(text.lowercased()))
        if trace.spans.isEmpty { throw NotFound(text: "trace not found") }
        return trace
    }

    private func envelope(_ traces: [SpanBatch], cut: String? = nil) throws -> ServiceResponse {
        var data = JaegerJSON()
        for trace in traces {
            data.append(trace)
            try TraceScanNotice.checkSize(data.bytes.count)
        }
        return APIReply.json(JaegerJSON.envelope(data.list), headers: TraceScanNotice.warningFields(cut))
    }

    private func otlp(_ traces: [SpanBatch], cut: String?) throws -> ServiceResponse {
        try TraceScanNotice.checkSize(traces.reduce(0) { $0 + $1.byteCount })
        var body: [UInt8] = []
        body.append(text: "{\"result\":{\"resourceSpans\":")
        body += OTLPTraceJSON.resourceSpans(traces.map { OTLPTrace($0) }, .otlp)
        body.append(text: "}}")
        return APIReply.json(body, headers: TraceScanNotice.warningFields(cut))
    }

    // MARK: Lists

    private func names(_ names: [String]) -> ServiceResponse {
        var list: [UInt8] = []
        list.append(jsonStrings: names)
        return APIReply.json(JaegerJSON.envelope(list, total: names.count))
    }

    /// The store does not know operations by kind; Jaeger's word for that is an empty one.
    private static func operations(_ names: [String]) -> [UInt8] {
        var list: [UInt8] = [UInt8(ascii: "[")]
        for (index, name) in names.enumerated() {
            if index > 0 { list.append(UInt8(ascii: ",")) }
            list.append(text: "{\"name\":")
            list.append(jsonString: name)
            list.append(text: ",\"spanKind\":\"\"}")
        }
        list.append(UInt8(ascii: "]"))
        return list
    }

    private static func linkList(_ links: [DependencyLink], countsAreText: Bool) -> [UInt8] {
        var list: [UInt8] = [UInt8(ascii: "[")]
        for (index, link) in links.enumerated() {
            if index > 0 { list.append(UInt8(ascii: ",")) }
            list.append(text: "{\"parent\":")
            list.append(jsonString: link.parent)
            list.append(text: ",\"child\":")
            list.append(jsonString: link.child)
            list.append(text: countsAreText ? ",\"callCount\":\"\(link.callCount)\"}" : ",\"callCount\":\(link.callCount)}")
        }
        list.append(UInt8(ascii: "]"))
        return list
    }

    private func object(
        _ name: String, headers: [(name: String, value: String)] = [], _ write: (inout [UInt8]) throws -> Void
    ) rethrows -> ServiceResponse {
        var body: [UInt8] = []
        body.append(text: "{\"\(name)\":")
        try write(&body)
        body.append(UInt8(ascii: "}"))
        return APIReply.json(body, headers: headers)
    }
}
