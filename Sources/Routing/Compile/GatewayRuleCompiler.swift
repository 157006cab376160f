internal import Matching
internal import MeshConfig
internal import Primitives
internal import TelemetryModel

/// A server and the Gateway it stands in.
struct GatewayServerScope {
    var gateway: Gateway
    var server: Gateway.Server
    var kind: Kind

    enum Kind: Hashable {
        case http, tcp
        /// By server name; nothing is decrypted.
        case tlsPassthrough
        /// The same, and the server name tells the cluster.
        case tlsAutoPassthrough
        /// Decrypted, and then one of the first two.
        case https(ServerTLS), tlsTerminated(ServerTLS)
    }

    /// Nil = it decrypts nothing.
    var termination: ServerTLS? {
        switch kind {
        case .https(let tls), .tlsTerminated(let tls): tls
        case .http, .tcp, .tlsPassthrough, .tlsAutoPassthrough: nil
        }
    }

    /// Its port takes TLS alone, and the server name tells what becomes of it.
    var choosesByServerName: Bool { kind == .tlsAutoPassthrough || termination != nil }

    /// What one port cannot serve together.
    func excludes(_ other: GatewayServerScope) -> Bool {
        if (kind == .http) != (other.kind == .http) { return true }
        return kind == .tcp && other.choosesByServerName || other.kind == .tcp && choosesByServerName
    }
}

/// What VirtualServices bind to the servers of Gateways, made into domains and routes of listeners.
struct GatewayRuleCompiler {
    let scope: CompileScope
    let clusters: ClusterCompiler
    let draft: SnapshotBuilder

    private var virtualHosts: VirtualHostCompiler { VirtualHostCompiler(scope: scope, clusters: clusters, draft: draft) }

    /// Rules that a server takes, with the hosts that both agree on.
    private func boundRules(of entry: GatewayServerScope) -> [(rule: VirtualService, hosts: [String])] {
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
    func addHosts(_ servers: [GatewayServerScope], to listener: inout ListenerEntry) {
        var order: [String] = []
        var scoped: [String: [RuleInScope]] = [:]
        var redirected: Set<String> = []
        for entry in servers {
            let bound = boundRules(of: entry)
            if entry.server.redirectsToHTTPS, entry.kind == .http {
                redirected.formUnion(entry.server.hosts.map(\.host) + bound.flatMap(\.hosts))
            }
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

    /// Ways of connections: `tls` rules by server name for TLS that passes through, `tcp` rules for everything else. Returns the server
    /// names that pass through.
    @discardableResult
    func addConnections(_ servers: [GatewayServerScope], to listener: inout ListenerEntry) -> [String] {
        let compiler = TCPRouteCompiler(scope: scope, clusters: clusters, draft: draft)
        var routes: [TCPRouteEntry] = []
        var names: Set<String> = []
        // What AUTO_PASSTHROUGH serves say the services.
        for entry in servers where entry.kind != .tlsAutoPassthrough {
            for (rule, hosts) in boundRules(of: entry) {
                for var route in rule.l4 where route.isTLS == (entry.kind == .tlsPassthrough) {
                    if route.isTLS { restrict(&route, to: entry.server, of: entry.gateway, rule) }
                    // What had conditions and has none left would take everything.
                    if route.isTLS, route.matches.isEmpty { continue }
                    for match in route.matches { names.formUnion(match.sniHosts) }
                    routes += compiler.compileRoute(
                        route, of: rule, for: [entry.gateway.name], name: hosts[0], port: entry.server.port.number, [.all])
                }
            }
        }
        compiler.add(routes, to: &listener)
        return names.map { $0.lowercased() }.sorted()
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
