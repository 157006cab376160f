internal import MeshConfig
internal import Primitives
internal import TelemetryModel

/// Listeners for the node's own requests: those of a Sidecar's egress and the common one.
struct OutboundListenerCompiler {
    let scope: CompileScope
    let services: ServiceCatalog
    let clusters: ClusterCompiler
    let draft: SnapshotBuilder

    func addListeners(_ sidecar: Sidecar?) {
        let egress = sidecar?.egress ?? []
        let whole = egress.filter { $0.port == nil }
        if let endpoint = scope.inputs.outboundListener {
            // With egress listeners for ports only, the common listener serves what they leave: nothing, as in Istio.
            let hosts = egress.isEmpty ? nil : whole.flatMap(\.hosts)
            if hosts?.isEmpty != true {
                add(ListenerPlan(name: "outbound", endpoint: endpoint, side: .outbound), OutboundScope(port: nil, hosts: hosts), nil)
            }
        }
        for listener in egress {
            guard let port = listener.port, let sidecar else { continue }
            let bind = listener.bind.isEmpty ? "127.0.0.1" : listener.bind
            let addresses = SocketAddresses(draft: draft)
            guard let endpoint = addresses.listening(on: bind, port.number, listener.position, sidecar.id) else { continue }
            let plan = ListenerPlan(name: "outbound_\(endpoint)", endpoint: endpoint, side: .outbound)
            // A path stands for no port: all of them, as on the common listener (Istio's listenerPort 0).
            let isUnix = endpoint.family == .unix
            add(plan, OutboundScope(port: isUnix ? nil : port.number, hosts: listener.hosts, isUnix: isUnix), port.protocol)
        }
    }

    /// `declared`: the protocol that a Sidecar's egress listener names; nil = the common listener.
    private func add(_ plan: ListenerPlan, _ outbound: OutboundScope, _ declared: ServicePort.ApplicationProtocol?) {
        var entry = ListenerEntry()
        entry.side = .outbound
        entry.labels.source = scope.sourceLabels
        VirtualHostCompiler(scope: scope, clusters: clusters, draft: draft).addVirtualHosts(outbound, services, to: &entry)
        TCPRouteCompiler(scope: scope, clusters: clusters, draft: draft).addRoutes(outbound, services, to: &entry)
        entry.rateLimits = RateLimitCompiler(scope: scope, draft: draft).compileLimits(.outbound)
        if let declared {
            if declared.isHTTP { entry.mode = .http } else if declared != .unspecified { entry.mode = .tcp }
        } else {
            // Whoever comes to it by itself speaks HTTP; what was redirected to it is taken for what it was.
            entry.mode = .http
            entry.isCapture = true
            if allowsAny { entry.passthrough = clusters.addPassthrough() }
        }
        draft.add(entry, plan)
    }

    /// The Sidecar's own mode, else the mesh's (Istio's default: ALLOW_ANY).
    private var allowsAny: Bool {
        let sidecar = scope.configuration.sidecar(namespace: scope.node.namespace, labels: scope.node.labels)
        return (sidecar?.outboundTrafficPolicy ?? scope.configuration.mesh.outboundTrafficMode) == .allowAny
    }
}
