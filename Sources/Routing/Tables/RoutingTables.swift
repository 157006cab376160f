internal import CRE2
internal import Glibc
internal import HTTP
public import Primitives
public import TelemetryModel

/// `count` entries from `start` of some table.
public struct TableRange: Sendable, BitwiseCopyable {
    public var start: UInt32 = 0
    public var count: UInt32 = 0

    @inlinable public var indices: Range<Int> { Int(start)..<Int(start) + Int(count) }
}

/// A proxy's listener as the request path sees it.
public struct ListenerEntry: Sendable, BitwiseCopyable {
    public var side = ProxySide.outbound
    /// Slots of the domain table, a power of two.
    public var domainStart: UInt32 = 0
    public var domainMask: UInt32 = 0
    /// Wildcard domains, longest suffix first.
    public var wildcards = TableRange()
    /// Virtual host for every other name; -1 = 404.
    public var fallback: Int32 = -1
    /// Identity of requests that no route takes.
    public var labels = LabelSetID.none
    public var mode = ListenerMode.http
    /// Connections come here from other addresses (REDIRECT, semantics: design, transparent capture); the one dialled decides.
    public var isCapture = false
    /// A Gateway's: clients are strangers, whose hop-by-hop promises (`x-envoy-*`, `x-request-id`, `x-forwarded-proto`) are not believed.
    public var isEdge = false
    /// Cluster for what nobody declared; -1 = refused.
    public var passthrough: Int32 = -1
    /// `RateLimitEntry`s that may count its requests.
    public var rateLimits = TableRange()
    var tcpRoutes = TableRange()
    var capturedPorts = TableRange()
}

/// An exact domain of one listener (open addressing, linear probing); count 0 = free.
struct DomainEntry: Sendable, BitwiseCopyable {
    var hash: UInt64 = 0
    var name = TableRange()
    var ports = TableRange()
}

struct WildcardEntry: Sendable, BitwiseCopyable {
    /// Without the star, with the dot: `.example.com`.
    var suffix = TableRange()
    var ports = TableRange()
}

/// Which virtual host a domain means at a port; port 0 = any.
struct PortEntry: Sendable, BitwiseCopyable {
    var port: UInt16 = 0
    var virtualHost: Int32 = -1
}

struct VirtualHostEntry: Sendable, BitwiseCopyable {
    var routes = TableRange()
    /// The service port the virtual host stands for; 0 = unknown.
    var port: UInt16 = 0
    var index = PathIndex()
}

/// One `http` rule.
public struct RouteEntry: Sendable, BitwiseCopyable {
    public var name = NameID.none
    /// Any of these must hold; none = always.
    var matches = TableRange()
    var destinations = TableRange()
    var totalWeight: UInt32 = 0
    /// Whole request; 0 = no limit.
    public var timeoutNanoseconds: UInt64 = 0
    /// Index into the actions; 0 = plain.
    public var actions: UInt32 = 0
}

struct DestinationEntry: Sendable, BitwiseCopyable {
    /// -1 = no such cluster.
    var cluster: Int32 = -1
    var weight: UInt32 = 0
    /// The route's edits and the destination's own, merged.
    var requestHeaders = HeaderEdits()
    var responseHeaders = HeaderEdits()
}

/// One `match` block: all of its conditions must hold.
struct MatchEntry: Sendable, BitwiseCopyable {
    var path = StringMatcher()
    var scheme = StringMatcher()
    var method = StringMatcher()
    var authority = StringMatcher()
    /// `headers` and `withoutHeaders`.
    var headers = TableRange()
    var queryParameters = TableRange()
    /// 0 = any.
    var port: UInt16 = 0
}

struct NamedMatcher: Sendable, BitwiseCopyable {
    /// Lower-case for headers.
    var name = TableRange()
    var matcher = StringMatcher()
    /// `withoutHeaders`: must not match.
    var isNegated = false
}

struct StringMatcher: Sendable, BitwiseCopyable {
    enum Kind: UInt8, Sendable, BitwiseCopyable {
        /// No condition.
        case any
        /// There, whatever its value.
        case present
        case exact, prefix, regex
    }

    var kind = Kind.any
    /// ASCII case of exact and prefix is ignored; `text` is lower-case then.
    var ignoresCase = false
    var text = TableRange()
    /// Index of the compiled regex.
    var regex: UInt32 = 0
}

public enum BalancerKind: UInt8, Sendable, BitwiseCopyable {
    case leastRequest, roundRobin, random
    /// Power of two choices by latency times what is in flight.
    case peakEWMA
}

