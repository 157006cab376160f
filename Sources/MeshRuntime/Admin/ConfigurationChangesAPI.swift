internal import HTTPService
internal import MeshConfig
internal import QueryAPI

/// `GET /skein/changes` on the query port: what the last load of the configuration in use added, removed and changed.
final class ConfigurationChangesAPI: Sendable {
    private let shared: SharedStatus
    private let pool: QueryPool

    init(shared: SharedStatus, pool: QueryPool) {
        self.shared = shared
        self.pool = pool
    }

    func handle(_ request: borrowing ServiceRequest, _ responder: Responder) -> ServiceOutcome? {
        guard PagePath.isNamed("/skein/changes", request.path) else { return nil }
        if let refusal = APIReply.refusal(request.method, allow: "GET, HEAD") { return .respond(refusal) }
        guard let changes = shared.changes else { return .respond(.text(503, "no configuration yet", headers: [("Retry-After", "1")])) }
        let reloads = shared.configuration.reloads
        let tag = shared.configurationTag
        if let same = tag.notModified(request) { return .respond(same) }
        let acceptsGzip = request.acceptsGzip
        return pool.answer(responder) {
            tag.json(Array(Self.json(changes, reloads: reloads).utf8)).coded(acceptsGzip: acceptsGzip)
        }
    }

    /// `loads`: successful ones, the first included; behind one, nothing has changed yet.
    static func json(_ changes: ConfigurationChanges, reloads: UInt64) -> String {
        let items = changes.changes.map { one in
            let rules = one.rules.map { rule in
                "{\"change\":\"\(rule.kind.rawValue)\",\"name\":\(JSONText.quote(rule.name)),\"line\":\(rule.position.line)}"
            }
            return "{\"change\":\"\(one.kind.rawValue)\",\"kind\":\(JSONText.quote(one.id.kind)),"
                + "\"namespace\":\(JSONText.quote(one.id.namespace)),\"name\":\(JSONText.quote(one.id.name)),"
                + "\"file\":\(JSONText.quote(one.position.file)),\"line\":\(one.position.line),"
                + "\"fields\":[\(one.fields.map(JSONText.quote).joined(separator: ","))],"
                + "\"rules\":[\(rules.joined(separator: ","))],\"reordered\":\(one.isReordered)}"
        }
        let counts = [ConfigurationChanges.Kind.added, .removed, .changed].map { "\"\($0.rawValue)\":\(changes.counts[$0] ?? 0)" }
        return "{\"loads\":\(reloads),\(counts.joined(separator: ",")),\"omitted\":\(changes.omitted),"
            + "\"changes\":[\(items.joined(separator: ","))]}\n"
    }
}
