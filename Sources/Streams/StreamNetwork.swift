public import EventLoops
public import Primitives

/// A world that a worker's connections live in instead of the kernel's: its own time, and connections in memory. Tests have one
/// (`Simulation`); production has none, and then sockets, the poller and the clock are asked. Used on the worker's thread only.
///
/// Who registers a connection is told what happens to it as an edge-triggered poller would: each event under the connection's token, with
/// all that holds at that moment.
public protocol StreamNetwork: AnyObject {
    var now: MonotonicInstant { get }

    /// Nanoseconds since 1970.
    var unixNanoseconds: UInt64 { get }

    /// Begins a connection: it is established when it turns writable with a `pendingError` of 0. Throws what ends it at once.
    func connect(to endpoint: SocketEndpoint) throws(SystemError) -> any TransportLayer

    /// Has what happens to a connection from now on told under `token`.
    func register(_ connection: any TransportLayer, token: UInt64)
}

extension ByteStream {
    /// Begins a connection in `network`.
    public init(connectingTo endpoint: SocketEndpoint, in network: any StreamNetwork) throws(SystemError) {
        self.init(descriptor: -1, layer: try network.connect(to: endpoint))
    }

    /// Registers a stream of a network; it has a layer and no descriptor.
    public func register(in network: any StreamNetwork, token: UInt64) {
        if let layer { network.register(layer, token: token) }
    }
}
