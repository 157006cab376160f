public import EventLoops
public import Primitives
public import Streams

/// The worker's end of a connection. It reads and writes as a non-blocking socket does: as far as the buffers go.
public final class SimulatedSocket: TransportLayer {
    private unowned let network: SimulatedNetwork
    private let conditions: NetworkConditions
    let incoming: SimulatedLane
    let outgoing: SimulatedLane
    var token: UInt64 = 0
    var isNoted = false
    private(set) var isEstablished = false
    private(set) var isClosed = false
    private var isShutDown = false
    /// A write found less room than it wanted, and waits to be told of more.
    private var awaitsRoom = false
    public private(set) var pendingError: Int32 = 0
    public let localEndpoint: SocketEndpoint
    /// As a layer that verifies peers would have it.
    public var peerIdentity: PeerIdentity?
    public var agreement: LayerAgreement? { peerIdentity.map { _ in LayerAgreement() } }

    private static let connectionReset: Int32 = 104
    private static let brokenPipe: Int32 = 32

    init(_ network: SimulatedNetwork, _ local: SocketEndpoint, _ conditions: NetworkConditions) {
        self.network = network
        self.conditions = conditions
        localEndpoint = local
        incoming = SimulatedLane(network.clock, conditions)
        outgoing = SimulatedLane(network.clock, conditions)
        incoming.onArrival = { [weak self] in self?.note() }
        outgoing.onRoom = { [weak self] in self?.roomCame() }
    }

    func establish() {
        isEstablished = true
        note()
    }

    func fail(_ code: Int32) {
        pendingError = code
        note()
    }

    private func note() { if !isClosed { network.note(self) } }

    private func roomCame() {
        guard awaitsRoom, outgoing.room > 0 else { return }
        awaitsRoom = false
        note()
    }

    /// As epoll reports them: everything that holds now.
    var events: ReadyEvents {
        if pendingError != 0 { return [.error, .hangUp, .writable] }
        var events: ReadyEvents = []
        if isEstablished, outgoing.room > 0 { events.insert(.writable) }
        if incoming.waiting > 0 { events.insert(.readable) }
        if incoming.isEnded { events.formUnion([.readable, .readHangUp]) }
        if incoming.isEnded && isShutDown { events.insert(.hangUp) }
        if incoming.isReset { events.formUnion([.readable, .readHangUp, .hangUp, .error]) }
        return events
    }

    // MARK: TransportLayer

    @unsafe public func read(into buffer: UnsafeMutableRawBufferPointer) -> TransferResult {
        if incoming.waiting > 0 {
            let taken = incoming.take(piece(of: min(buffer.count, incoming.waiting)))
            unsafe buffer.copyBytes(from: taken)
            return .bytes(taken.count)
        }
        if incoming.isReset { return .failed(Self.connectionReset) }
        return incoming.isEnded ? .endOfStream : .wouldBlock
    }

    @unsafe public func write(_ bytes: UnsafeRawBufferPointer) -> TransferResult {
        if incoming.isReset { return .failed(Self.brokenPipe) }
        guard isEstablished, unsafe !bytes.isEmpty else { return isEstablished ? .bytes(0) : .wouldBlock }
        let count = piece(of: min(bytes.count, outgoing.room))
        if count < bytes.count {
            awaitsRoom = true
            // There was room for more than was taken: it is told soon.
            if outgoing.room > count { network.clock.after(1_000) { [weak self] in self?.roomCame() } }
        }
        if count == 0 { return .wouldBlock }
        unsafe outgoing.send(Array(bytes[..<count]))
        // Nobody is there any more to take them.
        if outgoing.isDeaf { incoming.reset() }
        return .bytes(count)
    }

    private func piece(of count: Int) -> Int {
        let most = conditions.pieceBytesMax
        return most == 0 || count == 0 ? count : min(count, 1 + network.clock.draw(below: most))
    }

    public var hasPending: Bool { incoming.waiting > 0 }

    public func shutdownWrite() {
        guard isEstablished, !isShutDown else { return }
        isShutDown = true
        outgoing.end()
    }

    public func close(resets: Bool) {
        if isClosed { return }
        isClosed = true
        network.openSockets -= 1
        // As the kernel: closing on unread bytes tells the peer that they were lost.
        if resets || incoming.waiting > 0 { outgoing.reset() } else if !isShutDown { outgoing.end() }
        incoming.isDeaf = true
        incoming.onArrival = {}
    }
}
