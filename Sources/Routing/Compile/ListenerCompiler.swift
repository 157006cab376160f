internal import HTTP
internal import MeshConfig
internal import Primitives
internal import TelemetryModel

/// Which addresses a node's proxy listens on: Sidecar resources and the two standard listeners.
extension RouteCompiler {
    mutating func addOutboundListeners(_ sidecar: Sidecar?, _ plans: inout [ListenerPlan]) {
        let egress = sidecar?.egress ?? []
        let whole = egress.filter { $0.port == nil }
        if let endpoint = inputs.outboundListener {
            // With egress listeners for ports only, the common listener serves what they leave: nothing, as in Istio.
            let hosts = egress.isEmpty ? nil : whole.flatMap(\.hosts)
            if hosts?.isEmpty != true {
                addOutbound(ListenerPlan(name: "outbound", endpoint: endpoint, side: .outbound), OutboundScope(port: nil, hosts: hosts), nil, &plans)
            }
        }
        for listener in egress {
            guard let port = listener.port, let sidecar else { continue }
            guard let endpoint = address(listener.bind.isEmpty ? "127.0.0.1" : listener.bind, port.number, listener.position, sidecar.id)
            else { continue }
            let plan = ListenerPlan(name: "outbound_\(endpoint)", endpoint: endpoint, side: .outbound)
            // A path stands for no port: all of them, as on the common listener (Istio's listenerPort 0).
            let isUnix = endpoint.family == .unix
            addOutbound(plan, OutboundScope(port: isUnix ? nil : port.number, hosts: listener.hosts, isUnix: isUnix), port.protocol, &plans)
        }
    }

    /// `declared`: the protocol that a Sidecar's egress listener names; nil = the common listener.
    private mutating func addOutbound(
        _ plan: ListenerPlan, _ scope: OutboundScope, _ declared: ServicePort.ApplicationProtocol?, _ plans: inout [ListenerPlan]
    ) {
        var entry = ListenerEntry()
        entry.side = .outbound
        var identity = IdentityLabels()
        inputs.node.describeSource(&identity)
        entry.labels = inputs.catalogs.labelSet(identity)
        addVirtualHosts(scope, to: &entry)
        addTCPRoutes(scope, to: &entry)
        addRateLimits(.outbound, to: &entry)
        if let declared {
            if declared.isHTTP { entry.mode = .http } else if declared != .unspecified { entry.mode = .tcp }
        } else {
            // Whoever comes to it by itself speaks HTTP; what was redirected to it is taken for what it was.
            entry.mode = .http
            entry.isCapture = true
            if allowsAny { entry.passthrough = passthroughCluster() }
        }
        builder.listeners.append(entry)
        plans.append(plan)
    }

    /// The Sidecar's own mode, else the mesh's (Istio's default: ALLOW_ANY).
    private var allowsAny: Bool {
        let sidecar = configuration.sidecar(namespace: inputs.node.namespace, labels: inputs.node.labels)
        return (sidecar?.outboundTrafficPolicy ?? configuration.mesh.outboundTrafficMode) == .allowAny
    }

    mutating func addInboundListeners(_ sidecar: Sidecar?, _ plans: inout [ListenerPlan]) {
        // A proxy beside no workload has no application to guard.
        if inputs.node.name.isEmpty { return }
        for listener in sidecar?.ingress ?? [] {
            guard let sidecar else { return }
            let bind = listener.bind.isEmpty ? ownAddress : listener.bind
            guard let endpoint = address(bind, listener.port.number, listener.position, sidecar.id),
                let upstream = localAddress(listener, sidecar)
            else { continue }
            let plan = ListenerPlan(name: "inbound_\(endpoint)", endpoint: endpoint, side: .inbound)
            addInbound(
                plan, upstream: upstream, port: listener.port.number, protocol: listener.port.protocol,
                pool: listener.connectionPool ?? sidecar.inboundConnectionPool, &plans)
        }
        if let endpoint = inputs.inboundListener, sidecar?.ingress.isEmpty ?? true {
            // Who comes by itself means the workload's one application; who was redirected means the port it dialled.
            let application = standardApplication ?? SocketEndpoint(ipv4: 0x7F00_0001, port: 0)
            addInbound(
                ListenerPlan(name: "inbound", endpoint: endpoint, side: .inbound), upstream: application, port: application.port,
                protocol: .unspecified, pool: sidecar?.inboundConnectionPool, &plans)
            let last = builder.listeners.count - 1
            builder.listeners[last].isCapture = true
            builder.listeners[last].passthrough = passthroughCluster(named: "InboundPassthroughCluster", labels: builder.listeners[last].labels)
            builder.listeners[last].tcpRoutes = TableRange()
        }
    }

    /// Where others reach the workload; loopback when it has no IP address of its own.
    private var ownAddress: String {
        inputs.node.address.isEmpty || UnixAddress.path(inputs.node.address) != nil ? "127.0.0.1" : inputs.node.address
    }

