internal import HTTP
internal import MeshConfig
public import Primitives
public import TelemetryModel

/// What a listener takes a connection for.
public enum ListenerMode: UInt8, Sendable, BitwiseCopyable {
    case http
    case tcp
    /// The first bytes tell: HTTP goes the way of requests, everything else that of connections.
    case detect
}

/// One way for connections: the first whose conditions hold takes a connection.
struct TCPRouteEntry: Sendable, BitwiseCopyable {
    var name = NameID.none
    /// Service port; 0 = any.
    var port: UInt16 = 0
    /// Dialled address; `isAny` = any.
    var subnet = SubnetEntry()
    /// Server names of a TLS connection, as `WildcardEntry`-like texts (`*.suffix` with its star); count 0 = none asked for.
    var serverNames = TableRange()
    /// Only TLS connections.
    var isTLS = false
    var destinations = TableRange()
    var totalWeight: UInt32 = 0
}

/// An address range; all addresses when `bits` is negative.
struct SubnetEntry: Sendable, BitwiseCopyable {
    var address = SocketEndpoint()
    var bits: Int16 = -1

    func contains(_ endpoint: SocketEndpoint) -> Bool {
        if bits < 0 { return true }
        guard endpoint.family == address.family else { return false }
        if address.family == .ipv4 {
            let mask = bits == 0 ? UInt64(0) : ~UInt64(0) << UInt64(32 - Int(min(bits, 32))) & 0xFFFF_FFFF
            return endpoint.low & mask == address.low & mask
        }
        let high = bits >= 64 ? UInt64.max : bits == 0 ? 0 : ~UInt64(0) << UInt64(64 - Int(bits))
        let low = bits >= 128 ? UInt64.max : bits <= 64 ? 0 : ~UInt64(0) << UInt64(128 - Int(bits))
        return endpoint.high & high == address.high & high && endpoint.low & low == address.low & low
    }
}

/// Where a connection goes.
public enum TCPDecision: Sendable, BitwiseCopyable {
    /// No route takes it, and nothing unknown may pass.
    case none
    /// The route names a host or subset that does not exist.
    case noCluster(route: NameID)
    case cluster(UInt32, route: NameID)
}

extension RoutingTables {
    /// Decides the way of a connection. `dialled`: the address the client connected to; `serverName`: of its ClientHello, lower-case or not, when it speaks TLS.
    public func decideTCP(
        listener index: Int, dialled: SocketEndpoint, isTLS: Bool, serverName: UnsafeRawBufferPointer, draw: inout RandomSource
    ) -> TCPDecision {
        let listener = unsafe listener(index)
        for place in unsafe candidates(listener, dialled) {
            let route = unsafe tcpRoutes[place]
            if route.isTLS && !isTLS { continue }
            guard route.subnet.contains(dialled), unsafe matches(serverNames: route.serverNames, serverName) else { continue }
            let chosen = unsafe destination(route.destinations, totalWeight: route.totalWeight, draw: &draw)
            let cluster = unsafe destinations[Int(chosen)].cluster
            return cluster < 0 ? .noCluster(route: route.name) : .cluster(UInt32(cluster), route: route.name)
        }
        if listener.isCapture, listener.passthrough >= 0 { return unsafe .cluster(UInt32(listener.passthrough), route: clusterTable[Int(listener.passthrough)].name) }
        return .none
    }

    /// Whether the routes that a connection may take need to see a server name.
    public func needsServerName(listener index: Int, dialled: SocketEndpoint) -> Bool {
        let listener = unsafe listener(index)
        for place in unsafe candidates(listener, dialled) where unsafe tcpRoutes[place].isTLS { return true }
        return false
    }

    /// The routes of a listener, or where connections to all ports come, those of the one dialled; they stand in the order of their ports.
    private func candidates(_ listener: ListenerEntry, _ dialled: SocketEndpoint) -> Range<Int> {
        guard listener.isCapture else { return listener.tcpRoutes.indices }
        let first = unsafe Self.firstIndex(listener.tcpRoutes) { unsafe tcpRoutes[$0].port >= dialled.port }
        let last = unsafe Self.firstIndex(listener.tcpRoutes) { unsafe tcpRoutes[$0].port > dialled.port }
        return first..<last
    }

    /// The first index from which on the condition holds.
    private static func firstIndex(_ range: TableRange, _ holds: (Int) -> Bool) -> Int {
        var low = range.indices.lowerBound
        var high = range.indices.upperBound
        while low < high {
            let middle = low + (high - low) / 2
            if holds(middle) { high = middle } else { low = middle + 1 }
        }
        return low
    }

