internal import Primitives

extension RoutingTables {
    /// Whether a listener takes TLS alone, and the server name tells what becomes of a connection.
    public func choosesByServerName(listener: Int) -> Bool {
        !view.rows.listeners[listener].servers.isEmpty || !view.rows.listeners[listener].namedRoutes.isEmpty
    }

    /// The server for a client's server name, whatever its case: the exact name first, then the longest wildcard, then `*`, which also
    /// takes clients without a name.
    public func gatewayServer(listener: Int, name: ArraySlice<UInt8>) -> GatewayServerChoice {
        unsafe name.withUnsafeBytes { unsafe view.gatewayServer(listener, LentBytes($0)) }
    }

    /// The server that a connection chose under another configuration. Nil = there is none any more that lets the same clients in.
    public func gatewayServer(listener: Int, key: UInt64) -> GatewayServer? {
        let rows = view.rows
        for place in rows.listeners[listener].servers.indices where rows.gatewayServers[place].key == key {
            return GatewayServer(rows.gatewayServers[place])
        }
        return nil
    }
}

extension TableView {
    func gatewayServer(_ listener: Int, _ name: LentBytes) -> GatewayServerChoice {
        let servers = rows.listeners[listener].servers
        var place = ServerNameLookup.findPlace(self, listener, name)
        if place < 0 { place = rows.listeners[listener].fallback }
        guard place >= 0 else { return .none }
        return place < Int(servers.count) ? .server(GatewayServer(rows.gatewayServers[servers.start + UInt32(place)])) : .passThrough
    }
}
