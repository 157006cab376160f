internal import Policy
internal import Primitives
internal import TelemetryModel

/// What the worker is to do for a request.
@safe
enum RequestAction {
    case attempt
    case answer(LocalAnswer)
    /// Nothing until the wait is over, nanoseconds; `isForKeys`: or until there are new keys of token issuers.
    case wait(UInt64, isForKeys: Bool)
    /// The external authorizer is to be asked (`CheckTraffic`).
    case check
}

enum RequestSteps {
    /// Takes the request on from where it is, until it is ready to be sent, answered, or has to wait.
    static func advance(
        _ request: inout Request, _ context: inout RequestContext, _ loop: inout WorkerLoop, _ epochs: inout Epochs
    ) -> RequestAction {
        guard case .opening(let step) = request.phase else { return .attempt }
        // Claims are those of this request, and of no other that was judged while it waited.
        context.tokens.passOver()
        return advance(from: step, &request, &context, &loop, &epochs.all[request.epoch])
    }

    /// The steps in their order, each behind the one before it: a loop would ask anew for each which one it is.
    private static func advance(
        from first: RequestStep, _ request: inout Request, _ context: inout RequestContext, _ loop: inout WorkerLoop,
        _ epoch: inout Epoch
    ) -> RequestAction {
        switch first {
        case .normalise:
            if let stop = stop(TargetNormalising.run(&request, &context, &epoch), .normalise, &request) { return stop }
            fallthrough
        case .findRoute:
            if let stop = stop(RouteFinding.run(&request, &context, &epoch), .findRoute, &request) { return stop }
            fallthrough
        case .authoriseExternally:
            if let stop = stop(ExternalAuthorising.run(&request, &context, &epoch), .authoriseExternally, &request) { return stop }
            fallthrough
        case .authenticate:
            if let stop = stop(Authenticating.run(&request, &context, &loop, &epoch), .authenticate, &request) { return stop }
            fallthrough
        case .authorise:
            if let stop = stop(askPolicies(&request, &context, &loop, &epoch), .authorise, &request) { return stop }
            fallthrough
        case .prepareHead:
            if let stop = stop(RequestHeadPreparing.run(&request, &context, &loop, &epoch), .prepareHead, &request) { return stop }
            fallthrough
        case .limitRate:
            if let stop = stop(RateLimiting.run(&request, &context, &loop, &epoch), .limitRate, &request) { return stop }
            fallthrough
        case .followRoute:
            if let stop = stop(RouteFollowing.run(&request, &context, &epoch), .followRoute, &request) { return stop }
            fallthrough
        case .delay:
            if let stop = stop(FaultInjection.injectDelay(&request, &context, &loop, &epoch), .delay, &request) { return stop }
            fallthrough
        case .abort:
            if let stop = stop(FaultInjection.injectAbort(&request, &loop, &epoch), .abort, &request) { return stop }
            fallthrough
        case .answerByRoute:
            if let stop = stop(RouteFollowing.answer(&request, &epoch), .answerByRoute, &request) { return stop }
            fallthrough
        case .attempt:
            request.phase = .opening(next: .attempt)
            return .attempt
        }
    }

    /// Nil = on to the next step. Always inlined: most steps say so without an answer being made.
    @inline(__always)
    private static func stop(_ outcome: StepOutcome, _ step: RequestStep, _ request: inout Request) -> RequestAction? {
        if case .go = outcome { return nil }
        // It goes on with the next step, or with this one.
        request.phase = .opening(next: step.next)
        switch outcome {
        case .go: return nil
        case .answer(let answer): return .answer(answer)
        case .wait(let nanoseconds): return .wait(nanoseconds, isForKeys: false)
        case .check: return .check
        case .waitForKeys(let nanoseconds):
            request.phase = .opening(next: step)
            return .wait(nanoseconds, isForKeys: true)
        }
    }

    /// One that is refused still gets its head, for its record: request id, trace and texts, as every request that has a route.
    @inline(__always)
    private static func askPolicies(
        _ request: inout Request, _ context: inout RequestContext, _ loop: inout WorkerLoop, _ epoch: inout Epoch
    ) -> StepOutcome {
        guard let refusal = Authorising.refusalOfRequest(&request, &context, &epoch) else { return .go }
        _ = RequestHeadPreparing.run(&request, &context, &loop, &epoch)
        return .answer(refusal)
    }
}
