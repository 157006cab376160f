internal import Matching
internal import MeshConfig
internal import Primitives
internal import TelemetryModel

/// The ways of connections: of VirtualServices for the visible services, then one per service port that is not HTTP.
struct TCPRouteCompiler {
    let scope: CompileScope
    let clusters: ClusterCompiler
    let draft: SnapshotBuilder

    /// Those that an outbound listener serves, and what is spoken at its ports.
    func addRoutes(_ outbound: OutboundScope, _ services: ServiceCatalog, to listener: inout ListenerEntry) {
        var routes: [TCPRouteEntry] = []
        var captured: [CapturedPort] = []
        let rules = connectionRules()
        for service in services.services where outbound.sees(service.entry.id.namespace, service.host, from: scope.node.namespace) {
            let rule = rules.rule(for: service.host)
            for port in service.entry.ports {
                if let wanted = outbound.port, wanted != port.number { continue }
                let ranges = outbound.isUnix ? [] : service.entry.addresses.compactMap { AddressRange(text: $0) }
                let subnets = ranges.isEmpty ? [.all] : ranges
                captured += subnets.map { CapturedPort(port: port.number, subnet: $0, mode: Self.portMode(of: port)) }
                guard !port.protocol.isHTTP else { continue }
                if let rule {
                    routes += rule.l4.flatMap { route in
                        compileRoute(route, of: rule, for: ["mesh"], name: service.host, port: port.number, subnets)
                    }
                }
                routes += ownEntries(service, port, subnets)
            }
        }
        // Those for server names first, then the services in their order, whatever their ports: the first of them takes every connection.
        if outbound.isUnix { for place in routes.indices { routes[place].port = 0 } }
        add(routes, to: &listener)
        captured.sort { $0.port < $1.port }
        listener.capturedPorts = draft.capturedPorts.add(contentsOf: captured)
        let modes = Set(captured.map(\.mode))
        // One port, one protocol is the rule; with several the bytes decide.
        listener.mode = modes.count == 1 ? (modes.first ?? .http) : modes.isEmpty ? .http : .detect
    }

    private static func portMode(of port: ServicePort) -> ListenerMode {
        port.protocol.isHTTP ? .http : port.protocol == .unspecified ? .detect : .tcp
    }

    /// By port; within one, routes for server names before those for every connection, as Envoy's filter chains are matched.
    func add(_ routes: [TCPRouteEntry], to listener: inout ListenerEntry) {
        func key(_ place: Int) -> (UInt16, Int, Int) { (routes[place].port, routes[place].serverNames.isEmpty ? 1 : 0, place) }
        let order = routes.indices.sorted { key($0) < key($1) }
        listener.tcpRoutes = draft.tcpRoutes.add(contentsOf: order.map { routes[$0] })
    }

    /// VirtualServices that say anything of connections; the first for a host wins.
    private func connectionRules() -> RulesByHost {
        let rules = scope.configuration.virtualServices.filter { rule in
            !rule.l4.isEmpty && rule.appliesToMesh && scope.isVisible(rule.exportTo, from: rule.id.namespace)
        }
        return RulesByHost(rules, longestFirst: false)
    }

    /// One rule's. `name`: in logs and metrics. `subnets`: of the service.
    func compileRoute(
        _ route: L4Route, of rule: VirtualService, for gateways: Set<String>, name: String, port: UInt16, _ subnets: [AddressRange]
    ) -> [TCPRouteEntry] {
        let applicable = route.matches.filter { match in
            match.applies(to: gateways, ruleGateways: rule.gateways) && (match.port == nil || match.port == port)
                && scope.isSelected(match.sourceLabels) && (match.sourceNamespace.isEmpty || match.sourceNamespace == scope.node.namespace)
        }
        if !route.matches.isEmpty, applicable.isEmpty { return [] }
        let destinations = compileDestinations(of: route, rule, port)
        guard !destinations.isEmpty else { return [] }
        var entry = TCPRouteEntry()
        entry.name = scope.inputs.catalogs.name(name)
        entry.port = port
        entry.isTLS = route.isTLS
        entry.destinations = draft.destinations.add(contentsOf: destinations)
        entry.totalWeight = destinations.reduce(0) { $0 &+ $1.weight }
        if applicable.isEmpty { return entry.repeated(for: subnets) }
        return applicable.flatMap { match in
            entry.serverNames = addPatterns(match.sniHosts)
            let ranges = match.destinationSubnets.compactMap { AddressRange(text: $0) }
            return entry.repeated(for: ranges.isEmpty ? subnets : ranges)
        }
    }

    private func compileDestinations(of route: L4Route, _ rule: VirtualService, _ port: UInt16) -> [DestinationEntry] {
        route.destinations.compactMap { destination in
            let index = clusters.cluster(destination.destination, of: rule.id.namespace, fallbackPort: port)
            let weight = route.destinations.count == 1 ? max(1, destination.weight) : destination.weight
            return weight > 0 ? DestinationEntry(cluster: index, weight: min(weight, 1 << 24)) : nil
        }
    }

    private func ownEntries(_ service: ServiceCatalog.Service, _ port: ServicePort, _ subnets: [AddressRange]) -> [TCPRouteEntry] {
        let cluster = clusters.cluster(host: service.host, subset: "", port: port.number, fallbackPort: port.number)
        var entry = TCPRouteEntry()
        entry.name = scope.inputs.catalogs.name(service.host)
        entry.port = port.number
        entry.destinations = draft.destinations.add(contentsOf: [DestinationEntry(cluster: cluster, weight: 1)])
        entry.totalWeight = 1
        // A TLS service is known by its name where several share a port.
        if port.protocol == .tls || port.protocol == .https {
            entry.serverNames = addPatterns([service.host])
            entry.isTLS = true
        }
        return entry.repeated(for: subnets)
    }

    private func addPatterns(_ names: [String]) -> TableRange {
        draft.hostPatterns.add(contentsOf: names.map { draft.matchers.addHost($0) })
    }
}

extension TCPRouteEntry {
    /// The same way for each of these subnets.
    fileprivate func repeated(for subnets: [AddressRange]) -> [TCPRouteEntry] {
        subnets.map { subnet in
            var entry = self
            entry.subnet = subnet
            return entry
        }
    }
}
