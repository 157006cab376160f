internal import MeshConfig
internal import Primitives
internal import TelemetryModel

/// Ports of Gateways where the server name tells what becomes of TLS: servers by server name, each with hosts and routes of its own, as
/// Istio gives each a filter chain.
struct GatewayTLSCompiler {
    let scope: CompileScope
    let rules: GatewayRuleCompiler
    let passing: AutoPassthroughCompiler
    let draft: SnapshotBuilder

    /// Fills the port's listener, and adds a row without an address for every server. `listener` is what such rows begin from.
    func add(_ servers: [GatewayServerScope], to listener: inout ListenerEntry) {
        let terminated = servers.compactMap { server in server.termination.map { (server, $0) } }
        var names = ServerNames()
        var entries: [GatewayServerEntry] = []
        for (server, tls) in terminated {
            for host in server.server.hosts.map(\.host) {
                guard let owner = names.claim(host, for: entries.count), owner != entries.count else { continue }
                let other = terminated[owner].0
                draft.report(
                    .warning, "SKN0319", server.server.position, server.gateway.id, "spec.servers.hosts",
                    "\(other.gateway.id), port \(other.server.port.name), takes TLS for \(host) at this port already; this server does "
                        + "not get it")
            }
            reportLackOfIdentity(server, tls)
            entries.append(add(server, tls, like: listener))
        }
        let passed = rules.addConnections(servers.filter { $0.kind == .tlsPassthrough }, to: &listener)
        for name in passed { _ = names.claim(name, for: entries.count) }
        let ways = passing.addWays(servers.filter { $0.kind == .tlsAutoPassthrough })
        listener.namedRoutes = ways.routes
        for (place, name) in ways.names.enumerated() { _ = names.claim(name, for: entries.count + 1 + place) }
        DomainTableCompiler(draft: draft).add(names.domains, to: &listener)
        listener.servers = draft.gatewayServers.add(contentsOf: entries)
    }

    private func reportLackOfIdentity(_ entry: GatewayServerScope, _ tls: ServerTLS) {
        guard tls.mode == .istioMutual, !scope.inputs.hasIdentity else { return }
        draft.report(
            .notice, "SKN0203", tls.position, entry.gateway.id, "spec.servers.tls.mode",
            "ISTIO_MUTUAL shows the certificate of the mesh, and the process has none: its handshakes are refused. Start it with "
                + "--identity DIRECTORY")
    }

    /// Which server takes a name; the first that claims it.
    private struct ServerNames {
        private var owners: [String: Int] = [:]
        private var order: [String] = []

        /// The server that has the name already.
        mutating func claim(_ name: String, for server: Int) -> Int? {
            if let owner = owners[name] { return owner }
            owners[name] = server
            order.append(name)
            return nil
        }

        var domains: [DomainTableCompiler.Domain] {
            order.map { ($0, [PortEntry(port: 0, virtualHost: Int32(clamping: owners[$0] ?? -1))]) }
        }
    }

    private func add(_ entry: GatewayServerScope, _ tls: ServerTLS, like port: ListenerEntry) -> GatewayServerEntry {
        var listener = port
        let isHTTP = entry.server.port.protocol == .https
        if isHTTP {
            listener.mode = .http
            rules.addHosts([entry], to: &listener)
            listener.rateLimits = RateLimitCompiler(scope: scope, draft: draft).compileLimits(.outbound)
        } else {
            listener.mode = .tcp
            DomainTableCompiler(draft: draft).add([], to: &listener)
            rules.addConnections([entry], to: &listener)
        }
        let security = GatewaySecurity(
            server: "\(entry.gateway.id), port \(entry.server.port.name)", tls: tls, isHTTP: isHTTP)
        let server = [entry.gateway.name, entry.server.port.name, entry.server.port.protocol.rawValue]
        return draft.add(listener, securedBy: security, key: tls.key(of: server))
    }
}
