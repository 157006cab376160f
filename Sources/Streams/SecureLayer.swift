public import EventLoops
public import Primitives
public import TLS

/// TLS between a connection's bytes and its socket. Used on its loop's thread only.
public final class SecureLayer: TransportLayer {
    private let session: TLSSession
    private let descriptor: Int32

    /// `descriptor` is closed with the layer.
    public init(_ session: TLSSession, descriptor: Int32) {
        self.session = session
        self.descriptor = descriptor
    }

    public func handshake() -> HandshakeProgress {
        switch session.handshake() {
        case .done: .done
        case .wantsReadable, .wantsWritable: .waiting
        case .failed: .failed
        }
    }

    @unsafe
    public func read(into buffer: UnsafeMutableRawBufferPointer) -> TransferResult {
        switch unsafe session.read(into: buffer) {
        case .bytes(let count): .bytes(count)
        case .wouldBlock: .wouldBlock
        case .end: .endOfStream
        case .failed: .failed(session.problem)
        }
    }

    @unsafe
    public func write(_ bytes: UnsafeRawBufferPointer) -> TransferResult {
        switch unsafe session.write(bytes) {
        case .bytes(let count): .bytes(count)
        case .wouldBlock: .wouldBlock
        case .end, .failed: .failed(session.problem)
        }
    }

    public var hasPending: Bool { session.hasPending }

    public func noteReadable() { session.noteReadable() }

    public func shutdownWrite() {
        session.end()
        Socket.shutdownWrite(descriptor)
    }

    public func close(resets: Bool) {
        if resets { return Socket.reset(descriptor) }
        session.end()
        Socket.close(descriptor)
    }

    public var peerIdentity: PeerIdentity? { session.peer?.identity.map { PeerIdentity(uris: [$0.description]) } }

    public var agreement: LayerAgreement? {
        guard session.isEstablished else { return nil }
        var agreement = LayerAgreement()
        agreement.applicationProtocol = session.applicationProtocol
        agreement.serverName = session.serverName
        agreement.version = session.version
        agreement.cipher = session.cipher
        agreement.sessionID = session.sessionID
        return agreement
    }

    public var requestedServerName: String { session.serverName }
    public var isResumed: Bool { session.isResumed }
    public var failure: String? { session.failure }
    public var failureCode: TLSFailure? { session.failureCode }
    public var peerCertificate: Certificate? { session.peer?.certificate }
    public var localCertificate: Certificate? { session.localCertificate }
    public func isRevoked(by lists: RevocationLists) -> Bool { session.peer.map { lists.revoke($0) } ?? false }
    public var pendingError: Int32 { Socket.pendingError(descriptor) }
    public var localEndpoint: SocketEndpoint { Socket.localEndpoint(descriptor) }
}
