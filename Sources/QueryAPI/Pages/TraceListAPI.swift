public import HTTPService
public import Primitives
internal import TelemetryModel
internal import TelemetryWire

/// `GET /skein/traces`: what the page's list of traces shows, a few hundred bytes for each instead of all its spans.
///
/// Parameters: those of Zipkin's `/api/v2/traces` (semantics 2.11), and `status` (503, 5xx or 400-499: of any span), `text` (part of a
/// name, tag or annotation of any span, letters of either case), `errors` (true: with an error alone). Where one of these is given, at
/// most `examinedMax` traces that fit the others are looked at, the newest; the answer says how many and whether there were more. Who asks
/// again with the answer's tag is told 304, without a search, as long as nothing was stored or expired since and nothing of it has left
/// the range of time.
public final class TraceListAPI: Sendable {
    public static let limitDefault = 100
    public static let limitMax = 500
    public static let examinedMax = 1000
    /// Bytes of `text`.
    public static let textBytesMax = 256
    /// Spans of clocks that run ahead come into the range of time by themselves: they are shown after so long at the latest, also where
    /// nothing else changes.
    static let tagMillisecondsMax: UInt64 = 600_000

    private let store: any TraceQuerying
    private let pool: QueryPool
    private let nowMilliseconds: @Sendable () -> UInt64

    public init(
        store: any TraceQuerying, pool: QueryPool,
        nowMilliseconds: @escaping @Sendable () -> UInt64 = { SystemClock.unixNanoseconds() / 1_000_000 }
    ) {
        self.store = store
        self.pool = pool
        self.nowMilliseconds = nowMilliseconds
    }

    public func handle(_ request: borrowing ServiceRequest, _ responder: Responder) -> ServiceOutcome? {
        guard PagePath.isNamed("/skein/traces", request.path) else { return nil }
        if let refusal = APIReply.refusal(request.method, allow: "GET, HEAD") { return .respond(refusal) }
        let parameters = ZipkinParameters(values: request.parameters)
        let acceptsGzip = request.acceptsGzip
        let known = PageTag.known(request.header("if-none-match")).compactMap { PageTag.parts($0) }
        return pool.answer(responder) { [self] in answer(parameters, known: known).coded(acceptsGzip: acceptsGzip) }
    }

    /// What an answer depends on besides its address and the time: it is read before the store is, so that a span that comes between the
    /// two makes the tag old. Nil when the store has a problem to tell.
    private func contents() -> [UInt64]? {
        let now = store.statistics()
        guard now.problem == nil else { return nil }
        let damaged = now.quarantined.values.reduce(0) { $0 &+ $1 }
        return [now.spansAccepted, now.spansExpired, damaged, nowMilliseconds() / Self.tagMillisecondsMax]
    }

    private func answer(_ parameters: ZipkinParameters, known: [[UInt64]]) -> ServiceResponse {
        do {
            let query = try parameters.traceQuery(nowMilliseconds: nowMilliseconds(), lookbackDefault: 3_600_000)
            let filter = try TraceFilter(parameters)
            let contents = contents()
            // The last of a tag's numbers is when the oldest span looked at began, microseconds: it must not have left the range.
            let same = known.first { tag in
                tag.dropLast() == contents?[...] && (tag.last ?? 0) >= query.timestampRange.lowerBound
            }
            if let same { return PageTag(same).notModified }
            let limit = parameters.text("limit") == nil ? Self.limitDefault : min(query.limit, Self.limitMax)
            let (body, oldest) = try traceList(query, filter, limit: limit)
            return contents.map { PageTag($0 + [oldest]).json(body) } ?? PageReply.json(body)
        } catch let error as ParameterError {
            return .text(400, error.text)
        } catch QueryFailure.unavailable(let reason) {
            return .text(503, reason, headers: [("Retry-After", "\(QueryPool.retryAfterSeconds)")])
        } catch {
            return .text(500, "the query failed: \(error)")
        }
    }

    /// `oldest`: when the oldest span of the traces that were looked at began, microseconds since 1970; the greatest number without any.
    private func traceList(_ asked: TraceQuery, _ filter: TraceFilter, limit: Int) throws -> (body: [UInt8], oldest: UInt64) {
        var query = asked
        query.limit = filter.isEmpty ? limit : Self.examinedMax
        let found = try store.search(query)
        let kept = found.filter { filter.matches($0) }.prefix(limit)
        var body: [UInt8] = []
        body.append(text: "{\"examined\":\(found.count),\"isCut\":\(found.count >= query.limit || kept.count >= limit),\"limit\":\(limit)")
        body.append(text: ",\"traces\":[")
        for (index, trace) in kept.compactMap({ TraceSummary($0) }).enumerated() {
            if index > 0 { body.append(UInt8(ascii: ",")) }
            Self.append(trace, to: &body)
        }
        body.append(text: "]}\n")
        return (body, found.lazy.flatMap(\.spans).map(\.timestamp).filter { $0 > 0 }.min() ?? .max)
    }

