/// How connections to an endpoint are secured (semantics 2.7; Istio: ClientTLSSettings). A value; endpoints name theirs by its index in
/// `RoutingSnapshot.upstreamSecurities`.
public struct UpstreamSecurity: Hashable, Sendable {
    public enum Mode: UInt8, Sendable {
        /// The client shows no certificate.
        case simple
        /// The client shows the certificate of `certificate`.
        case mutual
        /// The client shows the process' own identity and believes the authorities of the mesh.
        case istioMutual
    }

    /// What a connection is used for.
    public enum Traffic: UInt8, Sendable {
        case http1, http2, tcp
    }

    public var mode: Mode
    /// Server name (RFC 6066 section 3), not to be sent where it is an IP address. Of SIMPLE and MUTUAL the host of the service when the
    /// rule gives none; empty for wildcard hosts: the host that the connection is for. (Envoy takes the request's authority in both cases;
    /// connections here are shared by requests.)
    public var serverName: String
    /// The server's certificate must have one of these alternative names, compared as a whole. Empty = the authorities decide, and
    /// `verifiesHost`.
    public var names: [String]
    /// The server's certificate must be one for `serverName`. Only of SIMPLE and MUTUAL, where no names are given.
    /// (istiod leaves this out where the rule has an `sni`.)
    public var verifiesHost: Bool
    /// Any certificate will do.
    public var skipsVerification: Bool
    /// Path of the authorities, as written; empty = the system's, of ISTIO_MUTUAL the mesh's.
    public var authorities: String
    /// Path of the client's certificate, as written; only of MUTUAL.
    public var certificate: String
    /// Path of its key.
    public var key: String
    /// Name of the credential that holds all three, in their place; empty = paths.
    public var credentialName: String
    /// Path of a list of revoked certificates; empty = none.
    public var revocations: String
    /// What the port of the service is declared for; a port without protocol counts as HTTP/1.1.
    public var traffic: Traffic

    /// The server chooses between HTTP/2 and HTTP/1.1, with each connection. Only of SIMPLE and MUTUAL, for a port of HTTP whose version
    /// nothing else decides.
    public var choosesHTTP: Bool

    /// ALPN of a connection for `traffic`, most wanted first; empty = none.
    public var protocols: [String] { choosesHTTP ? ["h2", "http/1.1"] : protocols(for: traffic) }

    /// ALPN of a connection for something else than the port was declared for. As Istio's `istio.alpn` filter and Envoy's pools have it,
    /// but for TCP without `istio-peer-exchange`: a peer that agrees to it sends a message of its own before the first byte.
    public func protocols(for traffic: Traffic) -> [String] {
        switch (mode, traffic) {
        case (.istioMutual, .http1): ["istio-http/1.1", "istio", "http/1.1"]
        case (.istioMutual, .http2): ["istio-h2", "istio", "h2"]
        case (.istioMutual, .tcp): ["istio"]
        case (_, .http1): ["http/1.1"]
        case (_, .http2): ["h2"]
        case (_, .tcp): []
        }
    }
}

/// What a workload takes on a port (Istio: PeerAuthentication).
public enum InboundSecurity: UInt8, Sendable, BitwiseCopyable {
    /// Plaintext only. Also of every port when the process has no identity.
    case disabled
    /// Plaintext and mutual TLS.
    case permissive
    /// Mutual TLS only.
    case strict
}

/// A row of the table of ports. The first one is for port 0, which stands for all ports without a row; the others follow by port.
struct InboundSecurityEntry: Sendable, BitwiseCopyable {
    var port: UInt16
    var security: InboundSecurity
}
