internal import MeshConfig
internal import Primitives

/// What the node's own ports take, from PeerAuthentication.
struct InboundSecurityCompiler {
    let scope: CompileScope
    let policies: PeerAuthentications
    let draft: SnapshotBuilder

    /// A proxy beside no workload has nothing to guard.
    func addPorts() {
        draft.securityReasons.hasIdentity = scope.inputs.hasIdentity
        guard !scope.node.name.isEmpty else { return }
        let rules = policies.rules(namespace: scope.node.namespace, labels: scope.node.labels)
        draft.securityReasons.inbound = rules
        let ports = rules.ports.sorted { $0.key < $1.key }.map { InboundSecurityEntry(port: $0.key, security: compileMode($0.value.mode)) }
        _ = draft.inboundSecurities.add(contentsOf: [InboundSecurityEntry(port: 0, security: compileMode(rules.standard.mode))] + ports)
    }

    /// Without an identity there is no TLS to take; STRICT is then refused, or served with a warning (`UnenforcedSecurity`).
    private func compileMode(_ mode: MutualTLSMode) -> InboundSecurity {
        guard scope.inputs.hasIdentity else { return .disabled }
        return switch mode {
        case .disable: .disabled
        case .unset, .permissive: .permissive
        case .strict: .strict
        }
    }
}
