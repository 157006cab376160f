internal import HTTP
internal import Primitives

/// A client of a server: one request at a time, answered before the next is read.
struct ServiceConnection: ~Copyable {
    enum State {
        case head, body, handling, streaming, closing
    }

    let fd: Int32
    let listener: Int
    let peer: SocketEndpoint
    let presence = Presence()
    var state = State.head
    /// Requests that were handed over before this one.
    var requestNumber: UInt64 = 0
    /// Bytes of the next head have come; its time limit runs since the first of them.
    var isHeadBegun = false
    var input = ByteBuffer()
    var output = ByteBuffer()
    var body = ByteBuffer()
    /// Bytes of the head at the front of `input`, kept until the handler has seen them.
    var method = ""
    var path = ""
    var query = ""
    var fields: [(name: String, value: String)] = []
    var scan = HeadScan()
    var trailerScan = HeadScan()
    var framing = BodyFraming.none
    var remaining: UInt64 = 0
    var decoder = ChunkedDecoder()
    var isInTrailers = false
    var keepsAlive = true
    var isHEAD = false
    var isHTTP10 = false
    /// This body's bytes counted in the server's total.
    var countedBytes = 0
    var isReadable = false
    /// The kernel has said that the peer will send no more; what it sent before may still wait to be read.
    var sawHangUp = false
    var isEndOfStream = false
    var isClosed = false
    /// The peer is refused; what it still sends is dropped.
    var isLingering = false
    var lingeredBytes = 0
    var deadline: MonotonicInstant
    var timer = TimerWheel.TimerID.none
    var timerAt = MonotonicInstant.distantFuture

    init(fd: Int32, listener: Int, peer: SocketEndpoint, deadline: MonotonicInstant) {
        self.fd = fd
        self.listener = listener
        self.peer = peer
        self.deadline = deadline
    }
}