    /// What the connections to a captured address are: the mode of its service's port.
    public func mode(listener index: Int, dialled: SocketEndpoint) -> ListenerMode {
        let listener = unsafe listener(index)
        guard listener.isCapture else { return listener.mode }
        var result = ListenerMode.detect
        let first = unsafe Self.firstIndex(listener.capturedPorts) { unsafe capturedPorts[$0].port >= dialled.port }
        for place in first..<listener.capturedPorts.indices.upperBound {
            let entry = unsafe capturedPorts[place]
            guard entry.port == dialled.port else { break }
            if entry.subnet.bits >= 0, entry.subnet.contains(dialled) { return entry.mode }
            // A service without an address has its port on every address; two of different kinds leave it to the bytes.
            if entry.subnet.bits < 0 { result = result == .detect || result == entry.mode ? entry.mode : .detect }
        }
        return result
    }

    private func matches(serverNames range: TableRange, _ name: UnsafeRawBufferPointer) -> Bool {
        if range.count == 0 { return true }
        for index in range.indices {
            let wanted = unsafe bytes(fieldTexts[index].name)
            if unsafe wanted.count > 0 && wanted[0] == UInt8(ascii: "*") {
                let suffix = unsafe UnsafeRawBufferPointer(rebasing: wanted[1...])
                if suffix.count == 0 { return true }
                guard name.count > suffix.count else { continue }
                if unsafe ASCII.equalIgnoringCase(UnsafeRawBufferPointer(rebasing: name[(name.count - suffix.count)...]), suffix) { return true }
            } else if unsafe ASCII.equalIgnoringCase(name, wanted) {
                return true
            }
        }
        return false
    }
}

/// A port that captured connections are made to, and what is spoken there.
struct CapturedPort: Sendable, BitwiseCopyable {
    var port: UInt16
    var subnet: SubnetEntry
    var mode: ListenerMode
}

extension RouteCompiler {
    /// The routes of connections that a listener serves: of VirtualServices for the visible services, then one per service port that is not HTTP.
    mutating func addTCPRoutes(_ scope: OutboundScope, to listener: inout ListenerEntry) {
        var routes: [TCPRouteEntry] = []
        var captured: [CapturedPort] = []
        let rules = connectionRules()
        for service in services where sees(scope, service.entry.id.namespace, service.host) {
            let rule = rules.exact[service.host] ?? rules.wildcards.first { HostName.matches($0.host, service.host) }?.rule
            for port in service.entry.ports {
                if let wanted = scope.port, wanted != port.number { continue }
                let subnets = scope.isUnix ? [] : service.entry.addresses.compactMap { SubnetEntry(text: $0) }
                let mode: ListenerMode = port.protocol.isHTTP ? .http : port.protocol == .unspecified ? .detect : .tcp
                for subnet in subnets.isEmpty ? [SubnetEntry()] : subnets { captured.append(CapturedPort(port: port.number, subnet: subnet, mode: mode)) }
                guard !port.protocol.isHTTP else { continue }
                if let rule {
                    for route in rule.l4 { addTCPRoute(route, of: rule, for: ["mesh"], name: service.host, port: port.number, subnets, &routes) }
                }
                addOwnTCPRoute(service, port, subnets, &routes)
            }
        }
        // Those for server names first, then the services in their order, whatever their ports: the first of them takes every connection.
        if scope.isUnix { for place in routes.indices { routes[place].port = 0 } }
        add(tcpRoutes: routes, to: &listener)
        let capturedStart = builder.capturedPorts.count
        captured.sort { $0.port < $1.port }
        builder.capturedPorts.append(contentsOf: captured)
        listener.capturedPorts = builder.range(capturedStart, builder.capturedPorts.count)
        let modes = Set(captured.map(\.mode))
        // One port, one protocol is the rule; with several the bytes decide.
        listener.mode = modes.count == 1 ? (modes.first ?? .http) : modes.isEmpty ? .http : .detect
    }

    mutating func add(tcpRoutes routes: [TCPRouteEntry], to listener: inout ListenerEntry) {
        let start = builder.tcpRoutes.count
        // By port; within one, routes for server names before those for every connection, as Envoy's filter chains are matched.
        let order = routes.indices.sorted { left, right in
            let keys = [left, right].map { (routes[$0].port, routes[$0].serverNames.count > 0 ? 0 : 1, $0) }
            return keys[0] < keys[1]
        }
        builder.tcpRoutes.append(contentsOf: order.map { routes[$0] })
        listener.tcpRoutes = builder.range(start, builder.tcpRoutes.count)
    }

    /// VirtualServices that say anything of connections, by their hosts; the first for a host wins.
    private func connectionRules() -> (exact: [String: VirtualService], wildcards: [(host: String, rule: VirtualService)]) {
        var exact: [String: VirtualService] = [:]
        var wildcards: [(host: String, rule: VirtualService)] = []
        for rule in configuration.virtualServices where !rule.l4.isEmpty && rule.appliesToMesh && isVisible(rule.exportTo, from: rule.id.namespace) {
            for host in rule.hosts {
                let name = HostName.resolve(host, namespace: rule.id.namespace).lowercased()
                if name.hasPrefix("*") { wildcards.append((name, rule)) } else if exact[name] == nil { exact[name] = rule }
            }
        }
        return (exact, wildcards)
    }

