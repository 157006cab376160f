public import HTTPService
public import Primitives
internal import Synchronization
internal import TelemetryModel
internal import TelemetryWire

/// What of the Zipkin API a user can set.
public struct ZipkinOptions: Sendable {
    public var version: String
    /// `autocompleteKeys`; the store must be configured with the same.
    public var autocompleteKeys: [String] = []
    /// Milliseconds, for queries that name none.
    public var lookbackDefault: UInt64 = 86_400_000
    /// What a UI offers, milliseconds and traces.
    public var uiLookback: UInt64 = 900_000
    public var uiLimit = 10
    public var environment = ""
    /// `Cache-Control: max-age` of names once there are more than three services, seconds.
    public var namesMaxAgeSeconds = 300
    /// Security policies that are not enforced, a line each, for `/health`. Any thread.
    public var notEnforced: @Sendable () -> [String] = { [] }

    public init(version: String) { self.version = version }
}

/// The Zipkin v2 query API, under `/api/v2` and `/zipkin/api/v2`, with `/health`, `/info` and `config.json`
/// (zipkin-api's zipkin2-api.yaml, zipkin-server; semantics 2.11).
///
/// `handle` runs on the server's thread and blocks on nothing; the store is read on the pool.
public final class ZipkinAPI: Sendable {
    private enum Endpoint {
        case services, spans, remoteServices, traces, traceMany, dependencies, autocompleteKeys, autocompleteValues
        case trace(String)
        case health, info, configuration
        case unknown
    }

    private let store: any TraceQuerying
    private let pool: QueryPool
    private let options: ZipkinOptions
    private let nowMilliseconds: @Sendable () -> UInt64
    /// Services at the last look: names are cached by clients only when there are enough for somebody to have got started.
    private let serviceCount = Atomic<Int>(0)

    public init(
        store: any TraceQuerying, pool: QueryPool, options: ZipkinOptions,
        nowMilliseconds: @escaping @Sendable () -> UInt64 = { SystemClock.unixNanoseconds() / 1_000_000 }
    ) {
        self.store = store
        self.pool = pool
        self.options = options
        self.nowMilliseconds = nowMilliseconds
    }

    /// Answers a path of Zipkin's; nil for any other, and for `POST .../spans`, which is the collector's.
    public func handle(_ request: borrowing ServiceRequest, _ responder: Responder) -> ServiceOutcome? {
        guard let endpoint = Self.endpointNamed(request.path) else { return nil }
        var allow = "GET, HEAD, OPTIONS"
        if case .spans = endpoint {
            if request.method == "POST" { return nil }
            allow = "GET, HEAD, POST, OPTIONS"
        }
        if case .unknown = endpoint {
            return .respond(APIReply.text(404, "no such path in the Zipkin v2 API: \(request.path.prefix(256))"))
        }
        if let refusal = APIReply.refusal(request.method, allow: allow) { return .respond(refusal) }
        let parameters = ZipkinParameters(values: request.parameters)
        switch endpoint {
        case .info: return .respond(information())
        case .configuration: return .respond(uiConfiguration())
        case .autocompleteKeys:
            var body: [UInt8] = []
            body.append(jsonStrings: options.autocompleteKeys.sorted())
            return .respond(APIReply.json(body, headers: [cacheControl]))
        default:
            let acceptsGzip = request.acceptsGzip
            return pool.answer(responder) { [self] in answer(endpoint, parameters).coded(acceptsGzip: acceptsGzip) }
        }
    }

    private static func endpointNamed(_ path: String) -> Endpoint? {
        switch path {
        case "/health": return .health
        case "/info": return .info
        case "/config.json", "/zipkin/config.json": return .configuration
        default: break
        }
        var rest = Substring(path)
        if rest.hasPrefix("/zipkin/") { rest = rest.dropFirst("/zipkin".utf8.count) }
        guard rest == "/api/v2" || rest.hasPrefix("/api/v2/") else { return nil }
        // As the receivers do; behind `trace/` it would hide that the id is missing.
        if rest.hasSuffix("/"), rest != "/api/v2/", rest != "/api/v2/trace/" { rest.removeLast() }
        switch rest.dropFirst("/api/v2/".utf8.count) {
        case "services": return .services
        case "spans": return .spans
        case "remoteServices": return .remoteServices
        case "traces": return .traces
        case "traceMany": return .traceMany
        case "dependencies": return .dependencies
        case "autocompleteKeys": return .autocompleteKeys
        case "autocompleteValues": return .autocompleteValues
        case let name where name.hasPrefix("trace/"):
            let id = name.dropFirst("trace/".utf8.count)
            return id.contains("/") ? .unknown : .trace(QueryString.decode(id.utf8))
        default: return .unknown
        }
    }

