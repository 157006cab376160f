internal import HTTP
internal import Primitives
internal import Routing
internal import TelemetryModel

/// A copy of a request to another cluster (semantics 2.6): fire and forget. Its response is read and dropped, it is neither retried nor
/// counted as a request, and it never makes the original wait.
struct MirrorCopy: ~Copyable {
    var epoch = SlotID.none
    var origin = RequestOrigin()
    var head = MessageHead(slots: 64)
    var framing = BodyFraming.none
    var attempt = Attempt()
    var body = RequestBody()
    /// Something must end it, as nobody waits for it.
    var timer = TimerWheel.TimerID.none
    var hasResponded = false

    init() {}

    /// Takes the original's head, with `-shadow` behind the host, before any port, and what has come of its body.
    mutating func begin(copyOf request: inout Request) {
        epoch = request.epoch
        origin = RequestOrigin()
        framing = request.framing
        attempt = Attempt()
        body.begin()
        body.hold(request.body.bytes.lent)
        body.isComplete = request.body.isComplete
        if body.isComplete { body.trailers.append(request.body.trailers.lent) }
        timer = .none
        hasResponded = false
        head.keep(copyOf: request.head)
        let place = head.sentAuthority
        // A host that a rule has set is as the rule wrote it.
        let count = Authority.parse(head.bytes(place))?.hostCount ?? place.count
        let split = place.lowerBound + count
        head.sentAuthority = head.write { output in
            output.append(copyOf: place.lowerBound..<split)
            output.append("-shadow")
            output.append(copyOf: split..<place.upperBound)
        }
        if !request.plan.effects.contains(.omitsAttemptCount) { head.add("X-Envoy-Attempt-Count", .envoyAttemptCount, text: "1") }
    }

    /// Gives the copy an endpoint and the request to it. False = nobody takes it.
    mutating func send(
        _ id: SlotID, cluster index: Int, _ upstreams: inout Upstreams, _ context: inout RequestContext, _ loop: inout WorkerLoop,
        _ epoch: inout Epoch
    ) -> Bool {
        let cluster = epoch.tables.clusterSlot(index)
        let picking = EndpointPicking(cluster: cluster, index: index, hash: nil, now: loop.now, retriesElsewhere: false)
        var record = RequestRecord()
        guard AttemptBeginning.enter(&attempt, &record, picking, origin, &upstreams, &epoch, draw: &context.draws.balance) == nil else {
            return false
        }
        attempt.began = loop.now
        return attach(id, &upstreams, &loop)
    }

    /// Gives the copy a connection. False = there is none.
    mutating func attach(_ id: SlotID, _ upstreams: inout Upstreams, _ loop: inout WorkerLoop) -> Bool {
        body.endIsSent = false
        switch upstreams.attach(
            LoopToken(.mirror, id), &attempt, head, framing: framing, upgrades: false, isFresh: false, client: origin, &loop)
        {
        case .waiting: return true
        case .sent, .connecting: break
        case .overflow, .tableFull, .failed: return false
        }
        if framing == .none { body.endIsSent = true }
        if !body.bytes.isEmpty {
            RequestSending.write(body.bytes.lent, attempt, &upstreams)
            body.noteHeldSent(bytesMax: 0)
        }
        sendEnd(&upstreams)
        return true
    }

    /// Body bytes of the original. False = the copy cannot take them: its endpoint is slower than the original's.
    mutating func send(_ bytes: LentBytes, _ upstreams: inout Upstreams, bytesMax: Int) -> Bool {
        if RequestSending.waiting(attempt, &upstreams) + body.bytes.count + bytes.count > bytesMax { return false }
        if upstreams.isOpen(attempt.upstream) { RequestSending.write(bytes, attempt, &upstreams) } else { body.hold(bytes) }
        return true
    }

    mutating func finish(trailers: LentBytes, _ upstreams: inout Upstreams) {
        body.trailers.append(trailers)
        body.isComplete = true
        sendEnd(&upstreams)
    }

    private mutating func sendEnd(_ upstreams: inout Upstreams) {
        guard body.isComplete, !body.endIsSent, upstreams.isOpen(attempt.upstream) else { return }
        body.endIsSent = true
        unsafe upstreams.connections[attempt.upstream].http.end(stream: attempt.stream, trailers: body.trailers.readable)
        upstreams.markDirty(attempt.upstream)
    }
}
