internal import HTTP
internal import MeshConfig
internal import Primitives
internal import TelemetryModel

/// Virtual hosts and their names: the half of the compilation that reads VirtualServices.
struct VirtualHostCompiler {
    let scope: CompileScope
    let clusters: ClusterCompiler
    let draft: SnapshotBuilder

    /// The names of a listener in the order in which they were added.
    private struct Names {
        var domains: [String: [PortEntry]] = [:]
        var order: [String] = []

        /// The first virtual host that claims a name at a port keeps it.
        mutating func add(_ name: String, _ port: PortEntry) {
            if domains[name] == nil { order.append(name) }
            if !(domains[name] ?? []).contains(where: { $0.port == port.port }) { domains[name, default: []].append(port) }
        }
    }

    /// The virtual hosts of an outbound listener: one per visible service port, and one per VirtualService host that is no service.
    func addVirtualHosts(_ outbound: OutboundScope, _ services: ServiceCatalog, to listener: inout ListenerEntry) {
        let visible = scope.configuration.virtualServices.filter { $0.appliesToMesh && scope.isVisible($0.exportTo, from: $0.id.namespace) }
        let rules = RulesByHost(visible, longestFirst: true)
        var names = Names()
        let namespace = scope.node.namespace
        for service in services.services where outbound.sees(service.entry.id.namespace, service.host, from: namespace) {
            add(service, outbound, rules.rule(for: service.host), to: &names)
        }
        for (name, list) in rules.exact.sorted(by: { $0.key < $1.key }) where !services.has(host: name) {
            guard let rule = list.first, outbound.sees(rule.id.namespace, name, from: namespace) else { continue }
            let entry = PortEntry(port: 0, virtualHost: addVirtualHost(host: name, port: outbound.port ?? 80, rule: rule))
            for alternative in HostName.alternatives(of: name, from: namespace) { names.add(alternative, entry) }
        }
        for (name, rule) in rules.wildcards where !services.has(host: name) && outbound.sees(rule.id.namespace, name, from: namespace) {
            names.add(name, PortEntry(port: 0, virtualHost: addVirtualHost(host: name, port: outbound.port ?? 80, rule: rule)))
        }
        DomainTableCompiler(draft: draft).add(names.order.map { ($0, names.domains[$0] ?? []) }, to: &listener)
    }

    private func add(_ service: ServiceCatalog.Service, _ outbound: OutboundScope, _ rule: VirtualService?, to names: inout Names) {
        for port in service.entry.ports where port.protocol.isHTTP || port.protocol == .unspecified {
            if let wanted = outbound.port, wanted != port.number { continue }
            let virtualHost = addVirtualHost(host: service.host, port: port.number, rule: rule)
            let entry = PortEntry(port: outbound.port == nil ? port.number : 0, virtualHost: virtualHost)
            for name in HostName.alternatives(of: service.host, from: scope.node.namespace) { names.add(name, entry) }
            for address in service.entry.addresses where !address.contains("/") { names.add(Self.authority(of: address), entry) }
        }
    }

    /// An address as it stands in `Host`: IPv6 in brackets and in its canonical form.
    private static func authority(of address: String) -> String {
        guard let endpoint = SocketEndpoint(address: address, port: 0) else { return address }
        return endpoint.family == .ipv6 ? "[\(endpoint.addressText)]" : endpoint.addressText
    }

    /// One virtual host: the routes of these rules, one after the other.
    func addVirtualHost(of rules: [RuleInScope], port: UInt16) -> Int32 {
        let compiler = RouteRuleCompiler(scope: scope, clusters: clusters, draft: draft)
        return addVirtualHost(over: compiler.addRoutes(of: rules, port: port), port: port)
    }

    /// One virtual host: the rule's routes, or a route of its own to the service.
    private func addVirtualHost(host: String, port: UInt16, rule: VirtualService?) -> Int32 {
        if let rule, !rule.http.isEmpty { return addVirtualHost(of: [RuleInScope(rule: rule, gateways: ["mesh"])], port: port) }
        let cluster = clusters.cluster(host: host, subset: "", port: nil, fallbackPort: port)
        return addVirtualHost(over: draft.addDefaultRoute(to: cluster, named: scope.inputs.catalogs.name("default")), port: port)
    }

    func addVirtualHost(over routes: TableRange, port: UInt16) -> Int32 {
        let index = PathIndexCompiler(draft: draft).buildIndex(over: routes)
        return Int32(clamping: draft.virtualHosts.add(VirtualHostEntry(routes: routes, port: port, index: index)))
    }
}
