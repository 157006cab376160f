internal import HTTP
internal import Policy
internal import Primitives
internal import Routing
internal import TelemetryModel

/// Whose request it is by its token: RequestAuthentications at the workload's own ports and at those of gateways (semantics 2.9).
///
/// It comes behind the route, so that a refusal is counted and logged with it, and a token that was verified may send the request to
/// another one (`@request.auth.claims`).
enum Authenticating {
    static func run(
        _ request: inout Request, _ context: inout RequestContext, _ loop: inout WorkerLoop, _ epoch: inout Epoch
    ) -> StepOutcome {
        guard request.origin.side == .inbound || request.origin.isEdge, !epoch.tokens.isEmpty else { return .go }
        let rules = epoch.tokens
        if rules.writesHeaders { dropForged(&request, rules, &loop) }
        // A browser sends a preflight without a token (Fetch 4.8).
        if isBarePreflight(request.head) { return .go }
        let waitEnd = request.start + TokenLimits.waitNanosecondsMax
        let (hits, misses) = (context.tokens.hits, context.tokens.misses)
        let decision = context.tokens.judge(
            rules, request.head, query: request.head.bytes(request.target.query), now: loop.now,
            unixSeconds: Int64(clamping: loop.unixNow / 1_000_000_000), mayWait: loop.now < waitEnd)
        let (hit, missed) = (context.tokens.hits &- hits, context.tokens.misses &- misses)
        loop.countEvent { counters in
            if hit > 0 { counters.add(counters.tokensRemembered, hit) }
            if missed > 0 { counters.add(counters.tokensRead, missed) }
        }
        switch decision {
        case .absent: return .go
        case .waits: return .waitForKeys(waitEnd.nanoseconds(since: loop.now))
        case .verified(let rule):
            loop.countEvent { $0.add($0.tokensAccepted) }
            return admit(rule, &request, &context, &loop, &epoch)
        case .refused(let refusal):
            loop.countEvent { $0.add($0.tokensRefused) }
            TokenEdits.takeOutAll(from: &request, rules, &context.value)
            return refuse(refusal, &request, &context, &loop, &epoch)
        }
    }

    private static func isBarePreflight(_ head: borrowing MessageHead) -> Bool {
        guard head.methodBytes == "OPTIONS", let origin = head.bytes(named: "origin"), origin.count > 0,
            let method = head.bytes(named: "access-control-request-method")
        else { return false }
        return method.count > 0
    }

    /// Headers that only rules write: clients do not.
    private static func dropForged(_ request: inout Request, _ rules: TokenTables, _ loop: inout WorkerLoop) {
        let before = request.head.fieldCount
        request.head.filter { head, index in !rules.ownsHeader(head.nameBytes(at: index)) }
        let dropped = UInt64(before - request.head.fieldCount)
        if dropped > 0 { loop.countEvent { $0.add($0.fieldsDropped, dropped) } }
    }

    private static func admit(
        _ rule: Int, _ request: inout Request, _ context: inout RequestContext, _ loop: inout WorkerLoop, _ epoch: inout Epoch
    ) -> StepOutcome {
        TokenEdits.takeOut(rule, from: &request, epoch.tokens, &context.value)
        let dropped = TokenEdits.addHeaders(rule, to: &request, epoch.tokens, &context)
        if dropped > 0 { loop.countEvent { $0.add($0.fieldsDropped, dropped) } }
        guard epoch.tables.usesClaims else { return .go }
        // What an external authorizer has for the response stays.
        let kept = request.plan.effects.intersection(.hasAuthorizerFields)
        request.plan = RoutePlan()
        request.plan.effects = kept
        request.log.record.route = .none
        return RouteFinding.run(&request, &context, &epoch)
    }

    private static func refuse(
        _ refusal: TokenRefusal, _ request: inout Request, _ context: inout RequestContext, _ loop: inout WorkerLoop,
        _ epoch: inout Epoch
    ) -> StepOutcome {
        // It gets its head, for its record, as every request that has a route.
        _ = RequestHeadPreparing.run(&request, &context, &loop, &epoch)
        writeChallenge(&request, &context.answerText, isMissing: refusal.isMissing)
        var answer = LocalAnswer(refusal.status, .jwtAccessDenied, body: refusal.text)
        answer.policy = epoch.tokens.name(of: refusal)
        answer.hasChallenge = true
        return .answer(answer)
    }

    /// Bytes of the path that a challenge tells (Envoy's `MaximumUriLength`).
    private static let realmPathBytesMax = 256

    /// `Bearer realm="https://host/path", error="invalid_token"` (RFC 6750 section 3), as Envoy writes it.
    private static func writeChallenge(_ request: inout Request, _ output: inout ByteBuffer, isMissing: Bool) {
        output.clear()
        output.append("Bearer realm=\"")
        output.append(request.target.isHTTPS ? "https://" : "http://")
        appendQuoted(request.head.bytes(request.target.authority), to: &output)
        let path = request.head.bytes(request.target.path)
        appendQuoted(path.prefix(min(path.count, realmPathBytesMax)), to: &output)
        output.append("\"")
        if !isMissing { output.append(", error=\"invalid_token\"") }
    }

    /// As a quoted string needs it (RFC 9110 5.6.4).
    private static func appendQuoted(_ text: LentBytes, to output: inout ByteBuffer) {
        for index in 0..<text.count {
            if text[index] == UInt8(ascii: "\"") || text[index] == UInt8(ascii: "\\") { output.append("\\") }
            output.append(byte: text[index])
        }
    }
}
