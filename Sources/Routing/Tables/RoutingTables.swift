public import Primitives

/// The tables of a `RoutingSnapshot`, by one pointer into it. Valid exactly as long as that snapshot is held, which whoever takes them from
/// it sees to; copying it counts no reference. Bytes that they lend are good for as long.
///
/// What the request path reads of an entry is read in place: the accessors are inlined, so that an entry of hundreds of bytes is not copied
/// for one field.
/// What is decided with them is in the files of `Decide`.
public struct RoutingTables: BitwiseCopyable {
    @usableFromInline let view: TableView

    init(_ view: TableView) { self.view = view }

    @inlinable public var listenerCount: Int { view.rows.listeners.count }
    @inlinable public var clusterCount: Int { view.rows.clusters.count }
    @inlinable public var endpointCount: Int { view.rows.endpoints.count }
    public var groupCount: Int { view.rows.endpointGroups.count }
    public var rateLimitCount: Int { view.rows.rateLimits.count }

    /// A match asks for a claim of a token, so routing is asked again when one was verified.
    @inlinable public var usesClaims: Bool { view.rows.usesClaims }

    @inlinable @inline(__always)
    public func listener(_ index: Int) -> ListenerEntry { view.rows.listeners[index] }

    @inlinable @inline(__always)
    public func cluster(_ index: Int) -> ClusterEntry { view.rows.clusters[index] }

    /// The same where it stands, for whoever looks at much of it.
    @inlinable @inline(__always)
    public func clusterSlot(_ index: Int) -> TableSlot<ClusterEntry> { view.rows.clusters.slot(index) }

    @inlinable @inline(__always)
    public func endpoint(_ index: Int) -> EndpointEntry { view.rows.endpoints[index] }

    @inlinable @inline(__always)
    public func route(_ index: UInt32) -> RouteEntry { view.rows.routes[index] }

    @inlinable @inline(__always)
    public func actions(_ route: UInt32) -> RouteActions { view.rows.routeActions[view.rows.routes[route].actionIndex] }

    public func mirror(_ index: Int) -> MirrorEntry { view.rows.mirrors[index] }

    public func rateLimit(_ index: Int) -> RateLimitEntry { view.rows.rateLimits[index] }

    /// The groups of a cluster in the order of their priorities; none when all its endpoints are one.
    @unsafe
    public func groups(_ cluster: ClusterEntry) -> UnsafeBufferPointer<EndpointGroup> {
        unsafe view.rows.endpointGroups.buffer(cluster.groups)
    }

    /// Where TCP of a cluster goes on to from its endpoint; nil = nowhere.
    public func tunnelTarget(_ cluster: ClusterEntry) -> LentBytes? {
        cluster.tunnelAuthority.isEmpty ? nil : view.bytes(cluster.tunnelAuthority)
    }
}
