public import TLS

/// TLS of a client's connections to one server, and who that server must be. A value; any thread.
public struct ClientTLS: Sendable, Equatable {
    public let source: TLSSettingsSource
    /// What is asked for (SNI); empty = nothing. Not sent where it is an address (RFC 6066 3).
    public let serverName: String
    /// Whom the server's certificate must name; of no meaning where settings trust anybody.
    public let expectation: TLSExpectation

    public init(_ source: TLSSettingsSource, serverName: String, expecting expectation: TLSExpectation) {
        self.source = source
        self.serverName = Self.trimmed(serverName)
        self.expectation = expectation
    }

    /// `host`: what is dialled, a name or an address. `name`: whom the certificate must name, a host name or an address (among its
    /// alternative names, the subject counts for nothing: RFC 9525), or a SPIFFE identity; nil = the host.
    public init(_ source: TLSSettingsSource, host: String, name: String? = nil) {
        let name = Self.trimmed(name ?? host)
        if Self.isIdentity(name) {
            self.init(source, serverName: host, expecting: .names([name]))
        } else {
            self.init(source, serverName: name, expecting: .host(name))
        }
    }

    public static func == (left: ClientTLS, right: ClientTLS) -> Bool {
        left.source === right.source && left.serverName == right.serverName && left.expectation == right.expectation
    }

    /// Whether a name is a SPIFFE identity.
    public static func isIdentity(_ name: String) -> Bool { name.hasPrefix("spiffe://") }

    /// A new session on a connection. `now`: seconds since 1970. Throws what keeps a context from being made.
    func session(
        _ contexts: ClientContexts?, descriptor: Int32, isAddress: (String) -> Bool, now: Int64
    ) throws(TLSError) -> TLSSession {
        let cache = contexts?.cache(for: source) ?? TLSContextCache(source)
        guard let context = cache.context() else { throw TLSError(cache.problem ?? "no context") }
        var expectation = expectation
        if case .anybody = source.current.settings.trust { expectation = .anybody }
        let session = TLSSession(
            context, descriptor: descriptor, serverName: isAddress(serverName) ? "" : serverName, expecting: expectation, now: now)
        guard let session else { throw TLSError("no memory for TLS") }
        return session
    }

    /// The dot of a full name stands in no certificate.
    private static func trimmed(_ name: String) -> String { name.hasSuffix(".") ? String(name.dropLast()) : name }
}

extension TLSSession {
    /// What failed of a client's session, for people.
    var clientFailure: String {
        let reason = failure ?? "the connection ended"
        switch failureKind {
        case .plaintext: return "what answers there does not speak TLS (http:// instead of https://?)"
        case .ownCertificate: return "the server demands a certificate that it believes, of this client: \(reason)"
        case .truncated where !isEstablished:
            return "the server ended the connection within the handshake: does it speak TLS there? (\(reason))"
        case .peerName: return "\(reason); name the one that is meant, if it is not the address"
        default: return reason
        }
    }
}
