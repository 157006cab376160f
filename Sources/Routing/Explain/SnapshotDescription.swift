internal import Primitives
internal import TelemetryModel

/// A snapshot in names and values, for people. Cold code.
public struct SnapshotDescription: Sendable {
    /// A rule and the host names that lead to it.
    public struct Route: Sendable {
        public var listener = ""
        /// `reviews.bookinfo:9080`; a port where one is asked for. `*` = every other name. Empty = nobody is led here by a name.
        public var hosts: [String] = []
        public var name = ""
        /// Each as text; any of them takes a request. Empty = every request.
        public var matches: [String] = []
        public var targets: [String] = []
        /// Of the clusters that requests are shared out to; empty = the rule answers itself.
        public var weights: [(cluster: String, weight: UInt32)] = []
        /// 0 = none.
        public var timeoutMilliseconds: UInt64 = 0
        public var origin: RouteOrigin?
        /// Of a rule that forwards; none of others.
        public var retry = RetryPolicy()
    }

    public typealias Entry = [(name: String, value: String)]
    public var listeners: [Entry] = []
    public var routes: [Entry] = []
    public var clusters: [Entry] = []
    public var endpoints: [Entry] = []
}

extension RoutingSnapshot {
    public func description() -> SnapshotDescription {
        var result = SnapshotDescription()
        result.listeners = listeners.enumerated().map { index, listener in
            let servers = serverTexts(listener: index)
            let security = !servers.isEmpty ? servers.joined(separator: "; ") : listener.side == .inbound ? inboundSecurityText : nil
            return [("name", listener.name), ("address", listener.endpoint.description), ("side", "\(listener.side)")]
                + (security.map { [("security", $0)] } ?? [])
        }
        for index in 0..<routeCount {
            let route = view.rows.routes[index]
            let timeout = route.timeoutNanoseconds == 0 ? "none" : "\(route.timeoutNanoseconds / 1_000_000) ms"
            result.routes.append([("name", catalogs.name(of: route.name)), ("timeout", timeout)])
        }
        for index in 0..<clusterCount {
            let cluster = view.rows.clusters[index]
            result.clusters.append([
                ("name", catalogs.name(of: cluster.name)), ("balancer", "\(cluster.balancer)"),
                ("endpoints", String(cluster.endpoints.count)), ("resolved", String(!cluster.isUnresolved)),
                ("security", securityText(ofCluster: index)),
            ])
        }
        for index in 0..<endpointCount {
            let endpoint = view.rows.endpoints[index]
            let cluster = view.rows.clusters[endpoint.cluster]
            result.endpoints.append([
                ("cluster", catalogs.name(of: cluster.name)), ("address", endpoint.address.description),
                ("weight", String(endpoint.weight)), ("security", securityText(ofEndpoint: index)),
            ])
        }
        return result
    }

    /// Hosts of the services and rules that the node sees, without their ports.
    public var hosts: [String] {
        listeners.indices.flatMap { hostNames($0).flatMap(\.names) }.map { name in String(name.prefix { $0 != ":" }) }
    }

    /// Every rule of every listener, in the order in which they are looked at.
    public func describeRoutes() -> [SnapshotDescription.Route] {
        listeners.indices.flatMap { listener in
            hostNames(listener).flatMap { host, names in
                view.rows.virtualHosts[host].routes.indices.map { index in
                    var route = describe(route: index)
                    route.listener = listeners[listener].name
                    route.hosts = names.sorted()
                    return route
                }
            }
        }
    }

    /// The names of each virtual host of a listener.
    private func hostNames(_ listener: Int) -> [(host: Int, names: [String])] {
        let servers = view.rows.listeners[listener].servers
        if !servers.isEmpty { return servers.indices.flatMap { hostNames(Int(view.rows.gatewayServers[$0].row)) } }
        let entry = view.rows.listeners[listener]
        var names: [Int: [String]] = [:]
        func add(_ name: String, _ range: TableRange) {
            for index in range.indices {
                let port = view.rows.ports[index]
                guard port.virtualHost >= 0 else { continue }
                names[Int(port.virtualHost), default: []].append(port.port == 0 ? name : "\(name):\(port.port)")
            }
        }
        for slot in Int(entry.domainStart)...Int(entry.domainStart) + Int(entry.domainMask) {
            let domain = view.rows.domains[slot]
            if !domain.name.isEmpty { add(view.bytes(domain.name).text, domain.ports) }
        }
        for index in entry.wildcards.indices {
            let wildcard = view.rows.wildcards[index]
            add("*" + view.bytes(wildcard.suffix).text, wildcard.ports)
        }
        if entry.fallback >= 0 { names[Int(entry.fallback), default: []].append("*") }
        return names.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    }

    private func describe(route index: Int) -> SnapshotDescription.Route {
        var result = SnapshotDescription.Route()
        let entry = view.rows.routes[index]
        result.name = catalogs.name(of: entry.name)
        result.timeoutMilliseconds = entry.timeoutNanoseconds / 1_000_000
        result.origin = origins[UInt32(clamping: index)]
        result.matches = entry.matches.indices.map { place in
            let conditions = view.describeConditions(view.rows.matches[place])
            return conditions.isEmpty ? "every request" : conditions.joined(separator: " and ")
        }
        let actions = view.rows.routeActions[entry.actionIndex]
        switch actions.kind {
        case .redirect: result.targets = ["redirect \(actions.redirect.status)"]
        case .directResponse: result.targets = ["direct response \(actions.directResponse.status)"]
        case .forward:
            result.retry = actions.retry
            let isShared = entry.destinations.count > 1
            for place in entry.destinations.indices {
                let destination = view.rows.destinations[place]
                guard destination.cluster >= 0 else { continue }
                result.weights.append((name(ofCluster: UInt32(destination.cluster)), destination.weight))
            }
            result.targets = entry.destinations.indices.map { place in
                let destination = view.rows.destinations[place]
                let name = destination.cluster < 0 ? "(missing: 503 NC)" : name(ofCluster: UInt32(destination.cluster))
                return isShared ? "\(name) weight \(destination.weight)" : name
            }
        }
        return result
    }
}

extension Catalogs {
    /// The text of a name.
    func name(of id: NameID) -> String { names.value(id.rawValue) }
}
