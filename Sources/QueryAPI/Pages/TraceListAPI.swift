public import HTTPService
public import Primitives
internal import TelemetryModel
internal import TelemetryWire

/// `GET /skein/traces`: what the page's list of traces shows, a few hundred bytes for each instead of all its spans.
///
/// Parameters: those of Zipkin's `/api/v2/traces` (semantics 2.11), and `status` (503, 5xx or 400-499: of any span), `text` (part of a
/// name, tag or annotation of any span, letters of either case), `errors` (true: with an error alone). Where one of these is given, at
/// most `examinedMax` traces that may fit are looked at, the newest; the answer says how many and whether there were more. Who asks
/// again with the answer's tag is told 304, without a search, as long as nothing was stored or expired since and nothing of it has left
/// the range of time.
public final class TraceListAPI: Sendable {
    public static let limitDefault = 100
    public static let limitMax = 500
    public static let examinedMax = 500
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
        let known = PageTag.tags(ofIfNoneMatch: request.header("if-none-match")).compactMap { PageTag.tagNumbers($0) }
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
            // The last of a tag's numbers is when the oldest span found began, microseconds: it must not have left the range.
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

    /// `oldest`: when the oldest span of the traces that were found began, microseconds since 1970; the greatest number without any.
    private func traceList(_ asked: TraceQuery, _ filter: TraceFilter, limit: Int) throws -> (body: [UInt8], oldest: UInt64) {
        var query = asked
        query.limit = limit
        query.traits = filter.traits
        if !query.traits.isEmpty { query.readMax = max(limit, Self.examinedMax) }
        let found = try store.find(query)
        let isCut = found.traces.count >= limit || found.readCount >= query.readMax
        var body: [UInt8] = []
        body.append(text: "{\"examined\":\(found.readCount),\"isCut\":\(isCut),\"limit\":\(limit)")
        body.append(text: ",\"traces\":[")
        for (index, trace) in found.traces.compactMap({ TraceSummary($0) }).enumerated() {
            if index > 0 { body.append(UInt8(ascii: ",")) }
            Self.append(trace, to: &body)
        }
        body.append(text: "]}\n")
        return (body, found.traces.lazy.flatMap(\.spans).map(\.timestamp).filter { $0 > 0 }.min() ?? .max)
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
