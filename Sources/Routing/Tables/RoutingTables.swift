public import Primitives

/// The tables of a `RoutingSnapshot`, by one pointer into it. Valid exactly as long as that snapshot is held; copying it counts no
/// reference.
///
/// What the request path reads of an entry is read in place: the accessors are inlined, so that an entry of hundreds of bytes is not copied
/// for one field.
/// What is decided with them is in the files of `Decide`.
@unsafe
public struct RoutingTables: BitwiseCopyable {
    @usableFromInline let view: TableView

    init(_ view: TableView) { unsafe self.view = view }

    @inlinable public var listenerCount: Int { unsafe view.rows.listeners.count }
    @inlinable public var clusterCount: Int { unsafe view.rows.clusters.count }
    @inlinable public var endpointCount: Int { unsafe view.rows.endpoints.count }
    public var groupCount: Int { unsafe view.rows.endpointGroups.count }
    public var rateLimitCount: Int { unsafe view.rows.rateLimits.count }

    /// A match asks for a claim of a token, so routing is asked again when one was verified.
    @inlinable public var usesClaims: Bool { unsafe view.rows.usesClaims }

    @inlinable @inline(__always)
    public func listener(_ index: Int) -> ListenerEntry { unsafe view.rows.listeners[index] }

    @inlinable @inline(__always)
    public func cluster(_ index: Int) -> ClusterEntry { unsafe view.rows.clusters[index] }

    /// The same where it stands, for whoever looks at much of it.
    @inlinable @inline(__always)
    public func clusterSlot(_ index: Int) -> TableSlot<ClusterEntry> { unsafe view.rows.clusters.slot(index) }

    @inlinable @inline(__always)
    public func endpoint(_ index: Int) -> EndpointEntry { unsafe view.rows.endpoints[index] }

    @inlinable @inline(__always)
    public func route(_ index: UInt32) -> RouteEntry { unsafe view.rows.routes[index] }

    @inlinable @inline(__always)
    public func actions(_ route: UInt32) -> RouteActions { unsafe view.rows.routeActions[view.rows.routes[route].actionIndex] }

    public func mirror(_ index: Int) -> MirrorEntry { unsafe view.rows.mirrors[index] }

    public func rateLimit(_ index: Int) -> RateLimitEntry { unsafe view.rows.rateLimits[index] }

    /// The groups of a cluster in the order of their priorities; none when all its endpoints are one.
    public func groups(_ cluster: ClusterEntry) -> UnsafeBufferPointer<EndpointGroup> {
        unsafe view.rows.endpointGroups.buffer(cluster.groups)
    }

    /// Where TCP of a cluster goes on to from its endpoint; nil = nowhere.
    public func tunnelTarget(_ cluster: ClusterEntry) -> UnsafeRawBufferPointer? {
        cluster.tunnelAuthority.isEmpty ? nil : unsafe view.bytes(cluster.tunnelAuthority).buffer
    }
}
