public import HTTP
public import MeshConfig
internal import Matching
internal import Primitives

/// Why a request is let in or refused: what each policy and rule says of it. Made by the matchers that serve traffic; cold code.
public struct AuthorizationExplanation: Sendable {
    /// A clause that does not hold.
    public struct Failure: Sendable {
        /// `paths`, `when request.headers[x-token] notValues`.
        public var field: String
        /// `one of /api/*, /v2/*`, `none of ...`.
        public var wanted: String
        /// What the request has; nil = nothing of the kind.
        public var found: String?
        public var position: SourcePosition
    }

    public struct Rule: Sendable {
        /// Place in its policy.
        public var place: Int
        public var position: SourcePosition
        public var matches: Bool
        /// The first clause that does not hold, of the source and operation that come nearest; nil = it matches.
        public var failure: Failure?
        /// Clauses that do not hold there.
        public var failureCount: Int
    }

    public struct Policy: Sendable {
        public var facts: PolicyFacts
        public var rules: [Rule]

        public var matches: Bool { rules.contains(where: \.matches) }
    }

    /// In the order of their judging.
    public var policies: [Policy] = []
    public var verdict = AuthorizationVerdict.allowed
    /// The provider, and its address, that is asked before the others decide; nil = nobody is.
    public var asks: (provider: String, authority: String)?

    public var isAllowed: Bool { verdict == .allowed }

    /// Where no ALLOW rule matched: the one with the fewest clauses against it.
    public var nearest: (policy: Policy, rule: Rule)? {
        policies.filter { $0.facts.action == .allow && !$0.facts.isDryRun }
            .flatMap { policy in policy.rules.map { (policy: policy, rule: $0) } }
            .min { $0.rule.failureCount < $1.rule.failureCount }
    }
}

extension AuthorizationSet {
    /// Explains a request; decides as `AuthorizationTables.decide` does.
    public func explain(_ request: AuthorizationRequest, _ head: borrowing MessageHead) -> AuthorizationExplanation {
        var result = AuthorizationExplanation()
        result.verdict = tables.decide(request, head).verdict
        if let authorizer, tables.customMatch(request, head).isThere { result.asks = (authorizer.name, authorizer.authority) }
        for facts in policies {
            var policy = AuthorizationExplanation.Policy(facts: facts, rules: [])
            for (place, rule) in facts.rules.enumerated() {
                let failures = view.failures(of: rule, facts.phase, request, head)
                let first = failures.first.map { index, clause in
                    AuthorizationExplanation.Failure(
                        field: clause.field, wanted: (clause.isNegated ? "none of " : "one of ") + Self.listed(clause.values),
                        found: view.found(index, request, head), position: clause.position)
                }
                policy.rules.append(
                    AuthorizationExplanation.Rule(
                        place: place, position: rule.position, matches: view.matches(rule.index, facts.phase, request, head),
                        failure: first, failureCount: failures.count))
            }
            result.policies.append(policy)
        }
        return result
    }

    /// Values that are shown of a clause.
    private static let valuesMax = 8

    private static func listed(_ values: [String]) -> String {
        let shown = values.prefix(valuesMax).joined(separator: ", ")
        return values.count > valuesMax ? "\(shown) and \(values.count - valuesMax) more" : shown
    }
}

extension AuthorizationView {
    fileprivate typealias Failed = (index: Int, clause: AuthorizationPolicy.Clause)

    /// The clauses that do not hold: of the source and of the operation that come nearest, and of the conditions.
    fileprivate func failures(
        of rule: PolicyFacts.Rule, _ phase: RulePhase, _ request: AuthorizationRequest, _ head: borrowing MessageHead
    ) -> [Failed] {
        let entry = rows.rules[rule.index]
        return nearest(entry.sources, rule.source.sources, phase, request, head)
            + nearest(entry.operations, rule.source.operations, phase, request, head)
            + failed(entry.conditions, rule.source.conditions, phase, request, head)
    }

    private func nearest(
        _ groups: TableRange, _ written: [AuthorizationPolicy.Group], _ phase: RulePhase, _ request: AuthorizationRequest,
        _ head: borrowing MessageHead
    ) -> [Failed] {
        var best: [Failed]?
        for (index, group) in zip(groups.indices, written) {
            let found = failed(rows.groups[index].clauses, group.clauses, phase, request, head)
            if found.count < best?.count ?? Int.max { best = found }
        }
        return best ?? []
    }

    private func failed(
        _ clauses: TableRange, _ written: [AuthorizationPolicy.Clause], _ phase: RulePhase, _ request: AuthorizationRequest,
        _ head: borrowing MessageHead
    ) -> [Failed] {
        var found: [Failed] = []
        for (index, clause) in zip(clauses.indices, written) where !holds(index, request, head, isStrict: phase.isStrict) {
            found.append((index, clause))
        }
        return found
    }

    /// What the request has of what a clause looks at; nil = nothing.
    fileprivate func found(_ index: Int, _ request: AuthorizationRequest, _ head: borrowing MessageHead) -> String? {
        let clause = rows.clauses[index]
        func text(_ bytes: LentBytes) -> String? { bytes.isEmpty ? nil : bytes.text }
        switch clause.subject {
        case .principal: return text(request.peer.principal)
        case .namespace: return text(request.peer.namespace)
        case .trustDomain: return text(request.peer.trustDomain)
        case .serviceAccount:
            return request.peer.account.isEmpty ? nil : "\(request.peer.namespace.text)/\(request.peer.account.text)"
        case .sourceAddress: return request.source.family == .absent ? nil : request.source.addressText
        case .remoteAddress: return request.source.family == .absent ? nil : remoteAddress(request, head).addressText
        case .destinationAddress: return request.destination.family == .absent ? nil : request.destination.addressText
        case .destinationPort: return request.destinationPort == 0 ? nil : String(request.destinationPort)
        case .serverName: return text(request.peer.serverName)
        case .host: return text(request.authority)
        case .method: return text(request.method)
        case .path: return text(request.path)
        case .target: return text(request.target)
        case .scheme: return request.isHTTPS ? "https" : "http"
        case .header:
            var lines: [String] = []
            let name = rows.text.bytes(clause.name)
            for field in 0..<head.fieldCount where head.isNamed(name, at: field) {
                lines.append(head.bytes(at: field).text)
            }
            return lines.isEmpty ? nil : lines.joined(separator: " | ")
        case .tokenPrincipal: return text(request.claims.principal)
        case .claim: return request.claims.shownValues(at: rows.text.bytes(clause.name))
        case .nothing: return nil
        }
    }
}
