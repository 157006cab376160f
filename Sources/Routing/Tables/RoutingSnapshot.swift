internal import CRE2
public import MeshConfig
public import Primitives
public import TelemetryModel

/// One compiled configuration: immutable, shared by all workers, freed with its last holder.
///
/// `@unchecked Sendable`: everything is written in `init` and only read afterwards; the pointers in `tables` are into memory that the
/// object owns until `deinit`. RE2 objects are safe for concurrent matching.
@safe
public final class RoutingSnapshot: @unchecked Sendable {
    /// For the request path; valid while this object lives.
    @unsafe public let tables: RoutingTables
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
    let catalogs: Catalogs
    public let routeCount: Int
    /// Where rules were written; rules that nobody wrote have none.
    let origins: [UInt32: RouteOrigin]
    /// By cluster index.
    public let healthChecks: [Int: ClusterHealthCheck]
    /// Names that endpoints of a cluster are resolved from, by cluster index.
    public let dnsNames: [Int: [String]]
    private let allocations: [UnsafeMutableRawPointer]
    private let regexes: [OpaquePointer]

    init(_ builder: consuming SnapshotBuilder, listeners: [ListenerPlan], cold: SnapshotSettings) {
        var allocations: [UnsafeMutableRawPointer] = unsafe []
        func place<T: BitwiseCopyable>(_ items: [T]) -> UnsafePointer<T> {
            let memory = UnsafeMutablePointer<T>.allocate(capacity: max(1, items.count))
            unsafe memory.initialize(from: items, count: items.count)
            unsafe allocations.append(UnsafeMutableRawPointer(memory))
            return unsafe UnsafePointer(memory)
        }
        unsafe regexes = unsafe builder.regexes
        let addresses = unsafe TableAddresses(
            text: place(builder.text), listeners: place(builder.listeners), domains: place(builder.domains),
            wildcards: place(builder.wildcards), ports: place(builder.ports), virtualHosts: place(builder.virtualHosts),
            routes: place(builder.routes), destinations: place(builder.destinations), matches: place(builder.matches),
            named: place(builder.named), regexes: place(builder.regexes), clusterTable: place(builder.clusters),
            endpointTable: place(builder.endpoints), actionTable: place(builder.actions), mirrors: place(builder.mirrors),
            statusCodes: place(builder.statusCodes), fieldTexts: place(builder.fieldTexts), headerPieces: place(builder.headerPieces), corsTable: place(builder.cors),
            originMatchers: place(builder.originMatchers), tcpRoutes: place(builder.tcpRoutes), capturedPorts: place(builder.capturedPorts),
            pathEntries: place(builder.pathEntries), pathLengths: place(builder.pathLengths), otherRoutes: place(builder.otherRoutes),
            ring: place(builder.ring), rateLimits: place(builder.rateLimits),
            rateLimitCount: builder.rateLimits.count, maglevSlots: place(builder.maglevSlots),
            groupTable: place(builder.groups), groupCount: builder.groups.count,
            listenerCount: builder.listeners.count, clusterCount: builder.clusters.count,
            endpointCount: builder.endpoints.count)
        unsafe tables = unsafe RoutingTables(place([addresses]))
        unsafe self.allocations = unsafe allocations
        self.listeners = listeners
        node = cold.node
        catalogs = cold.catalogs
        routeCount = builder.routes.count
        origins = builder.origins
        healthChecks = builder.healthChecks
        dnsNames = builder.dnsNames
        accessLog = cold.accessLog
        tracing = cold.tracing
        pathNormalization = cold.pathNormalization
        generation = cold.generation
        hostsToResolve = cold.hostsToResolve
        unenforced = cold.unenforced
    }

    deinit {
        for unsafe allocation in unsafe allocations { unsafe allocation.deallocate() }
        for unsafe regex in unsafe regexes { unsafe skein_re2_free(regex) }
    }

    public var clusterCount: Int { unsafe tables.clusterCount }
    public var endpointCount: Int { unsafe tables.endpointCount }
}

/// An address to listen on and why.
public struct ListenerPlan: Sendable, Equatable {
    public var name: String
    public var endpoint: SocketEndpoint
    public var side: ProxySide
    /// The port of a Gateway's server that requests are addressed to; 0 for a proxy beside a workload, and for a server on a Unix socket.
    public var gatewayPort: UInt16

    public init(name: String, endpoint: SocketEndpoint, side: ProxySide, gatewayPort: UInt16 = 0) {
        self.name = name
        self.endpoint = endpoint
        self.side = side
        self.gatewayPort = gatewayPort
    }
}

/// A value for each side of the proxy.
public struct BySide<Value: Sendable>: Sendable {
    public var outbound: Value
    public var inbound: Value

    public subscript(side: ProxySide) -> Value { side == .outbound ? outbound : inbound }
}

/// Everything of a snapshot that the request path does not read.
struct SnapshotSettings {
    var node: NodeIdentity
    var catalogs: Catalogs
    var accessLog: BySide<AccessLogPolicy>
    var tracing: BySide<TracingPolicy>
    var pathNormalization: MeshSettings.PathNormalization
    var generation: UInt64
    var hostsToResolve: [String]
    var unenforced: [Diagnostic]
}

