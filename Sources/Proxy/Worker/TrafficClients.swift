internal import EventLoops
internal import HTTP
internal import Primitives
internal import Routing
internal import Streams
internal import TelemetryModel

/// The clients' side: what they send, their ends, and what is sent to them.
extension Traffic {
    // MARK: Beginning

    mutating func acceptClients(_ place: Int) {
        working.removeAll()
        sides.downstreams.acceptWaiting(place, into: &working, &sides.loop)
        for index in 0..<working.count { classifyClient(working[index]) }
    }

    /// What a new connection is, as far as that is known without its bytes.
    mutating func classifyClient(_ id: SlotID) { ClientBeginning.beginAccepted(id, &sides, &tunnelTraffic) }

    // MARK: Reading

    mutating func downstreamReady(_ id: SlotID, _ events: ReadyEvents) {
        guard sides.downstreams.isOpen(id) else { return }
        // The connection was reset: nobody is left to answer.
        if events.contains(.error) { return abandonDownstream(id) }
        if sides.downstreams.connections[id].awaits == .handshake {
            sides.downstreams.connections[id].stream.note(events)
            return readDownstream(id)
        }
        if events.contains(.writable), !sides.downstreams.connections[id].stream.isFlushed { pumpDownstream(id) }
        guard sides.downstreams.isOpen(id), !events.isDisjoint(with: [.readable, .readHangUp, .hangUp]) else { return }
        sides.downstreams.connections[id].stream.note(events)
        readDownstream(id)
        endIfGone(id)
    }

    mutating func resumeDownstream(_ id: SlotID) {
        guard sides.downstreams.isOpen(id) else { return }
        sides.downstreams.connections[id].isWaitingToResume = false
        if !sides.downstreams.connections[id].input.isEmpty, !sides.downstreams.connections[id].isLingering { takeInput(id) }
        readDownstream(id)
        endIfGone(id)
        sides.downstreams.closeIfEnded(id, &sides.loop)
    }

    /// Gives up the request of an HTTP/1.1 client that has closed, and those that wait behind it, as Envoy does. Asked once everything that
    /// could be read was: what was answered on the spot is answered. Tunnels end one direction at a time.
    private mutating func endIfGone(_ id: SlotID) {
        guard sides.downstreams.isOpen(id), sides.downstreams.connections[id].stream.sawHangUp, !sides.limits.allowsHalfClose,
            requests.contains(sides.downstreams.connections[id].request)
        else { return }
        abandonDownstream(id)
    }

    /// Whether bytes from this client have somewhere to go.
    private mutating func wantsBytes(_ id: SlotID) -> Bool {
        guard sides.downstreams.isOpen(id), !sides.downstreams.connections[id].stream.isEnded else { return false }
        if sides.downstreams.connections[id].isLingering { return true }
        if sides.downstreams.connections[id].closesAfterFlush { return false }
        let tunnel = sides.downstreams.connections[id].tunnel
        if tunnelTraffic.isTunnel(tunnel) { return tunnelTraffic.canTake(tunnel: tunnel, &sides) }
        // A client that does not read its answers gets nothing further served.
        guard sides.downstreams.connections[id].stream.output.count < sides.limits.outputHighWatermark else { return false }
        let request = sides.downstreams.connections[id].request
        guard requests.contains(request) else { return true }
        if requests[request].body.isComplete { return false }
        return canTakeBody(request) && sides.endpointHasRoom(requests[request].attempt)
    }

    /// Whether body bytes of a request have somewhere to go; between attempts they wait where they are.
    private mutating func canTakeBody(_ id: SlotID) -> Bool {
        sides.upstreams.isOpen(requests[id].attempt.upstream) || sides.checks.isCollecting(requests[id].check)
    }

