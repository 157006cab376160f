internal import Policy
internal import Primitives
internal import Routing
internal import Streams
internal import TLS

/// What is known of a client whose connection is secured, or was to be.
struct SecuredClient: ~Copyable {
    /// Whom its handshake was for, at a port that terminates TLS of its own.
    var server = GatewayServer()
    /// The configuration that `server` was last looked up in.
    var serverEpoch = SlotID.none
    /// Who it is to policies.
    var peer = PeerFacts()
    /// What it tells in the records of its requests.
    var texts = ConnectionTexts()
    /// What `x-forwarded-client-cert` says of it; empty = nothing, or it is not made yet.
    private(set) var forwardedCert = ByteBuffer()
    private var madeForwardedCert = false

    /// Makes what `x-forwarded-client-cert` says of it, once.
    mutating func describeCert(_ stream: borrowing ByteStream, isEdge: Bool) {
        guard !madeForwardedCert else { return }
        madeForwardedCert = true
        forwardedCert.append(contentsOf: ForwardedClientCert.element(stream, withCertificate: isEdge))
    }
}
