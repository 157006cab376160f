internal import HTTP
internal import MeshConfig
internal import Primitives
internal import TelemetryModel

/// Virtual hosts and their routes: the half of the compiler that reads VirtualServices.
extension RouteCompiler {
    /// What one outbound listener serves.
    struct OutboundScope {
        /// Nil = every service port.
        var port: UInt16?
        /// Nil = everything.
        var hosts: [Sidecar.EgressHost]?
        /// Clients come to a path: what they dial tells no service from another.
        var isUnix = false
    }

    /// The virtual hosts of an outbound listener: one per visible service port, and one per VirtualService host that is no service.
    mutating func addVirtualHosts(_ scope: OutboundScope, to listener: inout ListenerEntry) {
        var domains: [String: [PortEntry]] = [:]
        var order: [String] = []
        func add(_ name: String, _ port: PortEntry, _ domains: inout [String: [PortEntry]], _ order: inout [String]) {
            if domains[name] == nil { order.append(name) }
            // The first virtual host that claims a name at a port keeps it.
            if !(domains[name] ?? []).contains(where: { $0.port == port.port }) { domains[name, default: []].append(port) }
        }
        let rules = configuration.virtualServices.filter { $0.appliesToMesh && isVisible($0.exportTo, from: $0.id.namespace) }
        var byHost: [String: [VirtualService]] = [:]
        var wildcardRules: [(host: String, rule: VirtualService)] = []
        for rule in rules {
            for host in rule.hosts {
                let name = HostName.resolve(host, namespace: rule.id.namespace).lowercased()
                if name.hasPrefix("*") { wildcardRules.append((name, rule)) } else { byHost[name, default: []].append(rule) }
            }
        }
        wildcardRules.sort { $0.host.utf8.count > $1.host.utf8.count }

        for service in services where sees(scope, service.entry.id.namespace, service.host) {
            let rule = byHost[service.host]?.first ?? wildcardRules.first { HostName.matches($0.host, service.host) }?.rule
            for port in service.entry.ports where port.protocol.isHTTP || port.protocol == .unspecified {
                if let wanted = scope.port, wanted != port.number { continue }
                let virtualHost = addVirtualHost(host: service.host, port: port.number, rule: rule)
                let entry = PortEntry(port: scope.port == nil ? port.number : 0, virtualHost: virtualHost)
                for name in HostName.alternatives(of: service.host, from: inputs.node.namespace) { add(name, entry, &domains, &order) }
                for address in service.entry.addresses where !address.contains("/") { add(Self.authority(of: address), entry, &domains, &order) }
            }
        }
        for (name, list) in byHost.sorted(by: { $0.key < $1.key }) where servicesByHost[name] == nil {
            guard let rule = list.first, sees(scope, rule.id.namespace, name) else { continue }
            let entry = PortEntry(port: 0, virtualHost: addVirtualHost(host: name, port: scope.port ?? 80, rule: rule))
            for alternative in HostName.alternatives(of: name, from: inputs.node.namespace) { add(alternative, entry, &domains, &order) }
        }
        for (name, rule) in wildcardRules where servicesByHost[name] == nil && sees(scope, rule.id.namespace, name) {
            add(name, PortEntry(port: 0, virtualHost: addVirtualHost(host: name, port: scope.port ?? 80, rule: rule)), &domains, &order)
        }
        builder.addDomains(order.map { ($0, domains[$0] ?? []) }, to: &listener)
    }

    /// An address as it stands in `Host`: IPv6 in brackets and in its canonical form.
    private static func authority(of address: String) -> String {
        guard let endpoint = SocketEndpoint(address: address, port: 0) else { return address }
        return endpoint.family == .ipv6 ? "[\(endpoint.addressText)]" : endpoint.addressText
    }

    func sees(_ scope: OutboundScope, _ namespace: String, _ host: String) -> Bool {
        guard let hosts = scope.hosts else { return true }
        return hosts.contains { allowed in
            let isNamespace =
                switch allowed.namespace {
                case "*": true
                case "~": false
                case ".": namespace == inputs.node.namespace
                default: namespace == allowed.namespace
                }
            return isNamespace && HostName.matches(allowed.host, host)
        }
    }

    /// A VirtualService, and as which gateways' rule it is compiled: `mesh` beside workloads.
    struct RuleInScope {
        var rule: VirtualService
        var gateways: Set<String>
    }

    /// One virtual host: the routes of these rules, one after the other.
    mutating func addVirtualHost(of rules: [RuleInScope], port: UInt16) -> Int32 {
        let start = builder.routes.count
        for scoped in rules {
            for (route, owner) in expand(scoped.rule) { addRoute(route, of: owner, for: scoped.gateways, port: port) }
        }
        return addVirtualHost(over: builder.range(start, builder.routes.count), port: port)
    }

    /// One virtual host: the rule's routes, or a route of its own to the service.
    private mutating func addVirtualHost(host: String, port: UInt16, rule: VirtualService?) -> Int32 {
        if let rule, !rule.http.isEmpty { return addVirtualHost(of: [RuleInScope(rule: rule, gateways: ["mesh"])], port: port) }
        var entry = RouteEntry()
        entry.name = inputs.catalogs.name("default")
        let destination = builder.destinations.count
        builder.destinations.append(
            DestinationEntry(cluster: cluster(host: host, subset: "", port: nil, fallbackPort: port), weight: 1))
        entry.destinations = builder.range(destination, builder.destinations.count)
        entry.totalWeight = 1
        let start = builder.routes.count
        builder.routes.append(entry)
        return addVirtualHost(over: builder.range(start, builder.routes.count), port: port)
    }

