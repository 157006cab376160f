internal import MeshConfig
internal import Primitives
internal import TelemetryModel

/// A VirtualService, and as which gateways' rule it is compiled: `mesh` beside workloads.
struct RuleInScope {
    var rule: VirtualService
    var gateways: Set<String>
}

/// One `http` rule after the other: its conditions, what it does, where it leads.
struct RouteRuleCompiler {
    let scope: CompileScope
    let clusters: ClusterCompiler
    let draft: SnapshotBuilder

    /// The routes of these rules, one after the other.
    func addRoutes(of rules: [RuleInScope], port: UInt16) -> TableRange {
        let start = draft.routes.count
        let delegation = Delegation(scope: scope, draft: draft)
        for scoped in rules {
            for (route, owner) in delegation.expand(scoped.rule) { addRoute(route, of: owner, for: scoped.gateways, port: port) }
        }
        return draft.routes.range(from: start)
    }

    private func addRoute(_ route: HTTPRoute, of rule: VirtualService, for gateways: Set<String>, port: UInt16) {
        let applicable = route.matches.filter { match in
            match.applies(to: gateways, ruleGateways: rule.gateways) && scope.isSelected(match.sourceLabels)
                && (match.sourceNamespace.isEmpty || match.sourceNamespace == scope.node.namespace)
        }
        // Matches that can never hold here leave nothing of the route.
        if !route.matches.isEmpty, applicable.isEmpty { return }
        let isAnswered = route.redirect != nil || route.directResponse != nil
        guard isAnswered || !route.destinations.isEmpty else { return }
        var entry = RouteEntry()
        entry.name = scope.inputs.catalogs.name(route.name.isEmpty ? "default" : route.name)
        let route = Self.withAuthority(route)
        entry.actionIndex = RouteActionCompiler(clusters: clusters, draft: draft).addActions(route, of: rule, port: port)
        if let timeout = route.timeoutNanoseconds, timeout > 0 { entry.timeoutNanoseconds = UInt64(timeout) }
        let matches = MatchCompiler(draft: draft)
        entry.matches = draft.matches.add(contentsOf: applicable.map { matches.compileMatch($0) })
        var entries = compileDestinations(route, of: rule, port: port)
        if isAnswered { entries = [answered(route, of: rule)] }
        guard !entries.isEmpty else { return }
        entry.destinations = draft.destinations.add(contentsOf: entries)
        entry.totalWeight = UInt32(clamping: entries.reduce(UInt64(0)) { $0 + UInt64($1.weight) })
        draft.origins[UInt32(clamping: draft.routes.count)] = RouteOrigin(
            resource: rule.id, position: route.position, matches: applicable.map(\.position))
        draft.routes.add(entry)
    }

    /// Setting Host is Istio's other way to say `rewrite.authority`.
    private static func withAuthority(_ route: HTTPRoute) -> HTTPRoute {
        let hosts = [route.headers?.request] + (route.destinations.count == 1 ? [route.destinations[0].headers?.request] : [])
        guard let authority = HeaderEditCompiler.authority(in: hosts), route.rewrite?.authority.isEmpty ?? true else { return route }
        var rewrite = route.rewrite ?? HTTPRewrite(uri: "", authority: "", uriRegex: nil, position: route.position)
        rewrite.authority = authority
        var route = route
        route.rewrite = rewrite
        return route
    }

    private func compileDestinations(_ route: HTTPRoute, of rule: VirtualService, port: UInt16) -> [DestinationEntry] {
        let isSingle = route.destinations.count == 1
        let edits = HeaderEditCompiler(draft: draft)
        var entries: [DestinationEntry] = route.destinations.compactMap { destination in
            let index = clusters.cluster(destination.destination, of: rule.id.namespace, fallbackPort: port)
            let weight = isSingle ? max(1, destination.weight) : destination.weight
            guard weight > 0 else { return nil }
            let (headers, position) = (destination.headers, destination.position)
            return DestinationEntry(
                cluster: index, weight: weight,
                requestHeaders: edits.compileEdits(headers?.request, route.headers?.request, isSingle, of: rule, at: position),
                responseHeaders: edits.compileEdits(headers?.response, route.headers?.response, isSingle, of: rule, at: position))
        }
        let total = entries.reduce(UInt64(0)) { $0 + UInt64($1.weight) }
        if total > UInt64(UInt32.max) { for index in entries.indices { entries[index].weight = max(1, entries[index].weight >> 8) } }
        return entries
    }

    /// What stands for a destination where the proxy answers itself.
    private func answered(_ route: HTTPRoute, of rule: VirtualService) -> DestinationEntry {
        let edits = HeaderEditCompiler(draft: draft).compileEdits(nil, route.headers?.response, true, of: rule, at: route.position)
        return DestinationEntry(cluster: -1, weight: 1, responseHeaders: edits)
    }
}