/// Slow start (Envoy): a share that grows as (age / duration) ^ (1 / aggression), from a minimum on.
public struct WarmupPolicy: Sendable, BitwiseCopyable {
    public var nanoseconds: UInt64 = 0
    /// 0...1.
    public var minimum: Double = 0.1
    public var aggression: Double = 1

    public init(nanoseconds: UInt64 = 0, minimum: Double = 0.1, aggression: Double = 1) {
        self.nanoseconds = nanoseconds
        self.minimum = minimum
        self.aggression = aggression
    }

    /// 0...1 of the full share at an age in nanoseconds.
    public func share(age: UInt64) -> Double {
        guard nanoseconds > 0, age < nanoseconds else { return 1 }
        let elapsed = Double(age) / Double(nanoseconds)
        return max(minimum, aggression == 1 ? elapsed : pow(elapsed, 1 / aggression))
    }
}

public struct ClusterEntry: Sendable, BitwiseCopyable {
    public var name = NameID.none
    /// All endpoints, whatever their priority and locality.
    public var all = EndpointGroup()
    /// `EndpointGroup`s in the order of their priorities; none = `all` is the only one.
    public var groups = TableRange()
    public var balancer = BalancerKind.leastRequest
    /// A new endpoint's share grows over this; 0 = it has it at once.
    public var warmup = WarmupPolicy()
    /// Goes to the address that the client dialled.
    public var isPassthrough = false
    /// No answer from DNS yet, as opposed to a cluster that has no endpoint.
    public var isUnresolved = false
    public var connectTimeoutNanoseconds: UInt64 = 10_000_000_000
    /// Idle upstream connections are closed after this; 0 = never.
    public var idleTimeoutNanoseconds: UInt64 = 3_600_000_000_000
    /// 0 = unlimited.
    public var maxRequestsPerConnection: UInt32 = 0
    /// A connection takes no new request after this, TCP traffic ends; 0 = unlimited.
    public var maxConnectionNanoseconds: UInt64 = 0
    /// TCP connections without a byte; 0 = never.
    public var tcpIdleTimeoutNanoseconds: UInt64 = 3_600_000_000_000
    public var keepalive = KeepalivePolicy()
    /// Streams at once on one connection to an endpoint; `UInt32.max` = what the endpoint allows.
    public var maxConcurrentStreams = UInt32.max
    /// Spoken to in the protocol of the request.
    public var usesClientProtocol = false
    /// Circuit breaking (semantics 2.4); `UInt32.max` = unlimited.
    public var maxConnections = UInt32.max
    public var maxPendingRequests = UInt32.max
    public var maxRequests = UInt32.max
    public var maxRetries = UInt32.max
    /// A budget instead of `maxRetries`: a share of the requests, parts per million, and how many are always allowed.
    public var hasRetryBudget = false
    public var retryBudgetShare: UInt32 = 0
    public var retryBudgetMin: UInt32 = 3
    /// The share is one of the requests begun within this time; 0 = of those in flight.
    public var retryBudgetNanoseconds: UInt64 = 0
    /// Told to an endpoint before the first byte: the client's address, in this version of the PROXY protocol; 0 = nothing.
    public var proxyProtocol: UInt8 = 0
    /// `host:port` that the endpoint, an HTTP proxy, is asked to CONNECT TCP to; empty = TCP is for the endpoint itself.
    var tunnelTarget = TableRange()
    public var outlier = OutlierPolicy()
    /// Goes to the address that a captured client dialled, whatever the endpoints are (`simple: PASSTHROUGH`).
    public var prefersDialled = false
    /// Consistent hashing; `none` = `balancer` decides.
    public var hash = HashPolicy()
    /// Endpoints are spoken to in HTTP/2, by prior knowledge.
    public var isHTTP2 = false
    /// For requests that reach no endpoint.
    public var labels = LabelSetID.none

    /// Places of all endpoints in the table.
    public var endpoints: TableRange { all.endpoints }
}

/// SO_KEEPALIVE of upstream connections (tcp(7)); seconds, 0 = the system's value.
public struct KeepalivePolicy: Sendable, BitwiseCopyable, Equatable {
    public var isOn = false
    public var probes: Int32 = 0
    public var idleSeconds: Int32 = 0
    public var intervalSeconds: Int32 = 0

    public init() {}
}

