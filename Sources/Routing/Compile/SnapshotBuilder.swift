internal import Matching
internal import MeshConfig
internal import Primitives
internal import TelemetryModel

/// A snapshot in the making: its tables, what people are told of it, and what went wrong. Shared by the compilers of one compilation, on
/// one thread.
///
/// `draft.routes` grows what becomes `TableRows.routes`, and so with every table there.
@dynamicMemberLookup
final class SnapshotBuilder {
    var matchers = MatcherPoolBuilder()
    /// Growing tables, by their places in `TableRows`; made when they are first asked for.
    private var drafts: [PartialKeyPath<TableRows>: AnyObject] = [:]
    /// Each puts one of them into its place.
    private var placing: [(inout TableRows, inout TableArena) -> Void] = []

    /// One for each listener.
    var plans: [ListenerPlan] = []
    var origins: [UInt32: RouteOrigin] = [:]
    var healthChecks: [Int: ClusterHealthCheck] = [:]
    var meshOutlierDetections: [Int: MeshOutlierDetection] = [:]
    var dnsNames: [Int: [String]] = [:]
    var unresolvedHosts: Set<String> = []
    var unenforced = UnenforcedSecurity()
    var upstreamSecurities = UpstreamSecurityList()
    var gatewaySecurities: [GatewaySecurity] = []
    /// Rows of `listeners` without an address: what servers of one port are served by. They follow all others.
    private var servedBy: [ListenerEntry] = []
    var securityReasons = SecurityReasons()
    /// A match asks for a claim of a token.
    var usesClaims = false
    private(set) var problems: [Diagnostic] = []

    init() {
        // Index 0: routes without actions of their own.
        self.routeActions.add(RouteActions())
    }

    subscript<Entry>(dynamicMember place: WritableKeyPath<TableRows, Table<Entry>>) -> GrowingTable<Entry> {
        get { draft(place).table }
        _modify { yield &draft(place).table }
    }

    private func draft<Entry>(_ place: WritableKeyPath<TableRows, Table<Entry>>) -> TableDraft<Entry> {
        if let known = drafts[place] as? TableDraft<Entry> { return known }
        let draft = TableDraft<Entry>()
        drafts[place] = draft
        placing.append { rows, arena in rows[keyPath: place] = arena.table(draft.table.items) }
        return draft
    }

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
        self.listeners.add(entry)
        plans.append(plan)
    }

    /// A server of a port that terminates TLS.
    func add(_ entry: ListenerEntry, securedBy security: GatewaySecurity, key: UInt64) -> GatewayServerEntry {
        servedBy.append(entry)
        gatewaySecurities.append(security)
        return GatewayServerEntry(
            key: key, row: UInt32(clamping: servedBy.count - 1), security: UInt32(clamping: gatewaySecurities.count - 1))
    }

    private func placeServers() {
        let first = UInt32(clamping: self.listeners.add(contentsOf: servedBy).start)
        for place in self.gatewayServers.items.indices { self.gatewayServers[place].row += first }
    }

    /// A route with one destination and no conditions; the place of the route.
    func addDefaultRoute(to cluster: Int32, named name: NameID, actions: UInt32 = 0) -> TableRange {
        var entry = RouteEntry()
        entry.name = name
        entry.destinations = self.destinations.add(contentsOf: [DestinationEntry(cluster: cluster, weight: 1)])
        entry.totalWeight = 1
        entry.actionIndex = actions
        return self.routes.add(contentsOf: [entry])
    }

    /// The snapshot of all that was added. `facts`: what was not.
    func finish(_ facts: SnapshotFacts) -> RoutingSnapshot {
        placeServers()
        var arena = TableArena()
        let memory = matchers.finish()
        var rows = TableRows(matchers: memory.pool)
        rows.usesClaims = usesClaims
        for place in placing { place(&rows, &arena) }
        var facts = facts
        facts.listeners = plans
        facts.origins = origins
        facts.healthChecks = healthChecks
        facts.meshOutlierDetections = meshOutlierDetections
        facts.dnsNames = dnsNames
        facts.upstreamSecurities = upstreamSecurities.items
        facts.gatewaySecurities = gatewaySecurities
        facts.securityReasons = securityReasons
        facts.hostsToResolve = unresolvedHosts.sorted()
        return RoutingSnapshot(rows, in: arena, memory, facts)
    }
}

/// One table of `SnapshotBuilder`, shared so that it grows in place.
private final class TableDraft<Entry: BitwiseCopyable> {
    var table = GrowingTable<Entry>()
}
