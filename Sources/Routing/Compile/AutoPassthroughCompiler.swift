internal import MeshConfig
internal import Primitives
internal import TelemetryModel

/// Servers of mode AUTO_PASSTHROUGH: a client of the mesh asks for `outbound_.PORT_.SUBSET_.HOST`, and its TLS goes as it is to an endpoint
/// of that service. No VirtualService says so; the server's hosts tell which services others may reach.
///
/// Unlike Istio's, the client's ALPN is not looked at: whom the endpoint takes is for its own PeerAuthentication to say.
struct AutoPassthroughCompiler {
    let scope: CompileScope
    let services: ServiceCatalog
    let clusters: ClusterCompiler
    let draft: SnapshotBuilder

    /// What `servers` give way to: routes and the server name of each, in lower case, no name twice. Services outside of the mesh are left
    /// out, as in Istio; so are those without endpoints of their own, whose connections would come back to this port.
    func addWays(_ servers: [GatewayServerScope]) -> (names: [String], routes: TableRange) {
        if servers.isEmpty { return ([], TableRange()) }
        var names: [String] = []
        var seen: Set<String> = []
        var routes: [TCPRouteEntry] = []
        for service in services.services where isReachable(service, servers) {
            let subsets = [""] + clusters.subsetNames(of: service)
            for port in service.entry.ports {
                for subset in subsets {
                    let name = ClusterServerName.standard(service.host, subset, port.number)
                    guard seen.insert(name.lowercased()).inserted else { continue }
                    let cluster = clusters.cluster(passingOnTo: service.host, subset: subset, port: port.number)
                    names.append(name.lowercased())
                    routes.append(passingRoute(to: cluster, name))
                }
            }
        }
        return (names, draft.tcpRoutes.add(contentsOf: routes))
    }

    private func isReachable(_ service: ServiceCatalog.Service, _ servers: [GatewayServerScope]) -> Bool {
        guard service.entry.location != .meshExternal, service.entry.resolution != .none, !service.host.hasPrefix("*") else { return false }
        return servers.contains { entry in
            entry.server.hosts.contains { scope in
                scope.allows(namespace: service.entry.id.namespace, own: entry.gateway.id.namespace)
                    && HostName.matches(scope.host, service.host)
            }
        }
    }

    private func passingRoute(to cluster: Int32, _ name: String) -> TCPRouteEntry {
        var entry = TCPRouteEntry()
        entry.name = scope.inputs.catalogs.name(name)
        entry.isTLS = true
        entry.destinations = draft.destinations.add(contentsOf: [DestinationEntry(cluster: cluster, weight: 1)])
        entry.totalWeight = 1
        return entry
    }
}
