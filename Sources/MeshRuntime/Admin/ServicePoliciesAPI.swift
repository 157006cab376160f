internal import HTTPService
internal import QueryAPI

/// `GET /skein/policies?service=HOST` on the query port: what of the configuration in use applies to a service (`ServicePolicies`).
final class ServicePoliciesAPI: Sendable {
    private let shared: SharedStatus
    private let pool: QueryPool

    init(shared: SharedStatus, pool: QueryPool) {
        self.shared = shared
        self.pool = pool
    }

    func handle(_ request: borrowing ServiceRequest, _ responder: Responder) -> ServiceOutcome? {
        guard PagePath.isNamed("/skein/policies", request.path) else { return nil }
        if let refusal = APIReply.refusal(request.method, allow: "GET, HEAD") { return .respond(refusal) }
        guard let service = request.parameter("service"), !service.isEmpty, service.utf8.count <= 255 else {
            return .respond(.text(400, "service takes the host of a service"))
        }
        guard let mesh = shared.mesh else { return .respond(.text(503, "no configuration yet", headers: [("Retry-After", "1")])) }
        let tag = shared.configurationTag
        if let same = tag.notModified(request) { return .respond(same) }
        let acceptsGzip = request.acceptsGzip
        return pool.answer(responder) {
            tag.json(Array(ServicePolicies(host: service, mesh: mesh).json.utf8)).coded(acceptsGzip: acceptsGzip)
        }
    }
}