    mutating func readDownstream(_ id: SlotID) {
        var reads = 0
        if sides.downstreams.isOpen(id), sides.downstreams.connections[id].awaits == .handshake {
            ClientBeginning.continueHandshake(id, &sides, &tunnelTraffic)
        }
        while sides.downstreams.isOpen(id), sides.downstreams.connections[id].stream.isReadable,
            sides.downstreams.connections[id].awaits != .handshake
        {
            guard wantsBytes(id) else { return giveUpDeaf(id) }
            let readsMax = sides.downstreams.connections[id].http.isHTTP2 ? sides.limits.http2ReadsPerTurnMax : sides.limits.readsPerTurnMax
            if reads >= readsMax { return sides.downstreams.resumeLater(id) }
            reads += 1
            if sides.downstreams.connections[id].stream.isBusy, tunnelTraffic.isTunnel(sides.downstreams.connections[id].tunnel) {
                guard tunnelTraffic.spliceRequest(id, &sides) else { return }
                guard wantsBytes(id) else { return }
            }
            let isKept = !sides.downstreams.connections[id].input.isEmpty && !sides.downstreams.connections[id].isLingering
            switch unsafe sides.downstreams.connections[id].read(into: scratch.room) {
            case .bytes(let count):
                if sides.downstreams.connections[id].isLingering {
                    sides.downstreams.dropBytes(id, count, &sides.loop)
                } else if isKept {
                    takeInput(id)
                } else {
                    takeFresh(id, scratch.prefix(count))
                }
            case .wouldBlock: break
            case .endOfStream: downstreamEnded(id)
            case .failed: abandonDownstream(id)
            }
        }
    }

    /// A peer that does not read what it asked for is not asked for more; one of HTTP/2 that has closed as well is gone, whatever it sent.
    private mutating func giveUpDeaf(_ id: SlotID) {
        guard sides.downstreams.isOpen(id), sides.downstreams.connections[id].http.isHTTP2,
            sides.downstreams.connections[id].stream.sawHangUp,
            sides.downstreams.connections[id].stream.output.count >= sides.limits.outputHighWatermark
        else { return }
        abandonDownstream(id)
    }

    /// Takes fresh bytes; what is not understood yet is kept.
    @inline(__always) private mutating func takeFresh(_ id: SlotID, _ bytes: LentBytes) {
        let taken = receive(downstream: id, bytes)
        guard taken < bytes.count, sides.downstreams.isOpen(id), !sides.downstreams.connections[id].isLingering else { return }
        sides.downstreams.connections[id].input.append(bytes.from(taken))
    }

    /// Takes what was kept, with what has come behind it.
    private mutating func takeInput(_ id: SlotID) {
        // Whatever happens to the connection meanwhile, the bytes stay.
        var input = ByteBuffer()
        swap(&input, &sides.downstreams.connections[id].input)
        let taken = receive(downstream: id, input.lent)
        guard sides.downstreams.isOpen(id), !sides.downstreams.connections[id].isLingering else { return }
        input.consume(taken)
        if !input.isEmpty { swap(&input, &sides.downstreams.connections[id].input) }
    }

    /// Takes what can be taken of `bytes`, which start where the last call stopped; returns how much that was.
    private mutating func receive(downstream id: SlotID, _ bytes: LentBytes) -> Int {
        var offset = 0
        while offset < bytes.count, sides.downstreams.isOpen(id) {
            if sides.downstreams.connections[id].isLingering || sides.downstreams.connections[id].closesAfterFlush { return bytes.count }
            let rest = bytes.from(offset)
            if !sides.downstreams.connections[id].tunnel.isNone { return offset + tunnelTraffic.relayFromClient(id, rest, &sides) }
            if sides.downstreams.connections[id].awaits != .nothing {
                guard let taken = ClientBeginning.take(id, rest, &sides, &tunnelTraffic) else { return offset }
                offset += taken
                continue
            }
            guard canReceive(id) else { return offset }
            let taken = receiveHTTP(id, rest)
            offset += taken
            if taken == 0 {
                sides.downstreams.awaitRest(id, &sides.loop)
                break
            }
        }
        return offset
    }

    /// Whether a connection of HTTP can do anything with bytes now. A request that is answered goes out before the next one is looked at.
    @inline(__always) private mutating func canReceive(_ id: SlotID) -> Bool {
        let request = sides.downstreams.connections[id].request
        if requests.contains(request) { return !requests[request].body.isComplete && canTakeBody(request) }
        if sides.downstreams.connections[id].isDirty, !sides.downstreams.connections[id].http.isHTTP2 { pumpDownstream(id) }
        return sides.downstreams.isOpen(id)
    }

