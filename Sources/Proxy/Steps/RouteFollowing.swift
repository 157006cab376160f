internal import HTTP
internal import Primitives
internal import Routing
internal import TelemetryModel

/// What the rule that took a request says besides where it goes: redirects, direct responses, CORS (semantics 2.6), consistent hashing.
enum RouteFollowing {
    @inline(__always)
    static func run(_ request: inout Request, _ context: inout RequestContext, _ epoch: inout Epoch) -> StepOutcome {
        guard request.plan.route >= 0 else {
            if request.plan.effects.contains(.passesThrough) {
                noteCluster(&request, &epoch)
                return .go
            }
            return .answer(LocalAnswer(404, .routeNotFound, [.noRouteFound]))
        }
        let actions = epoch.tables.actions(UInt32(request.plan.route))
        if actions.cors >= 0 { CrossOrigin.note(&request, actions.cors, &epoch) }
        if request.plan.kind == .redirect {
            // Rules that redirect have no faults (IST0106).
            return request.plan.effects.contains(.isPreflight) ? preflight : answerRedirect(&request, &context, &epoch)
        }
        if request.plan.kind == .cluster {
            let cluster = epoch.tables.cluster(Int(request.plan.cluster))
            if cluster.hash.key != .none { noteHash(&request, &context, cluster.hash, &epoch) }
        }
        return .go
    }

    private static var preflight: StepOutcome { .answer(LocalAnswer(200, .corsPreflight)) }

    /// Answers that come behind the faults.
    @inline(__always)
    static func answer(_ request: inout Request, _ epoch: inout Epoch) -> StepOutcome {
        if request.plan.effects.contains(.passesThrough) { return .go }
        if request.plan.effects.contains(.isPreflight) { return preflight }
        if request.plan.kind == .directResponse {
            let tables = epoch.tables
            let direct = tables.actions(UInt32(request.plan.route)).directResponse
            return .answer(LocalAnswer(direct.status, .directResponse, text: tables.directBody(direct)))
        }
        guard request.plan.cluster >= 0 else {
            return .answer(LocalAnswer(503, .clusterNotFound, [.noClusterFound], body: "no such cluster"))
        }
        noteCluster(&request, &epoch)
        return .go
    }

    private static func noteCluster(_ request: inout Request, _ epoch: inout Epoch) {
        let cluster = epoch.tables.cluster(Int(request.plan.cluster))
        request.log.record.cluster = cluster.name
        request.log.record.labels.destination = cluster.labels
    }

    private static func answerRedirect(_ request: inout Request, _ context: inout RequestContext, _ epoch: inout Epoch) -> StepOutcome {
        let tables = epoch.tables
        let actions = tables.actions(UInt32(request.plan.route))
        context.answerText.clear()
        // Nobody means the port of the proxy itself.
        let port = request.origin.isCaptured ? request.origin.local.port : 0
        unsafe tables.location(
            actions.redirect, match: request.plan.match, RouteRequest(&request), requestPort: port, into: &context.answerText)
        var answer = LocalAnswer(actions.redirect.status, .directResponse)
        answer.hasLocation = true
        return .answer(answer)
    }

    /// Notes what consistent hashing goes by; a client without the cookie gets one with its response.
    private static func noteHash(
        _ request: inout Request, _ context: inout RequestContext, _ policy: HashPolicy, _ epoch: inout Epoch
    ) {
        let tables = epoch.tables
        let query = request.head.bytes(request.target.query)
        if let known = tables.hash(policy, request.head, query: query, source: request.origin.remote) {
            request.plan.hash = known
            request.plan.effects.insert(.hasHash)
            return
        }
        guard policy.key == .cookie, policy.cookieSeconds >= 0 else { return }
        let value = context.draws.identifier.next()
        request.plan.cookieValue = value
        context.value.clear()
        context.value.append(hexadecimal16: value)
        request.plan.hash = tables.hash(cookieValue: context.value.lent)
        request.plan.effects.formUnion([.hasHash, .setsCookie])
    }
}

/// Cross-origin rules of a route (`corsPolicy`): what they make of a request, and what they say in its response.
enum CrossOrigin {
    /// Notes what the route's CORS policy makes of the request.
    static func note(_ request: inout Request, _ index: Int32, _ epoch: inout Epoch) {
        guard let origin = request.head.bytes(named: "origin"), origin.count > 0 else { return }
        let asked = request.head.bytes(named: "access-control-request-method")
        let isPreflight = request.head.methodBytes == "OPTIONS" && asked?.isEmpty == false
        let isAllowed = epoch.tables.allows(cors: index, origin: origin)
        if isAllowed {
            request.plan.effects.insert(.allowsOrigin)
            request.plan.origin = request.head.place(of: origin)
        }
        if isPreflight, isAllowed || epoch.tables.answersUnmatchedPreflight(index) { request.plan.effects.insert(.isPreflight) }
    }

    /// Whether the policy speaks of this response field; what it does not say stays the application's.
    static func governs(_ name: LentBytes, _ plan: RoutePlan, _ epoch: inout Epoch) -> Bool {
        if name.equals(ignoringCase: "access-control-allow-origin") { return true }
        let tables = epoch.tables
        let cors = tables.actions(UInt32(plan.route)).cors
        if name.equals(ignoringCase: "access-control-allow-credentials") { return tables.saysCredentials(cors: cors) }
        return name.equals(ignoringCase: "access-control-expose-headers") && tables.saysExposed(cors: cors)
    }

    static func addOwnFields(to head: inout MessageHead, _ request: inout Request, _ epoch: inout Epoch) {
        let tables = epoch.tables
        let cors = tables.actions(UInt32(request.plan.route)).cors
        let origin = request.head.bytes(request.plan.origin)
        let isPreflight = request.plan.effects.contains(.isPreflight)
        tables.corsFields(cors, isPreflight: isPreflight, origin: origin) { name, value in
            head.add(name) { $0.append(value) }
        }
    }
}
