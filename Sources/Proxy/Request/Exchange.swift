internal import HTTP
internal import OutlierDetection
internal import Policy
internal import Primitives
internal import Routing
internal import TelemetryModel

/// One request and its response, from the head to the access record: the part that both sides share. Parked and reused, so that its buffers stay warm.
///
/// Either side is HTTP/1.1, with a connection to itself, or a stream of an HTTP/2 connection (`downstreamStream`, `upstreamStream` not 0). An attempt is
/// one try at an endpoint: `upstream` names its connection while there is one.
struct Exchange: ~Copyable {
    var downstream = SlotID.none
    /// 0 = HTTP/1.1.
    var downstreamStream: Int32 = 0
    var upstream = SlotID.none
    /// 0 = HTTP/1.1.
    var upstreamStream: Int32 = 0
    /// Index of the pool whose `active` this attempt counts in; -1 = none.
    var pool = -1
    /// The rule that took the request, by indices of its configuration; -1 = none.
    var route: Int32 = -1
    var destination: UInt32 = 0
    var match: Int32 = -1
    /// The cluster it goes to; -1 = none.
    var clusterIndex: Int32 = -1
    /// Endpoint of the current attempt; -1 = none.
    var endpointIndex: Int32 = -1
    /// Endpoints tried before, the last few.
    var tried = InlineArray<4, Int32>(repeating: -1)
    /// Attempts after the first.
    var retries: UInt16 = 0
    /// Time of one attempt; 0 = no limit.
    var perTryNanoseconds: UInt64 = 0
    /// What the request itself asks for; meaningful with `hasOverrides`.
    var overrides = RequestOverrides()
    /// The protocols that the upstream may switch to; meaningful with `wantsUpgrade`.
    var upgrades: UpgradeProtocols.Choice = 0
    /// What consistent hashing goes by, and the cookie made for it.
    var hash: UInt64 = 0
    var cookieValue: UInt64 = 0
    /// The scarcest limit it was counted by.
    var rateLimit = RateLimitDecision(isAllowed: true, limit: 0, remaining: 0, resetSeconds: 0, retryAfterSeconds: 0)
    /// The limit that refused it; -1 = none.
    var rateLimitIndex: Int32 = -1
    /// Where a retry is counted.
    var retryCluster = ClusterSlot.none
    /// Copies of the request under way.
    var shadows = InlineArray<4, SlotID>(repeating: .none)
    var shadowCount = 0
    /// gRPC status of an answer of our own; 255 = what its HTTP status means.
    var localGRPCStatus: UInt8 = 255
    /// The `Origin` that a CORS policy allowed.
    var origin = ByteBuffer()
    /// Where the part of the head ends that all attempts share; 0 = it is not an HTTP request.
    var headEnd = 0
    /// Where the attempt is counted among all workers.
    var cluster = ClusterSlot.none
    var endpoint = EndpointSlot.none
    /// Place of its configuration in the worker's list.
    var epoch = 0
    var record = RequestRecord()
    var start = MonotonicInstant(nanoseconds: 0)
    /// Text slots of the record, in slot order, and their lengths.
    var text = ByteBuffer()
    var textLengths = InlineArray<56, UInt16>(repeating: RequestRecordView.absentLength)
    var textCount = 0
    /// Tries that were followed by another; `record.earlierAttempts` are there.
    var earlier = InlineArray<8, AttemptRecord>(repeating: AttemptRecord())

    // The request.
    /// The head in the form of HTTP/1.1, kept until the response begins so that it can be sent again.
    var requestHead = ByteBuffer()
    var requestFraming = BodyFraming.none
    var requestRemaining: UInt64 = 0
    var requestDecoder = ChunkedDecoder()
    /// Position of a trailer section that has not arrived whole.
    var trailerScan = HeadScan()
    /// Body bytes that no attempt has been given yet, or that another attempt may need (`keepsBody`).
    var body = ByteBuffer()
    /// How much of `body` the current attempt has been given.
    var bodySent = 0
    /// Lines of the request's trailer section.
    var requestTrailers = ByteBuffer()
    /// Body bytes of an HTTP/2 client that it may not yet replace by new ones.
    var downstreamUnconsumed = 0

    // The response.
    /// What came before it.
    var interim = InterimTally()
    var responseFraming = BodyFraming.none
    var responseRemaining: UInt64 = 0
    var responseDecoder = ChunkedDecoder()
    /// Body bytes of an HTTP/2 upstream that it may not yet replace by new ones.
    var upstreamUnconsumed = 0

