public import HTTPService

/// Where the admin pages read; every closure may be called on any thread of the pool.
public struct AdminSources: Sendable {
    public var server: @Sendable () -> ServerStatus
    public var listeners: @Sendable () -> [ListenerStatus]
    public var clusters: @Sendable () -> [ClusterStatus]
    public var routes: @Sendable () -> [RouteStatus]
    /// The metrics as Prometheus text.
    public var exposition: @Sendable () -> [UInt8]?
    public var logLevel: @Sendable () -> String
    /// False for a level that does not exist.
    public var setLogLevel: @Sendable (String) -> Bool

    public init(
        server: @escaping @Sendable () -> ServerStatus, listeners: @escaping @Sendable () -> [ListenerStatus],
        clusters: @escaping @Sendable () -> [ClusterStatus], routes: @escaping @Sendable () -> [RouteStatus],
        exposition: @escaping @Sendable () -> [UInt8]?, logLevel: @escaping @Sendable () -> String,
        setLogLevel: @escaping @Sendable (String) -> Bool
    ) {
        self.server = server
        self.listeners = listeners
        self.clusters = clusters
        self.routes = routes
        self.exposition = exposition
        self.logLevel = logLevel
        self.setLogLevel = setLogLevel
    }
}

/// What people of Envoy type at the admin port: `/clusters`, `/listeners`, `/routes`, `/stats`, `/server_info`, `/logging`, `/help`.
///
/// Text as Envoy prints it; `?format=json` for programs, in Envoy's shapes where it has one (`/routes` is ours).
public final class AdminPages: Sendable {
    static let help = """
        admin pages (GET unless said otherwise; ?format=json for programs):
          /clusters      clusters and their endpoints: limits, failures, health, the last error
          /config_dump   the configuration in use
          /explain       ?url=http://HOST/PATH: where a request would go, and why
          /healthz/ready whether requests should be sent here; also /ready
          /health        state, the last reload, policies that are not enforced
          /help          this page
          /listeners     what is listened on
          /logging       the level of the diagnostic log; POST /logging?level=debug changes it
          /logs          the newest requests; ?follow=true goes on
          /metrics       for Prometheus; also /stats/prometheus
          /routes        every rule: hosts, conditions, destinations, where it was written
          /server_info   version, state, options
          /stats         the metrics as name: value; ?filter=TEXT

        """

    private let sources: AdminSources
    private let pool: QueryPool
    private static let levels = "trace, debug, info, notice, warning, error or critical"

    public init(_ sources: AdminSources, pool: QueryPool) {
        self.sources = sources
        self.pool = pool
    }

    public func handle(_ request: borrowing ServiceRequest, _ responder: Responder) -> ServiceOutcome? {
        let wantsJSON = request.parameter("format") == "json"
        let make: @Sendable (AdminSources) -> ServiceResponse
        switch request.path {
        case "/", "/help": return .respond(APIReply.refusal(request.method) ?? Self.text(Self.help))
        case "/logging": return .respond(logging(request))
        case "/health": make = { Self.json(AdminText.health($0.server())) }
        case "/server_info": make = { Self.json(AdminText.json($0.server())) }
        case "/listeners":
            make = { sources in
                let list = sources.listeners()
                return wantsJSON ? Self.json(AdminText.json(list)) : Self.text(AdminText.text(list))
            }
        case "/clusters":
            make = { sources in
                let list = sources.clusters()
                return wantsJSON ? Self.json(AdminText.json(list)) : Self.text(AdminText.text(list))
            }
        case "/routes":
            make = { sources in
                let list = sources.routes()
                return wantsJSON ? Self.json(AdminText.json(list)) : Self.text(AdminText.text(list))
            }
        case "/stats":
            let filter = request.parameter("filter") ?? ""
            make = { sources in
                guard let exposition = sources.exposition()
                else { return Self.text("the metrics are too large for one page\n", status: 503) }
                let lines = AdminText.statistics(exposition, filter: filter)
                return wantsJSON ? Self.json(AdminText.json(statistics: lines)) : Self.text(AdminText.text(statistics: lines))
            }
        default: return nil
        }
        if let refusal = APIReply.refusal(request.method) { return .respond(refusal) }
        let sources = sources
        let acceptsGzip = request.acceptsGzip
        return pool.answer(responder) { make(sources).coded(acceptsGzip: acceptsGzip) }
    }

    private func logging(_ request: borrowing ServiceRequest) -> ServiceResponse {
        if request.method == "GET" || request.method == "HEAD" { return Self.text("active loggers:\n  skein: \(sources.logLevel())\n") }
        guard request.method == "POST"
        else { return .text(405, "GET shows the level, POST changes it", headers: [("Allow", "GET, HEAD, POST")]) }
        // A page from elsewhere can have a browser send this, although it cannot read the answer (Fetch Metadata, Sec-Fetch-Site).
        if let site = request.header("sec-fetch-site"), site != "same-origin", site != "none" {
            return .text(403, "a page from elsewhere may not change this")
        }
        guard let level = request.parameter("level"), sources.setLogLevel(level) else {
            return .text(400, "write /logging?level= with \(Self.levels)")
        }
        return Self.text("active loggers:\n  skein: \(sources.logLevel())\n")
    }

    // No cross-origin header: what runs here is nobody's business but the operator's.
    private static func text(_ text: String, status: UInt16 = 200) -> ServiceResponse {
        ServiceResponse(
            status: status, contentType: "text/plain; charset=utf-8", headers: [("Cache-Control", "no-store")], body: Array(text.utf8))
    }

    private static func json(_ body: [UInt8]) -> ServiceResponse {
        ServiceResponse(status: 200, contentType: "application/json", headers: [("Cache-Control", "no-store")], body: body)
    }
}
