internal import Primitives
internal import TelemetryModel

/// A snapshot in names and values, for people. Cold code.
public struct SnapshotDescription: Sendable {
    public typealias Entry = [(name: String, value: String)]
    public var listeners: [Entry] = []
    public var routes: [Entry] = []
    public var clusters: [Entry] = []
    public var endpoints: [Entry] = []
}

extension RoutingSnapshot {
    public func description() -> SnapshotDescription {
        var result = SnapshotDescription()
        let tables = unsafe self.tables
        result.listeners = listeners.map { [("name", $0.name), ("address", $0.endpoint.description), ("side", "\($0.side)")] }
        for index in 0..<routeCount {
            let route = unsafe tables.route(UInt32(clamping: index))
            let timeout = route.timeoutNanoseconds == 0 ? "none" : "\(route.timeoutNanoseconds / 1_000_000) ms"
            result.routes.append([("name", catalogs.names.value(route.name.rawValue)), ("timeout", timeout)])
        }
        for index in 0..<clusterCount {
            let cluster = unsafe tables.cluster(index)
            result.clusters.append([
                ("name", catalogs.names.value(cluster.name.rawValue)), ("balancer", "\(cluster.balancer)"),
                ("endpoints", String(cluster.endpoints.count)), ("resolved", String(!cluster.isUnresolved)),
            ])
        }
        for index in 0..<endpointCount {
            let endpoint = unsafe tables.endpoint(index)
            let cluster = unsafe tables.cluster(Int(endpoint.cluster))
            result.endpoints.append([
                ("cluster", catalogs.names.value(cluster.name.rawValue)), ("address", endpoint.address.description),
                ("weight", String(endpoint.weight)),
            ])
        }
        return result
    }
}
