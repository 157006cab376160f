internal import Matching
public import Primitives

/// All tables of a snapshot. They are good as long as it lives.
@usableFromInline
struct TableRows: BitwiseCopyable {
    let matchers: MatcherPool
    /// Names and values as bytes, that entries have places of.
    let textBytes: Table<UInt8>
    @usableFromInline let listeners: Table<ListenerEntry>
    let domains: Table<DomainEntry>
    let wildcards: Table<WildcardEntry>
    let ports: Table<PortEntry>
    let virtualHosts: Table<VirtualHostEntry>
    @usableFromInline let routes: Table<RouteEntry>
    let destinations: Table<DestinationEntry>
    let matches: Table<MatchEntry>
    let named: Table<NamedMatcher>
    @usableFromInline let clusters: Table<ClusterEntry>
    @usableFromInline let endpoints: Table<EndpointEntry>
    let endpointGroups: Table<EndpointGroup>
    @usableFromInline let routeActions: Table<RouteActions>
    let mirrors: Table<MirrorEntry>
    let statusCodes: Table<UInt16>
    let fieldTexts: Table<FieldText>
    let headerPieces: Table<HeaderValuePiece>
    let cors: Table<CORSEntry>
    let originMatchers: Table<StringMatcher>
    let tcpRoutes: Table<TCPRouteEntry>
    let capturedPorts: Table<CapturedPort>
    let pathEntries: Table<PathIndexEntry>
    let pathLengths: Table<UInt16>
    let otherRoutes: Table<UInt32>
    let ring: Table<RingEntry>
    let maglevSlots: Table<UInt32>
    let rateLimits: Table<RateLimitEntry>
    let rateLimitKeys: Table<RateLimitKey>
    let hostPatterns: Table<HostPattern>
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
    func bytes(_ range: TableRange) -> LentBytes { rows.textBytes.bytes(range) }
}
