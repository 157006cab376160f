internal import HTTP
internal import OutlierDetection
internal import Primitives
internal import Routing
internal import Streams
internal import TelemetryModel

/// Requests: their one beginning, what their steps and attempts say, and their one end.
extension Traffic {
    // MARK: The beginning

    /// A client's request has come, as far as its head.
    @inline(__always) mutating func openRequest(_ connection: SlotID, _ stream: Int32, _ section: HeadSection) {
        // Reset in the same breath (CVE-2023-44487): nothing was begun, so nothing need be undone.
        guard sides.downstreams.connections[connection].http.isOpen(stream: stream) else {
            return sides.loop.countEvent { $0.add($0.http2EarlyResets) }
        }
        guard let id = addRequest(connection, stream) else { return abandonDownstream(connection) }
        requests[id].takeHead(section, from: &sides.inbox.contents, upgrades: sides.limits.upgrades)
        advanceRequest(id)
    }

    /// A client's bytes were no request, or never came to be one: it is answered, counted and recorded like every other.
    mutating func refuseBytes(_ connection: SlotID, _ refusal: HTTP1Connection.Refusal, _ bytes: LentBytes) {
        guard sides.downstreams.isOpen(connection) else { return }
        sides.loop.countEvent { $0.add($0.protocolErrors) }
        let known = sides.downstreams.connections[connection].request
        if requests.contains(known) { return refuseBody(known, refusal.status, refusal.reason, counts: false) }
        let details = refusal.error.map { ResponseCodeDetails($0) } ?? .http1CodecError
        openRefused(connection, refusal, details, bytes)
    }

    mutating func openRefused(
        _ connection: SlotID, _ refusal: HTTP1Connection.Refusal, _ details: ResponseCodeDetails, _ bytes: LentBytes
    ) {
        guard let id = addRequest(connection, refusal.stream) else { return abandonDownstream(connection) }
        let epoch = requests[id].epoch
        RecordTexts.writeGlimpse(&requests[id].log, bytes, sides.limits.recordTextBytesMax, &sides.epochs, epoch)
        answerLocally(id, LocalAnswer(refusal.status, details, [.downstreamProtocolError], body: refusal.reason, closes: true))
    }

    /// Makes a request of a connection; nil when there are too many.
    private mutating func addRequest(_ connection: SlotID, _ stream: Int32) -> SlotID? {
        guard let id = requests.reuse() ?? requests.insert(Request()) else { return nil }
        RequestOpening.begin(id, &requests[id], connection, stream, &sides)
        return id
    }

    /// Something of the request moved: the time that it may stand still begins anew.
    @inline(__always) mutating func touchRequest(_ id: SlotID) { RequestOpening.touch(id, &requests[id], &sides) }

    // MARK: Steps

    /// Takes a request on through its steps and does what they say.
    mutating func advanceRequest(_ id: SlotID) {
        switch RequestSteps.advance(&requests[id], &sides.context, &sides.loop, &sides.epochs) {
        case .answer(let local): answerLocally(id, local)
        case .attempt: sendToCluster(id)
        case .check: followCheck(id, CheckTraffic.begin(id, &requests[id], &sides))
        case .wait(let nanoseconds, isForKeys: let waits):
            if waits { keyWaiters.add(id, &sides.loop) }
            requests[id].wait = .step
            requests[id].waitTimer = sides.loop.arm(.requestWait, id, at: sides.loop.now + nanoseconds)
        }
    }

    /// What a request waits for has come before its time is over.
    mutating func stopWaiting(_ id: SlotID) {
        guard requests.contains(id), requests[id].wait == .step else { return }
        sides.loop.cancel(&requests[id].waitTimer)
        waitEnded(id)
    }

    /// Does what a check says.
    mutating func followCheck(_ id: SlotID, _ outcome: CheckTraffic.Outcome) {
        switch outcome {
        case .waiting: return
        case .passed: resume(id)
        case .refused(let local):
            // It still gets its head, for its record, as every request that has a route.
            let epoch = requests[id].epoch
            _ = RequestHeadPreparing.run(&requests[id], &sides.context, &sides.loop, &sides.epochs.all[epoch])
            answerLocally(id, local)
        }
    }

    /// A request goes on with its steps. Others have begun since it waited.
    private mutating func resume(_ id: SlotID) {
        touchRequest(id)
        sides.notePeer(of: requests[id].origin)
        advanceRequest(id)
    }

