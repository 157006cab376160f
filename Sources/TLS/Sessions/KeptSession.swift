internal import COpenSSL

/// What a client keeps of a server, so that its next connections need no whole handshake: its newest tickets, and who it has shown itself
/// to be. For connections of one context with one expectation. Confined to one thread.
@safe
public final class KeptSession {
    /// Tickets kept; a server of TLS 1.3 gives two with each connection, and each is good for one.
    static let ticketsMax = 4

    /// Newest last.
    private var sessions: [OpaquePointer] = unsafe []
    private(set) var peer: TLSPeer?

    public init() {}

    deinit { for unsafe session in unsafe sessions { unsafe SSL_SESSION_free(session) } }

    /// Keeps a session, whose reference is the keeper's from now on.
    func keep(_ fresh: OpaquePointer, of peer: TLSPeer?) {
        if unsafe sessions.count >= Self.ticketsMax { unsafe SSL_SESSION_free(sessions.removeFirst()) }
        unsafe sessions.append(fresh)
        self.peer = peer
    }

    /// Offers a session for a connection that is about to begin, unless the server's certificate is over (seconds since 1970).
    func offer(to ssl: OpaquePointer, now: Int64) {
        guard peer.map({ now < $0.notAfter }) ?? true, let session = unsafe sessions.popLast() else { return }
        unsafe SSL_set_session(ssl, session)
        // One of TLS 1.2 is good until there is a newer one.
        if unsafe sessions.isEmpty, unsafe SSL_SESSION_get_protocol_version(session) < TLSSettings.Version.tls13.rawValue {
            unsafe sessions.append(session)
        } else {
            unsafe SSL_SESSION_free(session)
        }
    }
}