    // TCP: bytes already reported to the counters.
    var countedSent: UInt64 = 0
    var countedReceived: UInt64 = 0

    // Deadlines.
    /// The route's timeout.
    var timer = TimerWheel.TimerID.none
    /// A wait that belongs to the attempt: its timeout, a back-off, a delay.
    var attemptTimer = TimerWheel.TimerID.none
    var attemptWait = AttemptWait.none
    /// HTTP/2 only: nothing may stand still for longer; `idleTimer` may fire earlier and is then armed anew.
    var idleDeadline = MonotonicInstant.distantFuture
    var idleTimer = TimerWheel.TimerID.none
    /// Priorities that attempts went to; 31 and beyond are one.
    var triedPriorities: UInt32 = 0
    /// When the current attempt began.
    var attemptStart = MonotonicInstant(nanoseconds: 0)

    var flags = Flags()

    /// What `attemptTimer` is for.
    enum AttemptWait {
        case none, perTryTimeout
        /// TCP: time to report bytes.
        case tcpReport
        case backOff, faultDelay
    }

    struct Flags: OptionSet {
        let rawValue: UInt64
        static let requestComplete = Flags(rawValue: 1 << 0)
        /// The head of the final response has been written downstream.
        static let responseStarted = Flags(rawValue: 1 << 1)
        static let isHEAD = Flags(rawValue: 1 << 2)
        static let isHTTP10 = Flags(rawValue: 1 << 3)
        /// The client wants, and may have, its connection kept.
        static let keepsAlive = Flags(rawValue: 1 << 4)
        static let wantsUpgrade = Flags(rawValue: 1 << 5)
        /// Bytes pass both ways untouched.
        static let isTunnel = Flags(rawValue: 1 << 6)
        static let isIdempotent = Flags(rawValue: 1 << 7)
        /// On a connection that has served before.
        static let onReusedConnection = Flags(rawValue: 1 << 8)
        static let wasRetried = Flags(rawValue: 1 << 9)
        /// Body bytes have gone to the connection and are not kept, so that the request cannot be sent again.
        static let bodyForwarded = Flags(rawValue: 1 << 10)
        /// The response to the client is chunked by us.
        static let chunksResponse = Flags(rawValue: 1 << 11)
        static let expectsContinue = Flags(rawValue: 1 << 12)
        /// Chunk data is over and the trailer section is awaited.
        static let requestInTrailers = Flags(rawValue: 1 << 13)
        static let responseInTrailers = Flags(rawValue: 1 << 14)
        /// The upstream has said all it had to say.
        static let upstreamEnded = Flags(rawValue: 1 << 15)
        static let downstreamEnded = Flags(rawValue: 1 << 16)
        /// The request is refused or answered; the rest of its body is dropped.
        static let dropsBody = Flags(rawValue: 1 << 17)
        /// Sent body bytes stay in `body` for another attempt.
        static let keepsBody = Flags(rawValue: 1 << 18)
        static let isGRPC = Flags(rawValue: 1 << 19)
        /// The whole request has been given to the current attempt.
        static let endSent = Flags(rawValue: 1 << 20)
        /// A TCP connection rather than a request; always a tunnel.
        static let isTCP = Flags(rawValue: 1 << 21)
        /// Counted as pending: it has no established connection.
        static let isPending = Flags(rawValue: 1 << 22)
        /// In its pool's line for a connection.
        static let isWaiting = Flags(rawValue: 1 << 23)
        /// Refused by a limit, which the answer says.
        static let isOverloaded = Flags(rawValue: 1 << 24)
        /// A mirrored copy: no client, no record, no metrics.
        static let isShadow = Flags(rawValue: 1 << 25)
        /// Counted among the cluster's retries.
        static let holdsRetry = Flags(rawValue: 1 << 26)
        /// An injected abort follows the delay.
        static let aborts = Flags(rawValue: 1 << 27)
        /// `answerScratch` holds the value of `Location`.
        static let hasLocation = Flags(rawValue: 1 << 28)
        static let allowsOrigin = Flags(rawValue: 1 << 29)
        static let isPreflight = Flags(rawValue: 1 << 30)
        /// The route adds or removes response fields.
        static let editsResponse = Flags(rawValue: 1 << 31)
        /// The time limit is the client's own (grpc-timeout).
        static let hasGRPCTimeout = Flags(rawValue: 1 << 32)
        /// To the address that the client dialled, as nobody declared it.
        static let passesThrough = Flags(rawValue: 1 << 33)
        static let hasHash = Flags(rawValue: 1 << 34)
        /// The client is given the cookie that its next request will be hashed by.
        static let setsCookie = Flags(rawValue: 1 << 35)
        static let showsRateLimit = Flags(rawValue: 1 << 36)
        static let hasOverrides = Flags(rawValue: 1 << 37)
        /// TCP through an HTTP proxy that has not said yes yet.
        static let awaitsTunnel = Flags(rawValue: 1 << 38)
        /// The configuration has taken X-Envoy-Attempt-Count out of the request, or has put its own in its place.
        static let omitsAttemptCount = Flags(rawValue: 1 << 39)
    }

