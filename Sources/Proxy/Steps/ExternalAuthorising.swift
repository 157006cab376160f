internal import HTTP
internal import Policy
internal import Primitives

/// Whether an external authorizer is to be asked (AuthorizationPolicies of action CUSTOM; semantics 2.8): at the workload's own ports and
/// at those of gateways, before other policies are looked at. `CheckTraffic` asks.
enum ExternalAuthorising {
    static func run(_ request: inout Request, _ context: inout RequestContext, _ epoch: inout Epoch) -> StepOutcome {
        guard epoch.authorization.hasCustom else { return .go }
        guard Authorising.isGuarded(request.origin), !request.traits.contains(.isChecked) else { return .go }
        let asked = Authorising.describe(&request, context.peer, &epoch)
        let match = epoch.authorization.customMatch(asked, request.head)
        guard match.isThere else { return .go }
        context.authorizations.use { $0.record(match) }
        request.traits.insert(.isChecked)
        return .check
    }

    /// The same of a connection that is no HTTP. `serverName`: of TLS that is passed on as it is.
    static func asks(
        about origin: RequestOrigin, _ serverName: LentBytes, _ context: inout RequestContext, _ epoch: inout Epoch
    ) -> Bool {
        guard epoch.authorization.hasCustom, Authorising.isGuarded(origin) else { return false }
        let asked = Authorising.describe(origin, serverName, context.peer, &epoch)
        // The head is not read for what is no HTTP.
        let match = epoch.authorization.customMatch(asked, context.responseHead)
        if match.isThere { context.authorizations.use { $0.record(match) } }
        return match.isThere
    }
}
