internal import HTTP
internal import Policy
internal import Primitives
internal import Routing
internal import Streams
internal import TelemetryModel

/// Responses on their way to the client, in its version of HTTP: an endpoint's, whose head stands in the context, and answers of our own.
enum ResponseForwarding {
    /// What the head of a response comes to.
    enum HeadOutcome {
        case passed
        /// To another protocol.
        case switches
        /// The endpoint broke the protocol, or the head has become larger than what can be sent.
        case broken
        /// Another attempt, after so many nanoseconds.
        case retry(UInt64)
    }

    /// Takes a header section that an endpoint has sent, which the inbox still holds.
    @inline(__always)
    static func takeHead(
        _ section: HeadSection, of upstream: SlotID, _ id: SlotID, _ request: inout Request, _ sides: inout Sides
    ) -> HeadOutcome {
        // Whatever it is, its end is missing: the status of a call, or the fields that say what a response is.
        if section.isTooLarge { return .broken }
        RequestOpening.touch(id, &request, &sides)
        if section.isTrailers {
            keepTrailers(section, of: &request, &sides)
            return .passed
        }
        sides.context.responseHead.take(section, from: &sides.inbox.contents)
        let status = sides.context.responseHead.statusCode
        if status == 101 { return .switches }
        if status < 200 { return passInterim(&request, &sides) ? .passed : .broken }
        return takeResponse(of: upstream, &request, endsStream: section.endsStream, &sides)
    }

    @inline(__always)
    private static func takeResponse(
        of upstream: SlotID, _ request: inout Request, endsStream: Bool, _ sides: inout Sides
    ) -> HeadOutcome {
        request.noteFirstByte(sides.loop.now)
        // The connection will not be used again, and its end may already be here.
        if !sides.context.responseHead.keepsAlive, !sides.upstreams.connections[upstream].http.isHTTP2 {
            sides.upstreams.connections[upstream].stream.expectEnd()
        }
        request.readGRPCStatus(sides.context.responseHead)
        if let pause = AttemptEnding.settleResponse(&request, &sides.upstreams, &sides.context, &sides.loop, &sides.epochs) {
            return .retry(pause)
        }
        // The try has brought a response; what remains is the route's time.
        sides.loop.cancel(&request.waitTimer)
        return passHead(&request, endsStream: endsStream, &sides) ? .passed : .broken
    }

    /// Takes a piece of a response's body. False = no head came before it: it would be read as a response of its own making.
    @inline(__always)
    static func takeBody(
        _ piece: LentBytes, of upstream: SlotID, _ id: SlotID, _ request: inout Request, _ sides: inout Sides
    ) -> Bool {
        guard request.hasResponded else { return false }
        RequestOpening.touch(id, &request, &sides)
        if sides.upstreams.connections[upstream].http.isHTTP2 {
            request.attempt.unconsumed += piece.count
        } else {
            sides.upstreams.connections[upstream].http.consume(piece.count, stream: 0)
        }
        passBody(piece, of: &request, &sides)
        return true
    }

    /// Passes the head of the final response on. False = it has become larger than what can be sent.
    @inline(__always)
    static func passHead(_ request: inout Request, endsStream: Bool, _ sides: inout Sides) -> Bool {
        let length = sides.context.responseHead.contentLength
        let isUnknown = sides.context.responseHead.isChunked || length == nil
        request.responseFraming = endsStream ? .none : isUnknown ? .chunked : .length(length ?? 0)
        request.noteResponse(status: sides.context.responseHead.statusCode, sides.loop.now)
        ResponseHeadPreparing.prepare(&request, &sides.context, &sides.loop, &sides.epochs)
        addAuthorizerFields(&request, &sides, isRefusal: false)
        let origin = request.origin
        guard sides.downstreams.isOpen(origin.connection) else { return true }
        let count = sides.downstreams.connections[origin.connection].http.submitResponse(
            sides.context.responseHead, framing: request.responseFraming, stream: origin.stream, closes: sides.context.isDraining,
            stopsPeer: !request.body.isComplete)
        sides.downstreams.markDirty(origin.connection)
        guard let count else { return false }
        noteHead(count, &request, &sides)
        return true
    }

    /// What an external authorizer adds to the response. What there is no room for is counted.
    private static func addAuthorizerFields(_ request: inout Request, _ sides: inout Sides, isRefusal: Bool) {
        guard request.plan.effects.contains(.hasAuthorizerFields), sides.checks.all.contains(request.check) else { return }
        var answer = CheckAnswer()
        swap(&answer, &sides.checks.all[request.check].answer)
        let isGRPC = request.origin.isHTTP2 && request.traits.contains(.isGRPC)
        let isWhole = isRefusal ? AnswerApplying.apply(answer, toRefusal: &sides.context.responseHead, isGRPC: isGRPC)
            : AnswerApplying.apply(answer, toResponse: &sides.context.responseHead)
        swap(&answer, &sides.checks.all[request.check].answer)
        if !isWhole { sides.loop.countEvent { $0.add($0.fieldsDropped) } }
    }

    private static func noteHead(_ count: Int, _ request: inout Request, _ sides: inout Sides) {
        request.log.record.responseHeaderBytes = UInt32(clamping: count)
        let epoch = request.epoch
        RecordTexts.writeResponse(&request.log, sides.context.responseHead, sides.limits.recordTextBytesMax, &sides.epochs, epoch)
    }

