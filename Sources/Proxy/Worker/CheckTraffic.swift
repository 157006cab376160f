internal import HTTP
internal import OutlierDetection
internal import Policy
internal import Primitives
internal import Routing
internal import Streams
internal import TelemetryModel

/// Checks of requests under way (`AuthorizationCheck`): begun for a request that waits, fed with its body, and ended by what is answered,
/// by their time, or with a request that is given up. What is to be done for the request then is said, and `Traffic` does it.
enum CheckTraffic {
    @safe
    enum Outcome {
        case waiting
        /// The request goes on with its next step.
        case passed
        case refused(LocalAnswer)
    }

    // MARK: The beginning

    /// Begins the check of a request; what its body is needed for waits for that.
    static func begin(_ id: SlotID, _ request: inout Request, _ sides: inout Sides) -> Outcome {
        guard let authorizer = sides.epochs.all[request.epoch].authorizer, let check = sides.checks.make() else {
            return fail(&request, &sides)
        }
        sides.checks.all[check].begin(id, request.origin, epoch: request.epoch)
        sides.epochs.enter(request.epoch)
        request.check = check
        let bodyBytesMax = authorizer.use { $0.bodyBytesMax }
        if bodyBytesMax > 0, request.framing != .none, !request.traits.contains(.wantsUpgrade) {
            return collect(&request, &sides)
        }
        return ask(&request, &sides)
    }

    /// Goes on when enough of the body has come.
    static func collect(_ request: inout Request, _ sides: inout Sides) -> Outcome {
        guard sides.checks.isCollecting(request.check), let authorizer = sides.epochs.all[request.epoch].authorizer else { return .waiting }
        let (bytesMax, allowsPartial) = authorizer.use { ($0.bodyBytesMax, $0.allowsPartialBody) }
        let count = request.body.bytes.count
        if count > bytesMax, !allowsPartial {
            return .refused(LocalAnswer(413, .requestPayloadTooLarge, body: "Payload Too Large"))
        }
        if request.body.isComplete || count > bytesMax { return ask(&request, &sides) }
        awaitBody(&request, &sides)
        return .waiting
    }

    /// The client may send its body before there is an endpoint for it.
    private static func awaitBody(_ request: inout Request, _ sides: inout Sides) {
        let origin = request.origin
        guard sides.downstreams.isOpen(origin.connection) else { return }
        if request.traits.contains(.expectsContinue), request.interim.passesContinue() {
            sides.context.responseHead.beginResponse(status: 100, length: nil)
            sides.downstreams.connections[origin.connection].http.submitInterim(sides.context.responseHead, stream: origin.stream)
            sides.downstreams.markDirty(origin.connection)
        }
        if origin.isHTTP2 { sides.allowMoreBody(of: &request) } else { sides.downstreams.resumeLater(origin.connection) }
    }

    private static func ask(_ request: inout Request, _ sides: inout Sides) -> Outcome {
        let id = request.check
        let epoch = request.epoch
        guard let authorizer = sides.epochs.all[epoch].authorizer else { return conclude(&request, &sides) }
        sides.checks.all[id].phase = .asking
        // What CONNECT asks for has no path, and a check of it would be a tunnel.
        let cluster = sides.epochs.all[epoch].authorizerCluster
        guard cluster >= 0, request.target.form != .authority else { return conclude(&request, &sides) }
        let (timeout, isGRPC) = authorizer.use { ($0.timeoutNanoseconds, $0.isGRPC) }
        // Other requests may have begun since the check has.
        sides.notePeer(of: request.origin)
        let ownName = isGRPC ? sides.downstreams.ownName(request.origin.connection) : []
        authorizer.use { write(&sides.checks.all[id], &request, sides.context.peer, ownName, $0) }
        sides.checks.all[id].timer = sides.loop.arm(.check, id, at: sides.loop.now + timeout)
        let isSent = sides.checks.all[id].send(
            id, cluster: cluster, isHTTP2: isGRPC, &sides.upstreams, &sides.context, &sides.loop, &sides.epochs.all[epoch])
        return isSent ? .waiting : conclude(&request, &sides)
    }

