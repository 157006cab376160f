internal import HTTP
internal import Primitives

/// Where a listener's domain table leads from a client's server name, where server names tell what becomes of a connection.
enum ServerNameLookup {
    /// A place in the listener's `servers` and beyond (`ListenerEntry`), whatever the name's case; negative = nowhere.
    static func findPlace(_ view: TableView, _ listener: Int, _ name: LentBytes) -> Int32 {
        guard (1...Authority.hostBytesMax).contains(name.count) else { return -1 }
        let isRooted = name.count > 1 && name[name.count - 1] == UInt8(ascii: ".")
        return name.prefix(isRooted ? name.count - 1 : name.count).withLowercased { view.lookUp(listener, $0, 0) }
    }

    /// The route of a name that tells its cluster; nil = it tells none.
    static func findRoute(_ view: TableView, _ listener: Int, _ name: LentBytes) -> TCPRouteEntry? {
        let routes = view.rows.listeners[listener].namedRoutes
        if routes.isEmpty { return nil }
        let place = Int(findPlace(view, listener, name)) - Int(view.rows.listeners[listener].servers.count) - 1
        return (0..<Int(routes.count)).contains(place) ? view.rows.tcpRoutes[routes.start + UInt32(place)] : nil
    }
}
