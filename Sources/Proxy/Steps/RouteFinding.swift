internal import HTTP
internal import Matching
internal import Policy
internal import Primitives
internal import Routing
internal import TelemetryModel

/// Which rule takes a request and which cluster it goes to. A pure decision, made again whenever what it looks at has changed.
enum RouteFinding {
    static func run(_ request: inout Request, _ context: inout RequestContext, _ epoch: inout Epoch) -> StepOutcome {
        if let left = MaxForwards.left(request.head), left == 0 { return MaxForwards.answer(&request, &context, &epoch) }
        let listener = request.origin.listener
        guard listener >= 0 else { return request.origin.isSecured ? answerMisdirected(&request, &context, &epoch) : .go }
        let entry = epoch.tables.listener(listener)
        var decision = RouteDecision.notFound
        if request.target.form != .authority {
            let asked = unsafe RouteRequest(&request, claims: context.tokens.claims)
            decision = epoch.tables.decide(listener: listener, asked, request.head, draw: &context.draws.route)
        }
        // A redirected client meant somebody; whom nobody declared it may reach all the same (ALLOW_ANY).
        if request.origin.isCaptured, entry.passthrough >= 0, decision.isNotFound || entry.side == .inbound {
            decision = .notFound
            request.plan.cluster = entry.passthrough
            request.plan.effects.insert(.passesThrough)
        }
        note(decision, &request, &epoch)
        return .go
    }

    /// The server that the connection was secured for is gone, or lets other clients in than it did: another connection may be good
    /// (RFC 9110 15.5.20).
    private static func answerMisdirected(_ request: inout Request, _ context: inout RequestContext, _ epoch: inout Epoch) -> StepOutcome {
        RecordTexts.write(&request, context.limits.recordTextBytesMax, &epoch, path: request.target.path, isWhole: true)
        return .answer(LocalAnswer(421, .routeNotFound, [.noRouteFound], closes: true))
    }

    private static func note(_ decision: RouteDecision, _ request: inout Request, _ epoch: inout Epoch) {
        let choice: RouteChoice
        switch decision {
        case .notFound: return
        case .noCluster(let taken):
            choice = taken
            request.plan.kind = .noCluster
        case .redirect(let taken):
            choice = taken
            request.plan.kind = .redirect
        case .directResponse(let taken):
            choice = taken
            request.plan.kind = .directResponse
        case .cluster(let cluster, let taken):
            choice = taken
            request.plan.kind = .cluster
            request.plan.cluster = Int32(clamping: cluster)
        }
        request.plan.route = Int32(clamping: choice.route)
        request.plan.destination = choice.destination
        request.plan.match = choice.match
        request.log.record.route = epoch.tables.route(choice.route).name
        if epoch.tables.responseEdits(destination: choice.destination).isActive { request.plan.effects.insert(.editsResponse) }
    }
}

extension RouteRequest {
    /// What routing looks at; good until the head's text grows.
    @unsafe
    init(_ request: inout Request, claims: ClaimsView = ClaimsView()) {
        self.init(
            method: request.head.methodBytes, path: request.head.bytes(request.target.path),
            query: request.head.bytes(request.target.query),
            authority: request.head.bytes(request.target.authority), host: request.target.host, isHTTPS: request.target.isHTTPS,
            claims: claims)
    }
}

/// `Max-Forwards` (RFC 9110 7.6.2): how many more proxies an OPTIONS or TRACE may pass. With other methods it says nothing.
enum MaxForwards {
    /// What is left of it before this hop; nil = nothing was said, or nothing legible.
    static func left(_ head: borrowing MessageHead) -> UInt64? {
        guard head.has(.maxForwards), head.methodBytes == "OPTIONS" || head.methodBytes == "TRACE",
            let value = head.bytes(of: .maxForwards)
        else { return nil }
        return value.decimal
    }

    /// Answers as the last recipient. OPTIONS asks for nothing more than an answer (RFC 9110 9.3.7); TRACE gets its request line and host
    /// back, and none of its other fields, some of which may be secret (9.3.8).
    static func answer(_ request: inout Request, _ context: inout RequestContext, _ epoch: inout Epoch) -> StepOutcome {
        RecordTexts.write(&request, context.limits.recordTextBytesMax, &epoch, path: request.target.path, isWhole: true)
        context.answerText.clear()
        if request.head.methodBytes == "TRACE" {
            context.answerText.append("TRACE ")
            context.answerText.append(request.head.bytes(request.head.sentTarget))
            context.answerText.append(" HTTP/1.1\r\nHost: ")
            context.answerText.append(request.head.bytes(request.target.authority))
            context.answerText.append("\r\nMax-Forwards: 0\r\n\r\n")
        }
        return .answer(LocalAnswer(200, .directResponse, text: context.answerText.lent))
    }
}
