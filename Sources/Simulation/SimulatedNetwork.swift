public import EventLoops
public import Primitives
public import Streams

/// How connections of a network behave.
public struct NetworkConditions {
    /// From one end to the other, nanoseconds; each piece is given a time of its own, and none overtakes another.
    public var latencyNanoseconds: ClosedRange<UInt64> = 100_000...100_000
    /// Bytes of one direction that are on their way or wait to be read.
    public var bufferBytes = 64 * 1024
    /// The worker's reads and writes move no more than this at once, and often less; 0 = as much as there is.
    public var pieceBytesMax = 0

    public init() {}

    func latency(_ clock: SimulatedClock) -> UInt64 {
        let spread = latencyNanoseconds.upperBound - latencyNanoseconds.lowerBound
        return latencyNanoseconds.lowerBound + UInt64(clock.draw(below: Int(clamping: spread + 1)))
    }
}

/// What comes of a connection to an address.
public enum Reachability: Equatable {
    case accepts
    /// Nobody listens: the connection is refused after the way there and back.
    case refuses
    /// It fails at once, with this errno.
    case fails(Int32)
    /// Nothing ever comes back.
    case silent
}

/// The kernel's place: connections of a worker to endpoints, and of clients to it, in virtual time. Nobody is at an address until somebody
/// listens there. One thread.
public final class SimulatedNetwork: StreamNetwork {
    public let clock: SimulatedClock
    /// Of connections that begin from now on.
    public var conditions = NetworkConditions()
    private var listeners: [SocketEndpoint: (SimulatedPeer) -> Void] = [:]
    private var reachabilities: [SocketEndpoint: Reachability] = [:]
    private var ready: [SimulatedSocket] = []
    private var portsGiven: UInt16 = 20_000
    /// The worker's ends that it has not closed.
    public internal(set) var openSockets = 0

    public init(clock: SimulatedClock) { self.clock = clock }

    public var now: MonotonicInstant { clock.now }
    public var unixNanoseconds: UInt64 { clock.unixNanoseconds }

    // MARK: Endpoints and clients

    /// Has connections to an address answered from now on: `accept` is given the far end of each.
    public func listen(at address: SocketEndpoint, _ accept: @escaping (SimulatedPeer) -> Void) { listeners[address] = accept }

    /// What comes of connections to an address from now on; without this: `accepts` where somebody listens, `refuses` elsewhere.
    public func set(_ reachability: Reachability, of address: SocketEndpoint) { reachabilities[address] = reachability }

    /// A client connects to the worker: its end, and the worker's, which is to be given to the worker.
    public func connectClient(to address: SocketEndpoint) -> (client: SimulatedPeer, socket: SimulatedSocket) {
        let socket = makeSocket(local: address)
        socket.establish()
        return (SimulatedPeer(of: socket), socket)
    }

    private func makeSocket(local: SocketEndpoint) -> SimulatedSocket {
        openSockets += 1
        return SimulatedSocket(self, local, conditions)
    }

    // MARK: The worker's side

    public func connect(to endpoint: SocketEndpoint) throws(SystemError) -> any TransportLayer {
        let reachability = reachabilities[endpoint] ?? (listeners[endpoint] == nil ? .refuses : .accepts)
        if case .fails(let code) = reachability { throw SystemError(call: "connect", code: code) }
        portsGiven = portsGiven == .max ? 20_000 : portsGiven + 1
        let socket = makeSocket(local: SocketEndpoint(ipv4: 0x0A00_0001, port: portsGiven))
        let delay = 2 * conditions.latency(clock)
        switch reachability {
        case .accepts:
            clock.after(delay) { [self] in
                if socket.isClosed { return }
                socket.establish()
                listeners[endpoint]?(SimulatedPeer(of: socket))
            }
        case .refuses: clock.after(delay) { socket.fail(Self.connectionRefused) }
        case .silent, .fails: break
        }
        return socket
    }

    /// `ECONNREFUSED`.
    static let connectionRefused: Int32 = 111

    public func register(_ connection: any TransportLayer, token: UInt64) {
        guard let socket = connection as? SimulatedSocket else { return }
        socket.token = token
        if socket.isEstablished { note(socket) }
    }

    /// Something has happened to a socket: its owner is told with the next `takeReady`.
    func note(_ socket: SimulatedSocket) {
        guard socket.token != 0, !socket.isNoted, !socket.isClosed else { return }
        socket.isNoted = true
        ready.append(socket)
    }

    /// What a poller would tell now, each token once.
    public func takeReady() -> [(token: UInt64, events: ReadyEvents)] {
        let taken = ready
        ready.removeAll()
        return taken.compactMap { socket in
            socket.isNoted = false
            return socket.isClosed ? nil : (socket.token, socket.events)
        }
    }

    /// Somebody has something to be told.
    public var hasReady: Bool { !ready.isEmpty }
}
