internal import Collector
internal import EventLoops
internal import HTTPService
internal import QueryAPI

/// `GET /logs` on the admin port: what `skein logs` shows; `GET /skein/logs` on the query port, for the page.
///
/// Parameters: those of `LogFilter`, `limit` (1...10,000, default 100), `format` (text, json, traced: JSON with the ids of trace and span,
/// or tap), `follow` (true: lines as requests finish). Who accepts `text/event-stream` follows by server-sent events (WHATWG HTML 9.2),
/// whose JSON is `traced` unless another is asked for. One that comes back with `Last-Event-ID` is given what is kept behind that, whatever
/// `limit` says. 503 when too many follow.
final class LogsAPI: Sendable {
    private let tail: LogTail
    private let path: String
    static let limitMax = 10_000

    init(tail: LogTail, path: String = "/logs") {
        self.tail = tail
        self.path = path
    }

    func handle(_ request: borrowing ServiceRequest, _ responder: Responder) -> ServiceOutcome? {
        guard PagePath.isNamed(path, request.path) else { return nil }
        if let refusal = APIReply.refusal(request.method, allow: "GET, HEAD") { return .respond(refusal) }
        let parameters = request.parameters
        let known = Set(LogFilter.parameterNames + ["limit", "format", "follow"])
        if let unknown = parameters.first(where: { !known.contains($0.name) }) {
            return .respond(.text(400, "unknown parameter \(unknown.name); accepted are \(known.sorted().joined(separator: ", "))"))
        }
        guard let limit = Int(request.parameter("limit") ?? "100"), (0...Self.limitMax).contains(limit) else {
            return .respond(.text(400, "limit takes 0...\(Self.limitMax)"))
        }
        let isEvents = Self.acceptsEvents(request)
        let format: LogLineFormat
        switch request.parameter("format") ?? (isEvents ? "traced" : "text") {
        case "text" where !isEvents: format = .text
        case "json": format = .json
        case "traced": format = .traced
        case "tap": format = .tap
        default: return .respond(.text(400, "format takes \(isEvents ? "" : "text, ")json, traced or tap"))
        }
        let filter: LogFilter
        do throws(LogFilterError) {
            filter = try LogFilter(parameters: parameters)
        } catch {
            return .respond(.text(400, error.description))
        }
        var wanted = LogSubscription(
            filter: filter, format: format, framing: isEvents ? .events : .lines, start: .newest(limit))
        if isEvents, let last = request.header("last-event-id") {
            guard let position = LogPosition(last) else {
                return .respond(.text(400, "Last-Event-ID takes the id of an event, such as 18ecffbe800ed61f-57"))
            }
            wanted.start = .after(position)
        }
        let contentType = Self.contentType(wanted)
        guard isEvents || request.parameter("follow") == "true" else {
            let lines = tail.recent(filter: filter, limit: limit, format: format)
            return .respond(ServiceResponse(status: 200, contentType: contentType, body: Array(lines.joined())))
        }
        guard request.method == "GET" else { return .respond(.text(405, "only GET follows", headers: [("Allow", "GET")])) }
        return follow(wanted, contentType, responder)
    }

    /// An `EventSource` says `Accept: text/event-stream` and nothing else.
    private static func acceptsEvents(_ request: borrowing ServiceRequest) -> Bool {
        (request.header("accept") ?? "").split(separator: ",").contains { range in
            range.prefix { $0 != ";" }.filter { $0 != " " && $0 != "\t" }.lowercased() == "text/event-stream"
        }
    }

    private static func contentType(_ wanted: LogSubscription) -> String {
        switch (wanted.framing, wanted.format) {
        case (.events, _): "text/event-stream"
        case (.lines, .text): "text/plain; charset=utf-8"
        case (.lines, _): "application/x-ndjson"
        }
    }

    private func follow(_ wanted: LogSubscription, _ contentType: String, _ responder: Responder) -> ServiceOutcome {
        let follower = tail.subscribe(wanted, isOpen: { responder.isOpen }) { lines in
            responder.begin(status: 200, headers: [("Content-Type", contentType), ("Cache-Control", "no-store")])
            if !lines.isEmpty { responder.write(lines) }
        } sink: { lines in
            responder.write(lines)
            return responder.isOpen
        }
        guard follower != nil else {
            return .respond(.text(503, "too many follow the log already", headers: [("Retry-After", "2")]))
        }
        return .later
    }
}