    /// Without a Sidecar, port 15006 leads to the workload's one port on loopback, or to its socket.
    private var standardApplication: SocketEndpoint? {
        if let path = UnixAddress.path(inputs.node.address) { return try? SocketEndpoint(unixPath: path) }
        guard inputs.node.ports.count == 1, let port = inputs.node.ports.values.first else { return nil }
        return SocketEndpoint(ipv4: 0x7F00_0001, port: port)
    }

    private mutating func localAddress(_ listener: Sidecar.IngressListener, _ sidecar: Sidecar) -> SocketEndpoint? {
        switch listener.defaultEndpoint {
        case .loopback(let port): return SocketEndpoint(ipv4: 0x7F00_0001, port: port)
        case .ipv6Loopback(let port): return SocketEndpoint(ipv6High: 0, ipv6Low: 1, port: port)
        case .sameAddress(let port):
            return SocketEndpoint(address: inputs.node.address, port: port) ?? SocketEndpoint(ipv4: 0x7F00_0001, port: port)
        case .unix(let path): return unixSocket(path, listener.position, sidecar.id, "spec.ingress.defaultEndpoint")
        case nil:
            // The application cannot listen on the very address the proxy took.
            guard !listener.bind.isEmpty, listener.bind != "127.0.0.1" else {
                report(
                    .error, "SKN0302", listener.position, sidecar.id, "spec.ingress.defaultEndpoint",
                    "is missing: the proxy takes port \(listener.port.number), so say where the application listens, e.g. 127.0.0.1:8080")
                return nil
            }
            return SocketEndpoint(ipv4: 0x7F00_0001, port: listener.port.number)
        }
    }

    private mutating func addInbound(
        _ plan: ListenerPlan, upstream: SocketEndpoint, port: UInt16, protocol spoken: ServicePort.ApplicationProtocol, pool: ConnectionPoolSettings?,
        _ plans: inout [ListenerPlan]
    ) {
        var identity = IdentityLabels()
        inputs.node.describeDestination(&identity)
        let service = services.first { service in
            guard let selector = service.entry.workloadSelector else { return false }
            return service.entry.id.namespace == inputs.node.namespace && selector.allSatisfy { inputs.node.labels[$0.key] == $0.value }
        }
        if let service {
            identity.destinationService = service.host
            identity.destinationServiceNamespace = service.entry.id.namespace
            let parts = service.host.split(separator: ".")
            identity.destinationServiceName = parts.count > 2 && parts[2] == "svc" ? String(parts[0]) : service.host
        }
        let labels = inputs.catalogs.labelSet(identity)
        var cluster = ClusterEntry()
        cluster.name = inputs.catalogs.name("inbound|\(port)||")
        cluster.labels = labels
        cluster.all.totalWeight = 1
        cluster.isHTTP2 = spoken == .http2 || spoken == .grpc
        if let pool { apply(pool, to: &cluster) }
        let start = builder.endpoints.count
        builder.endpoints.append(EndpointEntry(address: upstream, weight: 1, cluster: UInt32(builder.clusters.count), labels: labels))
        cluster.all.endpoints = builder.range(start, builder.endpoints.count)
        builder.clusters.append(cluster)

        var route = RouteEntry()
        route.name = inputs.catalogs.name("default")
        let destination = builder.destinations.count
        builder.destinations.append(DestinationEntry(cluster: Int32(clamping: builder.clusters.count - 1), weight: 1))
        route.destinations = builder.range(destination, builder.destinations.count)
        route.totalWeight = 1
        route.actions = inboundActions()
        let routeStart = builder.routes.count
        builder.routes.append(route)
        builder.virtualHosts.append(VirtualHostEntry(routes: builder.range(routeStart, builder.routes.count), port: port))
        var entry = ListenerEntry()
        entry.side = .inbound
        entry.labels = labels
        // Whatever the Host, it is for this application.
        builder.addDomains([], to: &entry)
        entry.fallback = Int32(clamping: builder.virtualHosts.count - 1)
        addRateLimits(.inbound, port: port, to: &entry)
        entry.mode = spoken.isHTTP ? .http : spoken == .unspecified ? .detect : .tcp
        var tcp = TCPRouteEntry()
        tcp.name = cluster.name
        tcp.destinations = route.destinations
        tcp.totalWeight = 1
        let tcpStart = builder.tcpRoutes.count
        builder.tcpRoutes.append(tcp)
        entry.tcpRoutes = builder.range(tcpStart, builder.tcpRoutes.count)
        builder.listeners.append(entry)
        plans.append(plan)
    }

    /// What an inbound route does: try again only what the application cannot have seen (semantics 2.3).
    private mutating func inboundActions() -> UInt32 {
        var actions = RouteActions()
        actions.retry.conditions = .resetBeforeRequest
        builder.actions.append(actions)
        return UInt32(clamping: builder.actions.count - 1)
    }

    mutating func address(_ text: String, _ port: UInt16, _ position: SourcePosition, _ resource: ResourceID) -> SocketEndpoint? {
        if let endpoint = SocketEndpoint(address: text, port: port) { return endpoint }
        if let path = UnixAddress.path(text) { return unixSocket(path, position, resource, "bind") }
        report(.error, "SKN0303", position, resource, "bind", "\"\(text)\" is no IP address; write one such as 127.0.0.1 or 0.0.0.0")
        return nil
    }
}