    /// `name`: in logs and metrics. `subnets`: of the service; none = any address.
    mutating func addTCPRoute(
        _ route: L4Route, of rule: VirtualService, for gateways: Set<String>, name: String, port: UInt16, _ subnets: [SubnetEntry],
        _ routes: inout [TCPRouteEntry]
    ) {
        let applicable = route.matches.filter { match in
            match.applies(to: gateways, ruleGateways: rule.gateways) && (match.port == nil || match.port == port)
                && match.sourceLabels.allSatisfy { inputs.node.labels[$0.key] == $0.value }
                && (match.sourceNamespace.isEmpty || match.sourceNamespace == inputs.node.namespace)
        }
        if !route.matches.isEmpty, applicable.isEmpty { return }
        var entries: [DestinationEntry] = []
        for destination in route.destinations {
            let host = HostName.resolve(destination.destination.host, namespace: rule.id.namespace).lowercased()
            let index = cluster(host: host, subset: destination.destination.subset, port: destination.destination.port, fallbackPort: port)
            let weight = route.destinations.count == 1 ? max(1, destination.weight) : destination.weight
            if weight > 0 { entries.append(DestinationEntry(cluster: index, weight: min(weight, 1 << 24))) }
        }
        guard !entries.isEmpty else { return }
        let start = builder.destinations.count
        builder.destinations.append(contentsOf: entries)
        var entry = TCPRouteEntry()
        entry.name = inputs.catalogs.name(name)
        entry.port = port
        entry.isTLS = route.isTLS
        entry.destinations = builder.range(start, builder.destinations.count)
        entry.totalWeight = entries.reduce(0) { $0 &+ $1.weight }
        if applicable.isEmpty {
            for subnet in subnets.isEmpty ? [SubnetEntry()] : subnets {
                entry.subnet = subnet
                routes.append(entry)
            }
            return
        }
        for match in applicable {
            let start = builder.fieldTexts.count
            for name in match.sniHosts { builder.fieldTexts.append(FieldText(name: builder.add(text: name))) }
            entry.serverNames = builder.range(start, builder.fieldTexts.count)
            let ranges = match.destinationSubnets.compactMap { SubnetEntry(text: $0) }
            for subnet in !ranges.isEmpty ? ranges : subnets.isEmpty ? [SubnetEntry()] : subnets {
                entry.subnet = subnet
                routes.append(entry)
            }
        }
    }

    private mutating func addOwnTCPRoute(_ service: Service, _ port: ServicePort, _ subnets: [SubnetEntry], _ routes: inout [TCPRouteEntry]) {
        let start = builder.destinations.count
        builder.destinations.append(
            DestinationEntry(cluster: cluster(host: service.host, subset: "", port: port.number, fallbackPort: port.number), weight: 1))
        var entry = TCPRouteEntry()
        entry.name = inputs.catalogs.name(service.host)
        entry.port = port.number
        entry.destinations = builder.range(start, builder.destinations.count)
        entry.totalWeight = 1
        // A TLS service is known by its name where several share a port.
        if port.protocol == .tls || port.protocol == .https {
            let names = builder.fieldTexts.count
            builder.fieldTexts.append(FieldText(name: builder.add(text: service.host)))
            entry.serverNames = builder.range(names, builder.fieldTexts.count)
            entry.isTLS = true
        }
        for subnet in subnets.isEmpty ? [SubnetEntry()] : subnets {
            entry.subnet = subnet
            routes.append(entry)
        }
    }

    /// The cluster of addresses that nobody declared: to where the client dialled (Istio's PassthroughCluster).
    mutating func passthroughCluster(named name: String = "PassthroughCluster", labels: LabelSetID? = nil) -> Int32 {
        var cluster = ClusterEntry()
        cluster.name = inputs.catalogs.name(name)
        cluster.isPassthrough = true
        var identity = IdentityLabels()
        inputs.node.describeSource(&identity)
        identity.destinationService = name
        identity.destinationServiceName = name
        cluster.labels = labels ?? inputs.catalogs.labelSet(identity)
        cluster.all.endpoints = builder.range(builder.endpoints.count, builder.endpoints.count)
        builder.clusters.append(cluster)
        return Int32(clamping: builder.clusters.count - 1)
    }
}

extension SubnetEntry {
    /// `10.0.0.0/8`, `2001:db8::/32`, or one address; nil when it is neither.
    init?(text: String) {
        let parts = text.split(separator: "/", maxSplits: 1)
        guard let first = parts.first, let address = SocketEndpoint(address: String(first), port: 0) else { return nil }
        let full: Int16 = address.family == .ipv4 ? 32 : 128
        var bits = full
        if parts.count == 2 {
            guard let number = Int16(parts[1]), (0...full).contains(number) else { return nil }
            bits = number
        }
        self.init(address: address, bits: bits)
    }
}
