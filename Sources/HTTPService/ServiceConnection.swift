internal import HTTP
internal import Primitives

/// Good until the element goes, which is at the end of a turn at the earliest for a connection.
typealias ConnectionPointer = UnsafeMutablePointer<ServiceConnection>

/// A client of a server. Its requests are `ServiceExchange`s, of which it may have several.
@safe
struct ServiceConnection: ~Copyable {
    let fd: Int32
    let listener: Int
    let peer: SocketEndpoint
    var http: HTTPServerConnection
    /// Bytes that `http` has not taken: an incomplete head, or requests that wait for room.
    var input = ByteBuffer()
    var output = ByteBuffer()
    /// Requests that are open, oldest first.
    var exchanges: [SlotID] = []
    /// A body's memory, kept for the next one.
    var spareBody = ByteBuffer()
    /// Bytes of whole answers that have been given to `http` and have not all left.
    var answerBytes = 0
    /// Body bytes held for handlers.
    var bodyBytes = 0

    var isReadable = false
    /// The kernel has said that the peer will send no more; what it sent before may still wait to be read.
    var sawHangUp = false
    var isEndOfStream = false
    /// `input` waits for `http` to have room, not for more bytes.
    var isParked = false
    /// The kernel takes no more output now.
    var isBlocked = false
    /// To be closed once the output is out.
    var isEnding = false
    /// Output is out and our half is closed; what the peer still sends is dropped.
    var isLingering = false
    var droppedBytes = 0
    var isClosed = false
    /// Output may be waiting; the loop has it on its list.
    var isDirty = false

    /// When the client last did something: sent bytes or took some.
    var activeAt: MonotonicInstant
    /// When the first byte came of a head that is not complete.
    var headBeganAt: MonotonicInstant?
    var timer = TimerWheel.TimerID.none
    var timerAt = MonotonicInstant.distantFuture

    init(fd: Int32, listener: Int, peer: SocketEndpoint, http: consuming HTTPServerConnection, now: MonotonicInstant) {
        self.fd = fd
        self.listener = listener
        self.peer = peer
        self.http = http
        activeAt = now
    }
}
