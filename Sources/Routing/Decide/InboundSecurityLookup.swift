internal import Primitives

extension RoutingTables {
    /// What the workload takes from a connection to a listener. `dialledPort`: the port it was made to before it was redirected here; nil =
    /// it was made to the listener itself, and the port of the application behind it counts, so that nobody gets around that port's rule.
    public func inboundSecurity(listener: Int, dialledPort: UInt16?) -> InboundSecurity {
        inboundSecurity(port: dialledPort ?? view.rows.listeners[listener].workloadPort)
    }

    /// What the workload takes on one of its ports. Without a workload there is nothing to guard: `disabled`. Costs a look at the logarithm
    /// of the ports that a PeerAuthentication names; allocates nothing.
    public func inboundSecurity(port: UInt16) -> InboundSecurity {
        let rows = view.rows.inboundSecurities
        guard rows.count > 0 else { return .disabled }
        let named = TableRange(start: 1, count: UInt32(clamping: rows.count - 1))
        let place = rows.firstIndex(named) { $0.port >= port }
        return place < rows.count && rows[place].port == port ? rows[place].security : rows[0].security
    }
}
