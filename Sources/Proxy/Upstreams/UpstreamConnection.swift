internal import EventLoops
internal import HTTP
internal import OutlierDetection
internal import Primitives
internal import Streams
internal import TelemetryModel

/// A connection that we made to an endpoint. HTTP/1.1 serves one request at a time and rests in its pool in between; HTTP/2 stays in its
/// pool's list as long as it can take another stream; a tunnel has one to itself.
@safe
struct UpstreamConnection: ~Copyable {
    enum State {
        case connecting
        /// Connected; TLS' handshake goes on.
        case securing
        case active, idle, closed
    }

    var stream: ByteStream
    /// Index into the pools.
    var pool: Int
    var http: HTTPClientConnection
    var state = State.connecting
    /// Bytes received and not yet understood.
    var input = ByteBuffer()
    /// The tunnel whose bytes these are; none = HTTP.
    var tunnel = SlotID.none
    var requestsServed: UInt32 = 0
    var local = SocketEndpoint()
    /// Where this connection is counted against the cluster's limit.
    var cluster = ClusterSlot.none
    /// Nobody has it yet: its version is about to be chosen.
    var isNegotiating = false
    /// In the pool's list: idle, or HTTP/2 with streams to spare.
    var isListed = false
    /// Something is to be sent.
    var isDirty = false
    /// Neighbours in the pool's list.
    var nextIdle = SlotID.none
    var previousIdle = SlotID.none
    /// What it tells in the records of its requests.
    var texts = ConnectionTexts()
    var deadline = LazyDeadline()
    let connectBegan: MonotonicInstant
    /// Not read because the client is slow.
    var isPaused = false
    /// Writing has failed; the end is told with the next flush.
    var isBroken = false

    init(stream: consuming ByteStream, pool: Int, http: consuming HTTPClientConnection, now: MonotonicInstant) {
        self.stream = stream
        self.pool = pool
        self.http = http
        connectBegan = now
    }

    /// Tells the endpoint whom the connection is for, where its cluster wants that (PROXY protocol).
    mutating func announce(client: SocketEndpoint, dialled: SocketEndpoint, _ settings: PoolSettings) {
        guard settings.proxyProtocol > 0 else { return }
        ProxyProtocol.announce(client, dialled, version: settings.proxyProtocol, to: &stream.output)
    }

    /// Nanoseconds that it may rest: until it is idle for too long, or open for too long, whichever is sooner.
    @inline(__always)
    func idleTimeLeft(_ settings: PoolSettings, now: MonotonicInstant) -> UInt64 {
        let idle = settings.idleTimeoutNanoseconds == 0 ? .max : settings.idleTimeoutNanoseconds
        guard settings.maxConnectionNanoseconds > 0 else { return idle }
        let age = now.nanoseconds(since: connectBegan)
        return min(idle, settings.maxConnectionNanoseconds > age ? settings.maxConnectionNanoseconds - age : 1)
    }

    /// It has been open for as long as its cluster allows.
    mutating func isAged(_ settings: PoolSettings, now: MonotonicInstant) -> Bool {
        settings.maxConnectionNanoseconds > 0 && now.nanoseconds(since: connectBegan) >= settings.maxConnectionNanoseconds
    }

    /// It has served as many requests as it may, or is too old for another.
    mutating func isSpent(_ settings: PoolSettings, now: MonotonicInstant) -> Bool {
        let servedMax = settings.maxRequestsPerConnection
        return servedMax > 0 && requestsServed >= servedMax || isAged(settings, now: now)
    }

    /// Reads once: into `scratch`, or behind what is kept already.
    mutating func read(into scratch: UnsafeMutableRawBufferPointer) -> TransferResult {
        unsafe stream.read(into: scratch, behind: &input)
    }

    /// Makes the texts of its records anew.
    mutating func describe(_ wanted: ConnectionTextSet) { texts.describe(stream, wanted) }

    /// Why TLS with its endpoint did not come about.
    mutating func describe(failure: String) { texts.describe(stream, failedWith: stream.failureCode, failure, isDownstream: false) }

    /// Whether `fill` with this bound has taken all there is: one of HTTP/1.1 gives it in one go.
    mutating func gaveAll(of bytesMax: Int) -> Bool { !http.isHTTP2 && stream.output.count < bytesMax }

    /// Takes what `http` has to send.
    mutating func fill(bytesMax: Int) -> HTTPClientConnection.Outcome { http.fill(&stream.output, bytesMax: bytesMax) }

    /// Gives body bytes to the request on `stream`.
    mutating func append(_ bytes: LentBytes, stream id: Int32, bytesMax: Int) {
        if bytes.count >= ByteStream.largeBytesMin, state == .active, !http.isHTTP2 {
            _ = http.fill(&stream.output, bytesMax: bytesMax)
            if stream.flush() == .flushed, http.sendsPlain {
                if unsafe stream.write(bytes.buffer) == .failed { isBroken = true }
                return
            }
        }
        unsafe http.append(bytes.buffer, stream: id)
    }

    /// Bytes of a request that the endpoint has not taken yet.
    mutating func waiting(stream id: Int32) -> Int { http.waiting(stream: id) + (http.isHTTP2 ? 0 : stream.output.count) }
}