    /// Keeps what is to go on of a trailer section.
    private static func keepTrailers(_ section: HeadSection, of request: inout Request, _ sides: inout Sides) {
        sides.context.trailerHead.keep(section, from: &sides.inbox.contents)
        request.readGRPCStatus(sides.context.trailerHead)
        let epoch = request.epoch
        let edits = ResponseHeadPreparing.edits(&request, &sides.epochs.all[epoch])
        let dropped = TrailerRules.keepLines(sides.context.trailerHead, edits, &sides.epochs, epoch, to: &sides.context.trailers)
        if dropped > 0 { sides.loop.countEvent { $0.add($0.fieldsDropped, dropped) } }
    }

    /// Interim responses (RFC 9110 15.2): every 1xx of an endpoint but 101 goes on to the client, in either version. They do not begin the
    /// response: another attempt may follow. False = there are too many.
    static func passInterim(_ request: inout Request, _ sides: inout Sides) -> Bool {
        let bytes = sides.context.responseHead.byteCount
        let most = sides.limits.http.headBytesMax
        guard request.interim.take(bytes: bytes, countMax: sides.limits.interimResponsesMax, bytesMax: most) else { return false }
        let origin = request.origin
        if request.traits.contains(.isHTTP10) || !sides.downstreams.isOpen(origin.connection) { return true }
        if sides.context.responseHead.statusCode == 100, !request.interim.passesContinue() { return true }
        ResponseHeadPreparing.prepareInterim(&request, &sides.context, &sides.epochs)
        sides.downstreams.connections[origin.connection].http.submitInterim(sides.context.responseHead, stream: origin.stream)
        sides.downstreams.markDirty(origin.connection)
        return true
    }

    /// Passes a 101 on: what follows it on either side is a tunnel's.
    static func passSwitch(_ request: inout Request, _ sides: inout Sides) {
        let connection = request.origin.connection
        request.noteFirstByte(sides.loop.now)
        request.noteResponse(status: 101, sides.loop.now)
        sides.loop.cancel(&request.waitTimer)
        ResponseHeadPreparing.prepareSwitch(&request, &sides.context, &sides.epochs)
        noteHead(sides.downstreams.connections[connection].http.submitSwitch(sides.context.responseHead), &request, &sides)
        _ = sides.downstreams.connections[connection].fill(bytesMax: sides.limits.outputHighWatermark)
        sides.downstreams.markDirty(connection)
    }

    @inline(__always)
    static func passBody(_ bytes: LentBytes, of request: inout Request, _ sides: inout Sides) {
        let origin = request.origin
        request.log.record.responseBodyBytes &+= UInt64(bytes.count)
        guard sides.downstreams.isOpen(origin.connection) else { return }
        let most = sides.limits.outputHighWatermark
        sides.downstreams.connections[origin.connection].append(bytes, stream: origin.stream, bytesMax: most)
        sides.downstreams.markDirty(origin.connection)
        sides.resumeResponse(of: &request)
    }

    /// The endpoint's response is complete. False = it has not begun.
    @inline(__always)
    static func passEnd(_ request: inout Request, _ sides: inout Sides) -> Bool {
        guard request.hasResponded else { return false }
        request.log.record.times.upstreamReceiveEnd = request.elapsed(sides.loop.now)
        let origin = request.origin
        if sides.downstreams.isOpen(origin.connection) {
            unsafe sides.downstreams.connections[origin.connection].http.end(
                stream: origin.stream, trailers: sides.context.trailers.readable, stopsPeer: !request.body.isComplete)
        }
        sides.context.trailers.clear()
        return true
    }

    // MARK: Answers of our own

    /// Answers a request, whose attempt has been given up.
    static func sendAnswer(_ local: LocalAnswer, to request: inout Request, _ sides: inout Sides) {
        let origin = request.origin
        let isGRPC = request.noteAnswer(local, sides.loop.now)
        ResponseHeadPreparing.prepare(local, &request, &sides.context, &sides.loop, &sides.epochs)
        addAuthorizerFields(&request, &sides, isRefusal: local.details == .externalAuthorizationDenied)
        guard sides.downstreams.isOpen(origin.connection) else { return }
        let hasNone = local.status == 204 || local.status == 304
        let isBodiless = isGRPC || local.body.isEmpty || request.traits.contains(.isHEAD) || hasNone
        let framing = isBodiless ? BodyFraming.none : .length(UInt64(local.body.count))
        let stopsPeer = !request.body.isComplete
        if stopsPeer { sides.downstreams.connections[origin.connection].http.stopReading() }
        // The rest of a body that nobody wants would have to be read before the next request; closing is cheaper for both.
        let count = sides.downstreams.connections[origin.connection].http.submitResponse(
            sides.context.responseHead, framing: framing, stream: origin.stream, closes: local.closes || sides.context.isDraining,
            stopsPeer: stopsPeer)
        guard let count else {
            // The configuration adds more than can be sent: the client must not wait for it.
            let code = HTTP2ErrorCode.internalError
            _ = sides.downstreams.connections[origin.connection].http.reset(stream: origin.stream, code: code)
            return
        }
        request.log.record.responseHeaderBytes = UInt32(clamping: count)
        if !isBodiless { sendBody(of: local, to: &request, &sides, stopsPeer: stopsPeer) }
    }

    private static func sendBody(of local: LocalAnswer, to request: inout Request, _ sides: inout Sides, stopsPeer: Bool) {
        let origin = request.origin
        unsafe sides.downstreams.connections[origin.connection].http.append(local.body.buffer, stream: origin.stream)
        request.log.record.responseBodyBytes = UInt64(local.body.count)
        let none = LentBytes()
        unsafe sides.downstreams.connections[origin.connection].http.end(stream: origin.stream, trailers: none.buffer, stopsPeer: stopsPeer)
    }
}
