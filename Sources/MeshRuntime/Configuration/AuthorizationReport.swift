public import MeshConfig

/// Which AuthorizationPolicies and RequestAuthentications apply to a workload: what `skein authz check` says.
public struct AuthorizationReport: Sendable {
    public struct Policy: Sendable {
        public var policy: AuthorizationPolicy
        /// Why it applies: `selector app=web`, `target gateway public`, `namespace shop`, `mesh`.
        public var reason: String
    }

    public struct Workload: Sendable {
        /// `NAMESPACE/NAME`.
        public var name: String
        /// In the order of their judging: CUSTOM, AUDIT, DENY, ALLOW, each by name.
        public var policies: [Policy]
        /// RequestAuthentications, which are asked behind CUSTOM: those of the mesh first, then by name.
        public var tokens: [RequestAuthentication] = []

        /// What happens to a request that no rule matches.
        public var standard: String {
            policies.contains { $0.policy.action == .allow && !$0.policy.isDryRun } ? "denied" : "allowed"
        }
    }

    public var workloads: [Workload] = []
    /// Why there is no answer.
    public var errors: [String] = []

    /// Of one workload, or of all.
    public static func run(from source: ConfigurationSource, node: String?) -> AuthorizationReport {
        var report = AuthorizationReport()
        let (mesh, list) = MeshConfiguration.load(from: source)
        guard !list.hasErrors else {
            report.errors = list.items.filter { $0.severity == .error }.flatMap(\.lines)
            return report
        }
        var entries = mesh.workloadEntries
        if let node {
            guard let workload = mesh.workload(named: node) else {
                report.errors = ["--node \(node): no WorkloadEntry of that name"]
                return report
            }
            entries = [workload]
        }
        let root = mesh.mesh.rootNamespace
        report.workloads = entries.map { entry in
            let policies = mesh.authorizationPolicies.filter {
                $0.selects(namespace: entry.id.namespace, labels: entry.labels, rootNamespace: root)
            }.map { policy in
                Policy(policy: policy, reason: reason(policy, root))
            }
            let tokens = mesh.requestAuthentications.filter {
                $0.selects(namespace: entry.id.namespace, labels: entry.labels, rootNamespace: root)
            }.sorted { ($0.id.namespace != root ? 1 : 0, $0.id.name) < ($1.id.namespace != root ? 1 : 0, $1.id.name) }
            return Workload(name: "\(entry.id.namespace)/\(entry.id.name)", policies: policies.sorted(by: isBefore), tokens: tokens)
        }
        return report
    }

    private static func isBefore(_ left: Policy, _ right: Policy) -> Bool {
        func key(_ policy: AuthorizationPolicy) -> (Int, String, String) {
            (AuthorizationPolicy.judgingOrder.firstIndex(of: policy.action) ?? 0, policy.id.namespace, policy.id.name)
        }
        return key(left.policy) < key(right.policy)
    }

    private static func reason(_ policy: AuthorizationPolicy, _ root: String) -> String {
        let scope = policy.id.namespace == root ? "mesh" : "namespace \(policy.id.namespace)"
        switch policy.attachment {
        case .workloads(let selector) where selector.isEmpty: return scope
        case .workloads: return "\(scope), selector \(policy.attachment.text)"
        case .gateways: return "namespace \(policy.id.namespace), target \(policy.attachment.text)"
        }
    }

    /// `{"workloads":[{"name":...,"unmatched":"denied","policies":[...]}]}`, one line.
    public var json: String {
        let items = workloads.map { workload in
            let policies = workload.policies.map { one in
                let policy = one.policy
                let provider = policy.action == .custom ? "\"provider\":\(JSONText.quote(policy.provider.name))," : ""
                return "{\"namespace\":\(JSONText.quote(policy.id.namespace)),\"name\":\(JSONText.quote(policy.id.name)),"
                    + "\"action\":\"\(policy.action.rawValue)\",\"dry_run\":\(policy.isDryRun),\(provider)"
                    + "\"rules\":\(policy.rules.count),\"reason\":\(JSONText.quote(one.reason)),"
                    + "\"position\":\(JSONText.quote("\(policy.position)"))}"
            }
            let tokens = workload.tokens.map { one in
                "{\"namespace\":\(JSONText.quote(one.id.namespace)),\"name\":\(JSONText.quote(one.id.name)),"
                    + "\"issuers\":[\(one.rules.map { JSONText.quote($0.issuer) }.joined(separator: ","))],"
                    + "\"position\":\(JSONText.quote("\(one.position)"))}"
            }
            return "{\"name\":\(JSONText.quote(workload.name)),\"unmatched\":\"\(workload.standard)\","
                + "\"tokens\":[\(tokens.joined(separator: ","))],"
                + "\"policies\":[\(policies.joined(separator: ","))]}"
        }
        return "{\"workloads\":[\(items.joined(separator: ","))]}"
    }
}
