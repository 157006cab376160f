internal import Matching
internal import MeshConfig
internal import Primitives
internal import TelemetryModel

/// A snapshot in the making: its tables, what people are told of it, and what went wrong. Shared by the compilers of one compilation, on
/// one thread.
final class SnapshotBuilder {
    var matchers = MatcherPoolBuilder()
    var text = GrowingTable<UInt8>()
    var listeners = GrowingTable<ListenerEntry>()
    var domains = GrowingTable<DomainEntry>()
    var wildcards = GrowingTable<WildcardEntry>()
    var ports = GrowingTable<PortEntry>()
    var virtualHosts = GrowingTable<VirtualHostEntry>()
    var routes = GrowingTable<RouteEntry>()
    var destinations = GrowingTable<DestinationEntry>()
    var matches = GrowingTable<MatchEntry>()
    var named = GrowingTable<NamedMatcher>()
    var clusters = GrowingTable<ClusterEntry>()
    var endpoints = GrowingTable<EndpointEntry>()
    var endpointGroups = GrowingTable<EndpointGroup>()
    var routeActions = GrowingTable([RouteActions()])
    var mirrors = GrowingTable<MirrorEntry>()
    var statusCodes = GrowingTable<UInt16>()
    var fieldTexts = GrowingTable<FieldText>()
    var headerPieces = GrowingTable<HeaderValuePiece>()
    var cors = GrowingTable<CORSEntry>()
    var originMatchers = GrowingTable<StringMatcher>()
    var tcpRoutes = GrowingTable<TCPRouteEntry>()
    var capturedPorts = GrowingTable<CapturedPort>()
    var pathEntries = GrowingTable<PathIndexEntry>()
    var pathLengths = GrowingTable<UInt16>()
    var otherRoutes = GrowingTable<UInt32>()
    var ring = GrowingTable<RingEntry>()
    var maglevSlots = GrowingTable<UInt32>()
    var rateLimits = GrowingTable<RateLimitEntry>()
    var rateLimitKeys = GrowingTable<RateLimitKey>()
    var hostPatterns = GrowingTable<HostPattern>()

    /// One for each listener.
    var plans: [ListenerPlan] = []
    var origins: [UInt32: RouteOrigin] = [:]
    var healthChecks: [Int: ClusterHealthCheck] = [:]
    var dnsNames: [Int: [String]] = [:]
    var unresolvedHosts: Set<String> = []
    var unenforced = UnenforcedSecurity()
    private(set) var problems: [Diagnostic] = []

    func report(
        _ severity: Diagnostic.Severity, _ code: String, _ position: SourcePosition, _ resource: ResourceID?, _ field: String,
        _ message: String
    ) {
        problems.append(
            Diagnostic(severity: severity, code: code, position: position, resource: resource, field: field, message: message))
    }

    /// An endpoint of a cluster has this name, which must be resolved.
    func noteName(_ name: String, ofCluster index: Int) {
        unresolvedHosts.insert(name)
        if !(dnsNames[index] ?? []).contains(name) { dnsNames[index, default: []].append(name) }
    }

    func add(_ entry: ListenerEntry, _ plan: ListenerPlan) {
        listeners.add(entry)
        plans.append(plan)
    }

    /// A route with one destination and no conditions; the place of the route.
    func addDefaultRoute(to cluster: Int32, named name: NameID, actions: UInt32 = 0) -> TableRange {
        var entry = RouteEntry()
        entry.name = name
        entry.destinations = destinations.add(contentsOf: [DestinationEntry(cluster: cluster, weight: 1)])
        entry.totalWeight = 1
        entry.actionIndex = actions
        return routes.add(contentsOf: [entry])
    }

    /// The snapshot of all that was added. `facts`: what was not.
    func finish(_ facts: SnapshotFacts) -> RoutingSnapshot {
        var arena = TableArena()
        let memory = matchers.finish()
        let rows = TableRows(
            matchers: memory.pool, textBytes: arena.table(text.items), listeners: arena.table(listeners.items),
            domains: arena.table(domains.items), wildcards: arena.table(wildcards.items), ports: arena.table(ports.items),
            virtualHosts: arena.table(virtualHosts.items), routes: arena.table(routes.items), destinations: arena.table(destinations.items),
            matches: arena.table(matches.items), named: arena.table(named.items), clusters: arena.table(clusters.items),
            endpoints: arena.table(endpoints.items), endpointGroups: arena.table(endpointGroups.items),
            routeActions: arena.table(routeActions.items), mirrors: arena.table(mirrors.items), statusCodes: arena.table(statusCodes.items),
            fieldTexts: arena.table(fieldTexts.items), headerPieces: arena.table(headerPieces.items), cors: arena.table(cors.items),
            originMatchers: arena.table(originMatchers.items), tcpRoutes: arena.table(tcpRoutes.items),
            capturedPorts: arena.table(capturedPorts.items), pathEntries: arena.table(pathEntries.items),
            pathLengths: arena.table(pathLengths.items), otherRoutes: arena.table(otherRoutes.items), ring: arena.table(ring.items),
            maglevSlots: arena.table(maglevSlots.items), rateLimits: arena.table(rateLimits.items),
            rateLimitKeys: arena.table(rateLimitKeys.items), hostPatterns: arena.table(hostPatterns.items))
        var facts = facts
        facts.listeners = plans
        facts.origins = origins
        facts.healthChecks = healthChecks
        facts.dnsNames = dnsNames
        facts.hostsToResolve = unresolvedHosts.sorted()
        return RoutingSnapshot(rows, in: arena, memory, facts)
    }
}