    /// On the pool. Every error becomes an answer.
    private func answer(_ endpoint: Endpoint, _ parameters: ZipkinParameters) -> ServiceResponse {
        do {
            return try read(endpoint, parameters)
        } catch let error as ParameterError {
            return APIReply.text(400, error.text)
        } catch QueryFailure.unavailable(let reason) {
            return APIReply.text(503, reason, headers: [("Retry-After", "\(QueryPool.retryAfterSeconds)")])
        } catch {
            return APIReply.text(500, "the query failed: \(error)")
        }
    }

    private func read(_ endpoint: Endpoint, _ parameters: ZipkinParameters) throws -> ServiceResponse {
        switch endpoint {
        case .services:
            let names = try store.services()
            serviceCount.store(names.count, ordering: .relaxed)
            return listReply(names, isCached: names.count > 3)
        case .spans: return namesReply(try store.spanNames(service: try parameters.required("serviceName").lowercased()))
        case .remoteServices: return namesReply(try store.remoteServices(service: try parameters.required("serviceName").lowercased()))
        case .autocompleteValues:
            let key = try parameters.required("key")
            // Zipkin's storage has the same words for it.
            if key.isEmpty { throw ParameterError(text: "key was empty") }
            let values = try store.autocompleteValues(key: key)
            return listReply(values, isCached: values.count > 3)
        case .traces:
            let query = try parameters.traceQuery(nowMilliseconds: nowMilliseconds(), lookbackDefault: options.lookbackDefault)
            return try traces(try store.search(query))
        case .traceMany: return try traces(try store.traces(try ZipkinParameters.traceIDs(try parameters.required("traceIds"))))
        case .trace(let text): return try trace(text)
        case .dependencies:
            _ = try parameters.required("endTs")
            guard let end = try parameters.positive("endTs") else { throw ParameterError(text: "parameter endTs is required") }
            return dependencies(
                try store.dependencies(endTimestamp: end, lookback: try parameters.positive("lookback") ?? options.lookbackDefault))
        case .health: return health()
        case .info: return information()
        case .configuration: return uiConfiguration()
        case .autocompleteKeys: return listReply(options.autocompleteKeys, isCached: true)
        case .unknown: return APIReply.text(404, "no such path in the Zipkin v2 API")
        }
    }

    private func trace(_ text: String) throws -> ServiceResponse {
        let id = try ZipkinParameters.traceID(text.trimmingSpaces())
        let spans = try store.trace(id)
        guard !spans.spans.isEmpty else {
            var digits: [UInt8] = []
            HexCodec.append(id, to: &digits)
            return APIReply.text(404, String(decoding: digits, as: UTF8.self) + " not found")
        }
        var body: [UInt8] = []
        ZipkinJSONEncoder.appendList(spans, to: &body)
        return APIReply.json(body)
    }

    private func traces(_ found: [SpanBatch]) throws -> ServiceResponse {
        var body: [UInt8] = [UInt8(ascii: "[")]
        for (index, trace) in found.enumerated() {
            if index > 0 { body.append(UInt8(ascii: ",")) }
            ZipkinJSONEncoder.appendList(trace, to: &body)
            guard body.count < ZipkinLimits.answerBytesMax else {
                throw ParameterError(text: "the answer is larger than \(ZipkinLimits.answerBytesMax) bytes; lower limit or lookback")
            }
        }
        body.append(UInt8(ascii: "]"))
        return APIReply.json(body)
    }

