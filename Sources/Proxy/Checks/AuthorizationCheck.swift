internal import HTTP
internal import OutlierDetection
internal import Policy
internal import Primitives
internal import Routing
internal import TelemetryModel

/// One question to an external authorizer about a request, or a connection that is no HTTP, which waits for the answer. Kept in a slab and
/// reused; the request or tunnel has its handle.
///
/// It is sent like a mirrored copy, through the worker's own pools. When it has come to an end, in whichever way, `answer` says what became
/// of it; it stays for as long as the request needs what the answer says of the response.
struct AuthorizationCheck: ~Copyable {
    enum Phase: BitwiseCopyable {
        /// Waiting for as much of the request's body as is checked.
        case collecting
        case asking
        case ended
    }

    /// What has come of the answer by HTTP or gRPC.
    enum AnswerProgress: BitwiseCopyable {
        case nothing, head, tooMuch
    }

    /// The request that waits for it, or the tunnel.
    var request = SlotID.none
    var tunnel = SlotID.none
    var epoch = SlotID.none
    var origin = RequestOrigin()
    var phase = Phase.ended
    var attempt = Attempt()
    /// What is sent.
    var head = MessageHead(slots: 64)
    var body = ByteBuffer()
    var message = CheckRequestMessage()
    /// What comes back.
    var progress = AnswerProgress.nothing
    var response = MessageHead(slots: 64)
    var trailers = MessageHead(slots: 16)
    var responseBody = ByteBuffer()
    var answer = CheckAnswer()
    var timer = TimerWheel.TimerID.none

    init() {}

    mutating func begin(_ request: SlotID, _ origin: RequestOrigin, epoch: SlotID) {
        self.request = request
        tunnel = .none
        self.epoch = epoch
        self.origin = origin
        phase = .collecting
        attempt = Attempt()
        body.clear(keeping: 4096)
        progress = .nothing
        trailers.release()
        responseBody.clear(keeping: 4096)
        answer.clear()
        timer = .none
    }

    // MARK: Asking

    /// Gives the check an endpoint of the provider's cluster. False = nobody takes it.
    mutating func send(
        _ id: SlotID, cluster index: Int, isHTTP2: Bool, _ upstreams: inout Upstreams, _ context: inout RequestContext,
        _ loop: inout WorkerLoop, _ epoch: inout Epoch
    ) -> Bool {
        let cluster = epoch.tables.clusterSlot(index)
        let picking = EndpointPicking(cluster: cluster, index: index, hash: nil, now: loop.now, retriesElsewhere: false)
        var record = RequestRecord()
        // Where the cluster has no version of its own, that of the check is meant.
        var asker = origin
        asker.isHTTP2 = isHTTP2
        asker.isCaptured = false
        guard AttemptBeginning.enter(&attempt, &record, picking, asker, &upstreams, &epoch, draw: &context.draws.balance) == nil else {
            return false
        }
        attempt.began = loop.now
        return attach(id, isFresh: false, &upstreams, &loop)
    }

    /// Gives the check a connection. False = there is none.
    mutating func attach(_ id: SlotID, isFresh: Bool, _ upstreams: inout Upstreams, _ loop: inout WorkerLoop) -> Bool {
        let framing: BodyFraming = body.isEmpty ? .none : .length(UInt64(body.count))
        switch upstreams.attach(
            LoopToken(.check, id), &attempt, head, framing: framing, upgrades: false, isFresh: isFresh, client: origin, &loop)
        {
        case .waiting: return true
        case .sent, .connecting: break
        case .overflow, .tableFull, .failed: return false
        }
        guard !body.isEmpty else { return true }
        RequestSending.write(body.lent, attempt, &upstreams)
        let none = LentBytes()
        unsafe upstreams.connections[attempt.upstream].http.end(stream: attempt.stream, trailers: none.buffer)
        upstreams.markDirty(attempt.upstream)
        return true
    }

    /// Whether it may be sent once more at once: a kept connection turned out to have ended, or the authorizer says that it did nothing
    /// (RFC 9113 8.7), as one does that is about to close the connection.
    mutating func canReplace(_ failure: AttemptFailure) -> Bool {
        guard !attempt.wasReplaced, progress == .nothing else { return false }
        return failure == .refusedStream || failure == .terminated && attempt.isOnReusedConnection
    }

    // MARK: The answer

    /// The head of the final response, or its trailers, which say how a call by gRPC went. False = it is no answer.
    mutating func take(_ section: HeadSection, _ inbox: inout HTTPInbox) -> Bool {
        if section.isTooLarge { return false }
        if section.isTrailers {
            trailers.keep(section, from: &inbox)
            return progress == .head
        }
        response.keep(section, from: &inbox)
        progress = .head
        return true
    }

    /// A part of the body. What is more than a check's answer may have is dropped, and with it the answer.
    mutating func take(_ bytes: LentBytes) {
        guard progress == .head, responseBody.count + bytes.count <= CheckAnswer.messageBytesMax else {
            progress = .tooMuch
            return
        }
        responseBody.append(bytes)
    }

    /// The response is whole.
    mutating func readAnswer(_ authorizer: ExternalAuthorizer) {
        guard progress == .head else { return answer.clear() }
        let body = responseBody.lent
        guard authorizer.isGRPC else { return answer.read(response, body: body, of: authorizer) }
        answer.read(response, trailers: trailers, body: body)
    }
}

/// The checks of a worker. Confined to its thread.
struct AuthorizationChecks: ~Copyable {
    var all: Slab<AuthorizationCheck>
    /// What has ended during the turn and is reused from the next one on.
    private var ended = WorkList<SlotID>(capacity: 8)

    init(_ limits: ProxyLimits) { all = Slab(countMax: limits.authorizationChecksMax) }

    /// Nil = there are too many.
    mutating func make() -> SlotID? { all.reuse() ?? all.insert(AuthorizationCheck()) }

    /// Whether it waits for the body of its request.
    mutating func isCollecting(_ id: SlotID) -> Bool { all.contains(id) && all[id].phase == .collecting }

    mutating func retire(_ id: SlotID) {
        all.retire(id)
        ended.append(id)
    }

    /// The end of a turn.
    mutating func reap() {
        for index in 0..<ended.count { all.park(retired: ended[index]) }
        ended.removeAll()
    }
}
