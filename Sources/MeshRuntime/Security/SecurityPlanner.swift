internal import Proxy
internal import Routing
internal import TLS

/// What connections are secured with, from the configuration and the workload's certificate.
struct SecurityPlanner {
    /// Counts plans, so that workers know a new one.
    private var revision: UInt64 = 0

    mutating func plan(_ routing: RoutingSnapshot, _ identity: WorkloadIdentity?) -> SecurityPlan {
        revision += 1
        var plan = SecurityPlan()
        plan.revision = revision
        plan.inbound = identity?.serverSettings(clientCertificate: .required)
        return plan
    }
}