    /// A check has come to its end: its request goes on.
    mutating func concludeCheck(_ check: SlotID) {
        guard sides.checks.all.contains(check) else { return }
        let id = sides.checks.all[check].request
        let tunnel = sides.checks.all[check].tunnel
        if tunnelTraffic.isTunnel(tunnel) { return tunnelTraffic.concludeCheck(tunnel, &sides) }
        guard requests.contains(id), requests[id].check == check else { return }
        followCheck(id, CheckTraffic.conclude(&requests[id], &sides))
    }

    mutating func checkTimedOut(_ check: SlotID) {
        guard sides.checks.all.contains(check) else { return }
        CheckTraffic.endByTime(check, &sides)
        concludeCheck(check)
    }

    /// More of the request's body has come, which its check may have waited for.
    private mutating func followBody(_ id: SlotID) {
        if !requests[id].check.isNone { followCheck(id, CheckTraffic.collect(&requests[id], &sides)) }
    }

    /// A wait of the request is over.
    mutating func waitEnded(_ id: SlotID) {
        guard requests.contains(id) else { return }
        switch requests[id].endWait() {
        case .none: break
        case .step: resume(id)
        case .backOff:
            AttemptEnding.endBackOff(&requests[id], &sides.upstreams)
            beginAttempt(id)
        case .perTry: if !requests[id].hasResponded { attemptFailed(id, .perTryTimeout) }
        }
    }

    /// Sends the request on its way to the cluster it was given; from here on the route's time runs.
    @inline(__always) private mutating func sendToCluster(_ id: SlotID) {
        let epoch = requests[id].epoch
        let timeout = requests[id].plan.timeoutNanoseconds
        if timeout > 0 { requests[id].routeTimer = sides.loop.arm(.requestTime, id, at: sides.loop.now + timeout) }
        if requests[id].plan.route >= 0 {
            if requests[id].framing != .none, AttemptEnding.retryPolicy(&requests[id], &sides.epochs.all[epoch]).attempts > 0 {
                requests[id].body.keepForRetries()
            }
            mirrorTraffic.sendMirrors(&requests[id], &sides)
        }
        beginAttempt(id)
    }

    private mutating func beginAttempt(_ id: SlotID) {
        let epoch = requests[id].epoch
        let outcome = AttemptBeginning.begin(
            id, &requests[id], &sides.upstreams, &sides.context, &sides.loop, &sides.epochs.all[epoch])
        performOutcome(id, outcome)
    }

    /// Gives the request of an attempt a connection.
    mutating func attachRequest(_ id: SlotID, isFresh: Bool) {
        performOutcome(id, AttemptBeginning.attach(id, &requests[id], &sides.upstreams, isFresh: isFresh, &sides.loop))
    }

    @inline(__always) private mutating func performOutcome(_ id: SlotID, _ outcome: AttemptBeginning.Outcome) {
        switch outcome {
        case .answer(let local): answerLocally(id, local)
        case .failed(let failure): attemptFailed(id, failure)
        case .begun:
            guard requests[id].framing != .none else { return }
            sides.allowMoreBody(of: &requests[id])
            // An HTTP/1.1 client was not read while there was nowhere to send its body to.
            if !requests[id].origin.isHTTP2, !requests[id].body.isComplete { sides.downstreams.resumeLater(requests[id].origin.connection) }
        }
    }

    mutating func attemptFailed(_ id: SlotID, _ failure: AttemptFailure) {
        guard requests.contains(id) else { return }
        switch AttemptEnding.settleFailure(&requests[id], failure, &sides.upstreams, &sides.context, &sides.loop, &sides.epochs) {
        case .replace: attachRequest(id, isFresh: true)
        case .retry(let pause): awaitRetry(id, pause)
        case .answer(let local): answerLocally(id, local)
        case .cut: cutResponse(id)
        }
    }

    mutating func awaitRetry(_ id: SlotID, _ nanoseconds: UInt64) {
        requests[id].wait = .backOff
        requests[id].waitTimer = sides.loop.arm(.requestWait, id, at: sides.loop.now + nanoseconds)
    }

    // MARK: The request's body

    mutating func sendBody(_ id: SlotID, _ bytes: LentBytes) {
        if requests[id].mirrorCount > 0 { mirrorTraffic.copyBody(of: &requests[id], bytes, &sides) }
        RequestSending.send(bytes, of: &requests[id], &sides.upstreams, sides.limits)
        followBody(id)
    }

    /// The whole request has been received.
    mutating func clientFinished(_ id: SlotID) {
        guard requests.contains(id), !requests[id].body.isComplete else { return }
        requests[id].noteComplete(sides.loop.now)
        if requests[id].mirrorCount > 0 { mirrorTraffic.endMirrors(of: &requests[id], &sides) }
        RequestSending.sendEnd(&requests[id], &sides.upstreams)
        followBody(id)
    }

