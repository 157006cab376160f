/// Listeners and visible hosts of some workloads' proxies.
public struct Sidecar: Sendable {
    public var id: ResourceID
    public var position: SourcePosition
    /// Nil = every workload of the namespace (of the mesh, in the root namespace) that no other Sidecar selects.
    public var workloadSelector: [String: String]?
    public var ingress: [IngressListener]
    /// Empty = one listener that sees everything (`*/*`).
    public var egress: [EgressListener]
    /// Of connections to the workload's application.
    public var inboundConnectionPool: ConnectionPoolSettings?
    /// Nil = the mesh's own mode.
    public var outboundTrafficPolicy: MeshSettings.OutboundTrafficMode?

    public struct IngressListener: Sendable {
        public var position: SourcePosition
        public var port: ServicePort
        /// Address; empty = the proxy's own inbound address.
        public var bind: String
        /// Where the application listens; nil = the same port on loopback.
        public var defaultEndpoint: LocalEndpoint?
        /// Nil = the Sidecar's `inboundConnectionPool`.
        public var connectionPool: ConnectionPoolSettings?
        /// TLS of the listener's own, for clients from outside of the mesh; nil = none.
        public var tls: ServerTLS?
    }

    public struct EgressListener: Sendable {
        public var position: SourcePosition
        /// Nil = the proxy's one outbound listener, every port.
        public var port: ServicePort?
        /// Address, or `unix:///path` (port number 0); empty = loopback.
        public var bind: String
        public var hosts: [EgressHost]
    }

    /// `namespace/host`: namespace is `.`, `*`, `~` (none) or a name.
    public struct EgressHost: Sendable, Hashable {
        public var namespace: String
        /// `*`, `*.suffix` or a full name.
        public var host: String
    }

    public enum LocalEndpoint: Sendable, Hashable {
        case loopback(port: UInt16)
        /// `0.0.0.0:port`: the address the request came to.
        case sameAddress(port: UInt16)
        /// `[::1]` and `[::]` forms.
        case ipv6Loopback(port: UInt16)
        /// Absolute, or `@name`.
        case unix(path: String)
    }
}