    private static func append(_ trace: TraceSummary, to body: inout [UInt8]) {
        body.append(text: "{\"id\":\"")
        HexCodec.append(trace.id, to: &body)
        body.append(text: "\",\"start\":\(trace.start),\"duration\":\(trace.duration),\"spans\":\(trace.spanCount)")
        body.append(text: ",\"errors\":\(trace.errorCount)")
        let texts = [
            ("service", trace.service), ("name", trace.operation), ("method", trace.method), ("path", trace.path), ("status", trace.status),
        ]
        for (name, text) in texts where !text.isEmpty {
            body.append(text: ",\"\(name)\":")
            body.append(jsonString: String(text.unicodeScalars.prefix(textCharactersMax)))
        }
        body.append(text: ",\"services\":")
        body.append(jsonStrings: trace.services.prefix(servicesMax).map { String($0.unicodeScalars.prefix(textCharactersMax)) })
        body.append(text: ",\"serviceCount\":\(trace.services.count)}")
    }

    /// Of one text in a list; the trace itself has all of it.
    static let textCharactersMax = 500
    static let servicesMax = 50
}

/// What Zipkin's parameters cannot say of a trace. Pure.
struct TraceFilter {
    private var statuses: ClosedRange<Int>?
    private var text: [UInt8] = []
    private var wantsErrors = false

    init(_ parameters: ZipkinParameters) throws(ParameterError) {
        if let status = parameters.text("status") {
            guard let range = Self.range(status) else {
                throw ParameterError(text: "status takes a code (503), a class (5xx) or a range (400-499)")
            }
            statuses = range
        }
        if let part = parameters.text("text") {
            guard part.utf8.count <= TraceListAPI.textBytesMax else {
                throw ParameterError(text: "text takes at most \(TraceListAPI.textBytesMax) bytes")
            }
            text = part.utf8.map(ASCII.lower)
        }
        switch parameters.text("errors") {
        case "true": wantsErrors = true
        case nil, "false": break
        default: throw ParameterError(text: "errors takes true or false")
        }
    }

    var isEmpty: Bool { statuses == nil && text.isEmpty && !wantsErrors }

    func matches(_ trace: SpanBatch) -> Bool {
        if isEmpty { return true }
        if wantsErrors, !trace.spans.contains(where: { trace.hasError($0) }) { return false }
        if let statuses {
            guard trace.spans.contains(where: { span in Int(trace.statusText(span)).map(statuses.contains) ?? false }) else { return false }
        }
        return text.isEmpty || trace.spans.contains { holdsText(trace, $0) }
    }

    private func holdsText(_ trace: SpanBatch, _ span: SpanRow) -> Bool {
        var references = [span.name]
        for tag in trace.tags(of: span) { references += [tag.key, tag.value] }
        let start = Int(span.annotationStart)
        references += trace.annotations[start..<start + Int(span.annotationCount)].map(\.value)
        for endpoint in [span.localEndpoint, span.remoteEndpoint] {
            guard endpoint != EndpointRow.absent, Int(endpoint) < trace.endpoints.count else { continue }
            references.append(trace.endpoints[Int(endpoint)].serviceName)
        }
        return references.contains { Self.isPart(text, of: trace.text[Int($0.offset)..<Int($0.offset) + Int($0.count)]) }
    }

    /// Letters of ASCII in either case.
    private static func isPart(_ part: [UInt8], of bytes: ArraySlice<UInt8>) -> Bool {
        guard bytes.count >= part.count, let first = part.first else { return part.isEmpty }
        var at = bytes.startIndex
        while bytes.endIndex - at >= part.count {
            if ASCII.lower(bytes[at]) == first, bytes[at..<at + part.count].elementsEqual(part, by: { ASCII.lower($0) == $1 }) {
                return true
            }
            at += 1
        }
        return false
    }

    private static func range(_ text: String) -> ClosedRange<Int>? {
        let lower = text.lowercased()
        if lower.utf8.count == 3, lower.hasSuffix("xx"), let digit = lower.first?.wholeNumberValue { return digit * 100...digit * 100 + 99 }
        let parts = lower.split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false).map { UInt16($0) }
        guard let low = parts[0] else { return nil }
        guard parts.count == 2 else { return Int(low)...Int(low) }
        guard let high = parts[1], low <= high else { return nil }
        return Int(low)...Int(high)
    }
}