    /// `ownName`: of this end's certificate.
    private static func write(
        _ check: inout AuthorizationCheck, _ request: inout Request, _ peer: PeerView, _ ownName: [UInt8], _ authorizer: ExternalAuthorizer
    ) {
        let bytes = request.body.bytes.lent
        let count = min(bytes.count, authorizer.bodyBytesMax)
        let isPartial = count < bytes.count || !request.body.isComplete
        let checked = bytes.prefix(count)
        guard authorizer.isGRPC else {
            check.body.append(checked)
            return CheckHead.writeHTTP(&check, &request, authorizer, isPartial: isPartial)
        }
        unsafe ownName.withUnsafeBytes { ownName in
            var subject = unsafe CheckHead.describe(&request, peer, body: checked)
            unsafe subject.ownPrincipal = LentBytes(ownName)
            subject.isPartial = isPartial
            CheckHead.writeGRPC(&check, &request, subject, authorizer)
        }
    }

    // MARK: With the endpoint

    /// A check that waited for a connection may have one now. True = it has failed.
    static func serve(_ id: SlotID, _ sides: inout Sides) -> Bool {
        guard sides.checks.all.contains(id), sides.checks.all[id].attempt.isWaiting else { return false }
        sides.checks.all[id].attempt.isWaiting = false
        return !sides.checks.all[id].attach(id, isFresh: false, &sides.upstreams, &sides.loop)
    }

    /// Whether a check's attempt waits in a line for a connection.
    static func waitsInLine(_ id: SlotID, _ sides: inout Sides) -> Bool {
        sides.checks.all.contains(id) && sides.checks.all[id].attempt.isWaiting
    }

    /// Whether a check's attempt has this stream of this connection.
    static func isOf(_ id: SlotID, _ upstream: SlotID, stream: Int32, _ sides: inout Sides) -> Bool {
        sides.checks.all.contains(id) && sides.checks.all[id].attempt.isOn(upstream, stream: stream)
    }

    static func noteConnected(_ id: SlotID, _ sides: inout Sides) {
        if sides.checks.all.contains(id) { sides.upstreams.stopPending(&sides.checks.all[id].attempt) }
    }

    /// What the authorizer says. True = the check has come to its end.
    static func takeEvent(
        _ event: HTTPEvent, of upstream: SlotID, for id: SlotID, _ bytes: LentBytes, _ sides: inout Sides
    ) -> Bool {
        switch event.kind {
        case .head:
            let section = sides.inbox.contents.block(of: event)
            if !section.isTrailers, section.status < 200 { return section.status == 101 }
            return !sides.checks.all[id].take(section, &sides.inbox.contents)
        case .data:
            let piece = bytes[Int(event.start)..<Int(event.start) + Int(event.count)]
            sides.checks.all[id].take(piece)
            sides.upstreams.connections[upstream].http.consume(piece.count, stream: event.stream)
            return sides.checks.all[id].progress == .tooMuch
        case .end:
            readAnswer(id, &sides)
            sides.upstreams.release(&sides.checks.all[id].attempt, isWhole: true, &sides.loop)
            return true
        case .closed:
            sides.checks.all[id].attempt.upstream = .none
            sides.upstreams.streamFreed(upstream, &sides.loop)
            let isRefused = event.code == HTTP2ErrorCode.refusedStream
            return fails(id, isRefused ? .refusedStream : event.isRemote ? .remoteReset : .protocolError, &sides)
        case .goAway: return false
        }
    }

    private static func readAnswer(_ id: SlotID, _ sides: inout Sides) {
        let status = sides.checks.all[id].response.statusCode
        sides.upstreams.judge(sides.checks.all[id].attempt, .response(status: status), now: sides.loop.now)
        let epoch = sides.checks.all[id].epoch
        guard let authorizer = sides.epochs.all[epoch].authorizer else { return }
        authorizer.use { sides.checks.all[id].readAnswer($0) }
        let dropped = sides.checks.all[id].answer.droppedFields
        if dropped > 0 { sides.loop.countEvent { $0.add($0.fieldsDropped, dropped) } }
    }

    /// The connection is gone. True = the check has come to its end. `upstream`: none = it waited in a line.
    static func endpointEnded(_ id: SlotID, _ upstream: SlotID, _ failure: AttemptFailure, _ sides: inout Sides) -> Bool {
        guard sides.checks.all.contains(id), sides.checks.all[id].attempt.upstream == upstream else { return false }
        return fails(id, failure, &sides)
    }

