internal import EventLoops
internal import HTTP
internal import Primitives

/// A connection that a client made to us: HTTP/1.1, one request after the other, or HTTP/2, many at once.
@safe
struct DownstreamConnection: ~Copyable {
    let fd: Int32
    /// Index into the worker's listener sockets.
    let listener: Int
    let remote: SocketEndpoint
    /// The address that the client dialled.
    var local: SocketEndpoint
    /// It came by REDIRECT: `local` is another proxy's or server's address.
    var isCaptured = false
    /// What must be known before anything is done with its bytes.
    var awaits = Awaited.nothing
    /// HTTP/2 from the client's preface on; nil = HTTP/1.1.
    var session: UnsafeMutablePointer<HTTP2Session>?
    /// Bytes received and not yet understood: the beginning of a head, or a pipelined request.
    var input = ByteBuffer()
    /// Bytes that the kernel would not take yet.
    var output = ByteBuffer()
    /// Bytes of a tunnel on their way to the client inside the kernel; they come before `output`.
    var pipe = SlotID.none
    /// Reads in a row that filled the buffer.
    var fullReads: UInt8 = 0
    var scan = HeadScan()
    /// HTTP/1.1: the request being served. Those of an HTTP/2 connection are known to its session.
    var exchange = SlotID.none
    /// When to look at this connection again; `timer` may fire earlier and is then armed anew.
    var deadline: MonotonicInstant
    var timer = TimerWheel.TimerID.none
    var timerAt = MonotonicInstant.distantFuture
    var deadlineMeaning = Deadline.idle
    /// The kernel may hold more to read.
    var isReadable = false
    /// The kernel has said that the peer will send no more; what it sent before may still wait to be read.
    var sawHangUp = false
    /// The peer sends no more, and everything is read.
    var isEndOfStream = false
    /// Close once `output` is written.
    var closesAfterFlush = false
    /// The answer is out; what the client still sends is dropped until it closes or the linger ends.
    var isLingering = false
    var lingeredBytes = 0
    /// Closed; freed at the end of the turn.
    var isClosed = false
    var isWaitingToResume = false
    /// The session has something to send at the end of the turn.
    var isDirty = false
    /// Something has been parsed: an HTTP/2 preface is no longer expected.
    var hasSpoken = false

    enum Deadline {
        case idle, header, stream, linger, detection
    }

    enum Awaited {
        case nothing, protocolDetection, serverName
    }

    init(fd: Int32, listener: Int, remote: SocketEndpoint, local: SocketEndpoint, deadline: MonotonicInstant) {
        self.fd = fd
        self.listener = listener
        self.remote = remote
        self.local = local
        self.deadline = deadline
        unsafe session = nil
    }

    deinit {
        unsafe session?.deinitialize(count: 1)
        unsafe session?.deallocate()
    }

    mutating func endSession() {
        unsafe session?.deinitialize(count: 1)
        unsafe session?.deallocate()
        unsafe session = nil
    }

    var isHTTP2: Bool { unsafe session != nil }

    /// Everything written is with the kernel's socket.
    var isFlushed: Bool { output.isEmpty && pipe.isNone }
}
