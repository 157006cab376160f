public import HTTP
public import Matching
internal import Primitives

/// What routing looks at, besides the header fields. The pointers live as long as the request's bytes.
@unsafe
public struct RouteRequest {
    let parts: RequestParts

    /// `host`: the parts of `authority` where they are known. For the rest, see `RequestParts`.
    public init(
        method: UnsafeRawBufferPointer, path: UnsafeRawBufferPointer, query: UnsafeRawBufferPointer, authority: UnsafeRawBufferPointer,
        host: Authority? = nil, isHTTPS: Bool, claims: ClaimsView = ClaimsView()
    ) {
        // What is no authority names no host; the proxy has refused it before.
        let host = unsafe host ?? Authority.parse(authority) ?? Authority(hostCount: 0, port: 0, count: 0)
        unsafe parts = unsafe RequestParts(
            method: LentBytes(method), path: LentBytes(path), query: LentBytes(query), authority: LentBytes(authority), host: host,
            isHTTPS: isHTTPS, claims: claims)
    }

    public var method: UnsafeRawBufferPointer { unsafe parts.method.buffer }
    public var path: UnsafeRawBufferPointer { unsafe parts.path.buffer }
    public var query: UnsafeRawBufferPointer { unsafe parts.query.buffer }
    public var authority: UnsafeRawBufferPointer { unsafe parts.authority.buffer }
    public var host: Authority { unsafe parts.host }
    public var isHTTPS: Bool { unsafe parts.isHTTPS }
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
