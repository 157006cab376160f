internal import MeshConfig
internal import Primitives
internal import TelemetryModel

/// Listeners for requests to the node's application: those of a Sidecar's ingress, or the standard one.
struct InboundListenerCompiler {
    let scope: CompileScope
    let services: ServiceCatalog
    let clusters: ClusterCompiler
    let policies: PeerAuthentications
    let draft: SnapshotBuilder

    /// An application and how it is reached.
    private struct Application {
        var address: SocketEndpoint
        /// Of the workload.
        var port: UInt16
        var spoken: ServicePort.ApplicationProtocol
        var pool: ConnectionPoolSettings?
        /// Connections come from other addresses too; who was redirected means the port it dialled.
        var isCapture = false
        /// Of the listener's own; nil = none is terminated but the mesh's.
        var security: GatewaySecurity?
    }

    func addListeners(_ sidecar: Sidecar?) {
        // A proxy beside no workload has no application to guard.
        if scope.node.name.isEmpty { return }
        let tls = SidecarTLSCompiler(rules: policies.rules(namespace: scope.node.namespace, labels: scope.node.labels), draft: draft)
        for listener in sidecar?.ingress ?? [] {
            guard let sidecar else { return }
            let bind = listener.bind.isEmpty ? ownAddress : listener.bind
            let addresses = SocketAddresses(draft: draft)
            guard let endpoint = addresses.listening(on: bind, listener.port.number, listener.position, sidecar.id),
                let upstream = localAddress(listener, sidecar)
            else { continue }
            let plan = ListenerPlan(name: "inbound_\(endpoint)", endpoint: endpoint, side: .inbound)
            add(
                plan,
                Application(
                    address: upstream, port: listener.port.number, spoken: listener.port.protocol,
                    pool: listener.connectionPool ?? sidecar.inboundConnectionPool, security: tls.ingressSecurity(of: listener, sidecar)))
        }
        if let endpoint = scope.inputs.inboundListener, sidecar?.ingress.isEmpty ?? true {
            // Who comes by itself means the workload's one application.
            let address = standardApplication ?? SocketEndpoint(ipv4: 0x7F00_0001, port: 0)
            add(
                ListenerPlan(name: "inbound", endpoint: endpoint, side: .inbound),
                Application(
                    address: address, port: address.port, spoken: .unspecified, pool: sidecar?.inboundConnectionPool, isCapture: true))
        }
    }

    /// Where others reach the workload; loopback when it has no IP address of its own.
    private var ownAddress: String {
        scope.node.address.isEmpty || UnixAddress.path(scope.node.address) != nil ? "127.0.0.1" : scope.node.address
    }

    /// Without a Sidecar, port 15006 leads to the workload's one port on loopback, or to its socket.
    private var standardApplication: SocketEndpoint? {
        if let path = UnixAddress.path(scope.node.address) { return try? SocketEndpoint(unixPath: path) }
        guard scope.node.ports.count == 1, let port = scope.node.ports.values.first else { return nil }
        return SocketEndpoint(ipv4: 0x7F00_0001, port: port)
    }

    private func localAddress(_ listener: Sidecar.IngressListener, _ sidecar: Sidecar) -> SocketEndpoint? {
        switch listener.defaultEndpoint {
        case .loopback(let port): return SocketEndpoint(ipv4: 0x7F00_0001, port: port)
        case .ipv6Loopback(let port): return SocketEndpoint(ipv6High: 0, ipv6Low: 1, port: port)
        case .sameAddress(let port):
            return SocketEndpoint(address: scope.node.address, port: port) ?? SocketEndpoint(ipv4: 0x7F00_0001, port: port)
        case .unix(let path):
            return SocketAddresses(draft: draft).unixSocket(path, listener.position, sidecar.id, "spec.ingress.defaultEndpoint")
        case nil:
            // The application cannot listen on the very address the proxy took.
            guard !listener.bind.isEmpty, listener.bind != "127.0.0.1" else {
                draft.report(
                    .error, "SKN0302", listener.position, sidecar.id, "spec.ingress.defaultEndpoint",
                    "is missing: the proxy takes port \(listener.port.number), so say where the application listens, e.g. 127.0.0.1:8080")
                return nil
            }
            return SocketEndpoint(ipv4: 0x7F00_0001, port: listener.port.number)
        }
    }

