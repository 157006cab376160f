internal import EventLoops
internal import HTTP
internal import Policy
internal import Primitives
internal import Routing
internal import Streams
internal import TelemetryModel
internal import TLS

/// A connection that a client made to us: HTTP/1.1, one request after the other, HTTP/2, many at once, or a tunnel.
@safe
struct DownstreamConnection: ~Copyable {
    enum Deadline {
        case idle, header, stream, linger, detection
    }

    enum Awaited {
        case nothing, protocolDetection, serverName
        /// The first bytes tell whether it is secured.
        case security
        /// Nothing but TLS is taken.
        case mutualTLS
        /// Nothing but TLS is taken, by a server of a Gateway that the server name tells, or by a Sidecar's ingress.
        case serverTLS
        /// The end of TLS' handshake.
        case handshake
    }

    var stream: ByteStream
    /// Index into the listener sockets.
    let listener: Int
    let remote: SocketEndpoint
    /// Who its client is to the counters; nil = one of its listener's, whoever it is.
    var source: SourceLabelsID?
    /// The address that the client dialled.
    var local: SocketEndpoint
    /// It came by REDIRECT: `local` is another proxy's or server's address.
    var isCaptured = false
    /// Of a connection that is secured or was to be; see `secured`.
    private(set) var security = OnDemand<SecuredClient>()
    /// What must be known before anything is done with its bytes.
    var awaits = Awaited.nothing
    var http: HTTPServerConnection
    /// Bytes received and not yet understood: the beginning of a head, or a pipelined request.
    var input = ByteBuffer()
    /// HTTP/1.1: the request being served. Those of an HTTP/2 connection are known to `http`.
    var request = SlotID.none
    /// What its bytes pass through untouched; none = HTTP.
    var tunnel = SlotID.none
    var deadline = LazyDeadline()
    var meaning = Deadline.idle
    /// Close once everything is written.
    var closesAfterFlush = false
    /// The answer is out; what the client still sends is dropped until it closes or the linger ends.
    var isLingering = false
    var lingeredBytes = 0
    var isWaitingToResume = false
    /// Something is to be sent.
    var isDirty = false
    /// Writing has failed; the end is told with the next flush.
    var isBroken = false
    /// It has been counted as HTTP/2.
    var isCounted = false

    init(stream: consuming ByteStream, http: consuming HTTPServerConnection, listener: Int, remote: SocketEndpoint, local: SocketEndpoint) {
        self.stream = stream
        self.http = http
        self.listener = listener
        self.remote = remote
        self.local = local
    }

    @inline(__always)
    mutating func setDeadline(_ id: SlotID, _ next: Deadline, after nanoseconds: UInt64, _ loop: inout WorkerLoop) {
        meaning = next
        deadline.set(&loop, .downstream, id, after: nanoseconds)
    }

    @inline(__always)
    mutating func attach(_ id: SlotID, stream: Int32, isOnly: Bool) {
        http.attach(token: LoopToken(.request, id).rawValue, stream: stream)
        if isOnly { request = id }
    }

    @inline(__always)
    mutating func forget(request id: SlotID) { if request == id { request = .none } }

    /// So little waits to be taken that its endpoint may be read again.
    @inline(__always)
    func hasDrained(to limits: borrowing ProxyLimits) -> Bool { stream.output.count <= limits.outputLowWatermark }

    /// Something is to be sent. False = that is known.
    @inline(__always)
    mutating func becomesDirty() -> Bool {
        if isDirty { return false }
        isDirty = true
        return true
    }

    /// What a request on `stream` takes over from its connection.
    @inline(__always)
    mutating func origin(_ id: SlotID, _ stream: Int32) -> RequestOrigin {
        var origin = RequestOrigin()
        origin.connection = id
        origin.stream = stream
        origin.isHTTP2 = http.isHTTP2
        origin.isSecured = serverKey != 0
        origin.isEdge = origin.isSecured
        origin.isCaptured = isCaptured
        origin.remote = remote
        origin.local = local
        return origin
    }

    /// Reads once: into `scratch`, or behind what is kept already.
    mutating func read(into scratch: UnsafeMutableRawBufferPointer) -> TransferResult {
        if isLingering { return unsafe stream.read(into: scratch) }
        return unsafe stream.read(into: scratch, behind: &input)
    }

    /// The client sends no more, and everything it sent is understood.
    var hasEnded: Bool { mutating get { stream.isEnded && input.isEmpty } }

    /// There may be something to read, or to understand.
    var hasMore: Bool { mutating get { stream.isReadable || !input.isEmpty } }

    // MARK: Security

    /// What is known of its client; made when it is first asked for.
    var secured: SecuredClient {
        @inline(__always) mutating _read {
            security.make { SecuredClient() }
            yield security.value
        }
        @inline(__always) _modify {
            security.make { SecuredClient() }
            yield &security.value
        }
    }

    /// See `GatewayServer`; 0 = its port terminates no TLS of its own, or the server name has not come yet.
    @inline(__always)
    var serverKey: UInt64 { security.isMade ? security.value.server.key : 0 }

    /// Who its client is to policies.
    var peer: PeerView { security.isMade ? security.value.peer.view : PeerView() }

    /// Makes the texts of its records, where they are not those that are wanted.
    mutating func describe(_ wanted: ConnectionTextSet) {
        if secured.texts.isStale(wanted) { security.value.texts.describe(stream, wanted) }
    }

    /// Makes the texts of its only record: why it came to no request.
    mutating func describe(_ failure: TLSFailure?, _ reason: String) {
        security.make { SecuredClient() }
        security.value.texts.describe(stream, failedWith: failure, reason, isDownstream: true)
    }

    /// Makes what `x-forwarded-client-cert` says of its client, once.
    mutating func describeCert(isEdge: Bool) {
        security.make { SecuredClient() }
        security.value.describeCert(stream, isEdge: isEdge)
    }

    /// Whether `fill` with this bound has taken all there is: one of HTTP/1.1 gives it in one go.
    mutating func gaveAll(of bytesMax: Int) -> Bool { !http.isHTTP2 && stream.output.count < bytesMax }

    /// Takes what `http` has to send.
    mutating func fill(bytesMax: Int) -> HTTPServerConnection.Outcome { http.fill(&stream.output, bytesMax: bytesMax) }

    /// Gives body bytes to the answer on `stream`. Large ones go out from where they are, as far as they can.
    mutating func append(_ bytes: LentBytes, stream id: Int32, bytesMax: Int) {
        guard bytes.count >= ByteStream.largeBytesMin, !http.isHTTP2 else { return unsafe http.append(bytes.buffer, stream: id) }
        _ = fill(bytesMax: bytesMax)
        if stream.flush() == .failed { isBroken = true }
        if stream.isFlushed, http.sendsPlain(stream: id) {
            if unsafe stream.write(bytes.buffer) == .failed { isBroken = true }
            return
        }
        unsafe http.append(bytes.buffer, stream: id)
        _ = fill(bytesMax: bytesMax)
        if stream.flush() == .failed { isBroken = true }
    }

    /// Bytes of an answer that the client has not taken yet.
    mutating func waiting(stream id: Int32) -> Int { http.waiting(stream: id) + (http.isHTTP2 ? 0 : stream.output.count) }
}
