internal import MeshConfig
internal import TelemetryModel

/// Protection that the configuration asks for and this version does not give: a reason not to serve, unless it was said that it is none.
struct UnenforcedSecurity {
    /// Policies told of one by one; the rest are counted.
    static let policiesMax = 100

    private(set) var policies: [UnenforcedPolicy] = []
    private var seen: Set<Key> = []

    private struct Key: Hashable {
        var position: SourcePosition
        var field: String
    }

    /// `tls` of a DestinationRule that a cluster is under.
    mutating func note(_ tls: ClientTLSSettings?, of rule: DestinationRule?, hasIdentity: Bool) {
        guard let tls, let rule else { return }
        guard tls.mode == .istioMutual, !hasIdentity else { return }
        add(
            UnenforcedPolicy(
                id: rule.id, position: tls.position, field: "tls.mode ISTIO_MUTUAL", consequence: "\(rule.host) is spoken to in plaintext",
                needsIdentity: true))
    }

    mutating func add(_ policy: UnenforcedPolicy) {
        if seen.insert(Key(position: policy.position, field: policy.field)).inserted { policies.append(policy) }
    }

    /// Errors; warnings when `isAllowed`.
    func diagnostics(isAllowed: Bool) -> [Diagnostic] {
        let severity: Diagnostic.Severity = isAllowed ? .warning : .error
        var list = policies.prefix(Self.policiesMax).map { policy in
            var lack = policy.needsIdentity ? " while the process has no identity" : " by this version"
            var remedy = policy.needsIdentity ? "Give it one with --identity DIRECTORY, remove the policy" : "Remove it"
            if !policy.remedy.isEmpty { (lack, remedy) = ("", policy.remedy) }
            let advice = isAllowed ? "" : ". \(remedy), or start with --allow-unenforced to serve without this protection"
            return Diagnostic(
                severity: severity, code: Self.code, position: policy.position, resource: policy.id, field: policy.field,
                message: "is not enforced\(lack): \(policy.consequence)\(advice)")
        }
        if policies.count > Self.policiesMax, let last = list.last {
            list.append(
                Diagnostic(
                    severity: severity, code: Self.code, position: last.position, resource: nil, field: "",
                    message: "\(policies.count - Self.policiesMax) more policies are not enforced"))
        }
        return list
    }

    static let code = "SKN0202"

    /// Policies of the node itself. Those for tokens and access guard its gateways' listeners as well; mutual TLS only what comes to the
    /// workload.
    mutating func note(_ scope: CompileScope, _ plans: [ListenerPlan]) {
        guard !scope.node.name.isEmpty, !plans.isEmpty else { return }
        let hasInbound = plans.contains { $0.side == .inbound }
        for policy in scope.configuration.unenforcedPolicies(
            namespace: scope.node.namespace, labels: scope.node.labels, hasIdentity: scope.inputs.hasIdentity)
        where policy.id.kind != "PeerAuthentication" || hasInbound {
            add(policy)
        }
    }
}
