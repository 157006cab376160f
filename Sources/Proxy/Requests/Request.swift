internal import HTTP
internal import Primitives
internal import Routing
internal import TelemetryModel

/// One request and its response, from the head to the record. Kept in a slab and reused, so that its buffers stay warm.
///
/// It is a machine: its worker tells it what happened and does what it says (`RequestSteps` before the first attempt, `AttemptEnding` from
/// there on). Where it is in its life is `phase`; a request that waits has everything it needs to go on.
struct Request: ~Copyable {
    enum Phase: BitwiseCopyable, Equatable {
        /// On its way through the steps; `next` is the one to go on with.
        case opening(next: RequestStep)
        /// With an endpoint, or in line for a connection to one.
        case attempting
        /// Between two attempts.
        case backingOff
        /// The head of the final response has been written to the client.
        case responding
    }

    /// What `waitTimer` is for.
    enum Wait: BitwiseCopyable {
        case none, step, perTry, backOff
    }

    var origin = RequestOrigin()
    /// The configuration it lives under.
    var epoch = SlotID.none
    var start = MonotonicInstant(nanoseconds: 0)
    var phase = Phase.opening(next: .normalise)
    /// The head: as it came, then as it is sent on.
    var head = MessageHead(slots: 64)
    var target = NormalisedTarget()
    var traits: RequestTraits = []
    var framing = BodyFraming.none
    /// What the request asks for itself; meaningful with `hasOverrides`.
    var overrides = RequestOverrides()
    /// The protocols that the upstream may switch to; meaningful with `wantsUpgrade`.
    var upgrades: UpgradeProtocols.Choice = 0
    var plan = RoutePlan()
    /// What all attempts share of the head: its fields, and its text.
    var sharedFields = 0
    var sharedText = 0
    var body = RequestBody()
    var attempt = Attempt()
    var interim = InterimTally()
    /// The length of the response's body, as far as it is known.
    var responseFraming = BodyFraming.none
    var log = RequestLog()
    /// What becomes of `x-forwarded-client-cert`, and the client's own element of it.
    var certAction = ClientCertForwarding.Action.remove
    var cert = ByteBuffer()
    /// Copies of the request under way.
    var mirrors = InlineArray<4, SlotID>(repeating: .none)
    var mirrorCount = 0

    /// Its check by an external authorizer, under way or kept for the response; none = there is none.
    var check = SlotID.none

    /// The route's timeout.
    var routeTimer = TimerWheel.TimerID.none
    var waitTimer = TimerWheel.TimerID.none
    var wait = Wait.none
    /// HTTP/2: nothing may stand still for longer. Over HTTP/1.1 the connection watches.
    var idle = LazyDeadline()

    init() {}

    /// Copies of one request (`RouteCompiler.mirrorsMax`).
    static let mirrorsMax = 4

    /// Back to the state of a new request, keeping the buffers.
    mutating func begin(_ origin: RequestOrigin, epoch: SlotID, start: MonotonicInstant) {
        self.origin = origin
        self.epoch = epoch
        self.start = start
        phase = .opening(next: .normalise)
        target = NormalisedTarget()
        traits = []
        framing = .none
        plan = RoutePlan()
        body.begin()
        attempt = Attempt()
        interim = InterimTally()
        responseFraming = .none
        log.begin()
        if !cert.isEmpty { cert.clear(keeping: ForwardedClientCert.bytesMax) }
        mirrorCount = 0
        check = .none
        routeTimer = .none
        waitTimer = .none
        wait = .none
        idle = LazyDeadline()
    }

    /// What it waited for; it waits no more.
    mutating func endWait() -> Wait {
        defer { (wait, waitTimer) = (.none, .none) }
        return wait
    }

    /// Keeps its head, which the inbox still holds, and notes what it says.
    @inline(__always)
    mutating func takeHead(_ section: HeadSection, from inbox: inout HTTPInbox, upgrades: UpgradeProtocols) {
        head.keep(section, from: &inbox)
        readHead(endsStream: section.endsStream, upgrades: upgrades)
    }

    /// Notes what its head says, which has just been kept.
    mutating func readHead(endsStream: Bool, upgrades known: UpgradeProtocols) {
        traits = RequestTraits.read(head)
        if !origin.isHTTP2 {
            if head.minorVersion == 0 { traits.insert(.isHTTP10) }
            readUpgrade(known)
        }
        framing = endsStream ? .none : head.isChunked ? .chunked : head.contentLength.map { .length($0) } ?? .chunked
        if framing != .none, head.minorVersion == 1, let expect = head.bytes(of: .expect),
            expect.equals(ignoringCase: "100-continue")
        {
            traits.insert(.expectsContinue)
        }
        log.record.protocolVersion = origin.isHTTP2 ? .http2 : head.minorVersion == 0 ? .http10 : .http11
        log.record.requestHeaderBytes = UInt32(clamping: head.byteCount)
        log.record.isGRPC = traits.contains(.isGRPC)
        guard endsStream else { return }
        body.isComplete = true
        log.record.times.downstreamReceiveEnd = 0
    }