/// The growing tables of a snapshot. Plain arrays; `RoutingSnapshot` copies them once.
@safe
struct SnapshotBuilder: ~Copyable {
    var text: [UInt8] = []
    var listeners: [ListenerEntry] = []
    var domains: [DomainEntry] = []
    var wildcards: [WildcardEntry] = []
    var ports: [PortEntry] = []
    var virtualHosts: [VirtualHostEntry] = []
    var routes: [RouteEntry] = []
    var destinations: [DestinationEntry] = []
    var matches: [MatchEntry] = []
    var named: [NamedMatcher] = []
    var regexes: [OpaquePointer] = unsafe []
    var clusters: [ClusterEntry] = []
    var endpoints: [EndpointEntry] = []
    var actions = [RouteActions()]
    var mirrors: [MirrorEntry] = []
    var statusCodes: [UInt16] = []
    var fieldTexts: [FieldText] = []
    var headerPieces: [HeaderValuePiece] = []
    var cors: [CORSEntry] = []
    var originMatchers: [StringMatcher] = []
    var tcpRoutes: [TCPRouteEntry] = []
    var capturedPorts: [CapturedPort] = []
    var pathEntries: [PathIndexEntry] = []
    var pathLengths: [UInt16] = []
    var otherRoutes: [UInt32] = []
    var ring: [RingEntry] = []
    var rateLimits: [RateLimitEntry] = []
    var origins: [UInt32: RouteOrigin] = [:]
    var healthChecks: [Int: ClusterHealthCheck] = [:]
    var dnsNames: [Int: [String]] = [:]
    var maglevSlots: [UInt32] = []
    var groups: [EndpointGroup] = []

    /// Bytes of one regex's program and its DFA cache (RE2's own default is 8 MiB).
    static let regexMemoryMax = 1 << 20

    mutating func add(text string: String) -> TableRange {
        let start = text.count
        text.append(contentsOf: string.utf8)
        return range(start, text.count)
    }

    mutating func add(bytes: [UInt8]) -> TableRange {
        let start = text.count
        text.append(contentsOf: bytes)
        return range(start, text.count)
    }

    /// Compiles a condition; a bad regex is reported and never matches anything else than nothing.
    mutating func add(_ match: StringMatch?, ignoringCase: Bool = false, problems: inout [Diagnostic]) -> StringMatcher {
        guard let match else { return StringMatcher() }
        var matcher = StringMatcher()
        switch match.condition {
        case .present: matcher.kind = .present
        case .exact(let value):
            matcher.kind = .exact
            matcher.ignoresCase = ignoringCase
            matcher.text = add(text: ignoringCase ? value.lowercased() : value)
        case .prefix(let value):
            matcher.kind = .prefix
            matcher.ignoresCase = ignoringCase
            matcher.text = add(text: ignoringCase ? value.lowercased() : value)
        case .regex(let pattern):
            matcher.kind = .regex
            var pattern = pattern
            let regex = pattern.withUTF8 { bytes in
                unsafe bytes.withMemoryRebound(to: CChar.self) { unsafe skein_re2_new($0.baseAddress, $0.count, Self.regexMemoryMax) }
            }
            guard let regex = unsafe regex else { return matcher }
            if let error = unsafe skein_re2_error(regex) {
                problems.append(unsafe RouteCompiler.badRegex(match, pattern: pattern, reason: String(cString: error)))
            }
            matcher.regex = UInt32(unsafe regexes.count)
            unsafe regexes.append(regex)
        }
        return matcher
    }

    /// Appends a listener's domain table: at most half full, so that probes stay short.
    mutating func addDomains(_ hosts: [(name: String, ports: [PortEntry])], to listener: inout ListenerEntry) {
        let exact = hosts.filter { !$0.name.hasPrefix("*") }
        var slots = 2
        while slots < exact.count * 2 { slots *= 2 }
        listener.domainStart = UInt32(domains.count)
        listener.domainMask = UInt32(slots - 1)
        domains.append(contentsOf: repeatElement(DomainEntry(), count: slots))
        for host in exact {
            let name = add(text: host.name)
            let start = ports.count
            ports.append(contentsOf: host.ports)
            let hash = unsafe text[name.indices].withUnsafeBytes { unsafe ByteHash.hash($0, seed: ByteHash.seed) }
            var slot = UInt32(truncatingIfNeeded: hash) & listener.domainMask
            while domains[Int(listener.domainStart + slot)].name.count != 0 { slot = (slot + 1) & listener.domainMask }
            domains[Int(listener.domainStart + slot)] = DomainEntry(hash: hash, name: name, ports: range(start, ports.count))
        }
        let wildcardStart = wildcards.count
        for host in hosts.filter({ $0.name.hasPrefix("*") && $0.name != "*" }).sorted(by: { $0.name.utf8.count > $1.name.utf8.count }) {
            let start = ports.count
            ports.append(contentsOf: host.ports)
            wildcards.append(WildcardEntry(suffix: add(text: String(host.name.dropFirst())), ports: range(start, ports.count)))
        }
        listener.wildcards = range(wildcardStart, wildcards.count)
        if let all = hosts.first(where: { $0.name == "*" }), let port = all.ports.first { listener.fallback = port.virtualHost }
    }

    func range(_ start: Int, _ end: Int) -> TableRange {
        TableRange(start: UInt32(clamping: start), count: UInt32(clamping: end - start))
    }
}