    mutating func addVirtualHost(over routes: TableRange, port: UInt16) -> Int32 {
        builder.virtualHosts.append(VirtualHostEntry(routes: routes, port: port, index: builder.addPathIndex(over: routes)))
        return Int32(clamping: builder.virtualHosts.count - 1)
    }

    private mutating func addRoute(_ route: HTTPRoute, of rule: VirtualService, for gateways: Set<String>, port: UInt16) {
        let applicable = route.matches.filter { match in
            match.applies(to: gateways, ruleGateways: rule.gateways)
                && match.sourceLabels.allSatisfy { inputs.node.labels[$0.key] == $0.value }
                && (match.sourceNamespace.isEmpty || match.sourceNamespace == inputs.node.namespace)
        }
        // Matches that can never hold here leave nothing of the route.
        if !route.matches.isEmpty, applicable.isEmpty { return }
        let isAnswered = route.redirect != nil || route.directResponse != nil
        guard isAnswered || !route.destinations.isEmpty else { return }
        var entry = RouteEntry()
        entry.name = inputs.catalogs.name(route.name.isEmpty ? "default" : route.name)
        var route = route
        // Setting Host is Istio's other way to say `rewrite.authority`.
        let hosts = [route.headers?.request] + (isSingleDestination(route) ? [route.destinations[0].headers?.request] : [])
        if let authority = Self.authority(in: hosts), route.rewrite?.authority.isEmpty ?? true {
            var rewrite = route.rewrite ?? HTTPRewrite(uri: "", authority: "", uriRegex: nil, position: route.position)
            rewrite.authority = authority
            route.rewrite = rewrite
        }
        entry.actions = addActions(route, of: rule, port: port)
        if let timeout = route.timeoutNanoseconds, timeout > 0 { entry.timeoutNanoseconds = UInt64(timeout) }
        let matches = applicable.map { addMatch($0) }
        let matchStart = builder.matches.count
        builder.matches.append(contentsOf: matches)
        entry.matches = builder.range(matchStart, builder.matches.count)
        var entries: [DestinationEntry] = []
        let isSingle = route.destinations.count == 1
        for destination in route.destinations {
            let host = HostName.resolve(destination.destination.host, namespace: rule.id.namespace).lowercased()
            let index = cluster(host: host, subset: destination.destination.subset, port: destination.destination.port, fallbackPort: port)
            let weight = isSingle ? max(1, destination.weight) : destination.weight
            guard weight > 0 else { continue }
            entries.append(
                DestinationEntry(
                    cluster: index, weight: weight,
                    requestHeaders: addEdits(destination.headers?.request, route.headers?.request, isSingle, of: rule, at: destination.position),
                    responseHeaders: addEdits(destination.headers?.response, route.headers?.response, isSingle, of: rule, at: destination.position)))
        }
        if isAnswered {
            entries = [
                DestinationEntry(
                    cluster: -1, weight: 1, responseHeaders: addEdits(nil, route.headers?.response, true, of: rule, at: route.position))
            ]
        }
        let total = entries.reduce(UInt64(0)) { $0 + UInt64($1.weight) }
        if total > UInt64(UInt32.max) { for index in entries.indices { entries[index].weight = max(1, entries[index].weight >> 8) } }
        guard !entries.isEmpty else { return }
        let start = builder.destinations.count
        builder.destinations.append(contentsOf: entries)
        entry.destinations = builder.range(start, builder.destinations.count)
        entry.totalWeight = UInt32(clamping: entries.reduce(UInt64(0)) { $0 + UInt64($1.weight) })
        builder.origins[UInt32(clamping: builder.routes.count)] = RouteOrigin(
            resource: rule.id, position: route.position, matches: applicable.map(\.position))
        builder.routes.append(entry)
    }

    private func isSingleDestination(_ route: HTTPRoute) -> Bool { route.destinations.count == 1 }

    mutating func addMatch(_ match: HTTPMatchRequest) -> MatchEntry {
        var entry = MatchEntry()
        entry.path = builder.add(match.uri, ignoringCase: match.ignoreURICase, problems: &problems)
        entry.scheme = builder.add(match.scheme, problems: &problems)
        entry.method = builder.add(match.method, problems: &problems)
        entry.authority = builder.add(match.authority, problems: &problems)
        entry.port = match.port ?? 0
        var headers: [NamedMatcher] = []
        for header in match.headers { headers.append(addNamed(header, isNegated: false)) }
        for header in match.withoutHeaders { headers.append(addNamed(header, isNegated: true)) }
        let headerStart = builder.named.count
        builder.named.append(contentsOf: headers)
        entry.headers = builder.range(headerStart, builder.named.count)
        let parameterStart = builder.named.count
        for parameter in match.queryParameters { builder.named.append(addNamed(parameter, isNegated: false)) }
        entry.queryParameters = builder.range(parameterStart, builder.named.count)
        return entry
    }

    private mutating func addNamed(_ match: NamedStringMatch, isNegated: Bool) -> NamedMatcher {
        NamedMatcher(name: builder.add(text: match.name), matcher: builder.add(match.match, problems: &problems), isNegated: isNegated)
    }
}
