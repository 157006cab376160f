public import HTTPService

/// What the admin port says of this process, for the page on the query port: `GET /skein/status`, `/skein/clusters`, `/skein/routes`.
///
/// The JSON of `/server_info`, `/clusters` and `/routes` (`AdminPages`); nothing of it changes anything.
public final class PageStatusAPI: Sendable {
    private let sources: AdminSources
    private let pool: QueryPool

    public init(_ sources: AdminSources, pool: QueryPool) {
        self.sources = sources
        self.pool = pool
    }

    public func handle(_ request: borrowing ServiceRequest, _ responder: Responder) -> ServiceOutcome? {
        let path = request.path
        let make: @Sendable (AdminSources) -> [UInt8]
        if PagePath.isNamed("/skein/status", path) {
            make = { AdminText.json($0.server()) }
        } else if PagePath.isNamed("/skein/clusters", path) {
            make = { AdminText.json($0.clusters()) }
        } else if PagePath.isNamed("/skein/routes", path) {
            make = { AdminText.json($0.routes()) }
        } else {
            return nil
        }
        if let refusal = APIReply.refusal(request.method, allow: "GET, HEAD") { return .respond(refusal) }
        let sources = sources
        let acceptsGzip = request.acceptsGzip
        return pool.answer(responder) { PageReply.json(make(sources)).coded(acceptsGzip: acceptsGzip) }
    }
}
