/// What a workload's own port takes (semantics 2.7).
public enum InboundSecurity: UInt8, Sendable, BitwiseCopyable {
    case disabled
    /// Mutual TLS of the mesh, and what is none.
    case permissive
    /// Mutual TLS alone.
    case strict
}

extension RoutingTables {
    /// What the workload's port takes.
    public func inboundSecurity(port: UInt16) -> InboundSecurity { .disabled }
}
