internal import Matching
public import Primitives
public import TelemetryModel

/// A proxy's listener as the request path sees it.
public struct ListenerEntry: Sendable, BitwiseCopyable {
    public var side = ProxySide.outbound
    /// Slots of the domain table, a power of two. Where `servers` or `namedRoutes` are, its names are server names, and what they lead
    /// to are places in `servers`, `servers.count` for what `tcpRoutes` pass through, and beyond it what `namedRoutes` do.
    public var domainStart: UInt32 = 0
    public var domainMask: UInt32 = 0
    /// Wildcard domains, longest suffix first.
    public var wildcards = TableRange()
    /// Virtual host for every other name; -1 = 404.
    public var fallback: Int32 = -1
    /// Source: its clients, as long as they do not show who they are. Destination: of requests that no route takes.
    public var labels = LabelPair.none
    public var mode = ListenerMode.http
    /// Connections come here from other addresses (REDIRECT, semantics: design, transparent capture); the one dialled decides.
    public var isCapture = false
    /// Of an inbound listener: the workload's port behind it, for who comes to the listener itself; 0 = not known.
    public var workloadPort: UInt16 = 0
    /// A Gateway's: clients are strangers, whose hop-by-hop promises (`x-envoy-*`, `x-request-id`, `x-forwarded-proto`) are not believed.
    public var isEdge = false
    /// Cluster for what nobody declared; -1 = refused.
    public var passthrough: Int32 = -1
    /// `RateLimitEntry`s that may count its requests.
    public var rateLimits = TableRange()
    /// `GatewayServerEntry`s of a port that terminates TLS; none = it does not.
    var servers = TableRange()
    /// `TCPRouteEntry`s of a port where server names tell clusters (AUTO_PASSTHROUGH). Place n of them is `servers.count + 1 + n` in the
    /// domain table.
    var namedRoutes = TableRange()
    var tcpRoutes = TableRange()
    var capturedPorts = TableRange()
}

/// What a listener takes a connection for.
public enum ListenerMode: UInt8, Sendable, BitwiseCopyable {
    case http
    case tcp
    /// The first bytes tell: HTTP goes the way of requests, everything else that of connections.
    case detect
}

/// One way for connections: the first whose conditions hold takes a connection.
struct TCPRouteEntry: Sendable, BitwiseCopyable {
    var name = NameID.none
    /// Service port; 0 = any.
    var port: UInt16 = 0
    /// Of the dialled address.
    var subnet = AddressRange.all
    /// `HostPattern`s for the server name of a TLS connection; none = whatever it is.
    var serverNames = TableRange()
    /// Only TLS connections.
    var isTLS = false
    var destinations = TableRange()
    var totalWeight: UInt32 = 0
}

/// A port that captured connections are made to, and what is spoken there.
struct CapturedPort: Sendable, BitwiseCopyable {
    var port: UInt16
    var subnet: AddressRange
    var mode: ListenerMode
}