    init() {}

    var isHTTP2Downstream: Bool { downstreamStream != 0 }

    /// Back to the state of a new exchange, keeping the buffers.
    mutating func begin(downstream: SlotID, stream: Int32, start: MonotonicInstant) {
        self.downstream = downstream
        downstreamStream = stream
        self.start = start
        upstream = .none
        upstreamStream = 0
        pool = -1
        route = -1
        destination = 0
        match = -1
        rateLimitIndex = -1
        clusterIndex = -1
        endpointIndex = -1
        tried = InlineArray(repeating: -1)
        retries = 0
        triedPriorities = 0
        perTryNanoseconds = 0
        shadowCount = 0
        localGRPCStatus = 255
        headEnd = 0
        record = RequestRecord()
        text.clear(keeping: 4096)
        textCount = 0
        requestHead.clear(keeping: 4096)
        requestFraming = .none
        requestRemaining = 0
        requestDecoder = ChunkedDecoder()
        trailerScan = HeadScan()
        body.clear(keeping: 4096)
        bodySent = 0
        requestTrailers.clear(keeping: 1024)
        downstreamUnconsumed = 0
        interim = InterimTally()
        responseFraming = .none
        responseRemaining = 0
        responseDecoder = ChunkedDecoder()
        upstreamUnconsumed = 0
        countedSent = 0
        countedReceived = 0
        timer = .none
        attemptTimer = .none
        attemptWait = .none
        idleDeadline = .distantFuture
        idleTimer = .none
        flags = []
    }

    /// The client has all of its response, though the upstream's stream may not have ended.
    var hasWholeResponse: Bool {
        guard flags.contains(.responseStarted) else { return false }
        return switch responseFraming {
        case .none: true
        case .length(let count): record.responseBodyBytes >= count
        case .chunked, .untilClose: false
        }
    }

    /// Shadows of one request (`RouteCompiler.mirrorsMax`).
    static let shadowsMax = 4

    func hasTried(_ endpoint: Int) -> Bool {
        if retries == 0 { return false }
        for index in 0..<4 where tried[index] == Int32(clamping: endpoint) { return true }
        return false
    }

    mutating func note(tried endpoint: Int) { tried[Int(retries) & 3] = Int32(clamping: endpoint) }

    /// Keeps what is known of a try that another one will follow.
    mutating func note(attemptEnding ending: AttemptRecord.End, status: UInt16, now: MonotonicInstant) {
        let place = Int(record.earlierAttempts)
        guard place < AttemptRecord.countMax else { return }
        earlier[place].endpoint = record.upstreamRemote
        earlier[place].begin = attemptStart.nanoseconds(since: start)
        earlier[place].end = now.nanoseconds(since: start)
        earlier[place].status = status
        earlier[place].grpcStatus = record.grpcStatus
        earlier[place].ending = ending
        record.earlierAttempts += 1
    }

    /// Appends the next text slot of the record; nil = the message has no such value. Each holds `bytesMax` at most, whatever the others hold;
    /// all together no more than the heads they come from (`HTTPLimits.headBytesMax`).
    mutating func append(text bytes: UnsafeRawBufferPointer?, upTo bytesMax: Int) {
        guard textCount < 56 else { return }
        guard let bytes = unsafe bytes else {
            textLengths[textCount] = RequestRecordView.absentLength
            textCount += 1
            return
        }
        // Cut, not dropped: the beginning of a value tells most.
        let count = min(bytes.count, bytesMax)
        unsafe text.append(UnsafeRawBufferPointer(rebasing: bytes[..<count]))
        textLengths[textCount] = UInt16(truncatingIfNeeded: count)
        textCount += 1
    }
}

extension SlotID {
    /// As the token of an HTTP/2 stream; never 0, since a generation in use is odd.
    var token: UInt64 { UInt64(index) << 32 | UInt64(generation) }

    init(token: UInt64) {
        self.init(index: UInt32(truncatingIfNeeded: token >> 32), generation: UInt32(truncatingIfNeeded: token))
    }
}
