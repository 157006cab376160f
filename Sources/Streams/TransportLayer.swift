public import EventLoops
public import Primitives
public import TLS

/// What stands between a connection's bytes and its socket, such as TLS. One object for one connection, used on its loop's thread only.
///
/// A layer buffers: that the socket is empty does not mean that the layer is, nor the other way round, so it says itself what there is.
public protocol TransportLayer: AnyObject {
    /// Moves bytes that have arrived into `buffer`, which is not empty. `.wouldBlock` = nothing further until the socket is readable.
    @unsafe func read(into buffer: UnsafeMutableRawBufferPointer) -> TransferResult

    /// Takes bytes to be sent; fewer than given when the socket takes no more.
    @unsafe func write(_ bytes: UnsafeRawBufferPointer) -> TransferResult

    /// Whether `read` would give bytes although the socket says nothing.
    var hasPending: Bool { get }

    /// The socket says that there is something, which `read` has not seen yet.
    func noteReadable()

    /// Tells the peer that no more will be sent.
    func shutdownWrite()

    /// The connection is over; `resets`: the peer must not take what it got for whole.
    func close(resets: Bool)

    /// Goes on with what comes before the first byte, as far as the socket lets it.
    func handshake() -> HandshakeProgress

    /// Who the peer has shown itself to be; nil = nobody, or not yet.
    var peerIdentity: PeerIdentity? { get }

    /// What both ends agreed on before the first byte; nil = nothing.
    var agreement: LayerAgreement? { get }

    /// The host name that the client asked for, known before the handshake is done; empty = none.
    var requestedServerName: String { get }

    /// The handshake went on with an earlier session.
    var isResumed: Bool { get }

    /// Why it failed, for people; nil = it did not, or the socket did.
    var failure: String? { get }
    var failureCode: TLSFailure? { get }

    /// The certificates of both ends; nil = it has shown none.
    var peerCertificate: Certificate? { get }
    var localCertificate: Certificate? { get }

    /// Whether lists have the peer's certificate, or one of the authorities that it was verified by.
    func isRevoked(by lists: RevocationLists) -> Bool

    /// As `ByteStream.pendingError` and `localEndpoint`, of a layer with no descriptor under it.
    var pendingError: Int32 { get }
    var localEndpoint: SocketEndpoint { get }
}

extension TransportLayer {
    public func handshake() -> HandshakeProgress { .done }
    public func noteReadable() {}
    public var agreement: LayerAgreement? { nil }
    public var requestedServerName: String { "" }
    public var isResumed: Bool { false }
    public var failure: String? { nil }
    public var failureCode: TLSFailure? { nil }
    public var peerCertificate: Certificate? { nil }
    public var localCertificate: Certificate? { nil }
    public func isRevoked(by lists: RevocationLists) -> Bool { false }
    public var pendingError: Int32 { 0 }
    public var localEndpoint: SocketEndpoint { SocketEndpoint() }
}

/// What came of an attempt to go on with a handshake.
public enum HandshakeProgress: Sendable, Equatable {
    case done
    /// It goes on when the socket is readable, or writable.
    case waiting
    case failed
}

/// What a handshake came to.
public struct LayerAgreement: Sendable, Equatable {
    /// By ALPN; empty = none.
    public var applicationProtocol = ""
    /// The host name that the client asked for; empty = none.
    public var serverName = ""
    /// `TLSv1.3`.
    public var version = ""
    public var cipher = ""
    /// Of TLS 1.2; empty = none.
    public var sessionID: [UInt8] = []

    public init() {}
}

/// Who stands at the other end of a connection, as its layer has verified.
public struct PeerIdentity: Sendable, Equatable {
    /// The URI names of its certificate, such as `spiffe://cluster.local/ns/default/sa/reviews`; the first is the principal.
    public var uris: [String]

    public init(uris: [String]) { self.uris = uris }
}
