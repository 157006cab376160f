public import EventLoops
public import Primitives
public import TLS

/// A connection's bytes: what can be read, what waits to be written, and its ends. Owned by one loop on one thread; closed by `close` or
/// `reset`, once.
///
/// Descriptors are registered edge-triggered, so that every reader must read until it is told that nothing is left: `isReadable` says
/// whether there may be more, and only this type decides that.
@safe
public struct ByteStream: ~Copyable {
    /// What came of writing.
    public enum Progress: Sendable, Equatable {
        /// Everything that waited is with the kernel.
        case flushed
        /// The rest waits until the descriptor is writable.
        case blocked
        /// The connection is gone.
        case failed
    }

    /// For the poller; -1 where nothing is polled.
    public let descriptor: Int32
    private(set) var layer: (any TransportLayer)?
    /// There may be more to read.
    public private(set) var isReadable = false
    /// The peer will send no more; what it sent before may still wait to be read.
    public private(set) var sawHangUp = false
    /// The peer sends no more, and everything is read.
    public private(set) var isEnded = false
    public private(set) var isClosed = false
    private var isShutDown = false
    /// What waits to be written.
    public var output = ByteBuffer()
    /// Bytes on their way to this stream inside the kernel; they come before `output`.
    var pipe = SlotID.none
    /// Reads in a row that filled the buffer, up to `fullReadsMax`.
    private var fullReads: UInt8 = 0

    /// A stream that filled this many reads in a row has much to move (`Splicing`).
    public static let fullReadsMax: UInt8 = 2

    /// Takes the descriptor over. `layer`: what its bytes go through; nil = nothing.
    public init(descriptor: Int32, layer: (any TransportLayer)? = nil) {
        self.descriptor = descriptor
        self.layer = layer
    }

    /// From here on bytes go through `layer`, which has been given those that were read. Nothing has been written.
    public mutating func secure(by layer: any TransportLayer) {
        precondition(self.layer == nil && output.isEmpty, "one layer, before anything is sent")
        self.layer = layer
        isReadable = true
    }

    /// Goes on with the layer's handshake. What comes behind it may be there already, whatever the socket says.
    public mutating func handshake() -> HandshakeProgress {
        guard let layer, !isClosed else { return isClosed ? .failed : .done }
        let progress = layer.handshake()
        if progress == .done { isReadable = true }
        return progress
    }

    /// What the layer's handshake came to.
    public var agreement: LayerAgreement? { layer?.agreement }

    /// The host name that the client asked for, known before the handshake is done; empty = none.
    public var requestedServerName: String { layer?.requestedServerName ?? "" }

    /// The layer's handshake went on with an earlier session.
    public var isResumed: Bool { layer?.isResumed ?? false }

    /// Why the layer failed, for people.
    public var failure: String? { layer?.failure }

    /// The same in Envoy's words; nil = it did not fail, or the socket did.
    public var failureCode: TLSFailure? { layer?.failureCode }

    /// The certificates that both ends have shown.
    public var peerCertificate: Certificate? { layer?.peerCertificate }
    public var localCertificate: Certificate? { layer?.localCertificate }

    /// Whether lists have the peer's certificate, or one of the authorities that it was verified by.
    public func isRevoked(by lists: RevocationLists) -> Bool { layer?.isRevoked(by: lists) ?? false }

    /// Its bytes go through a layer.
    public var isSecured: Bool { layer != nil }

    /// Who the peer has shown itself to be.
    public var peerIdentity: PeerIdentity? { layer?.peerIdentity }

    /// The error that ended an attempt to connect, or the connection; 0 = none.
    public var pendingError: Int32 { descriptor < 0 ? layer?.pendingError ?? 0 : Socket.pendingError(descriptor) }

    /// Our end's address; absent where it has none.
    public var localEndpoint: SocketEndpoint {
        descriptor < 0 ? layer?.localEndpoint ?? SocketEndpoint() : Socket.localEndpoint(descriptor)
    }

    // MARK: Readiness

    /// Notes what the poller said.
    @inline(__always)
    public mutating func note(_ events: ReadyEvents) {
        if !events.isDisjoint(with: [.readHangUp, .hangUp, .error]) { sawHangUp = true }
        guard !events.isDisjoint(with: [.readable, .readHangUp, .hangUp, .error]) else { return }
        isReadable = true
        layer?.noteReadable()
    }

    /// The peer's end may already be here, unannounced: it is looked for with the next read.
    public mutating func expectEnd() {
        sawHangUp = true
        isReadable = true
    }

    /// There may be something to read, whatever was seen before.
    public mutating func lookAgain() { if !isClosed { isReadable = true } }

    // MARK: Reading

