internal import Matching
internal import MeshConfig
internal import Primitives
internal import TelemetryModel

/// The listeners of a proxy at the mesh's edge: servers of the Gateways that select its workload, with what VirtualServices bind to them.
struct GatewayCompiler {
    let scope: CompileScope
    let clusters: ClusterCompiler
    let draft: SnapshotBuilder

    private var virtualHosts: VirtualHostCompiler { VirtualHostCompiler(scope: scope, clusters: clusters, draft: draft) }

    /// A server and the Gateway it stands in.
    private struct GatewayServer {
        var gateway: Gateway
        var server: Gateway.Server
        var kind: Kind

        enum Kind {
            case http, tcp
            /// By server name; nothing is decrypted.
            case tlsPassthrough
        }
    }

    /// One listener for every address and port; servers of several Gateways may share it. Returns whether there is any, so that the proxy
    /// is one of the edge.
    func addListeners() -> Bool {
        var order: [SocketEndpoint] = []
        var servers: [SocketEndpoint: [GatewayServer]] = [:]
        for gateway in scope.configuration.gateways where selects(gateway) {
            for server in gateway.servers {
                guard let kind = serverKind(of: server), let endpoint = endpoint(of: server, gateway) else { continue }
                if let first = servers[endpoint]?.first, (first.kind == .http) != (kind == .http) {
                    draft.report(
                        .warning, "SKN0315", server.position, gateway.id, "spec.servers.port",
                        "\(first.gateway.id) serves \(endpoint) as \(first.server.port.protocol.rawValue); this server is left out. "
                            + "Give one of them another port.")
                    continue
                }
                if servers[endpoint] == nil { order.append(endpoint) }
                servers[endpoint, default: []].append(GatewayServer(gateway: gateway, server: server, kind: kind))
            }
        }
        for endpoint in order { add(endpoint, servers[endpoint] ?? []) }
        return !order.isEmpty
    }

    private func selects(_ gateway: Gateway) -> Bool {
        gateway.selector.isEmpty ? scope.node.name.isEmpty : scope.isSelected(gateway.selector)
    }

    /// Nil for what needs TLS of our own, of which the notice SKN0201 tells.
    private func serverKind(of server: Gateway.Server) -> GatewayServer.Kind? {
        switch server.port.protocol {
        case .http, .http2, .grpc, .grpcWeb: .http
        case .https, .tls: server.tls == .passthrough ? .tlsPassthrough : nil
        default: .tcp
        }
    }

    private func endpoint(of server: Gateway.Server, _ gateway: Gateway) -> SocketEndpoint? {
        let own = SocketEndpoint(address: scope.node.address, port: 1) == nil ? "127.0.0.1" : scope.node.address
        let port = scope.node.ports[server.port.name] ?? server.port.number
        return SocketAddresses(draft: draft).listening(on: server.bind.isEmpty ? own : server.bind, port, server.position, gateway.id)
    }

    private func add(_ endpoint: SocketEndpoint, _ servers: [GatewayServer]) {
        guard let first = servers.first else { return }
        var entry = ListenerEntry()
        entry.side = .outbound
        entry.isEdge = true
        entry.labels.source = scope.sourceLabels
        if first.kind == .http {
            addGatewayHosts(servers, to: &entry)
            entry.rateLimits = RateLimitCompiler(scope: scope, draft: draft).compileLimits(.outbound)
            entry.mode = .http
        } else {
            DomainTableCompiler(draft: draft).add([], to: &entry)
            addGatewayConnections(servers, to: &entry)
            entry.mode = .tcp
        }
        draft.add(
            entry, ListenerPlan(name: "gateway_\(endpoint)", endpoint: endpoint, side: .outbound, gatewayPort: first.server.port.number))
    }

    /// Rules that a server takes, with the hosts that both agree on.
    private func boundRules(of entry: GatewayServer) -> [(rule: VirtualService, hosts: [String])] {
        scope.configuration.virtualServices.compactMap { rule in
            guard rule.gateways.contains(entry.gateway.name), scope.isVisible(rule.exportTo, from: rule.id.namespace) else { return nil }
            let hosts = rule.hosts.flatMap { host in
                let name = HostName.resolve(host, namespace: rule.id.namespace)
                return entry.server.hosts.filter { $0.allows(namespace: rule.id.namespace, own: entry.gateway.id.namespace) }
                    .compactMap { HostName.intersection($0.host, name) }
            }
            return hosts.isEmpty ? nil : (rule, hosts)
        }
    }