    /// Gives bytes to the connection and acts on what it tells. Returns how many it took.
    @inline(__always) private mutating func receiveHTTP(_ id: SlotID, _ bytes: LentBytes) -> Int {
        let (taken, outcome) = unsafe sides.downstreams.connections[id].http.receive(bytes.buffer, now: sides.loop.now)
        if sides.downstreams.connections[id].http.isHTTP2 { sides.downstreams.noteHTTP2(id, &sides.loop) }
        switch outcome {
        case .fine: takeDownstreamEvents(id, bytes, begins: true)
        case .refused(let refusal):
            takeDownstreamEvents(id, bytes, begins: true)
            refuseBytes(id, refusal, bytes)
        case .ended(let flooded):
            takeDownstreamEvents(id, bytes, begins: false)
            if flooded { sides.loop.countEvent { $0.add($0.http2Floods) } }
            if sides.downstreams.isOpen(id) { sides.downstreams.endSession(id, &sides.loop) }
        }
        return taken
    }

    /// `begins`: false on a connection that is about to end, whose new requests nobody would be answered.
    private mutating func takeDownstreamEvents(_ id: SlotID, _ bytes: LentBytes, begins: Bool) {
        var index = 0
        while index < sides.inbox.contents.events.count, sides.downstreams.isOpen(id) {
            let event = sides.inbox.contents.events[index]
            index += 1
            // A request's later events may have come in before it had its owner.
            let token = event.token != 0 ? event.token : sides.downstreams.connections[id].http.token(stream: event.stream)
            let request = LoopToken(rawValue: token).id
            switch event.kind {
            case .head:
                let section = sides.inbox.contents.block(of: event)
                if !section.isRequest { keepTrailers(request, section) } else if begins { openRequest(id, event.stream, section) }
            case .data:
                let piece = bytes[Int(event.start)..<Int(event.start) + Int(event.count)]
                receiveBody(request, id, event.stream, piece)
            case .end: clientFinished(request)
            case .closed: streamClosed(request, code: event.code)
            case .goAway: break
            }
        }
        sides.inbox.contents.clear()
    }

    private mutating func keepTrailers(_ id: SlotID, _ section: HeadSection) {
        guard requests.contains(id) else { return }
        if section.isTooLarge { return refuseBody(id, 431, "trailer section too large") }
        sides.context.trailerHead.keep(section, from: &sides.inbox.contents)
        let epoch = requests[id].epoch
        let plan = (route: requests[id].plan.route, destination: requests[id].plan.destination)
        let edits = plan.route >= 0 ? sides.epochs.all[epoch].tables.requestEdits(destination: plan.destination) : .init()
        let dropped = TrailerRules.keepLines(sides.context.trailerHead, edits, &sides.epochs, epoch, to: &requests[id].body.trailers)
        if dropped > 0 { sides.loop.countEvent { $0.add($0.fieldsDropped, dropped) } }
    }

    private mutating func receiveBody(_ id: SlotID, _ connection: SlotID, _ stream: Int32, _ bytes: LentBytes) {
        guard requests.contains(id) else {
            return sides.downstreams.connections[connection].http.consume(bytes.count, stream: stream)
        }
        touchRequest(id)
        requests[id].log.record.requestBodyBytes &+= UInt64(bytes.count)
        sendBody(id, bytes)
        guard requests.contains(id), requests[id].origin.isHTTP2 else {
            return sides.downstreams.connections[connection].http.consume(bytes.count, stream: stream)
        }
        requests[id].body.unconsumed += bytes.count
        sides.allowMoreBody(of: &requests[id])
    }

    // MARK: Ends

    /// The client will send nothing more. With `allowsHalfClose` it may still be reading: a request that is complete is answered.
    private mutating func downstreamEnded(_ id: SlotID) {
        if sides.downstreams.connections[id].isLingering { return sides.downstreams.close(id, &sides.loop) }
        let tunnel = sides.downstreams.connections[id].tunnel
        if tunnelTraffic.isTunnel(tunnel) { return tunnelTraffic.tunnelEnded(tunnel, fromClient: true, &sides) }
        if sides.downstreams.connections[id].http.isHTTP2 { return abandonDownstream(id) }
        let request = sides.downstreams.connections[id].request
        if requests.contains(request) {
            if !requests[request].body.isComplete { abandonDownstream(id) }
            return
        }
        // Half a head, or nothing: nobody waits for an answer. What waits in line is looked at first.
        if !sides.downstreams.connections[id].input.isEmpty, !sides.downstreams.connections[id].http.isIdle {
            return sides.downstreams.resumeLater(id)
        }
        if sides.downstreams.connections[id].stream.isFlushed && !sides.downstreams.connections[id].isDirty {
            sides.downstreams.close(id, &sides.loop)
        } else {
            sides.downstreams.connections[id].closesAfterFlush = true
        }
    }