    /// The attempt has failed. False = the check has been sent once more.
    private static func fails(_ id: SlotID, _ failure: AttemptFailure, _ sides: inout Sides) -> Bool {
        let isStale = sides.checks.all[id].canReplace(failure)
        noteFailure(id, failure, &sides)
        guard isStale else { return true }
        sides.loop.countEvent { $0.add($0.staleRetries) }
        sides.checks.all[id].attempt.upstream = .none
        sides.checks.all[id].attempt.wasReplaced = true
        return !sides.checks.all[id].attach(id, isFresh: true, &sides.upstreams, &sides.loop)
    }

    private static func noteFailure(_ id: SlotID, _ failure: AttemptFailure, _ sides: inout Sides) {
        sides.upstreams.note(failure, of: sides.checks.all[id].attempt, unixNanoseconds: sides.loop.unixNow)
        sides.upstreams.judge(sides.checks.all[id].attempt, failure.outcome, now: sides.loop.now)
    }

    /// Its time is over.
    static func endByTime(_ id: SlotID, _ sides: inout Sides) {
        sides.checks.all[id].timer = .none
        noteFailure(id, .perTryTimeout, &sides)
    }

    // MARK: The end

    /// The request goes on by what the check came to.
    static func conclude(_ request: inout Request, _ sides: inout Sides) -> Outcome {
        let id = request.check
        endAsking(id, &sides)
        switch sides.checks.all[id].answer.verdict {
        case .failed: return fail(&request, &sides)
        case .denied(let status):
            tally(.denied, request.epoch, &sides)
            request.plan.effects.insert(.hasAuthorizerFields)
            var answer = LocalAnswer(
                status, .externalAuthorizationDenied, text: sides.checks.all[id].answer.body.lent)
            answer.flags = [.unauthorizedExternalService]
            return .refused(answer)
        case .allowed:
            let most = sides.limits.http.targetBytesMax
            guard AnswerApplying.apply(sides.checks.all[id].answer, to: &request, targetBytesMax: most) else {
                return fail(&request, &sides)
            }
            tally(.ok, request.epoch, &sides)
            chooseRouteAgain(&request, &sides)
            if sides.checks.all[id].answer.changesResponse {
                request.plan.effects.insert(.hasAuthorizerFields)
            } else {
                release(&request, &sides)
            }
            return .passed
        }
    }

    private static func chooseRouteAgain(_ request: inout Request, _ sides: inout Sides) {
        let clears = sides.epochs.all[request.epoch].authorizer?.use { $0.clearsRouteCache } ?? false
        guard clears, sides.checks.all[request.check].answer.changesRequest else { return }
        request.plan = RoutePlan()
        request.phase = .opening(next: .findRoute)
    }

    /// The check came to nothing.
    private static func fail(_ request: inout Request, _ sides: inout Sides) -> Outcome {
        release(&request, &sides)
        tally(.error, request.epoch, &sides)
        let (isOpen, status) = sides.epochs.all[request.epoch].authorizer?.use { ($0.isFailOpen, $0.statusOnError) } ?? (false, 403)
        guard isOpen else {
            return .refused(refuseByError(status: status))
        }
        tally(.failureModeAllowed, request.epoch, &sides)
        return .passed
    }

    static func refuseByError(status: UInt16) -> LocalAnswer {
        LocalAnswer(status, .externalAuthorizationError, [.unauthorizedExternalService])
    }

    static func tally(_ outcome: CheckOutcome, _ epoch: SlotID, _ sides: inout Sides) {
        guard let authorizer = sides.epochs.all[epoch].authorizer else { return }
        let slot = authorizer.use { $0.slot }
        sides.authorizerCounters.use { $0.record(outcome, of: slot) }
    }

    /// It asks no more.
    static func endAsking(_ id: SlotID, _ sides: inout Sides) {
        guard sides.checks.all[id].phase != .ended else { return }
        sides.checks.all[id].phase = .ended
        sides.upstreams.abandon(&sides.checks.all[id].attempt, &sides.loop)
        sides.upstreams.leave(&sides.checks.all[id].attempt)
        sides.loop.cancel(&sides.checks.all[id].timer)
    }

    /// The request needs its check no more.
    static func release(_ request: inout Request, _ sides: inout Sides) {
        let id = request.check
        request.check = .none
        retire(id, &sides)
    }

    /// Nobody needs the check any more; none = there is none.
    static func retire(_ id: SlotID, _ sides: inout Sides) {
        guard sides.checks.all.contains(id) else { return }
        endAsking(id, &sides)
        let epoch = sides.checks.all[id].epoch
        sides.checks.retire(id)
        sides.leaveEpoch(epoch)
    }
}
