/// A resource that asks for protection, as far as this version reads it: whom it selects, and what it asks.
///
/// None of these is enforced yet. They are kept so that a proxy can refuse to serve a workload that one of them should guard.
public struct SecurityPolicy: Sendable {
    public enum Demand: Sendable, Equatable {
        /// PeerAuthentication: the mode of all ports (`UNSET` where nothing is said), and those of single ports.
        case peerAuthentication(mode: String, ports: [UInt16: String])
        /// AuthorizationPolicy: ALLOW, DENY, AUDIT or CUSTOM.
        case authorization(action: String, isDryRun: Bool)
        /// RequestAuthentication that has rules.
        case requestAuthentication
        /// WasmPlugin or TrafficExtension of the phase AUTHN or AUTHZ, or an EnvoyFilter that adds a filter which lets in or turns away.
        case filter(String)
    }

    public var id: ResourceID
    public var position: SourcePosition
    /// Empty = every workload of the namespace; of the mesh, in the root namespace.
    public var selector: [String: String]
    public var demand: Demand

    /// Whether the policy speaks for a workload.
    func selects(namespace: String, labels: [String: String], rootNamespace: String) -> Bool {
        (id.namespace == namespace || id.namespace == rootNamespace) && selector.allSatisfy { labels[$0.key] == $0.value }
    }
}

/// A protection that somebody asked for and this version does not give.
public struct UnenforcedPolicy: Sendable {
    public var id: ResourceID
    public var position: SourcePosition
    public var field: String
    /// What happens instead.
    public var consequence: String

    public init(id: ResourceID, position: SourcePosition, field: String, consequence: String) {
        self.id = id
        self.position = position
        self.field = field
        self.consequence = consequence
    }
}

extension MeshConfiguration {
    /// What guards a workload by its configuration and not in fact. AUDIT and dry-run policies turn nobody away and are left out.
    public func unenforcedPolicies(namespace: String, labels: [String: String]) -> [UnenforcedPolicy] {
        let selecting = securityPolicies.filter { $0.selects(namespace: namespace, labels: labels, rootNamespace: mesh.rootNamespace) }
        var found = selecting.compactMap { policy -> UnenforcedPolicy? in
            let consequence: String
            switch policy.demand {
            case .peerAuthentication: return nil
            case .authorization(let action, let isDryRun):
                if action == "AUDIT" || isDryRun { return nil }
                consequence = "every request is let in"
            case .requestAuthentication: consequence = "requests with bad tokens are let in"
            case .filter(let name): consequence = "\(name) turns nobody away"
            }
            return UnenforcedPolicy(id: policy.id, position: policy.position, field: "spec", consequence: consequence)
        }
        if let strict = strictPeerAuthentication(of: selecting, namespace: namespace) { found.append(strict) }
        return found
    }

    /// The policy that asks for mutual TLS on some port of a workload. The narrowest scope speaks, in it the first one that was loaded;
    /// UNSET leaves the mode to the next wider scope (semantics 2.7).
    private func strictPeerAuthentication(of selecting: [SecurityPolicy], namespace: String) -> UnenforcedPolicy? {
        func scope(_ policy: SecurityPolicy) -> Int {
            if policy.id.namespace == namespace, !policy.selector.isEmpty { return 0 }
            // Istio takes a selector in the root namespace for a workload's of that namespace only.
            if !policy.selector.isEmpty { return 3 }
            return policy.id.namespace == namespace && namespace != mesh.rootNamespace ? 1 : 2
        }
        let ranked = (0...2).compactMap { rank in
            selecting.first { policy in
                guard case .peerAuthentication = policy.demand else { return false }
                return scope(policy) == rank
            }
        }
        var isPort = true
        for policy in ranked {
            guard case .peerAuthentication(let mode, let ports) = policy.demand else { continue }
            func unenforced(_ field: String) -> UnenforcedPolicy {
                UnenforcedPolicy(
                    id: policy.id, position: policy.position, field: field,
                    consequence: "plaintext is served where STRICT mutual TLS is asked for")
            }
            // Ports have modes of their own in the policy of the workload only.
            if isPort, !policy.selector.isEmpty, ports.values.contains("STRICT") { return unenforced("spec.portLevelMtls") }
            isPort = false
            if mode == "STRICT" { return unenforced("spec.mtls.mode") }
            if mode != "UNSET" { return nil }
        }
        return nil
    }
}

extension SecurityPolicy {
    /// Nil for what asks for no protection.
    init?(kind: String, id: ResourceID, position: SourcePosition, spec: NodeReader, metadata: NodeReader?) {
        // Targets are gateways and waypoints of Kubernetes' Gateway API, which are none of our workloads.
        guard spec.isEmptyList("targetRefs"), !spec.has("targetRef") else { return nil }
        self.id = id
        self.position = position
        selector = spec.child("selector")?.stringMap("matchLabels") ?? [:]
        switch kind {
        case "PeerAuthentication":
            let ports = spec.entries("portLevelMtls").compactMap { entry in
                UInt16(entry.key).map { ($0, entry.reader.name("mode") ?? "UNSET") }
            }
            demand = .peerAuthentication(
                mode: spec.child("mtls")?.name("mode") ?? "UNSET", ports: Dictionary(ports, uniquingKeysWith: { first, _ in first }))
        case "AuthorizationPolicy":
            demand = .authorization(
                action: spec.name("action") ?? "ALLOW",
                isDryRun: metadata?.child("annotations")?.string("istio.io/dry-run").map(Self.isTrue) ?? false)
        case "RequestAuthentication":
            guard !spec.isEmptyList("jwtRules") else { return nil }
            demand = .requestAuthentication
        case "WasmPlugin", "TrafficExtension":
            guard let phase = spec.name("phase"), ["AUTHN", "AUTHZ"].contains(phase) else { return nil }
            demand = .filter("its filter of phase \(phase)")
        case "EnvoyFilter":
            guard let name = Self.guardingFilter(in: spec.node) else { return nil }
            selector = spec.child("workloadSelector")?.stringMap("labels") ?? [:]
            demand = .filter(name)
        default: return nil
        }
    }

    /// As Go's `strconv.ParseBool`, which Istio uses.
    private static func isTrue(_ text: String) -> Bool { ["1", "t", "T", "TRUE", "true", "True"].contains(text) }

    /// Envoy's filters that let in or turn away.
    private static let guardingFilters: Set<String> = [
        "envoy.filters.http.rbac", "envoy.filters.http.ext_authz", "envoy.filters.http.jwt_authn", "envoy.filters.http.basic_auth",
        "envoy.filters.http.api_key_auth", "envoy.filters.http.oauth2", "envoy.filters.http.csrf", "envoy.filters.network.rbac",
        "envoy.filters.network.ext_authz",
    ]

    /// The first such filter that a patch names. Recursion is bounded by `ConfigLimits.nestingDepth`.
    private static func guardingFilter(in node: YAMLNode) -> String? {
        if let text = node.scalar?.text { return guardingFilters.contains(text) ? text : nil }
        for pair in node.pairs ?? [] { if let found = guardingFilter(in: pair.value) { return found } }
        for item in node.items ?? [] { if let found = guardingFilter(in: item) { return found } }
        return nil
    }
}
