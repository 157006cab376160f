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
    /// Judges a request. Nil = it may go on.
    static func refusalOfRequest(_ request: inout Request, _ context: inout RequestContext, _ epoch: inout Epoch) -> LocalAnswer? {
        guard hasGuard(request.origin, epoch.authorization) else { return nil }
        var asked = describe(&request, context.peer, &epoch)
        asked.claims = context.tokens.claims
        let decision = epoch.authorization.decide(asked, request.head)
        context.authorizations.use { $0.record(decision, isHTTP: true) }
        request.log.record.shadow = decision.shadow
        return decision.isAllowed ? nil : .accessDenied(by: decision.refusedBy)
    }

    /// Judges a connection. `serverName`: of TLS that is passed on as it is. Nil = it may go on.
    static func refusalOfConnection(
        _ origin: RequestOrigin, _ serverName: LentBytes, _ context: inout RequestContext, _ epoch: inout Epoch
    ) -> LocalAnswer? {
        guard hasGuard(origin, epoch.authorization) else { return nil }
        let asked = describe(origin, serverName, context.peer, &epoch)
        // The head is not read for what is no HTTP.
        let decision = epoch.authorization.decide(asked, context.responseHead)
        context.authorizations.use { $0.record(decision, isHTTP: false) }
        return decision.isAllowed ? nil : .accessDenied(by: decision.refusedBy)
    }

    /// A request as rules look at it; good until its head's text grows.
    static func describe(_ request: inout Request, _ peer: PeerView, _ epoch: inout Epoch) -> AuthorizationRequest {
        var asked = describeOrigin(request.origin, peer, &epoch)
        asked.isHTTP = true
        asked.trustsForwardedFor = !request.origin.isEdge
        asked.isHTTPS = request.target.isHTTPS
        asked.method = request.head.methodBytes
        asked.target = request.head.bytes(request.head.sentTarget)
        asked.authority = request.head.bytes(request.target.authority)
        if request.target.form != .authority { asked.path = request.head.bytes(request.target.path) }
        return asked
    }

    /// A connection that is no HTTP, as rules look at it.
    static func describe(
        _ origin: RequestOrigin, _ serverName: LentBytes, _ peer: PeerView, _ epoch: inout Epoch
    ) -> AuthorizationRequest {
        var asked = describeOrigin(origin, peer, &epoch)
        if !serverName.isEmpty { asked.peer.serverName = serverName }
        return asked
    }

    private static func hasGuard(_ origin: RequestOrigin, _ policies: AuthorizationTables) -> Bool {
        isGuarded(origin) && !policies.isEmpty
    }

    /// What comes to the workload, or to a gateway.
    static func isGuarded(_ origin: RequestOrigin) -> Bool { origin.side == .inbound || origin.isEdge }

    private static func describeOrigin(_ origin: RequestOrigin, _ peer: PeerView, _ epoch: inout Epoch) -> AuthorizationRequest {
        AuthorizationRequest(peer: peer, source: origin.remote, destination: origin.local, destinationPort: guardedPort(origin, &epoch))
    }

    /// The port that was dialled before the connection was redirected here; without redirection that of the application behind the
    /// listener, so that nobody gets around its rules (as `RoutingTables.inboundSecurity`).
    private static func guardedPort(_ origin: RequestOrigin, _ epoch: inout Epoch) -> UInt16 {
        guard !origin.isCaptured, origin.listener >= 0 else { return origin.local.port }
        let port = epoch.tables.listener(origin.listener).workloadPort
        return port == 0 ? origin.local.port : port
    }
}