    /// The client is gone; what it asked for is given up.
    mutating func abandonDownstream(_ id: SlotID) {
        guard sides.downstreams.isOpen(id) else { return }
        let tunnel = sides.downstreams.connections[id].tunnel
        if tunnelTraffic.isTunnel(tunnel) { return tunnelTraffic.abandonTunnel(tunnel, &sides) }
        abandonRequests(of: id)
        tunnelTraffic.splicing.release(&sides.downstreams.connections[id].stream)
        sides.abandonClient(id)
    }

    /// Gives up every request of a connection that is gone. A client that has the whole of its response has not broken anything off.
    private mutating func abandonRequests(of id: SlotID) {
        var owners: [UInt64] = []
        swap(&owners, &tokens)
        owners.removeAll(keepingCapacity: true)
        sides.downstreams.connections[id].http.tokens(into: &owners)
        swap(&owners, &tokens)
        for index in tokens.indices {
            let request = LoopToken(rawValue: tokens[index]).id
            guard requests.contains(request) else { continue }
            if !requests[request].hasWholeResponse {
                requests[request].note(.downstreamConnectionTermination, .downstreamRemoteDisconnect)
            }
            AttemptEnding.abandonAttempt(&requests[request], &sides.upstreams, &sides.loop)
            finishRequest(request)
        }
    }

    // MARK: Writing

    /// Sends what a client is to get, as far as it takes it.
    mutating func pumpDownstream(_ id: SlotID) {
        guard sides.downstreams.isOpen(id) else { return }
        sides.downstreams.connections[id].isDirty = false
        if sides.downstreams.connections[id].isLingering { return }
        for _ in 0..<8 {
            if sides.downstreams.connections[id].tunnel.isNone, !fillFrom(id) { return }
            if sides.downstreams.connections[id].stream.isFlushed && !sides.downstreams.connections[id].isBroken { break }
            let isLast = sides.downstreams.connections[id].gaveAll(of: sides.limits.outputHighWatermark)
            switch flushClient(id) {
            case .flushed: if !isLast { continue }
            case .blocked: return wakeUpstream(behind: id)
            case .failed: return abandonDownstream(id)
            }
            break
        }
        sides.inbox.contents.shelf.take(back: &sides.downstreams.connections[id].stream.output)
        if sides.downstreams.connections[id].http.isHTTP2 { sessionFlushed(id) } else { streamFlushed(id) }
    }

    @inline(__always) private mutating func flushClient(_ id: SlotID) -> ByteStream.Progress {
        let progress = tunnelTraffic.splicing.flush(&sides.downstreams.connections[id].stream)
        return sides.downstreams.connections[id].isBroken ? .failed : progress
    }

    /// Takes what the connection has to send, and what it tells meanwhile. False = it is gone.
    @inline(__always) private mutating func fillFrom(_ id: SlotID) -> Bool {
        let outcome = sides.downstreams.connections[id].fill(bytesMax: sides.limits.outputHighWatermark)
        if !sides.inbox.contents.events.isEmpty {
            takeDownstreamEvents(id, LentBytes(), begins: false)
        }
        takeDrained()
        guard sides.downstreams.isOpen(id) else { return false }
        if case .ended = outcome { sides.downstreams.connections[id].closesAfterFlush = true }
        return true
    }

