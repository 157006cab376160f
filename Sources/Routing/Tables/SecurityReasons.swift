internal import MeshConfig

/// Why the endpoints of a cluster are spoken to as they are; not read by requests.
enum ClusterSecurityReason: Sendable {
    /// A DestinationRule says so.
    case rule(ResourceID, ClientTLSSettings)
    /// Each endpoint by its label, with the mesh's certificates.
    case automatic
    /// It has none, and the process no identity, so that endpoints that would take mutual TLS are spoken to in plaintext.
    case noIdentity
    /// `enableAutoMtls: false`.
    case switchedOff(SourcePosition?)
    /// Services outside of the mesh take TLS only where a rule says so.
    case external
    /// The client's own TLS goes to the endpoint (AUTO_PASSTHROUGH).
    case passedOn
}

/// Who decided about security, for people.
struct SecurityReasons: Sendable {
    /// By cluster index; none for clusters of no service.
    var clusters: [Int: ClusterSecurityReason] = [:]
    /// Endpoints with the label that take no mutual TLS, by endpoint index.
    var refusals: [Int: MutualTLSRule] = [:]
    /// Of the node's own ports; nil for a proxy beside no workload.
    var inbound: WorkloadMutualTLS?
    var hasIdentity = false
}
