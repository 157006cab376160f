internal import Collector
internal import HTTPService
internal import QueryAPI
internal import TelemetryModel

/// `GET /explain` on the admin port: what `skein explain --server` shows; `GET /skein/explain` on the query port, for the page.
///
/// Parameters: `url`, `method`, `header` (`name: value`, any number), `inbound`, `principal`, `source-ip`, `seed` for a request that might
/// come; `request-id` or `trace-id` for one that was served. 404 with the same JSON when nothing takes or knows it.
final class ExplainAPI: Sendable {
    private let shared: SharedStatus
    private let served: ServedRequestExplanation
    private let pool: QueryPool
    private let path: String
    private static let parameters: Set<String> = [
        "url", "method", "header", "inbound", "seed", "request-id", "trace-id", "principal", "source-ip",
    ]

    init(shared: SharedStatus, served: ServedRequestExplanation, pool: QueryPool, path: String = "/explain") {
        self.shared = shared
        self.served = served
        self.pool = pool
        self.path = path
    }

    func handle(_ request: borrowing ServiceRequest, _ responder: Responder) -> ServiceOutcome? {
        guard PagePath.isNamed(path, request.path) else { return nil }
        if let refusal = APIReply.refusal(request.method, allow: "GET, HEAD") { return .respond(refusal) }
        let parameters = request.parameters
        if let unknown = parameters.first(where: { !Self.parameters.contains($0.name) }) {
            return .respond(
                .text(400, "unknown parameter \(unknown.name); accepted are \(Self.parameters.sorted().joined(separator: ", "))"))
        }
        return pool.answer(responder) { [self] in answer(parameters) }
    }

    private func answer(_ parameters: [(name: String, value: String)]) -> ServiceResponse {
        func value(_ name: String) -> String? { parameters.first { $0.name == name }?.value }
        var result = RequestExplanation()
        if let id = value("request-id") {
            result = served.find(requestID: id, traceID: nil)
        } else if let text = value("trace-id") {
            guard let id = try? LogFilter(parameters: [("trace-id", text)]).traceID else {
                return .text(400, "trace-id takes 1 to 32 hexadecimal digits")
            }
            result = served.find(requestID: nil, traceID: id)
        } else if let url = value("url") {
            var asked = RequestDescription(url: url)
            asked.method = value("method") ?? "GET"
            asked.isInbound = value("inbound") == "true"
            asked.principal = value("principal") ?? ""
            asked.sourceAddress = value("source-ip") ?? ""
            asked.seed = value("seed").flatMap { UInt64($0) } ?? 1
            for (name, header) in parameters where name == "header" {
                guard let colon = header.firstIndex(of: ":") else { return .text(400, "header=\(header): write name: value") }
                asked.headers.append((String(header[..<colon]), String(header[header.index(after: colon)...].drop { $0 == " " })))
            }
            guard let routing = shared.routing else { return .text(503, "no configuration yet") }
            result.explain(asked, routing.snapshot, shared.access, live: routing.live)
        } else {
            return .text(400, "one of url, request-id and trace-id is needed")
        }
        if !result.errors.isEmpty {
            return .text(
                result.nodes.isEmpty && result.isRouted == false && value("url") == nil ? 404 : 400, result.errors.joined(separator: "\n"))
        }
        return ServiceResponse(
            status: result.isRouted ? 200 : 404, contentType: "application/json", headers: [("Cache-Control", "no-store")],
            body: Array((result.json + "\n").utf8))
    }
}
