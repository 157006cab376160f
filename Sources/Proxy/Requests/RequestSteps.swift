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

    private static func advance(
        from first: RequestStep, _ request: inout Request, _ context: inout RequestContext, _ loop: inout WorkerLoop,
        _ epoch: inout Epoch
    ) -> RequestAction {
        var step = first
        while step != .attempt {
            let outcome = run(step, &request, &context, &loop, &epoch)
            if case .go = outcome {
                step = step.next
                continue
            }
            // It stops here, and goes on with this step or with the next one.
            if case .waitForKeys = outcome {} else { step = step.next }
            request.phase = .opening(next: step)
            switch outcome {
            case .go: break
            case .answer(let answer): return .answer(answer)
            case .wait(let nanoseconds): return .wait(nanoseconds, isForKeys: false)
            case .check: return .check
            case .waitForKeys(let nanoseconds): return .wait(nanoseconds, isForKeys: true)
            }
        }
        request.phase = .opening(next: .attempt)
        return .attempt
    }

    @inline(__always)
    private static func run(
        _ step: RequestStep, _ request: inout Request, _ context: inout RequestContext, _ loop: inout WorkerLoop,
        _ epoch: inout Epoch
    ) -> StepOutcome {
        switch step {
        case .normalise: TargetNormalising.run(&request, &context, &epoch)
        case .findRoute: RouteFinding.run(&request, &context, &epoch)
        case .authoriseExternally: ExternalAuthorising.run(&request, &context, &epoch)
        case .authenticate: Authenticating.run(&request, &context, &loop, &epoch)
        case .authorise: askPolicies(&request, &context, &loop, &epoch)
        case .prepareHead: RequestHeadPreparing.run(&request, &context, &loop, &epoch)
        case .limitRate: RateLimiting.run(&request, &context, &loop, &epoch)
        case .followRoute: RouteFollowing.run(&request, &context, &epoch)
        case .delay: FaultInjection.injectDelay(&request, &context, &loop, &epoch)
        case .abort: FaultInjection.injectAbort(&request, &loop, &epoch)
        case .answerByRoute: RouteFollowing.answer(&request, &epoch)
        case .attempt: .go
        }
    }

    /// One that is refused still gets its head, for its record: request id, trace and texts, as every request that has a route.
    private static func askPolicies(
        _ request: inout Request, _ context: inout RequestContext, _ loop: inout WorkerLoop, _ epoch: inout Epoch
    ) -> StepOutcome {
        guard let refusal = Authorising.refusalOfRequest(&request, &context, &epoch) else { return .go }
        _ = RequestHeadPreparing.run(&request, &context, &loop, &epoch)
        return .answer(refusal)
    }
}
