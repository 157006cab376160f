public import Matching
public import Primitives

/// A request or connection as rules look at it, besides its header fields. The bytes are lent for the time of a call.
public struct AuthorizationRequest: BitwiseCopyable {
    public var peer: PeerView
    /// Whom the connection came from.
    public var source: SocketEndpoint
    /// What it was made to; `destinationPort` is that of the workload (semantics 2.8), 0 = not known.
    public var destination: SocketEndpoint
    public var destinationPort: UInt16
    /// False = a connection; nothing below has a meaning.
    public var isHTTP = false
    /// The connection came from a proxy whose `X-Forwarded-For` names the client. At a gateway it does not: there as many proxies are
    /// believed as the mesh says that are in front of it (`gatewayTopology.numTrustedProxies`).
    public var trustsForwardedFor = false
    public var isHTTPS = false
    public var method = LentBytes()
    /// Normalised, as it is routed and forwarded, without the query; empty for CONNECT.
    public var path = LentBytes()
    /// Path and query, normalised.
    public var target = LentBytes()
    /// Host and port as the client gave them.
    public var authority = LentBytes()
    /// Of the token that was verified; a connection has none.
    public var claims = ClaimsView()

    public init(peer: PeerView, source: SocketEndpoint, destination: SocketEndpoint, destinationPort: UInt16) {
        self.peer = peer
        self.source = source
        self.destination = destination
        self.destinationPort = destinationPort
    }

    /// Calls `body` with the authority as rules compare it: without the root's dot behind the host, so that `web.local.` is `web.local` and
    /// `web.local.:80` is `web.local:80`, as they are to routes.
    func withAuthority<Result>(_ body: (LentBytes) -> Result) -> Result {
        let end = hostCount
        guard end > 1, authority[end - 1] == UInt8(ascii: ".") else { return body(authority) }
        let port = authority.from(end)
        return unsafe withUnsafeTemporaryAllocation(byteCount: authority.count, alignment: 1) { joined in
            unsafe joined.copyMemory(from: authority.prefix(end - 1).buffer)
            unsafe UnsafeMutableRawBufferPointer(rebasing: joined[(end - 1)...]).copyMemory(from: port.buffer)
            return unsafe body(LentBytes(UnsafeRawBufferPointer(rebasing: joined[..<(authority.count - 1)])))
        }
    }

    /// Bytes of the host: up to the colon behind the last bracket.
    private var hostCount: Int {
        var place = authority.count
        while place > 0, authority[place - 1] != UInt8(ascii: "]") {
            place -= 1
            if authority[place] == UInt8(ascii: ":") { return place }
        }
        return authority.count
    }
}
