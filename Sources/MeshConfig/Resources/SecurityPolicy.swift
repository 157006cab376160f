/// A resource that asks for protection, as far as this version reads it: whom it selects, and what it asks.
///
/// PeerAuthentication is in effect in a process that has an identity (`PeerAuthentications`). AuthorizationPolicies that are in effect are
/// kept whole (`AuthorizationPolicy`), and so are RequestAuthentications. The others are not enforced yet: they are kept so that a proxy
/// can refuse to serve a workload that one of them should guard.
public struct SecurityPolicy: Sendable {
    public enum Demand: Sendable, Equatable {
        /// PeerAuthentication: the mode of all ports (`unset` where nothing is said), and those of single ports, 1...65535.
        case peerAuthentication(mode: MutualTLSMode, ports: [UInt16: MutualTLSMode])
        /// WasmPlugin or TrafficExtension of the phase AUTHN or AUTHZ, or an EnvoyFilter that adds a filter which lets in or turns away.
        case filter(String)
    }

    public var id: ResourceID
    public var position: SourcePosition
    public var attachment: PolicyAttachment
    public var demand: Demand

    /// Whether the policy speaks for a workload.
    func selects(namespace: String, labels: [String: String], rootNamespace: String) -> Bool {
        attachment.includes(namespace: namespace, labels: labels, home: id.namespace, rootNamespace: rootNamespace)
    }
}

/// A protection that somebody asked for and this version does not give.
public struct UnenforcedPolicy: Sendable {
    public var id: ResourceID
    public var position: SourcePosition
    public var field: String
    /// What happens instead.
    public var consequence: String
    /// It would be given if the process had an identity.
    public var needsIdentity: Bool
    /// It would be given if this were done, an imperative sentence without its full stop; empty = this version cannot give it.
    public var remedy: String

    public init(
        id: ResourceID, position: SourcePosition, field: String, consequence: String, needsIdentity: Bool = false, remedy: String = ""
    ) {
        self.remedy = remedy
        self.id = id
        self.position = position
        self.field = field
        self.consequence = consequence
        self.needsIdentity = needsIdentity
    }
}

extension MeshConfiguration {
    /// What guards a workload by its configuration and not in fact.
    /// `hasIdentity`: the process has a certificate, by which mutual TLS is enforced.
    public func unenforcedPolicies(namespace: String, labels: [String: String], hasIdentity: Bool) -> [UnenforcedPolicy] {
        let selecting = securityPolicies.filter { $0.selects(namespace: namespace, labels: labels, rootNamespace: mesh.rootNamespace) }
        var found = selecting.compactMap { policy -> UnenforcedPolicy? in
            let consequence: String
            switch policy.demand {
            case .peerAuthentication: return nil
            case .filter(let name): consequence = "\(name) turns nobody away"
            }
            return UnenforcedPolicy(id: policy.id, position: policy.position, field: "spec", consequence: consequence)
        }
        let strict = PeerAuthentications(self).rules(namespace: namespace, labels: labels).strict
        if !hasIdentity, let strict, let id = strict.policy, let position = strict.position {
            found.append(
                UnenforcedPolicy(
                    id: id, position: position, field: strict.field,
                    consequence: "plaintext is served where STRICT mutual TLS is asked for", needsIdentity: true))
        }
        return found
    }
}

extension SecurityPolicy {
    /// Nil for what asks for no protection.
    init?(kind: String, id: ResourceID, position: SourcePosition, spec: NodeReader) {
        self.id = id
        self.position = position
        attachment = PolicyAttachment(spec: spec)
        switch kind {
        case "PeerAuthentication":
            func mode(_ reader: NodeReader?) -> MutualTLSMode { reader?.name("mode").flatMap(MutualTLSMode.init(rawValue:)) ?? .unset }
            let ports = spec.entries("portLevelMtls").compactMap { entry in
                UInt16(entry.key).flatMap { $0 == 0 ? nil : ($0, mode(entry.reader)) }
            }
            demand = .peerAuthentication(
                mode: mode(spec.child("mtls")), ports: Dictionary(ports, uniquingKeysWith: { first, _ in first }))
        case "WasmPlugin", "TrafficExtension":
            guard let phase = spec.name("phase"), ["AUTHN", "AUTHZ"].contains(phase) else { return nil }
            demand = .filter("its filter of phase \(phase)")
        case "EnvoyFilter":
            guard let name = Self.guardingFilter(in: spec.node) else { return nil }
            if let selector = spec.child("workloadSelector") { attachment = .workloads(selector.stringMap("labels")) }
            demand = .filter(name)
        default: return nil
        }
    }

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
