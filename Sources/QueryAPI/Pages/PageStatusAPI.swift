public import HTTPService

/// What the admin port says of this process, for the page on the query port: `GET /skein/status`, `/skein/clusters`, `/skein/routes`.
///
/// The JSON of `/server_info`, `/clusters` and `/routes` (`AdminPages`); nothing of it changes anything.
public final class PageStatusAPI: Sendable {
    private let sources: AdminSources
    private let pool: QueryPool
    /// Of what depends on the configuration alone.
    private let configurationTag: @Sendable () -> PageTag

    public init(_ sources: AdminSources, pool: QueryPool, configurationTag: @escaping @Sendable () -> PageTag) {
        self.sources = sources
        self.pool = pool
        self.configurationTag = configurationTag
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
        let tag = PagePath.isNamed("/skein/routes", path) ? configurationTag() : nil
        if let same = tag?.notModified(request) { return .respond(same) }
        let sources = sources
        let acceptsGzip = request.acceptsGzip
        return pool.answer(responder) { (tag?.json(make(sources)) ?? PageReply.json(make(sources))).coded(acceptsGzip: acceptsGzip) }
    }
}
