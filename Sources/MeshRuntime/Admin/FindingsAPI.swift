internal import HTTPService
internal import MeshConfig
internal import QueryAPI
internal import Synchronization

/// `GET /skein/findings` on the query port: the resources in the configuration's files as they are now, and what `skein analyze` finds in
/// them, for the page.
///
/// The files are read and looked through on the pool, and the answer is kept until the configuration has been loaded again or a load was
/// refused: a page that asks every few seconds costs nothing.
final class FindingsAPI: Sendable {
    private struct Known {
        var reloads: UInt64 = 0
        var failures: UInt64 = 0
        var body: [UInt8] = []
    }

    /// Resources that are listed; all are counted.
    static let resourcesMax = 5000

    private let options: RuntimeOptions
    private let shared: SharedStatus
    private let pool: QueryPool
    private let known = Mutex(Known())

    init(options: RuntimeOptions, shared: SharedStatus, pool: QueryPool) {
        self.options = options
        self.shared = shared
        self.pool = pool
    }

    func handle(_ request: borrowing ServiceRequest, _ responder: Responder) -> ServiceOutcome? {
        guard PagePath.isNamed("/skein/findings", request.path) else { return nil }
        if let refusal = APIReply.refusal(request.method, allow: "GET, HEAD") { return .respond(refusal) }
        let tag = shared.configurationTag
        if let same = tag.notModified(request) { return .respond(same) }
        let acceptsGzip = request.acceptsGzip
        return pool.answer(responder) { [self] in tag.json(body()).coded(acceptsGzip: acceptsGzip) }
    }

    private func body() -> [UInt8] {
        let status = shared.configuration
        let kept = known.withLock { $0 }
        if !kept.body.isEmpty, kept.reloads == status.reloads, kept.failures == status.failures { return kept.body }
        let analysis = ConfigurationCheck.analyze(
            from: options.configuration, allowsUnenforced: options.allowsUnenforced, hasIdentity: options.identityDirectory != nil)
        let counts = analysis.configuration.resourceCounts.sorted { $0.key < $1.key }
            .map { "\(JSONText.quote($0.key)):\($0.value)" }.joined(separator: ",")
        let resources = analysis.resources.prefix(Self.resourcesMax).map { id, position in
            "{\"kind\":\(JSONText.quote(id.kind)),\"namespace\":\(JSONText.quote(id.namespace)),\"name\":\(JSONText.quote(id.name)),"
                + "\"file\":\(JSONText.quote(position.file)),\"line\":\(position.line)}"
        }.joined(separator: ",")
        let text = "{\"findings\":[\(analysis.findings.map(\.json).joined(separator: ","))],\"errors\":\(analysis.count(.error)),"
            + "\"warnings\":\(analysis.count(.warning)),\"infos\":\(analysis.count(.notice)),\"omitted\":\(analysis.omitted),"
            + "\"suppressed\":\(analysis.suppressedCount),\"counts\":{\(counts)},\"resources\":[\(resources)]}\n"
        let fresh = Known(reloads: status.reloads, failures: status.failures, body: Array(text.utf8))
        known.withLock { $0 = fresh }
        return fresh.body
    }
}
