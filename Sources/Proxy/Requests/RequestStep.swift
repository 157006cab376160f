/// What is done with a request before its first attempt, in this order. To check something before routing, add a case in front of
/// `findRoute`, and the same case in `RequestSteps.advance`.
enum RequestStep: UInt8, BitwiseCopyable {
    /// Target, path and host are checked and normalised.
    case normalise
    /// Listener and host to virtual host, to rule, to cluster. Pure.
    case findRoute
    /// Whether an external authorizer lets the request in (AuthorizationPolicy of action CUSTOM).
    case authoriseExternally
    /// Whose request it is by its token (RequestAuthentication); a verified one may send it to another route.
    case authenticate
    /// Who may do what (AuthorizationPolicy), by the head as the client sent it.
    case authorise
    /// The head as the endpoint gets it.
    case prepareHead
    case limitRate
    /// A request that no rule took, a redirect; what CORS and consistent hashing need is noted.
    case followRoute
    /// Injected faults: a delay, then an abort.
    case delay
    case abort
    /// Answers that the rule gives itself.
    case answerByRoute
    case attempt

    var next: RequestStep { RequestStep(rawValue: rawValue &+ 1) ?? .attempt }
}

/// What a step says.
@safe
enum StepOutcome {
    case go
    case answer(LocalAnswer)
    /// Go on with the next step after so many nanoseconds.
    case wait(UInt64)
    /// Ask the external authorizer, and go on with the next step when it lets the request in.
    case check
    /// Go on with the same step when there are new keys of token issuers, or after so many nanoseconds.
    case waitForKeys(UInt64)
}