    private func dependencies(_ links: [DependencyLink]) -> ServiceResponse {
        var body: [UInt8] = [UInt8(ascii: "[")]
        for (index, link) in links.enumerated() {
            if index > 0 { body.append(UInt8(ascii: ",")) }
            body.append(text: "{\"parent\":")
            body.append(jsonString: link.parent)
            body.append(text: ",\"child\":")
            body.append(jsonString: link.child)
            body.append(text: ",\"callCount\":\(link.callCount)")
            // Zipkin leaves a zero out.
            if link.errorCount > 0 { body.append(text: ",\"errorCount\":\(link.errorCount)") }
            body.append(UInt8(ascii: "}"))
        }
        body.append(UInt8(ascii: "]"))
        return APIReply.json(body)
    }

    private func namesReply(_ list: [String]) -> ServiceResponse { listReply(list, isCached: serviceCount.load(ordering: .relaxed) > 3) }

    private func listReply(_ values: [String], isCached: Bool) -> ServiceResponse {
        var body: [UInt8] = []
        body.append(jsonStrings: values)
        return APIReply.json(body, headers: isCached ? [cacheControl] : [])
    }

    private var cacheControl: (name: String, value: String) {
        ("Cache-Control", "max-age=\(options.namesMaxAgeSeconds), must-revalidate")
    }

    /// DOWN with 503 while spans or queries are refused, as Zipkin has it. DEGRADED with 200 when all works and something stored cannot be
    /// read any more: who restarts what is not healthy must not do it for that.
    private func health() -> ServiceResponse {
        let now = store.statistics()
        let status = now.problem != nil ? "DOWN" : now.damage.isEmpty ? "UP" : "DEGRADED"
        var body: [UInt8] = []
        body.append(
            text: "{\"status\":\"\(status)\",\"zipkin\":{\"status\":\"\(status)\",\"details\":{\"SkeinStore\":{\"status\":\"\(status)\"")
        if now.problem != nil || !now.damage.isEmpty {
            body.append(text: ",\"details\":{")
            if let problem = now.problem {
                body.append(text: "\"error\":")
                body.append(jsonString: problem)
            }
            if !now.damage.isEmpty {
                body.append(text: now.problem == nil ? "\"damage\":" : ",\"damage\":")
                body.append(jsonStrings: now.damage.map(\.description))
            }
            body.append(text: "}")
        }
        body.append(text: "}")
        let policies = options.notEnforced()
        if !policies.isEmpty {
            body.append(text: ",\"SkeinSecurity\":{\"status\":\"DEGRADED\",\"details\":{\"notEnforced\":")
            body.append(jsonStrings: policies)
            body.append(text: "}}")
        }
        body.append(text: "}}}")
        return APIReply.json(body, status: now.problem == nil ? 200 : 503)
    }

    private func information() -> ServiceResponse {
        var body: [UInt8] = []
        body.append(text: "{\"zipkin\":{\"version\":")
        body.append(jsonString: options.version)
        body.append(text: "},\"skein\":{\"version\":")
        body.append(jsonString: options.version)
        body.append(text: "}}")
        return APIReply.json(body)
    }

    /// What zipkin-lens reads before it draws anything.
    private func uiConfiguration() -> ServiceResponse {
        var body: [UInt8] = []
        body.append(text: "{\"environment\":")
        body.append(jsonString: options.environment)
        body.append(text: ",\"queryLimit\":\(options.uiLimit),\"defaultLookback\":\(options.uiLookback),\"searchEnabled\":true")
        body.append(text: ",\"logsUrl\":null,\"supportUrl\":null,\"archivePostUrl\":null,\"archiveUrl\":null")
        body.append(text: ",\"dependency\":{\"enabled\":true,\"lowErrorRate\":0.5,\"highErrorRate\":0.75}}")
        return APIReply.json(body, headers: [("Cache-Control", "max-age=600")])
    }
}

extension String {
    /// Without white space at both ends.
    func trimmingSpaces() -> String {
        var rest = Substring(self)
        while let first = rest.first, first.isWhitespace { rest.removeFirst() }
        while let last = rest.last, last.isWhitespace { rest.removeLast() }
        return String(rest)
    }
}
