internal import HTTP
internal import Primitives

extension RoutingTables {
    /// Whether a listener takes TLS that it decrypts.
    public func terminatesTLS(listener: Int) -> Bool { unsafe !view.rows.listeners[listener].servers.isEmpty }

    /// The server for a client's server name, whatever its case: the exact name first, then the longest wildcard, then `*`, which also
    /// takes clients without a name. `name`: lent for the call.
    public func gatewayServer(listener: Int, name: UnsafeRawBufferPointer) -> GatewayServerChoice {
        unsafe view.gatewayServer(listener, LentBytes(name))
    }

    /// The server that a connection chose under another configuration. Nil = there is none any more that lets the same clients in.
    public func gatewayServer(listener: Int, key: UInt64) -> GatewayServer? {
        let rows = unsafe view.rows
        for place in rows.listeners[listener].servers.indices where rows.gatewayServers[place].key == key {
            return GatewayServer(rows.gatewayServers[place])
        }
        return nil
    }
}

extension TableView {
    func gatewayServer(_ listener: Int, _ name: LentBytes) -> GatewayServerChoice {
        let servers = rows.listeners[listener].servers
        var place = name.isEmpty || name.count > Authority.hostBytesMax ? nil : name.withLowercased { name in
            findDomain(listener, name.count > 1 && name[name.count - 1] == UInt8(ascii: ".") ? name.prefix(name.count - 1) : name)
        }
        if place == nil { place = rows.listeners[listener].fallback }
        guard let place, place >= 0 else { return .none }
        return place < Int(servers.count) ? .server(GatewayServer(rows.gatewayServers[Int(servers.start) + Int(place)])) : .passThrough
    }

    /// What the domain table of such a listener has for a name in lower case; nil = nothing.
    private func findDomain(_ listener: Int, _ name: LentBytes) -> Int32? {
        let found = lookUp(listener, name, 0)
        return found < 0 ? nil : found
    }
}
