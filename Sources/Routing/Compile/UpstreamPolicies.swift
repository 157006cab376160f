internal import MeshConfig

extension CompileScope {
    /// The policies for a cluster, the less particular first: of the root namespace, of the caller's; for wildcards, for the host; for all
    /// subsets, for one.
    func upstreamPolicies(host: String, subset: String) -> [UpstreamPolicy] {
        let root = configuration.mesh.rootNamespace
        func rank(_ policy: UpstreamPolicy) -> (Int, Int, Int) {
            (policy.id.namespace == node.namespace ? 1 : 0, policy.host.hasPrefix("*") ? 0 : 1, policy.subset.isEmpty ? 0 : 1)
        }
        return configuration.upstreamPolicies.filter { policy in
            guard policy.id.namespace == root || policy.id.namespace == node.namespace, policy.subset.isEmpty || policy.subset == subset
            else { return false }
            let wanted = HostName.resolve(policy.host, namespace: policy.id.namespace).lowercased()
            return wanted == host || wanted.hasPrefix("*") && HostName.matches(wanted, host)
        }.sorted { rank($0) < rank($1) }
    }
}
