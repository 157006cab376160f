internal import Matching
public import Primitives
public import TelemetryModel

/// Where a connection goes.
public enum TCPDecision: Sendable, BitwiseCopyable {
    /// No route takes it, and nothing unknown may pass.
    case none
    /// The route names a host or subset that does not exist.
    case noCluster(route: NameID)
    case cluster(UInt32, route: NameID)
}

extension RoutingTables {
    /// Decides the way of a connection. `dialled`: the address the client connected to; `serverName`: of its ClientHello, lower-case or
    /// not, when it speaks TLS.
    public func decideTCP(
        listener: Int, dialled: SocketEndpoint, isTLS: Bool, serverName: LentBytes, draw: inout RandomSource
    ) -> TCPDecision {
        view.decideTCP(listener, dialled, isTLS: isTLS, serverName, &draw)
    }

    /// Whether the routes that a connection may take need to see a server name.
    public func needsServerName(listener: Int, dialled: SocketEndpoint) -> Bool {
        let view = self.view
        return view.tcpCandidates(listener, dialled).contains { view.rows.tcpRoutes[$0].isTLS }
    }

    /// What the connections to a captured address are: the mode of its service's port.
    public func mode(listener: Int, dialled: SocketEndpoint) -> ListenerMode { view.mode(listener, dialled) }
}

extension TableView {
    func decideTCP(
        _ listener: Int, _ dialled: SocketEndpoint, isTLS: Bool, _ serverName: LentBytes, _ draw: inout RandomSource
    ) -> TCPDecision {
        if isTLS, let route = ServerNameLookup.findRoute(self, listener, serverName) { return follow(route, &draw) }
        for place in tcpCandidates(listener, dialled) {
            let route = rows.tcpRoutes[place]
            if route.isTLS && !isTLS { continue }
            guard route.subnet.contains(dialled), isServerName(route.serverNames, serverName) else { continue }
            return follow(route, &draw)
        }
        let passthrough = rows.listeners[listener].passthrough
        guard rows.listeners[listener].isCapture, passthrough >= 0 else { return .none }
        return .cluster(UInt32(passthrough), route: rows.clusters[Int(passthrough)].name)
    }

    private func follow(_ route: TCPRouteEntry, _ draw: inout RandomSource) -> TCPDecision {
        let cluster = rows.destinations[drawDestination(route.destinations, totalWeight: route.totalWeight, &draw)].cluster
        return cluster < 0 ? .noCluster(route: route.name) : .cluster(UInt32(cluster), route: route.name)
    }

    /// The routes of a listener, or where connections to all ports come, those of the one dialled; they stand in the order of their ports.
    func tcpCandidates(_ listener: Int, _ dialled: SocketEndpoint) -> Range<Int> {
        let routes = rows.listeners[listener].tcpRoutes
        guard rows.listeners[listener].isCapture else { return routes.indices }
        return rows.tcpRoutes.firstIndex(routes) { $0.port >= dialled.port }..<rows.tcpRoutes.firstIndex(routes) { $0.port > dialled.port }
    }

    private func isServerName(_ patterns: TableRange, _ name: LentBytes) -> Bool {
        if patterns.isEmpty { return true }
        for index in patterns.indices {
            let pattern = rows.hostPatterns[index]
            if pattern.isAll || rows.matchers.test(pattern, name) { return true }
        }
        return false
    }
}
