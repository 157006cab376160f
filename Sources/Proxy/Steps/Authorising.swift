internal import HTTP
internal import Policy
internal import Primitives
internal import Routing
internal import TelemetryModel

/// Who may do what: AuthorizationPolicies at the workload's own ports and at those of gateways (semantics 2.8). What the workload itself
/// sends out is not judged.
///
/// Judged behind the route, so that a refusal is counted and logged with it as in Envoy, and before anything is changed in the head.
enum Authorising {
    static func run(
        _ request: inout Request, _ context: inout RequestContext, _ loop: inout WorkerLoop, _ epoch: inout Epoch
    ) -> StepOutcome {
        guard isGuarded(request.origin), unsafe !epoch.authorization.isEmpty else { return .go }
        var asked = question(request.origin, context.peer, &epoch)
        asked.isHTTP = true
        asked.trustsForwardedFor = !request.origin.isEdge
        asked.isHTTPS = request.target.isHTTPS
        unsafe asked.method = LentBytes(request.head.method)
        unsafe asked.target = LentBytes(request.head.text(request.head.sentTarget))
        unsafe asked.authority = LentBytes(request.head.text(request.target.authority))
        if request.target.form != .authority { unsafe asked.path = LentBytes(request.head.text(request.target.path)) }
        let decision = unsafe epoch.authorization.decide(asked, request.head)
        context.authorizations.use { $0.record(decision, isHTTP: true) }
        guard !decision.isAllowed else { return .go }
        // For its record: request id, trace and texts, as of every request that had a route.
        _ = RequestHeadPreparing.run(&request, &context, &loop, &epoch)
        request.log.record.policy = decision.refusedBy
        return .answer(LocalAnswer(403, .rbacAccessDenied, body: "RBAC: access denied"))
    }

    /// Judges a connection. `serverName`: of TLS that is passed on as it is. Nil = it may go on.
    static func refusal(
        _ tunnel: inout Tunnel, _ peer: PeerView, serverName: LentBytes, _ context: inout RequestContext, _ epoch: inout Epoch
    ) -> LocalAnswer? {
        guard isGuarded(tunnel.origin), unsafe !epoch.authorization.isEmpty else { return nil }
        var asked = question(tunnel.origin, peer, &epoch)
        if !serverName.isEmpty { asked.peer.serverName = serverName }
        // The head is not read for what is no HTTP.
        let decision = unsafe epoch.authorization.decide(asked, context.responseHead)
        context.authorizations.use { $0.record(decision, isHTTP: false) }
        guard !decision.isAllowed else { return nil }
        tunnel.log.record.policy = decision.refusedBy
        return LocalAnswer(0, .rbacAccessDenied)
    }

    private static func isGuarded(_ origin: RequestOrigin) -> Bool { origin.side == .inbound || origin.isEdge }

    private static func question(_ origin: RequestOrigin, _ peer: PeerView, _ epoch: inout Epoch) -> AuthorizationRequest {
        AuthorizationRequest(peer: peer, source: origin.remote, destination: origin.local, destinationPort: port(origin, &epoch))
    }

    /// The port that was dialled before the connection was redirected here; without redirection that of the application behind the
    /// listener, so that nobody gets around its rules (as `RoutingTables.inboundSecurity`).
    private static func port(_ origin: RequestOrigin, _ epoch: inout Epoch) -> UInt16 {
        guard !origin.isCaptured, origin.listener >= 0 else { return origin.local.port }
        let port = unsafe epoch.tables.listener(origin.listener).workloadPort
        return port == 0 ? origin.local.port : port
    }
}
