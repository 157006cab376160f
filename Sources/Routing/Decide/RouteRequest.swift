public import HTTP
public import Matching
public import Primitives

/// What routing looks at, besides the header fields. Good as long as the request's bytes.
public struct RouteRequest {
    let parts: RequestParts

    /// `host`: the parts of `authority` where they are known. For the rest, see `RequestParts`.
    public init(
        method: LentBytes, path: LentBytes, query: LentBytes, authority: LentBytes,
        host: Authority? = nil, isHTTPS: Bool, claims: ClaimsView = ClaimsView()
    ) {
        // What is no authority names no host; the proxy has refused it before.
        let host = host ?? Authority.parse(authority) ?? Authority(hostCount: 0, port: 0, count: 0)
        parts = RequestParts(
            method: method, path: path, query: query, authority: authority, host: host, isHTTPS: isHTTPS, claims: claims)
    }

    public var method: LentBytes { parts.method }
    public var path: LentBytes { parts.path }
    public var query: LentBytes { parts.query }
    public var authority: LentBytes { parts.authority }
    public var host: Authority { parts.host }
    public var isHTTPS: Bool { parts.isHTTPS }
}

/// A request's parts for the time of a call.
struct RequestParts {
    var method: LentBytes
    /// Normalised, without the query.
    var path: LentBytes
    /// With its question mark; empty without one.
    var query: LentBytes
    /// Host and port as the client gave them.
    var authority: LentBytes
    /// The parts of `authority`.
    var host: Authority
    var isHTTPS: Bool
    /// Of the token that was verified.
    var claims: ClaimsView

    /// The host without its port.
    var hostName: LentBytes { authority.prefix(host.hostCount) }
    var scheme: LentBytes { LentBytes(isHTTPS ? "https" : "http") }
}
