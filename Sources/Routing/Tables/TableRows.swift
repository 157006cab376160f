internal import Matching
public import Primitives

/// All tables of a snapshot, listed here and nowhere else: `SnapshotBuilder` has a growing table for each. They are good as long as the
/// snapshot lives.
@usableFromInline
struct TableRows: BitwiseCopyable {
    let matchers: MatcherPool
    /// Names and values as bytes, that entries have places of.
    var text = Table<UInt8>()
    @usableFromInline var listeners = Table<ListenerEntry>()
    var domains = Table<DomainEntry>()
    var wildcards = Table<WildcardEntry>()
    var ports = Table<PortEntry>()
    var virtualHosts = Table<VirtualHostEntry>()
    @usableFromInline var routes = Table<RouteEntry>()
    var destinations = Table<DestinationEntry>()
    var matches = Table<MatchEntry>()
    var named = Table<NamedMatcher>()
    @usableFromInline var clusters = Table<ClusterEntry>()
    @usableFromInline var endpoints = Table<EndpointEntry>()
    var endpointGroups = Table<EndpointGroup>()
    @usableFromInline var routeActions = Table<RouteActions>()
    var mirrors = Table<MirrorEntry>()
    var statusCodes = Table<UInt16>()
    var fieldTexts = Table<FieldText>()
    var headerPieces = Table<HeaderValuePiece>()
    var cors = Table<CORSEntry>()
    var originMatchers = Table<StringMatcher>()
    var tcpRoutes = Table<TCPRouteEntry>()
    var capturedPorts = Table<CapturedPort>()
    var pathEntries = Table<PathIndexEntry>()
    var pathLengths = Table<UInt16>()
    var otherRoutes = Table<UInt32>()
    var ring = Table<RingEntry>()
    var maglevSlots = Table<UInt32>()
    var rateLimits = Table<RateLimitEntry>()
    var rateLimitKeys = Table<RateLimitKey>()
    var hostPatterns = Table<HostPattern>()
    var gatewayServers = Table<GatewayServerEntry>()
    var inboundSecurities = Table<InboundSecurityEntry>()

    /// A match asks for a claim of a token.
    @usableFromInline var usesClaims = false

    init(matchers: MatcherPool) { self.matchers = matchers }
}

/// The tables by one pointer into their snapshot, as the decisions read them; a copy counts no reference.
///
/// Good as long as the snapshot is held: nobody keeps one for longer than a call on `RoutingTables` or on the snapshot itself.
@safe @usableFromInline
struct TableView: BitwiseCopyable {
    @usableFromInline let address: UnsafePointer<TableRows>

    init(_ address: UnsafePointer<TableRows>) { unsafe self.address = unsafe address }

    /// Read in place: a table's pointer and count are loaded, nothing else.
    @inlinable
    var rows: TableRows {
        @inline(__always)
        unsafeAddress { unsafe address }
    }

    @inline(__always)
    func bytes(_ range: TableRange) -> LentBytes { rows.text.bytes(range) }
}
