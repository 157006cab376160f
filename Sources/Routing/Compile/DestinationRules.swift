internal import MeshConfig

/// The DestinationRules that a node sees, by namespace and host; so that a cluster costs a look-up, not a pass over all rules.
struct DestinationRules {
    private struct NamespacedName: Hashable {
        var namespace: String
        var name: String
    }

    private var byHost: [NamespacedName: [DestinationRule]] = [:]
    private var wildcards: [String: [(host: String, rule: DestinationRule)]] = [:]
    private let nodeNamespace: String
    private let rootNamespace: String

    init(_ scope: CompileScope) {
        nodeNamespace = scope.node.namespace
        rootNamespace = scope.configuration.mesh.rootNamespace
        for rule in scope.configuration.destinationRules
        where scope.isVisible(rule.exportTo, from: rule.id.namespace) && scope.isSelected(rule.workloadSelector) {
            let namespace = rule.id.namespace
            let host = HostName.resolve(rule.host, namespace: namespace).lowercased()
            byHost[NamespacedName(namespace: namespace, name: host), default: []].append(rule)
            if host.hasPrefix("*") { wildcards[namespace, default: []].append((host, rule)) }
        }
    }

    /// The rule for a host: the caller's namespace first, then the service's, then the root namespace; exact hosts before wildcards.
    func rule(for host: String, serviceNamespace: String) -> DestinationRule? {
        for namespace in [nodeNamespace, serviceNamespace, rootNamespace] {
            if let exact = Self.merged(byHost[NamespacedName(namespace: namespace, name: host)] ?? []) { return exact }
            let wild = (wildcards[namespace] ?? []).filter { HostName.matches($0.host, host) }
            guard let longest = wild.max(by: { $0.host.utf8.count < $1.host.utf8.count })?.host else { continue }
            return Self.merged(wild.filter { $0.host == longest }.map(\.rule))
        }
        return nil
    }

    /// One rule of several for one host. A rule for some workloads, the node among them, comes before those for all. Those that select
    /// alike pool their subsets, the first of a name counting, and take the first traffic policy that there is
    /// (Istio: `mergeDestinationRule` in pilot/pkg/model/destination_rule.go).
    private static func merged(_ rules: [DestinationRule]) -> DestinationRule? {
        guard var first = rules.first(where: { !$0.workloadSelector.isEmpty }) ?? rules.first else { return nil }
        for other in rules where other.id != first.id && other.workloadSelector == first.workloadSelector {
            first.subsets += other.subsets.filter { subset in !first.subsets.contains { $0.name == subset.name } }
            first.trafficPolicy = first.trafficPolicy ?? other.trafficPolicy
        }
        return first
    }
}
