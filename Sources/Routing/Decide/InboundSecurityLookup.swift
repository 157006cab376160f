internal import Primitives

extension RoutingTables {
    /// What the workload takes on one of its ports, as it was dialled; of an ingress listener, its own port. Without a workload there is
    /// nothing to guard: `disabled`. Costs a look at the logarithm of the ports that a PeerAuthentication names; allocates nothing.
    public func inboundSecurity(port: UInt16) -> InboundSecurity {
        let rows = unsafe view.rows.inboundSecurities
        guard rows.count > 0 else { return .disabled }
        let named = TableRange(start: 1, count: UInt32(clamping: rows.count - 1))
        let place = rows.firstIndex(named) { $0.port >= port }
        return place < rows.count && rows[place].port == port ? rows[place].security : rows[0].security
    }
}