    /// Reads once. `.wouldBlock` and `.endOfStream` leave nothing to read.
    @unsafe @inline(__always)
    public mutating func read(into buffer: UnsafeMutableRawBufferPointer) -> TransferResult {
        let result = unsafe layer == nil ? Socket.read(descriptor, into: buffer) : readLayer(into: buffer)
        switch result {
        case .bytes(let count):
            let isFull = count == buffer.count
            // A socket that gave less than was asked for is empty, and its end comes with another event, unless it came with this one.
            if !isFull && !sawHangUp { isReadable = layer?.hasPending ?? false }
            fullReads = isFull ? min(fullReads + 1, Self.fullReadsMax) : 0
        case .wouldBlock: isReadable = false
        case .endOfStream:
            isReadable = false
            isEnded = true
            sawHangUp = true
        case .failed: isReadable = false
        }
        return result
    }

    /// Room for one read behind bytes that are kept.
    private static let keptReadBytesMin = 16 * 1024

    /// Reads once: into `scratch`, or behind what is kept already.
    @unsafe @inline(__always)
    public mutating func read(into scratch: UnsafeMutableRawBufferPointer, behind kept: inout ByteBuffer) -> TransferResult {
        if kept.isEmpty { return unsafe read(into: scratch) }
        let room = unsafe UnsafeMutableRawBufferPointer(start: kept.reserve(Self.keptReadBytesMin), count: kept.spare)
        let result = unsafe read(into: room)
        if case .bytes(let count) = result { kept.commit(count) }
        return result
    }

    private func readLayer(into buffer: UnsafeMutableRawBufferPointer) -> TransferResult {
        unsafe layer?.read(into: buffer) ?? .failed(0)
    }

    // MARK: Writing

    /// Everything written is with the kernel.
    @inlinable public var isFlushed: Bool { output.isEmpty && !isSpliced }

    /// Bytes move to this stream inside the kernel.
    public var isSpliced: Bool { !pipe.isNone }

    /// Bytes that wait; as many as matter where they are in a pipe.
    public func waiting(spliceCounts: Int) -> Int { isSpliced ? spliceCounts : output.count }

    @inline(__always)
    private mutating func writeOnce(_ bytes: UnsafeRawBufferPointer) -> TransferResult {
        guard let layer else { return unsafe Socket.write(descriptor, bytes) }
        return unsafe layer.write(bytes)
    }

    /// Pieces from this size on are written from where they are, as far as the kernel takes them, instead of being gathered first.
    public static let largeBytesMin = 16 * 1024

    /// Writes bytes at once if nothing waits before them, and keeps what the kernel will not take.
    @unsafe
    public mutating func write(_ bytes: UnsafeRawBufferPointer) -> Progress {
        if isClosed { return .failed }
        var offset = 0
        if isFlushed {
            switch unsafe writeOnce(bytes) {
            case .bytes(let count): offset = count
            case .wouldBlock: break
            case .endOfStream, .failed: return .failed
            }
        }
        guard offset < bytes.count else { return .flushed }
        unsafe output.append(UnsafeRawBufferPointer(rebasing: bytes[offset...]))
        return .blocked
    }

    /// Writes what waits. A pipe is emptied first (`Splicing.flush`).
    @inline(__always)
    public mutating func flush() -> Progress {
        if isClosed { return .failed }
        if isSpliced { return .blocked }
        while !output.isEmpty {
            switch unsafe writeOnce(output.readable) {
            case .bytes(let count): output.consume(count)
            case .wouldBlock: return .blocked
            case .endOfStream, .failed: return .failed
            }
        }
        return .flushed
    }

    /// Tells the peer, once, that no more will be sent.
    public mutating func shutdownWrite() {
        if isShutDown || isClosed { return }
        isShutDown = true
        if let layer { layer.shutdownWrite() } else { Socket.shutdownWrite(descriptor) }
    }

    // MARK: The end

    public mutating func close() { end(resets: false) }

    /// Closes so that the peer cannot take what it got for whole.
    public mutating func reset() { end(resets: true) }

    private mutating func end(resets: Bool) {
        if isClosed { return }
        isClosed = true
        isReadable = false
        output.release()
        if let layer { return layer.close(resets: resets) }
        if resets { Socket.reset(descriptor) } else { Socket.close(descriptor) }
    }

    /// Closes a connection that is given up. What the peer has sent and nobody has read is read first, as far as it is at hand: closing on
    /// unread bytes would make the kernel send a reset, and the peer lose what it was sent.
    @unsafe
    public mutating func abandon(dropping scratch: UnsafeMutableRawBufferPointer) {
        for _ in 0..<Self.droppedReadsMax where !isClosed && !isEnded {
            guard case .bytes = unsafe read(into: scratch) else { break }
        }
        close()
    }

    /// Reads that a connection which is given up is worth.
    static let droppedReadsMax = 16

    // MARK: Splicing

    /// Whether what comes is so much that moving it inside the kernel is worth a pipe.
    public var isBusy: Bool { fullReads >= Self.fullReadsMax }

    /// Whether the kernel can move this stream's bytes by itself.
    public var canSplice: Bool { layer == nil && descriptor >= 0 }

    mutating func calm() { fullReads = 0 }
    mutating func drained() { isReadable = sawHangUp }

    mutating func endedInKernel() {
        isReadable = false
        sawHangUp = true
        isEnded = true
    }
}