    /// The client took its request back, or its stream broke a rule.
    mutating func streamClosed(_ id: SlotID, code: UInt32) {
        guard requests.contains(id) else { return }
        requests[id].noteReset(isViolation: code == HTTP2ErrorCode.protocolError)
        AttemptEnding.abandonAttempt(&requests[id], &sides.upstreams, &sides.loop)
        requests[id].body.unconsumed = 0
        finishRequest(id)
    }

    /// Refuses a request whose body turned out malformed.
    mutating func refuseBody(_ id: SlotID, _ status: UInt16, _ reason: StaticString, counts: Bool = true) {
        guard requests.contains(id) else { return }
        if counts { sides.loop.countEvent { $0.add($0.protocolErrors) } }
        requests[id].log.record.flags.insert(.downstreamProtocolError)
        if requests[id].hasResponded { return cutResponse(id) }
        let details: ResponseCodeDetails = requests[id].origin.isHTTP2 ? .http2ProtocolError : .http1CodecError
        answerLocally(id, LocalAnswer(status, details, [.downstreamProtocolError], body: reason, closes: true))
    }

    // MARK: Answers of our own

    /// Answers a request and ends it.
    mutating func answerLocally(_ id: SlotID, _ local: LocalAnswer) {
        AttemptEnding.abandonAttempt(&requests[id], &sides.upstreams, &sides.loop)
        ResponseForwarding.sendAnswer(local, to: &requests[id], &sides)
        completeRequest(id, isWhole: false)
    }

    // MARK: Deadlines

    /// The route's timeout covers the whole request (semantics 2.3).
    mutating func routeTimedOut(_ id: SlotID) {
        guard requests.contains(id) else { return }
        requests[id].routeTimer = .none
        if requests[id].hasResponded {
            requests[id].note(.upstreamRequestTimeout, .upstreamResponseTimeout)
            return cutResponse(id)
        }
        sides.upstreams.judge(requests[id].attempt, .timedOut, now: sides.loop.now)
        answerLocally(id, .routeTimeout(isGRPCs: requests[id].plan.effects.contains(.hasGRPCTimeout)))
    }

    mutating func idleTimerFired(_ id: SlotID) {
        guard requests.contains(id), requests[id].idle.hasCome(&sides.loop, .requestIdle, id) else { return }
        stoodStill(id)
    }

    mutating func stoodStill(_ id: SlotID) {
        guard requests[id].hasResponded else { return answerLocally(id, .idleTimeout(isWhole: requests[id].body.isComplete)) }
        requests[id].note(.streamIdleTimeout, .streamIdleTimeout)
        cutResponse(id)
    }

    // MARK: The end

    /// The response is out, or with its connection, to its last byte. `isWhole`: the endpoint has said so.
    mutating func completeRequest(_ id: SlotID, isWhole: Bool) {
        RequestFinishing.detach(&requests[id], isWhole: isWhole, &sides)
        finishRequest(id)
    }

    /// The response has begun and cannot be finished: ends it so that nobody takes it for whole.
    mutating func cutResponse(_ id: SlotID) {
        let origin = requests[id].origin
        AttemptEnding.abandonAttempt(&requests[id], &sides.upstreams, &sides.loop)
        guard sides.downstreams.isOpen(origin.connection) else { return finishRequest(id) }
        // Where the end of the connection is the end of the body, only a reset tells the difference.
        let isUnbounded = sides.downstreams.connections[origin.connection].http.endsWithConnection(stream: origin.stream)
        let isStream = sides.downstreams.connections[origin.connection].http.cut(stream: origin.stream, code: HTTP2ErrorCode.internalError)
        finishRequest(id)
        if isStream { return sides.downstreams.markDirty(origin.connection) }
        _ = sides.downstreams.connections[origin.connection].fill(bytesMax: sides.limits.outputHighWatermark)
        sides.inbox.contents.clear()
        let progress = sides.downstreams.connections[origin.connection].stream.flush()
        if isUnbounded {
            sides.downstreams.resetClient(origin.connection, &sides.loop)
        } else if progress == .blocked {
            sides.downstreams.connections[origin.connection].closesAfterFlush = true
        } else {
            sides.downstreams.close(origin.connection, &sides.loop)
        }
    }

    /// Counts the request and hands its record over. Its handle is stale from here on, so that nothing else that happens in this turn can
    /// end it again.
    mutating func finishRequest(_ id: SlotID) {
        requests.retire(id)
        finished.append(id)
        RequestFinishing.settle(id, &requests[retired: id], &mirrorTraffic, &sides)
    }
}