    /// An unknown protocol is not asked for further: the request goes on without it (RFC 9110 7.8).
    private mutating func readUpgrade(_ known: UpgradeProtocols) {
        guard head.connection.contains(.upgrade), head.has(.upgrade), head.minorVersion == 1 else { return }
        var others = false
        upgrades = Self.choice(head, known, others: &others)
        if upgrades != 0 { traits.insert(.wantsUpgrade) }
    }

    /// The known protocols that the `Upgrade` fields of a head list; `others` is set when there are unknown ones.
    private static func choice(_ head: borrowing MessageHead, _ known: UpgradeProtocols, others: inout Bool) -> UpgradeProtocols.Choice {
        var choice: UpgradeProtocols.Choice = 0
        for index in 0..<head.fieldCount where head.fieldName(at: index) == .upgrade {
            choice |= known.choice(in: head.bytes(at: index), others: &others)
        }
        return choice
    }

    /// Whether this 101 switches to what was asked for (RFC 9110 7.8), and not before the request was whole: what is left of its body would
    /// be taken for the new protocol's.
    func acceptsSwitch(by response: borrowing MessageHead, _ known: UpgradeProtocols) -> Bool {
        guard traits.contains(.wantsUpgrade), body.isComplete, response.connection.contains(.upgrade) else { return false }
        var others = false
        let choice = Self.choice(response, known, others: &others)
        return choice != 0 && !others && choice & ~upgrades == 0
    }

    /// Reads what a head or trailer section of the response says of a gRPC call.
    mutating func readGRPCStatus(_ fields: borrowing MessageHead) {
        guard traits.contains(.isGRPC), let value = fields.bytes(named: "grpc-status") else { return }
        // 17 codes are defined; an unknown one still counts as itself.
        log.record.grpcStatus = UInt8(clamping: min(254, value.decimal ?? 2))
    }

    var hasResponded: Bool { phase == .responding }

    /// Notes that the head of a response is on its way to the client.
    mutating func noteResponse(status: UInt16, _ now: MonotonicInstant) {
        phase = .responding
        log.record.responseCode = status
        log.record.details = .viaUpstream
        log.record.times.downstreamSendBegin = elapsed(now)
    }

    /// The same of an answer of our own. True = it is for a gRPC client, which has its own form.
    mutating func noteAnswer(_ answer: LocalAnswer, _ now: MonotonicInstant) -> Bool {
        noteResponse(status: answer.status, now)
        log.record.note(answer)
        guard origin.isHTTP2, traits.contains(.isGRPC) else { return false }
        log.record.responseCode = 200
        log.record.grpcStatus = answer.grpcStatus == 255 ? GRPCStatus.code(forHTTP: answer.status) : answer.grpcStatus
        return true
    }

    /// Notes how it ended.
    mutating func note(_ flag: ResponseFlags, _ details: ResponseCodeDetails) {
        log.record.flags.insert(flag)
        log.record.details = details
    }

    /// The client took it back, or broke a rule with it.
    mutating func noteReset(isViolation: Bool) { note(.downstreamRemoteReset, isViolation ? .http2ProtocolError : .http2RemoteReset) }

    /// The client has all of its response, though the endpoint may not have said that it ends.
    var hasWholeResponse: Bool {
        guard hasResponded else { return false }
        return switch responseFraming {
        case .none: true
        case .length(let count): log.record.responseBodyBytes >= count
        case .chunked, .untilClose: false
        }
    }

    /// Nanoseconds since it began.
    func elapsed(_ now: MonotonicInstant) -> UInt64 { now.nanoseconds(since: start) }

    /// False = it does not wait in the line of this pool.
    mutating func stopWaiting(inLineOf pool: Int) -> Bool {
        guard attempt.isWaiting, attempt.pool == pool else { return false }
        attempt.isWaiting = false
        return true
    }

    /// The connection that was made for the line of a pool did not come about. False = it does not wait there.
    mutating func leaveLine(ofPool pool: Int, for connection: SlotID) -> Bool {
        guard stopWaiting(inLineOf: pool) else { return false }
        attempt.upstream = connection
        log.record.attemptCount &+= 1
        return true
    }

    /// The whole request has been received.
    mutating func noteComplete(_ now: MonotonicInstant) {
        body.isComplete = true
        log.record.times.downstreamReceiveEnd = elapsed(now)
    }

    /// Everything of the current attempt's request is with the kernel.
    mutating func noteSent(_ now: MonotonicInstant) {
        guard body.isComplete, log.record.times.upstreamSendEnd == RequestTimes.absent else { return }
        log.record.times.upstreamSendEnd = elapsed(now)
    }

    mutating func noteFirstByte(_ now: MonotonicInstant) {
        guard log.record.times.upstreamReceiveBegin == RequestTimes.absent else { return }
        log.record.times.upstreamReceiveBegin = elapsed(now)
    }
}

/// The parts of a request's target that it is routed by: places in its head's text.
struct NormalisedTarget {
    var path = 0..<0
    /// With its question mark; empty without one.
    var query = 0..<0
    /// Host and port as the client gave them, without surroundings.
    var authority = 0..<0
    var host = Authority(hostCount: 0, port: 0, count: 0)
    var isHTTPS = false
    var form = RequestTarget.Form.origin
}