    private func add(_ plan: ListenerPlan, _ application: Application) {
        let labels = scope.inputs.catalogs.destination(applicationLabels())
        let cluster = addCluster(application, labels)
        let name = scope.inputs.catalogs.name("default")
        let routes = draft.addDefaultRoute(to: Int32(clamping: cluster), named: name, actions: draft.routeActions.add(Self.actions))
        let virtualHost = draft.virtualHosts.add(VirtualHostEntry(routes: routes, port: application.port))
        var entry = ListenerEntry()
        entry.side = .inbound
        entry.labels.destination = labels
        // Whatever the Host, it is for this application.
        DomainTableCompiler(draft: draft).add([], to: &entry)
        entry.fallback = Int32(clamping: virtualHost)
        entry.rateLimits = RateLimitCompiler(scope: scope, draft: draft).compileLimits(.inbound, port: application.port)
        entry.mode = Self.listenerMode(of: application)
        entry.isCapture = application.isCapture
        entry.workloadPort = application.port
        if application.isCapture {
            entry.passthrough = clusters.addPassthrough(named: "InboundPassthroughCluster", labels: labels)
        } else {
            var tcp = TCPRouteEntry()
            tcp.name = draft.clusters[Int(cluster)].name
            tcp.destinations = draft.routes[routes.indices.lowerBound].destinations
            tcp.totalWeight = 1
            entry.tcpRoutes = draft.tcpRoutes.add(contentsOf: [tcp])
        }
        if let security = application.security { SidecarTLSCompiler.secure(&entry, by: security, draft) }
        draft.add(entry, plan)
    }

    private static func listenerMode(of application: Application) -> ListenerMode {
        if application.spoken.isHTTP || application.security?.isHTTP == true { return .http }
        return application.spoken == .unspecified ? .detect : .tcp
    }

    /// The workload's labels, and those of the service that selects it.
    private func applicationLabels() -> DestinationLabels {
        var labels = DestinationLabels()
        scope.node.describe(&labels)
        if scope.inputs.hasIdentity, !scope.node.serviceAccount.isEmpty {
            let domain = scope.configuration.mesh.trustDomain
            labels.principal = "spiffe://\(domain)/ns/\(scope.node.namespace)/sa/\(scope.node.serviceAccount)"
        }
        let service = services.services.first { service in
            guard let selector = service.entry.workloadSelector else { return false }
            return service.entry.id.namespace == scope.node.namespace && scope.isSelected(selector)
        }
        if let service { labels.describe(service: service.host, in: service.entry.id.namespace) }
        return labels
    }

    private func addCluster(_ application: Application, _ labels: DestinationLabelsID) -> UInt32 {
        var cluster = ClusterEntry()
        cluster.name = scope.inputs.catalogs.name("inbound|\(application.port)||")
        cluster.labels = labels
        cluster.all.totalWeight = 1
        cluster.isHTTP2 = application.spoken == .http2 || application.spoken == .grpc
        if let pool = application.pool { cluster.apply(pool) }
        let endpoint = EndpointEntry(address: application.address, weight: 1, cluster: UInt32(draft.clusters.count), labels: labels)
        cluster.all.endpoints = draft.endpoints.add(contentsOf: [endpoint])
        return draft.clusters.add(cluster)
    }

    /// What an inbound route does: try again only what the application cannot have seen (semantics 2.3).
    private static var actions: RouteActions {
        var actions = RouteActions()
        actions.retry.conditions = .resetBeforeRequest
        return actions
    }
}
