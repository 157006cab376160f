internal import MeshConfig
internal import Policy
internal import QueryAPI
internal import Routing
internal import Synchronization

/// What the servers' threads may read of the control thread's state.
final class SharedStatus: Sendable {
    private struct State {
        var readiness = Readiness.notReady(reason: "starting")
        var configuration = ConfigurationStatus()
        var mesh: MeshConfiguration?
        var changes: ConfigurationChanges?
        var routing: RoutingSnapshot?
        var live: LiveUpstreams?
        var access = AccessPolicies()
    }

    private let state = Mutex(State())

    /// `compiled` nil keeps the one before. `keys`: of the process' token issuers; nil = as they are.
    func update(
        _ configuration: ConfigurationStatus, _ compiled: CompiledConfiguration?, _ live: LiveUpstreams? = nil, keys: IssuerKeys? = nil
    ) {
        state.withLock { state in
            state.configuration = configuration
            if let compiled {
                state.mesh = compiled.mesh
                state.changes = compiled.changes
                state.routing = compiled.routing
                state.access.authorization = compiled.authorization
                state.access.tokens = compiled.tokens
                if let keys { state.access.keys = keys }
                state.live = live
            }
        }
    }

    /// The policies of the configuration in use.
    var access: AccessPolicies { state.withLock { $0.access } }

    /// Of answers that depend on the configuration, in use or refused, alone.
    var configurationTag: PageTag {
        let now = configuration
        return PageTag([now.generation, now.reloads, now.failures])
    }

    /// The resources of the configuration in use.
    var mesh: MeshConfiguration? { state.withLock { $0.mesh } }

    /// What the load of the configuration in use changed.
    var changes: ConfigurationChanges? { state.withLock { $0.changes } }

    /// The configuration in use and the places of its endpoints.
    var routing: (snapshot: RoutingSnapshot, live: LiveUpstreams?)? { state.withLock { state in state.routing.map { ($0, state.live) } } }

    /// Rules of a VirtualService, `NAMESPACE/NAME`, that lead to several clusters, by the configuration in use. Any thread.
    @Sendable
    func weightedRoutes(of resource: String) -> [WeightedRoute] {
        guard let routes = routing?.snapshot.describeRoutes() else { return [] }
        return routes.filter { $0.weights.count > 1 && $0.origin?.resource.description == "VirtualService \(resource)" }.map { route in
            WeightedRoute(
                resource: resource, name: route.name,
                clusters: route.weights.map { WeightedRoute.Cluster(name: $0.cluster, weight: $0.weight) })
        }
    }

    func setReadiness(_ readiness: Readiness) { state.withLock { $0.readiness = readiness } }

    var readiness: Readiness { state.withLock { $0.readiness } }
    var configuration: ConfigurationStatus { state.withLock { $0.configuration } }

    /// For `/config_dump`: reads an immutable snapshot, so it needs no lock while it does.
    func dump(version: String) -> ConfigurationDump {
        let (configuration, routing) = state.withLock { ($0.configuration, $0.routing) }
        var dump = ConfigurationDump()
        dump.version = version
        dump.generation = configuration.generation
        guard let routing else { return dump }
        let description = routing.description()
        dump.listeners = description.listeners
        dump.clusters = description.clusters
        dump.endpoints = description.endpoints
        dump.routes = description.routes
        return dump
    }
}
