internal import EventLoops
internal import HTTP
internal import Primitives
internal import Streams

/// The connection of one probe.
struct ProbeConnection: ~Copyable {
    let place: Int
    var stream: ByteStream
    var http: HTTPClientConnection
    /// Bytes that `http` has not taken: the beginning of a head.
    var input = ByteBuffer()
    var phase = Phase.connecting

    enum Phase {
        case connecting
        /// TLS' handshake goes on.
        case securing
        /// The request is on its way.
        case sent
    }

    /// Bytes of one read.
    static let readBytes = 4 * 1024

    init(place: Int, stream: consuming ByteStream, http: consuming HTTPClientConnection) {
        self.place = place
        self.stream = stream
        self.http = http
    }

    /// False when the connection is gone.
    mutating func send(_ request: borrowing MessageHead) -> Bool {
        phase = .sent
        guard http.submitRequest(request, framing: .none, upgrades: false, token: 1) != nil else { return false }
        _ = http.fill(&stream.output, bytesMax: .max)
        return stream.flush() != .failed
    }

    mutating func read() -> TransferResult {
        let room = unsafe UnsafeMutableRawBufferPointer(start: input.reserve(Self.readBytes), count: Self.readBytes)
        let result = unsafe stream.read(into: room)
        if case .bytes(let count) = result { input.commit(count) }
        return result
    }

    /// Takes what has come, up to the end of the answer's head.
    mutating func receive(now: MonotonicInstant) -> HTTPClientConnection.Outcome {
        while !input.isEmpty {
            let (taken, outcome) = unsafe http.receive(input.readable, now: now)
            input.consume(taken)
            if outcome == .broken { return .broken }
            if taken == 0 || http.isSwitched { break }
        }
        return .fine
    }
}
