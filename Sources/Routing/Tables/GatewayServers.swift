public import MeshConfig

/// How a server of a Gateway, or a Sidecar's ingress listener, secures its clients' connections. A value; servers name theirs by its
/// index in `RoutingSnapshot.gatewaySecurities`.
public struct GatewaySecurity: Hashable, Sendable {
    /// The server, for people: `Gateway ingress/front, port https`, `Sidecar default/web, ingress port 9443`.
    public var server: String
    public var tls: ServerTLS
    /// HTTP is spoken inside, else whatever the routes' endpoints speak.
    public var isHTTP: Bool

    /// ALPN, most wanted first (Istio: the same for both, but for connections of the mesh that are no HTTP).
    public var protocols: [String] { tls.mode == .istioMutual && !isHTTP ? ["istio", "h2", "http/1.1"] : ["h2", "http/1.1"] }
}

/// A server of a port that terminates TLS; the client's server name chooses among those of a port (RFC 6066 3).
struct GatewayServerEntry: Sendable, BitwiseCopyable {
    /// The same in every configuration that has this server and lets the same clients in; never 0.
    var key: UInt64
    /// The one of `listeners` that its connections are served by once they are secured.
    var row: UInt32
    /// Index of `RoutingSnapshot.gatewaySecurities`.
    var security: UInt32
}

/// What a connection to a port that terminates TLS is for.
public enum GatewayServerChoice: Sendable, BitwiseCopyable {
    /// No server has this name.
    case none
    /// It is passed on as it is, by its server name.
    case passThrough
    case server(GatewayServer)
}

/// A server that a connection has chosen.
public struct GatewayServer: Sendable, BitwiseCopyable {
    /// See `GatewayServerEntry`; 0 = none.
    public var key: UInt64 = 0
    public var row: Int32 = -1
    public var security: Int32 = -1

    public init() {}

    init(_ entry: GatewayServerEntry) {
        key = entry.key
        row = Int32(clamping: entry.row)
        security = Int32(clamping: entry.security)
    }
}
