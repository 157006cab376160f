internal import Matching
public import MeshConfig
internal import Primitives
internal import TelemetryModel

/// One compiled configuration: immutable, shared by all workers, freed with its last holder.
///
/// `@unchecked Sendable`: everything is written in `init` and only read afterwards; the pointers in `tables` are into memory that the
/// object owns until `deinit`. RE2 objects are safe for concurrent matching.
@safe
public final class RoutingSnapshot: @unchecked Sendable {
    /// For the request path; valid while this object lives.
    @unsafe public let tables: RoutingTables
    /// The same, for this target's own methods of the snapshot.
    let view: TableView
    /// Addresses to listen on; index = listener index in `tables`.
    public let listeners: [ListenerPlan]
    public let node: NodeIdentity
    /// Access logging and tracing of each side, resolved for the node.
    public let accessLog: BySide<AccessLogPolicy>
    public let tracing: BySide<TracingPolicy>
    public let pathNormalization: MeshSettings.PathNormalization
    /// Counts up with every configuration that was adopted.
    public let generation: UInt64
    /// Names that a control thread must resolve, with their ports left out.
    public let hostsToResolve: [String]
    /// Policies that ask for protection and get none in this version.
    public let unenforced: [Diagnostic]
    /// How endpoints are secured, each way once; `EndpointEntry.security` is an index.
    public let upstreamSecurities: [UpstreamSecurity]
    /// How servers of Gateways secure connections; index = `GatewayServer.security`.
    public let gatewaySecurities: [GatewaySecurity]
    /// Where the node's requests are checked (AuthorizationPolicies of action CUSTOM); -1 = nowhere.
    public let authorizerCluster: Int32
    let securityReasons: SecurityReasons
    let catalogs: Catalogs
    /// Where rules were written, by route index; rules that nobody wrote have none.
    let origins: [UInt32: RouteOrigin]
    /// By cluster index.
    public let healthChecks: [Int: ClusterHealthCheck]
    /// The one that decides, by cluster index; the others have none.
    public let meshOutlierDetections: [Int: MeshOutlierDetection]
    /// Names that endpoints of a cluster are resolved from, by cluster index.
    public let dnsNames: [Int: [String]]
    private let arena: TableArena
    private let matchers: MatcherMemory

    /// `rows`: tables in `arena`, its pool in `matchers`.
    init(_ rows: TableRows, in arena: consuming TableArena, _ matchers: consuming MatcherMemory, _ facts: SnapshotFacts) {
        var arena = arena
        view = unsafe TableView(arena.place(rows))
        unsafe tables = RoutingTables(view)
        self.arena = arena
        self.matchers = matchers
        listeners = facts.listeners
        node = facts.node
        catalogs = facts.catalogs
        origins = facts.origins
        healthChecks = facts.healthChecks
        meshOutlierDetections = facts.meshOutlierDetections
        dnsNames = facts.dnsNames
        accessLog = facts.accessLog
        tracing = facts.tracing
        pathNormalization = facts.pathNormalization
        generation = facts.generation
        hostsToResolve = facts.hostsToResolve
        unenforced = facts.unenforced
        authorizerCluster = facts.authorizerCluster
        upstreamSecurities = facts.upstreamSecurities
        gatewaySecurities = facts.gatewaySecurities
        securityReasons = facts.securityReasons
    }

    public var routeCount: Int { view.rows.routes.count }
    public var clusterCount: Int { view.rows.clusters.count }
    public var endpointCount: Int { view.rows.endpoints.count }
}
