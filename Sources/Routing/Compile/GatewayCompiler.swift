internal import MeshConfig
internal import Primitives
internal import TelemetryModel

/// The listeners of a proxy at the mesh's edge: servers of the Gateways that select its workload, with what VirtualServices bind to them.
struct GatewayCompiler {
    let scope: CompileScope
    let services: ServiceCatalog
    let clusters: ClusterCompiler
    let draft: SnapshotBuilder

    private var rules: GatewayRuleCompiler { GatewayRuleCompiler(scope: scope, clusters: clusters, draft: draft) }

    /// One listener for every address and port; servers of several Gateways may share it. Returns whether there is any, so that the proxy
    /// is one of the edge.
    func addListeners() -> Bool {
        var order: [SocketEndpoint] = []
        var servers: [SocketEndpoint: [GatewayServerScope]] = [:]
        for gateway in scope.configuration.gateways where selects(gateway) {
            for server in gateway.servers {
                guard let kind = serverKind(of: server), let endpoint = endpoint(of: server, gateway) else { continue }
                let entry = GatewayServerScope(gateway: gateway, server: server, kind: kind)
                if let first = servers[endpoint]?.first(where: entry.excludes) {
                    draft.report(
                        .warning, "SKN0315", server.position, gateway.id, "spec.servers.port",
                        "\(first.gateway.id) serves \(endpoint) as \(first.server.port.protocol.rawValue); this server is left out. "
                            + "Give one of them another port.")
                    continue
                }
                if servers[endpoint] == nil { order.append(endpoint) }
                servers[endpoint, default: []].append(entry)
            }
        }
        for endpoint in order { add(endpoint, servers[endpoint] ?? []) }
        return !order.isEmpty
    }

    private func selects(_ gateway: Gateway) -> Bool {
        gateway.selector.isEmpty ? scope.node.name.isEmpty : scope.isSelected(gateway.selector)
    }

    /// Nil for TLS without `tls`, which was said when it was read.
    private func serverKind(of server: Gateway.Server) -> GatewayServerScope.Kind? {
        switch server.port.protocol {
        case .http, .http2, .grpc, .grpcWeb: .http
        case .https, .tls:
            server.tls.flatMap { tls -> GatewayServerScope.Kind? in
                if tls.isTerminating { return server.port.protocol == .https ? .https(tls) : .tlsTerminated(tls) }
                return tls.mode == .passthrough ? .tlsPassthrough : .tlsAutoPassthrough
            }
        default: .tcp
        }
    }

    private func endpoint(of server: Gateway.Server, _ gateway: Gateway) -> SocketEndpoint? {
        let own = SocketEndpoint(address: scope.node.address, port: 1) == nil ? "127.0.0.1" : scope.node.address
        let port = scope.node.ports[server.port.name] ?? server.port.number
        return SocketAddresses(draft: draft).listening(on: server.bind.isEmpty ? own : server.bind, port, server.position, gateway.id)
    }

    private func add(_ endpoint: SocketEndpoint, _ servers: [GatewayServerScope]) {
        guard let first = servers.first else { return }
        var entry = ListenerEntry()
        entry.side = .outbound
        entry.isEdge = true
        entry.labels.source = scope.sourceLabels
        if servers.contains(where: \.choosesByServerName) {
            entry.mode = .tcp
            let passing = AutoPassthroughCompiler(scope: scope, services: services, clusters: clusters, draft: draft)
            GatewayTLSCompiler(scope: scope, rules: rules, passing: passing, draft: draft).add(servers, to: &entry)
        } else if first.kind == .http {
            rules.addHosts(servers, to: &entry)
            entry.rateLimits = RateLimitCompiler(scope: scope, draft: draft).compileLimits(.outbound)
            entry.mode = .http
        } else {
            DomainTableCompiler(draft: draft).add([], to: &entry)
            rules.addConnections(servers, to: &entry)
            entry.mode = .tcp
        }
        draft.add(
            entry, ListenerPlan(name: "gateway_\(endpoint)", endpoint: endpoint, side: .outbound, gatewayPort: first.server.port.number))
    }
}
