/// What is taken from those who connect to a port (Istio: PeerAuthentication).
public enum MutualTLSMode: String, Sendable, CaseIterable {
    /// As the next wider scope says.
    case unset = "UNSET"
    /// Plaintext only.
    case disable = "DISABLE"
    /// Plaintext and mutual TLS.
    case permissive = "PERMISSIVE"
    /// Mutual TLS only.
    case strict = "STRICT"
}

/// A mode and who decided it.
public struct MutualTLSRule: Sendable, Hashable {
    /// Never `unset`.
    public var mode: MutualTLSMode
    /// Nil = no policy speaks for the workload, which is PERMISSIVE.
    public var policy: ResourceID?
    public var position: SourcePosition?
    /// `spec.mtls.mode`, or one of `spec.portLevelMtls`.
    public var field = ""

    /// `PeerAuthentication default/strict (a.yaml:3:1)`.
    public var decider: String {
        guard let policy, let position else { return "no PeerAuthentication" }
        return "\(policy) (\(position))"
    }
}

/// What a workload takes on its ports, all scopes put together. A value.
public struct WorkloadMutualTLS: Sendable, Equatable {
    /// Of ports that have none of their own.
    public var standard = MutualTLSRule(mode: .permissive)
    /// By the workload's port, 1...65535.
    public var ports: [UInt16: MutualTLSRule] = [:]

    public func rule(port: UInt16) -> MutualTLSRule { ports[port] ?? standard }

    /// A rule that asks for mutual TLS on some port.
    public var strict: MutualTLSRule? {
        ports.sorted { $0.key < $1.key }.map(\.value).first { $0.mode == .strict } ?? (standard.mode == .strict ? standard : nil)
    }
}

/// The PeerAuthentications of a configuration, so that a workload costs a look-up. This is the one place where scopes are put together:
/// the workload's policy before its namespace's before the mesh's, which is in the root namespace; in one scope the policy that was loaded
/// first, as the oldest wins in Istio; UNSET leaves the mode to the next wider scope; ports are the workload's (semantics 2.7).
///
/// A policy with a selector in the root namespace speaks for workloads of that namespace; Istio passes it over.
public struct PeerAuthentications: Sendable {
    private typealias Placed = (place: Int, policy: SecurityPolicy)

    private struct LabelKey: Hashable {
        var namespace: String
        var label: String
        var value: String
    }

    private var mesh: SecurityPolicy?
    private var byNamespace: [String: SecurityPolicy] = [:]
    /// Policies with a selector, by namespace and the first label of it.
    private var byLabel: [LabelKey: [Placed]] = [:]

    public init(_ configuration: MeshConfiguration) {
        for (place, policy) in configuration.securityPolicies.enumerated() {
            guard case .peerAuthentication = policy.demand else { continue }
            let namespace = policy.id.namespace
            if let label = policy.attachment.selector.min(by: { $0.key < $1.key }) {
                byLabel[LabelKey(namespace: namespace, label: label.key, value: label.value), default: []].append((place, policy))
            } else if namespace == configuration.mesh.rootNamespace {
                mesh = mesh ?? policy
            } else if byNamespace[namespace] == nil {
                byNamespace[namespace] = policy
            }
        }
    }

    /// Whether there is none.
    public var isEmpty: Bool { mesh == nil && byNamespace.isEmpty && byLabel.isEmpty }

    /// What a workload of a namespace and labels takes. Costs a look-up for each label.
    public func rules(namespace: String, labels: [String: String]) -> WorkloadMutualTLS {
        var result = WorkloadMutualTLS()
        let own = byLabel.isEmpty ? nil : selecting(namespace, labels)
        for policy in [mesh, byNamespace[namespace], own] {
            guard let policy, case .peerAuthentication(let mode, _) = policy.demand, mode != .unset else { continue }
            result.standard = Self.rule(mode, policy, "spec.mtls.mode")
        }
        // Ports have modes of their own in the policy of the workload only.
        guard let own, case .peerAuthentication(_, let ports) = own.demand else { return result }
        for (port, mode) in ports where mode != .unset {
            result.ports[port] = Self.rule(mode, own, "spec.portLevelMtls[\(port)].mode")
        }
        return result
    }

    /// The first loaded of a namespace's policies whose selector fits.
    private func selecting(_ namespace: String, _ labels: [String: String]) -> SecurityPolicy? {
        labels.compactMap { label in
            byLabel[LabelKey(namespace: namespace, label: label.key, value: label.value)]?.first {
                Labels.select($0.policy.attachment.selector, labels)
            }
        }.min { $0.place < $1.place }?.policy
    }

    private static func rule(_ mode: MutualTLSMode, _ policy: SecurityPolicy, _ field: String) -> MutualTLSRule {
        MutualTLSRule(mode: mode, policy: policy.id, position: policy.position, field: field)
    }
}