/// `outlierDetection` as written (semantics 2.5); -1 = not set.
public struct OutlierPolicy: Sendable, BitwiseCopyable {
    public var isEnabled = false
    public var consecutive5xx: Int64 = -1
    public var consecutiveGateway: Int64 = -1
    public var consecutiveLocalOrigin: Int64 = -1
    public var splitsLocalOrigin = false
    public var intervalNanoseconds: Int64 = -1
    public var baseEjectionNanoseconds: Int64 = -1
    public var maxEjectionPercent: Int64 = -1
    public var minHealthPercent: Int64 = -1
    public var rates = RateDetectionPolicy()
}

/// What an UpstreamPolicy adds to outlier detection. Percentages 0...100; an enforcement of 0 = off.
public struct RateDetectionPolicy: Sendable, BitwiseCopyable, Equatable {
    public var successRateEnforcing: UInt32 = 0
    public var successRateMinimumHosts: UInt32 = 5
    public var successRateRequestVolume: UInt32 = 100
    public var successRateStdevFactorThousandths: UInt32 = 1900
    public var failurePercentageEnforcing: UInt32 = 0
    public var failurePercentageThreshold: UInt32 = 85
    public var failurePercentageMinimumHosts: UInt32 = 5
    public var failurePercentageRequestVolume: UInt32 = 50
    /// 0 = the default.
    public var maxEjectionNanoseconds: UInt64 = 0
    public var maxEjectionJitterNanoseconds: UInt64 = 0

    public init() {}
}

public struct EndpointEntry: Sendable, BitwiseCopyable {
    public var address = SocketEndpoint()
    public var weight: UInt32 = 1
    public var cluster: UInt32 = 0
    public var labels = LabelSetID.none
}

/// Where the tables of a `RoutingSnapshot` lie, and how long those are that are checked.
@unsafe @usableFromInline
struct TableAddresses: BitwiseCopyable {
    var text: UnsafePointer<UInt8>
    @usableFromInline var listeners: UnsafePointer<ListenerEntry>
    var domains: UnsafePointer<DomainEntry>
    var wildcards: UnsafePointer<WildcardEntry>
    var ports: UnsafePointer<PortEntry>
    var virtualHosts: UnsafePointer<VirtualHostEntry>
    @usableFromInline var routes: UnsafePointer<RouteEntry>
    var destinations: UnsafePointer<DestinationEntry>
    var matches: UnsafePointer<MatchEntry>
    var named: UnsafePointer<NamedMatcher>
    var regexes: UnsafePointer<OpaquePointer>
    @usableFromInline var clusterTable: UnsafePointer<ClusterEntry>
    @usableFromInline var endpointTable: UnsafePointer<EndpointEntry>
    @usableFromInline var actionTable: UnsafePointer<RouteActions>
    var mirrors: UnsafePointer<MirrorEntry>
    var statusCodes: UnsafePointer<UInt16>
    var fieldTexts: UnsafePointer<FieldText>
    var headerPieces: UnsafePointer<HeaderValuePiece>
    var corsTable: UnsafePointer<CORSEntry>
    var originMatchers: UnsafePointer<StringMatcher>
    var tcpRoutes: UnsafePointer<TCPRouteEntry>
    var capturedPorts: UnsafePointer<CapturedPort>
    var pathEntries: UnsafePointer<PathIndexEntry>
    var pathLengths: UnsafePointer<UInt16>
    var otherRoutes: UnsafePointer<UInt32>
    var ring: UnsafePointer<RingEntry>
    var rateLimits: UnsafePointer<RateLimitEntry>
    var rateLimitCount: Int
    var maglevSlots: UnsafePointer<UInt32>
    var groupTable: UnsafePointer<EndpointGroup>
    var groupCount: Int
    @usableFromInline var listenerCount: Int
    @usableFromInline var clusterCount: Int
    @usableFromInline var endpointCount: Int
}

/// The tables of a `RoutingSnapshot`, by one pointer into it. Valid exactly as long as that snapshot is held; copying it counts no reference.
///
/// What the request path reads of an entry is read in place: the accessors are inlined, so that an entry of hundreds of bytes is not copied for one field.
@unsafe
public struct RoutingTables: BitwiseCopyable {
    @usableFromInline let addresses: UnsafePointer<TableAddresses>

    init(_ addresses: UnsafePointer<TableAddresses>) { unsafe self.addresses = addresses }

