internal import Collector
internal import EventLoops
internal import HTTPService
internal import QueryAPI

/// `GET /logs` on the admin port: what `skein logs` shows; `GET /skein/logs` on the query port, for the page.
///
/// Parameters: those of `LogFilter`, `limit` (1...10,000, default 100), `format` (text, json, traced: JSON with the ids of trace and span,
/// or tap), `follow` (true: lines as requests finish).
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
        guard request.method == "GET" else { return .respond(.text(405, "GET is accepted here", headers: [("Allow", "GET")])) }
        let parameters = request.parameters
        let known = Set(LogFilter.parameterNames + ["limit", "format", "follow"])
        if let unknown = parameters.first(where: { !known.contains($0.name) }) {
            return .respond(.text(400, "unknown parameter \(unknown.name); accepted are \(known.sorted().joined(separator: ", "))"))
        }
        guard let limit = Int(request.parameter("limit") ?? "100"), (0...Self.limitMax).contains(limit) else {
            return .respond(.text(400, "limit takes 0...\(Self.limitMax)"))
        }
        let format: LogLineFormat
        switch request.parameter("format") ?? "text" {
        case "text": format = .text
        case "json": format = .json
        case "traced": format = .traced
        case "tap": format = .tap
        default: return .respond(.text(400, "format takes text, json, traced or tap"))
        }
        let filter: LogFilter
        do throws(LogFilterError) {
            filter = try LogFilter(parameters: parameters)
        } catch {
            return .respond(.text(400, error.description))
        }
        let lines = tail.recent(filter: filter, limit: limit, format: format)
        let contentType = format == .text ? "text/plain; charset=utf-8" : "application/x-ndjson"
        guard request.parameter("follow") == "true" else {
            return .respond(ServiceResponse(status: 200, contentType: contentType, body: Array(lines.joined())))
        }
        responder.begin(status: 200, headers: [("Content-Type", contentType), ("Cache-Control", "no-store")])
        if !lines.isEmpty { responder.write(Array(lines.joined())) }
        let follower = tail.subscribe(filter: filter, format: format, isOpen: { responder.isOpen }) { bytes in
            responder.write(bytes)
            return responder.isOpen
        }
        if follower == nil {
            responder.write(Array(Self.fullText(format).utf8))
            responder.end()
        }
        return .later
    }

    /// Said where the answer has begun and nobody more can follow.
    private static func fullText(_ format: LogLineFormat) -> String {
        let text = "too many follow the log already"
        return format == .text ? text + "\n" : "{\"error\":\"\(text)\"}\n"
    }
}
