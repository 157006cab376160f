internal import MeshConfig
internal import Primitives

/// TLS that a Sidecar's ingress listener terminates for clients from outside of the mesh. As in Istio the port's PeerAuthentication must be
/// DISABLE: one port takes either TLS of its own or that of the mesh.
struct SidecarTLSCompiler {
    /// What the workload takes of the mesh.
    let rules: WorkloadMutualTLS
    let draft: SnapshotBuilder

    /// What a listener takes; nil = nothing is decrypted but what the mesh encrypts, which is said where it is not what was asked for.
    func ingressSecurity(of listener: Sidecar.IngressListener, _ sidecar: Sidecar) -> GatewaySecurity? {
        guard let tls = listener.tls, tls.isTerminating else { return nil }
        let port = listener.port.number
        let rule = rules.rule(port: port)
        switch rule.mode {
        case .disable:
            return GatewaySecurity(
                server: "\(sidecar.id), ingress port \(port)", tls: tls, isHTTP: listener.port.protocol == .https)
        case .strict:
            draft.report(
                .warning, "SKN0327", tls.position, sidecar.id, "spec.ingress.tls",
                "has no effect: \(rule.decider) takes mutual TLS of the mesh alone at port \(port). \(Self.advice(port))")
        case .permissive, .unset:
            draft.unenforced.add(
                UnenforcedPolicy(
                    id: sidecar.id, position: tls.position, field: "spec.ingress.tls",
                    consequence: "\(rule.decider) leaves port \(port) PERMISSIVE, which takes plaintext", remedy: Self.advice(port)))
        }
        return nil
    }

    private static func advice(_ port: UInt16) -> String {
        "Let the workload's PeerAuthentication say portLevelMtls: {\(port): {mode: DISABLE}}"
    }

    /// Has a listener's connections decrypted, whatever server name they ask for, and served by a row of its own.
    static func secure(_ listener: inout ListenerEntry, by security: GatewaySecurity, _ draft: SnapshotBuilder) {
        let server = draft.add(listener, securedBy: security, key: security.tls.key(of: [security.server, "\(security.isHTTP)"]))
        listener.servers = draft.gatewayServers.add(contentsOf: [server])
        listener.mode = .tcp
        // The first of its servers takes every name, and none.
        listener.fallback = 0
    }
}
