internal import HTTP
internal import Matching
internal import MeshConfig
internal import Policy
internal import Primitives
internal import Routing
internal import TelemetryModel

/// What `skein explain` says of AuthorizationPolicies.
extension RequestExplanation {
    /// Adds what the policies say; true = the request is let in. `row`: the listener that serves it. What a workload sends out is not
    /// judged.
    @unsafe
    mutating func authorise(
        _ request: RequestDescription, _ snapshot: RoutingSnapshot, _ policies: AuthorizationSet, row: Int,
        _ asked: borrowing RouteRequest, _ head: borrowing MessageHead, _ claims: ClaimsView
    ) -> Bool {
        let listener = unsafe snapshot.tables.listener(row)
        guard listener.side == .inbound || listener.isEdge else { return true }
        guard !policies.isEmpty else {
            nodes.append(Node("authorization", "allowed: no AuthorizationPolicy selects the workload"))
            return true
        }
        var facts = PeerFacts()
        if !request.principal.isEmpty {
            let scheme = request.principal.hasPrefix("spiffe://") ? "" : "spiffe://"
            facts.note(identity: scheme + request.principal, serverName: "")
        }
        let source = SocketEndpoint(address: request.sourceAddress.isEmpty ? "127.0.0.1" : request.sourceAddress, port: 0)
        guard let source else {
            errors = ["--source-ip \(request.sourceAddress): write an IP address"]
            return true
        }
        let own = snapshot.listeners.indices.contains(row) ? snapshot.listeners[row].endpoint : SocketEndpoint()
        var question = AuthorizationRequest(
            peer: facts.view, source: source, destination: own,
            destinationPort: listener.workloadPort == 0 ? own.port : listener.workloadPort)
        question.isHTTP = true
        question.claims = claims
        question.trustsForwardedFor = !listener.isEdge
        question.isHTTPS = asked.isHTTPS
        question.method = asked.method
        question.path = asked.path
        question.authority = asked.authority
        let target = unsafe Array(asked.path.buffer) + Array(asked.query.buffer)
        return unsafe target.withUnsafeBytes { bytes in
            unsafe question.target = LentBytes(bytes)
            return add(policies.explain(question, head))
        }
    }

    private mutating func add(_ explanation: AuthorizationExplanation) -> Bool {
        let children = explanation.policies.map { policy in
            let rules = policy.rules.map { rule in
                Node("rule \(rule.place)", "(\(rule.position)) " + (rule.failure.map(Self.text) ?? "matches"))
            }
            let action = policy.facts.action.rawValue + (policy.facts.isDryRun ? ", dry-run" : "")
            let verdict = policy.rules.isEmpty ? "has no rules and matches nothing" : policy.matches ? "matches" : "does not match"
            return Node(policy.facts.id.description, "\(action) (\(policy.facts.position)): \(verdict)", rules)
        }
        let asks = explanation.asks.map { "asks \($0.provider) at \($0.authority) first; if that lets it in: " } ?? ""
        nodes.append(Node("authorization", asks + Self.verdictText(explanation), children))
        return explanation.isAllowed
    }

    private static func verdictText(_ explanation: AuthorizationExplanation) -> String {
        switch explanation.verdict {
        case .denied: return "denied by a DENY rule: 403 rbac_access_denied"
        case .notAllowed:
            let text = "denied, as no ALLOW rule matches: 403 rbac_access_denied_matched_policy[none]"
            guard let (policy, rule) = explanation.nearest, let failure = rule.failure else { return text }
            return text + "; the nearest is rule \(rule.place) of \(policy.facts.id) (\(rule.position)): \(Self.text(failure))"
        default:
            return explanation.policies.contains { $0.facts.action == .allow && !$0.facts.isDryRun }
                ? "allowed by an ALLOW rule" : "allowed: no DENY rule matches, and there is no ALLOW policy"
        }
    }

    private static func text(_ failure: AuthorizationExplanation.Failure) -> String {
        "\(failure.field) wants \(failure.wanted): the request has \(failure.found.map { "\"\($0)\"" } ?? "none") (\(failure.position))"
    }
}
