/// The far end of a connection of the worker: a client's, or an endpoint's. What it is given to send goes out as there is room. Whoever
/// plays that end keeps it.
public final class SimulatedPeer {
    /// What has happened here.
    public enum Event: Equatable {
        case bytes
        /// The worker sends no more.
        case ended
        case reset
    }

    private let socket: SimulatedSocket
    private var unsent: [UInt8] = []
    private var endsWhenSent = false
    private var closesWhenSent = false
    private var isEndSent = false
    public private(set) var isClosed = false
    /// Everything that was received and not taken.
    public private(set) var received: [UInt8] = []
    public private(set) var sawEnd = false
    public private(set) var sawReset = false
    /// One side has ended the connection, or its own half of it.
    public var isGone: Bool { isClosed || isEndSent || sawEnd || sawReset }
    /// False = what arrives stays in the kernel's buffer, until that is full.
    public var isReading = true { didSet { if isReading { arrived() } } }
    public var onEvent: (SimulatedPeer, Event) -> Void = { _, _ in }

    init(of socket: SimulatedSocket) {
        self.socket = socket
        socket.outgoing.onArrival = { [weak self] in self?.arrived() }
        socket.incoming.onRoom = { [weak self] in self?.push() }
    }

    // MARK: Sending

    public func send(_ bytes: [UInt8]) {
        if isClosed || isEndSent { return }
        unsent += bytes
        push()
    }

    public func send(_ text: String) { send(Array(text.utf8)) }

    /// Sends no more, once everything has gone; what comes is still read.
    public func end() {
        endsWhenSent = true
        push()
    }

    /// Closes once everything has gone; what still comes is answered with a reset.
    public func close() {
        closesWhenSent = true
        end()
    }

    /// Breaks the connection off; what has not gone is lost.
    public func reset() {
        if isClosed { return }
        isClosed = true
        unsent = []
        socket.incoming.reset()
        socket.outgoing.isDeaf = true
    }

    private func push() {
        if isClosed { return }
        let count = min(unsent.count, socket.incoming.room)
        if count > 0 {
            socket.incoming.send(Array(unsent.prefix(count)))
            unsent.removeFirst(count)
        }
        guard unsent.isEmpty, endsWhenSent else { return }
        if !isEndSent { socket.incoming.end() }
        isEndSent = true
        if closesWhenSent {
            isClosed = true
            socket.outgoing.isDeaf = true
        }
    }

    // MARK: Receiving

    /// Takes what was received.
    public func take() -> [UInt8] {
        defer { received = [] }
        return received
    }

    private func arrived() {
        if isClosed || !isReading { return }
        let bytes = socket.outgoing.take(.max)
        if !bytes.isEmpty {
            received += bytes
            onEvent(self, .bytes)
        }
        if socket.outgoing.isReset, !sawReset {
            sawReset = true
            onEvent(self, .reset)
        } else if socket.outgoing.isEnded, !sawEnd {
            sawEnd = true
            onEvent(self, .ended)
        }
    }
}