    /// Virtual hosts of HTTP servers. Rules for one host follow each other in the order they were loaded, as Istio merges them at gateways.
    private func addGatewayHosts(_ servers: [GatewayServer], to listener: inout ListenerEntry) {
        var order: [String] = []
        var scoped: [String: [RuleInScope]] = [:]
        var redirected: Set<String> = []
        for entry in servers {
            let bound = boundRules(of: entry)
            if entry.server.redirectsToHTTPS { redirected.formUnion(entry.server.hosts.map(\.host) + bound.flatMap(\.hosts)) }
            for (rule, hosts) in bound {
                for host in hosts {
                    if scoped[host] == nil { order.append(host) }
                    if let known = scoped[host]?.firstIndex(where: { $0.rule.id == rule.id }) {
                        scoped[host]?[known].gateways.insert(entry.gateway.name)
                    } else {
                        scoped[host, default: []].append(RuleInScope(rule: rule, gateways: [entry.gateway.name]))
                    }
                }
            }
        }
        order += redirected.subtracting(order).sorted()
        let port = servers.first?.server.port.number ?? 0
        let redirect = redirected.isEmpty ? -1 : addRedirectToHTTPS(port: port)
        // One rule for many hosts is compiled once.
        var compiled: [String: Int32] = [:]
        let domains = order.map { host in
            var virtualHost = redirect
            if !redirected.contains(host) {
                let rules = scoped[host] ?? []
                let key = rules.map { "\($0.rule.id) \($0.gateways.sorted())" }.joined(separator: "\n")
                virtualHost = compiled[key] ?? virtualHosts.addVirtualHost(of: rules, port: port)
                compiled[key] = virtualHost
            }
            // Port 0: whatever port the client wrote behind the host.
            return (name: host, ports: [PortEntry(port: 0, virtualHost: virtualHost)])
        }
        DomainTableCompiler(draft: draft).add(domains, to: &listener)
    }

    /// A virtual host that sends every request to https (Envoy's `require_tls: ALL`).
    private func addRedirectToHTTPS(port: UInt16) -> Int32 {
        var actions = RouteActions()
        actions.kind = .redirect
        actions.redirect.scheme = draft.text.add(text: "https")
        let name = scope.inputs.catalogs.name("default")
        let route = draft.addDefaultRoute(to: -1, named: name, actions: draft.routeActions.add(actions))
        return virtualHosts.addVirtualHost(over: route, port: port)
    }

    /// Ways of connections: `tls` rules by server name for TLS that passes through, `tcp` rules for everything else.
    private func addGatewayConnections(_ servers: [GatewayServer], to listener: inout ListenerEntry) {
        let compiler = TCPRouteCompiler(scope: scope, clusters: clusters, draft: draft)
        var routes: [TCPRouteEntry] = []
        for entry in servers {
            for (rule, hosts) in boundRules(of: entry) {
                for var route in rule.l4 where route.isTLS == (entry.kind == .tlsPassthrough) {
                    if route.isTLS { restrict(&route, to: entry.server, of: entry.gateway, rule) }
                    // What had conditions and has none left would take everything.
                    if route.isTLS, route.matches.isEmpty { continue }
                    routes += compiler.compileRoute(
                        route, of: rule, for: [entry.gateway.name], name: hosts[0], port: entry.server.port.number, [.all])
                }
            }
        }
        compiler.add(routes, to: &listener)
    }

    /// Leaves of a rule's server names those that the server's hosts cover.
    private func restrict(_ route: inout L4Route, to server: Gateway.Server, of gateway: Gateway, _ rule: VirtualService) {
        let allowed = server.hosts.filter { $0.allows(namespace: rule.id.namespace, own: gateway.id.namespace) }
        route.matches = route.matches.compactMap { match in
            var match = match
            match.sniHosts = match.sniHosts.flatMap { name in allowed.compactMap { HostName.intersection($0.host, name) } }
            return match.sniHosts.isEmpty ? nil : match
        }
    }
}
