public import MeshConfig
internal import Primitives

/// How the endpoints of a cluster are probed.
public struct ClusterHealthCheck: Sendable, Equatable {
    public var settings: UpstreamPolicy.HealthCheck
    /// Of the service; what an HTTP probe asks for unless its settings say otherwise.
    public var host: String
}

extension RouteCompiler {
    /// The policies for a cluster, the less particular first: of the root namespace, of the caller's; for wildcards, for the host; for all subsets, for one.
    func upstreamPolicies(host: String, subset: String) -> [UpstreamPolicy] {
        let root = configuration.mesh.rootNamespace
        func rank(_ policy: UpstreamPolicy) -> (Int, Int, Int) {
            (policy.id.namespace == inputs.node.namespace ? 1 : 0, policy.host.hasPrefix("*") ? 0 : 1, policy.subset.isEmpty ? 0 : 1)
        }
        return configuration.upstreamPolicies.filter { policy in
            guard policy.id.namespace == root || policy.id.namespace == inputs.node.namespace, policy.subset.isEmpty || policy.subset == subset else { return false }
            let wanted = HostName.resolve(policy.host, namespace: policy.id.namespace).lowercased()
            return wanted == host || wanted.hasPrefix("*") && HostName.matches(wanted, host)
        }.sorted { rank($0) < rank($1) }
    }

    func apply(_ policy: UpstreamPolicy, to cluster: inout ClusterEntry) {
        if policy.isPeakEWMA { cluster.balancer = .peakEWMA }
        if let rate = policy.successRate {
            cluster.outlier.isEnabled = true
            cluster.outlier.rates.successRateEnforcing = rate.enforcing
            cluster.outlier.rates.successRateMinimumHosts = rate.minimumHosts
            cluster.outlier.rates.successRateRequestVolume = rate.requestVolume
            cluster.outlier.rates.successRateStdevFactorThousandths = UInt32(max(0, min(1_000_000, rate.stdevFactor * 1000)))
        }
        if let percentage = policy.failurePercentage {
            cluster.outlier.isEnabled = true
            cluster.outlier.rates.failurePercentageEnforcing = percentage.enforcing
            cluster.outlier.rates.failurePercentageThreshold = percentage.threshold
            cluster.outlier.rates.failurePercentageMinimumHosts = percentage.minimumHosts
            cluster.outlier.rates.failurePercentageRequestVolume = percentage.requestVolume
        }
        if let most = policy.maxEjectionTimeNanoseconds { cluster.outlier.rates.maxEjectionNanoseconds = most }
        if policy.maxEjectionTimeJitterNanoseconds > 0 { cluster.outlier.rates.maxEjectionJitterNanoseconds = policy.maxEjectionTimeJitterNanoseconds }
    }
}
