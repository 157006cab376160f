internal import Proxy
internal import QueryAPI
internal import Routing
internal import Synchronization
internal import TelemetryModel

/// What the configuration in use knows of routes and endpoints, made once for each configuration. Any thread.
final class KnownDestinationsWatch: Sendable {
    private struct State {
        var generation: UInt64?
        var known: KnownDestinations?
    }

    private let shared: SharedStatus
    private let state = Mutex(State())

    init(_ shared: SharedStatus) { self.shared = shared }

    /// Nil = there is no configuration yet.
    var known: KnownDestinations? {
        guard let routing = shared.routing?.snapshot else { return nil }
        return state.withLock { state in
            if state.generation != routing.generation {
                state.generation = routing.generation
                state.known = KnownDestinations(routing)
            }
            return state.known
        }
    }
}

extension KnownDestinations {
    init(_ routing: RoutingSnapshot) {
        self.init()
        for route in 0..<routing.routeCount { unsafe routes.insert(routing.tables.route(UInt32(clamping: route)).name) }
        for (index, cluster) in routing.clusterMembers.enumerated() {
            clusters.insert(cluster.name)
            for address in cluster.addresses { endpoints.insert(OutcomeKey(cluster: cluster.name, endpoint: address)) }
            let entry = unsafe routing.tables.cluster(index)
            if entry.isPassthrough || entry.prefersDialled { openClusters.insert(cluster.name) }
        }
    }
}

extension OutcomeShards {
    init(_ workers: [WorkerHandle], _ watch: KnownDestinationsWatch) {
        self.init(routes: workers.map(\.routeOutcomes), endpoints: workers.map(\.endpointOutcomes), known: { watch.known })
    }
}
