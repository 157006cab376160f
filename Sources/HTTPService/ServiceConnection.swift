internal import HTTP
internal import Primitives
internal import Streams
internal import TLS

/// A client of a server. Its requests are `ServiceExchange`s, of which it may have several. Once closed it stays in its place until the end
/// of the turn.
struct ServiceConnection: ~Copyable {
    /// What comes before its first request.
    enum Opening {
        /// Nothing has come yet: whether it is TLS is to be seen.
        case firstBytes
        case handshake
        case done
    }

    var opening = Opening.firstBytes
    /// During the handshake.
    var session: TLSSession?
    /// Who the client has shown itself to be by its certificate, verified.
    var client: TLSPeer?
    var stream: ByteStream
    let listener: Int
    let peer: SocketEndpoint
    var http: HTTPServerConnection
    /// Bytes that `http` has not taken: an incomplete head, or requests that wait for room.
    var input = ByteBuffer()
    /// Requests that are open, oldest first.
    var exchanges: [SlotID] = []
    /// A body's memory, kept for the next one.
    var spareBody = ByteBuffer()
    /// Bytes of whole answers that have been given to `http` and have not all left.
    var answerBytes = 0
    /// Body bytes held for handlers.
    var bodyBytes = 0

    /// `input` waits for `http` to have room, not for more bytes.
    var isParked = false
    /// The kernel takes no more output now.
    var isBlocked = false
    /// To be closed once the output is out.
    var isEnding = false
    /// Output is out and our half is closed; what the peer still sends is dropped.
    var isLingering = false
    var droppedBytes = 0
    /// Output may be waiting; the loop has it on its list.
    var isDirty = false

    /// When the client last did something: sent bytes or took some.
    var activeAt: MonotonicInstant
    /// When the first byte came of a head that is not complete.
    var headBeganAt: MonotonicInstant?
    var timer = TimerWheel.TimerID.none
    var timerAt = MonotonicInstant.distantFuture

    init(
        stream: consuming ByteStream, listener: Int, peer: SocketEndpoint, http: consuming HTTPServerConnection, now: MonotonicInstant
    ) {
        self.stream = stream
        self.listener = listener
        self.peer = peer
        self.http = http
        activeAt = now
    }

    var isClosed: Bool { stream.isClosed }

    /// Whether further bytes are of use: a client that does not take what it asked for is not asked for more.
    var wantsRead: Bool { mutating get { isLingering || !isEnding && !isBlocked && opening != .handshake && http.wantsRead } }

    /// Moves what `http` has to send to the stream's output.
    mutating func fill(bytesMax: Int) -> HTTPServerConnection.Outcome { http.fill(&stream.output, bytesMax: bytesMax) }

    /// Sends what waits. True when some of it left.
    mutating func flush() -> (progress: ByteStream.Progress, hasMoved: Bool) {
        let waiting = stream.output.count
        let progress = stream.flush()
        return (progress, stream.output.count < waiting)
    }
}