    var text: UnsafePointer<UInt8> { unsafe addresses.pointee.text }
    @inlinable @inline(__always) var listeners: UnsafePointer<ListenerEntry> { unsafe addresses.pointee.listeners }
    var domains: UnsafePointer<DomainEntry> { unsafe addresses.pointee.domains }
    var wildcards: UnsafePointer<WildcardEntry> { unsafe addresses.pointee.wildcards }
    var ports: UnsafePointer<PortEntry> { unsafe addresses.pointee.ports }
    var virtualHosts: UnsafePointer<VirtualHostEntry> { unsafe addresses.pointee.virtualHosts }
    @inlinable @inline(__always) var routes: UnsafePointer<RouteEntry> { unsafe addresses.pointee.routes }
    var destinations: UnsafePointer<DestinationEntry> { unsafe addresses.pointee.destinations }
    var matches: UnsafePointer<MatchEntry> { unsafe addresses.pointee.matches }
    var named: UnsafePointer<NamedMatcher> { unsafe addresses.pointee.named }
    var regexes: UnsafePointer<OpaquePointer> { unsafe addresses.pointee.regexes }
    @inlinable @inline(__always) var clusterTable: UnsafePointer<ClusterEntry> { unsafe addresses.pointee.clusterTable }
    @inlinable @inline(__always) var endpointTable: UnsafePointer<EndpointEntry> { unsafe addresses.pointee.endpointTable }
    @inlinable @inline(__always) var actionTable: UnsafePointer<RouteActions> { unsafe addresses.pointee.actionTable }
    var mirrors: UnsafePointer<MirrorEntry> { unsafe addresses.pointee.mirrors }
    var statusCodes: UnsafePointer<UInt16> { unsafe addresses.pointee.statusCodes }
    var fieldTexts: UnsafePointer<FieldText> { unsafe addresses.pointee.fieldTexts }
    var headerPieces: UnsafePointer<HeaderValuePiece> { unsafe addresses.pointee.headerPieces }
    var corsTable: UnsafePointer<CORSEntry> { unsafe addresses.pointee.corsTable }
    var originMatchers: UnsafePointer<StringMatcher> { unsafe addresses.pointee.originMatchers }
    var tcpRoutes: UnsafePointer<TCPRouteEntry> { unsafe addresses.pointee.tcpRoutes }
    var capturedPorts: UnsafePointer<CapturedPort> { unsafe addresses.pointee.capturedPorts }
    var pathEntries: UnsafePointer<PathIndexEntry> { unsafe addresses.pointee.pathEntries }
    var pathLengths: UnsafePointer<UInt16> { unsafe addresses.pointee.pathLengths }
    var otherRoutes: UnsafePointer<UInt32> { unsafe addresses.pointee.otherRoutes }
    var ring: UnsafePointer<RingEntry> { unsafe addresses.pointee.ring }
    var rateLimits: UnsafePointer<RateLimitEntry> { unsafe addresses.pointee.rateLimits }
    public var rateLimitCount: Int { unsafe addresses.pointee.rateLimitCount }
    var maglevSlots: UnsafePointer<UInt32> { unsafe addresses.pointee.maglevSlots }
    var groupTable: UnsafePointer<EndpointGroup> { unsafe addresses.pointee.groupTable }
    public var groupCount: Int { unsafe addresses.pointee.groupCount }
    @inlinable public var listenerCount: Int { unsafe addresses.pointee.listenerCount }
    @inlinable public var clusterCount: Int { unsafe addresses.pointee.clusterCount }
    @inlinable public var endpointCount: Int { unsafe addresses.pointee.endpointCount }

    @inlinable @inline(__always)
    public func listener(_ index: Int) -> ListenerEntry {
        unsafe precondition(index >= 0 && index < listenerCount)
        return unsafe listeners[index]
    }

    @inlinable @inline(__always)
    public func cluster(_ index: Int) -> ClusterEntry {
        unsafe precondition(index >= 0 && index < clusterCount)
        return unsafe clusterTable[index]
    }

    @inlinable @inline(__always)
    public func endpoint(_ index: Int) -> EndpointEntry {
        unsafe precondition(index >= 0 && index < endpointCount)
        return unsafe endpointTable[index]
    }

    /// Where TCP of a cluster goes on to from its endpoint; nil = nowhere.
    public func tunnelTarget(_ cluster: ClusterEntry) -> UnsafeRawBufferPointer? {
        cluster.tunnelTarget.count == 0 ? nil : unsafe bytes(cluster.tunnelTarget)
    }

    @inline(__always)
    func bytes(_ range: TableRange) -> UnsafeRawBufferPointer {
        unsafe UnsafeRawBufferPointer(start: text + Int(range.start), count: Int(range.count))
    }
}