    /// Everything is out on a connection of HTTP/1.1, or on a tunnel's.
    @inline(__always) private mutating func streamFlushed(_ id: SlotID) {
        if sides.downstreams.connections[id].closesAfterFlush || sides.downstreams.connections[id].http.isFinished {
            return sides.downstreams.lingerOrClose(id, &sides.loop)
        }
        let tunnel = sides.downstreams.connections[id].tunnel
        if tunnelTraffic.isTunnel(tunnel) { return tunnelTraffic.tunnelFlushed(tunnel, toClient: true, &sides) }
        let request = sides.downstreams.connections[id].request
        if requests.contains(request) { return sides.resumeResponse(of: &requests[request]) }
        if sides.downstreams.connections[id].hasEnded { return sides.downstreams.close(id, &sides.loop) }
        if sides.downstreams.connections[id].meaning == .stream {
            sides.downstreams.setDeadline(id, .idle, after: sides.limits.idleTimeoutNanoseconds, &sides.loop)
        }
        if sides.downstreams.connections[id].hasMore { sides.downstreams.resumeLater(id) }
    }

    private mutating func sessionFlushed(_ id: SlotID) {
        if sides.downstreams.connections[id].http.wantsWrite { return sides.downstreams.markDirty(id) }
        let isIdle = sides.downstreams.connections[id].http.isIdle
        if sides.downstreams.connections[id].http.isFinished || sides.downstreams.connections[id].closesAfterFlush
            || (sides.context.isDraining && isIdle && idleDeadline == .distantFuture)
        {
            if sides.downstreams.connections[id].http.sentErrorCode != 0 { sides.loop.countEvent { $0.add($0.protocolErrors) } }
            abandonRequests(of: id)
            return sides.downstreams.lingerOrClose(id, &sides.loop)
        }
        if isIdle, sides.downstreams.connections[id].meaning != .idle {
            sides.downstreams.setDeadline(id, .idle, after: sides.limits.idleTimeoutNanoseconds, &sides.loop)
        }
        if sides.downstreams.connections[id].stream.isReadable { sides.downstreams.resumeLater(id) }
    }

    /// A slow client has taken some: perhaps enough for its endpoint to be read again.
    private mutating func wakeUpstream(behind id: SlotID) {
        let request = sides.downstreams.connections[id].request
        guard requests.contains(request) else { return tunnelTraffic.clientDrained(id, &sides) }
        if sides.downstreams.connections[id].hasDrained(to: sides.limits) { sides.resumeResponse(of: &requests[request]) }
    }

    // MARK: Deadlines

    mutating func downstreamTimerFired(_ id: SlotID) {
        guard sides.downstreams.isOpen(id), sides.downstreams.connections[id].deadline.hasCome(&sides.loop, .downstream, id) else { return }
        let meaning = sides.downstreams.connections[id].meaning
        if sides.downstreams.connections[id].http.isHTTP2, meaning != .linger { return sessionTimedOut(id) }
        switch meaning {
        case .idle, .linger: sides.downstreams.close(id, &sides.loop)
        case .header: headerTimedOut(id)
        case .detection: ClientBeginning.endPatience(id, &sides, &tunnelTraffic)
        case .stream:
            let tunnel = sides.downstreams.connections[id].tunnel
            if tunnelTraffic.isTunnel(tunnel) { return tunnelTraffic.tunnelStoodStill(tunnel, &sides) }
            let request = sides.downstreams.connections[id].request
            // Otherwise the response is complete, but the client never took it.
            if requests.contains(request) { stoodStill(request) } else { sides.downstreams.close(id, &sides.loop) }
        }
    }

    /// Requests have deadlines of their own; the connection goes when none is open.
    private mutating func sessionTimedOut(_ id: SlotID) {
        guard sides.downstreams.connections[id].http.isIdle else {
            return sides.downstreams.setDeadline(id, .idle, after: sides.limits.idleTimeoutNanoseconds, &sides.loop)
        }
        sides.downstreams.connections[id].http.goAway()
        sides.downstreams.connections[id].closesAfterFlush = true
        sides.downstreams.markDirty(id)
    }

    private mutating func headerTimedOut(_ id: SlotID) {
        guard sides.downstreams.connections[id].request.isNone else { return }
        let reason: StaticString = "the request's header section did not arrive in time"
        guard let refusal = sides.downstreams.connections[id].http.refuseHead(408, reason) else {
            return sides.downstreams.close(id, &sides.loop)
        }
        var input = ByteBuffer()
        swap(&input, &sides.downstreams.connections[id].input)
        openRefused(id, refusal, .requestHeaderTimeout, input.lent)
    }
}
