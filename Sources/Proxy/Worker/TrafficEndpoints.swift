internal import EventLoops
internal import HTTP
internal import OutlierDetection
internal import Primitives
internal import Routing
internal import Streams
internal import TelemetryModel

/// The endpoints' side: connections established, what they send, their ends, and the responses on their way to the clients.
extension Traffic {
    mutating func upstreamReady(_ id: SlotID, _ events: ReadyEvents) {
        guard sides.upstreams.isOpen(id) else { return }
        let wasIdle = sides.upstreams.connections[id].state == .idle
        if sides.upstreams.connections[id].state == .connecting {
            if events.isDisjoint(with: [.writable, .error, .hangUp]) { return }
            let error = sides.upstreams.connections[id].stream.pendingError
            guard error == 0, !events.contains(.error) else { return upstreamEnded(id, AttemptFailure(connectError: error)) }
            switch UpstreamSecuring.begin(id, &sides.upstreams, &sides.loop) {
            case .plain: endpointConnected(id)
            case .begun: continueHandshake(upstream: id)
            case .impossible: return upstreamEnded(id, .transportFailure)
            }
        } else if sides.upstreams.connections[id].state == .securing {
            continueHandshake(upstream: id)
        } else if events.contains(.writable), !sides.upstreams.connections[id].stream.isFlushed {
            pumpUpstream(id)
        }
        guard sides.upstreams.isOpen(id), !events.isDisjoint(with: [.readable, .readHangUp, .hangUp, .error]) else { return }
        sides.upstreams.connections[id].stream.note(events)
        // An idle connection has nothing to say: it ended, or it breaks the protocol.
        if wasIdle { return sides.upstreams.close(id, &sides.loop) }
        readUpstream(id)
    }

    private mutating func continueHandshake(upstream id: SlotID) {
        switch UpstreamSecuring.shakeHands(id, &sides.upstreams, &sides.loop) {
        case .waiting: break
        case .done: endpointConnected(id)
        case .failed: upstreamEnded(id, .transportFailure)
        }
    }

    /// Requests that were given to this connection have waited with it.
    private mutating func endpointConnected(_ id: SlotID) {
        let tunnel = sides.upstreams.connections[id].tunnel
        sides.upstreams.connected(id, awaitsTunnel: tunnelTraffic.isTunnel(tunnel) && tunnelTraffic.isAwaitingConnect(tunnel), &sides.loop)
        if tunnelTraffic.isTunnel(tunnel) { return tunnelTraffic.tunnelConnected(tunnel, &sides) }
        noteOwners(upstream: id)
        for index in tokens.indices {
            let owner = LoopToken(rawValue: tokens[index])
            if owner.isOf(.mirror) { mirrorTraffic.noteConnected(owner.id, &sides) }
            if owner.isOf(.check) { CheckTraffic.noteConnected(owner.id, &sides) }
            guard owner.isOf(.request), requests.contains(owner.id) else { continue }
            sides.upstreams.stopPending(&requests[owner.id].attempt)
            let elapsed = requests[owner.id].elapsed(sides.loop.now)
            AttemptBeginning.note(&requests[owner.id], &sides.upstreams, connectedAt: elapsed, sentAt: elapsed)
        }
    }

    /// Lists whom the streams of a connection belong to.
    private mutating func noteOwners(upstream id: SlotID) {
        var owners: [UInt64] = []
        swap(&owners, &tokens)
        owners.removeAll(keepingCapacity: true)
        sides.upstreams.noteOwners(of: id, in: &owners)
        swap(&owners, &tokens)
    }

    // MARK: Reading

    mutating func readUpstream(_ id: SlotID) {
        var reads = 0
        while canRead(id) {
            if reads >= sides.limits.readsPerTurnMax { return sides.resumedUpstreams.append(id) }
            reads += 1
            if sides.upstreams.connections[id].stream.isBusy, tunnelTraffic.isTunnel(sides.upstreams.connections[id].tunnel) {
                guard tunnelTraffic.spliceResponse(id, &sides), canRead(id) else { return }
            }
            let isKept = !sides.upstreams.connections[id].input.isEmpty
            switch unsafe sides.upstreams.connections[id].read(into: scratch.room) {
            case .bytes(let count):
                if isKept { takeInput(upstream: id) } else { takeFresh(upstream: id, scratch.prefix(count)) }
            case .wouldBlock: break
            case .endOfStream: upstreamClosed(id)
            case .failed: upstreamEnded(id, .terminated)
            }
        }
    }

    private mutating func canRead(_ id: SlotID) -> Bool {
        sides.upstreams.isOpen(id) && sides.upstreams.connections[id].stream.isReadable && !sides.upstreams.connections[id].isPaused
            && sides.upstreams.connections[id].state == .active
    }

    /// Takes fresh bytes; what is not understood yet is kept.
    @inline(__always) private mutating func takeFresh(upstream id: SlotID, _ bytes: LentBytes) {
        let taken = receive(upstream: id, bytes)
        guard taken < bytes.count, sides.upstreams.isOpen(id) else { return }
        // Bytes nobody asked for make the connection unfit for another request.
        if sides.upstreams.connections[id].state == .idle { return sides.upstreams.close(id, &sides.loop) }
        sides.upstreams.connections[id].input.append(bytes.from(taken))
    }

    /// Takes what was kept, with what has come behind it.
    private mutating func takeInput(upstream id: SlotID) {
        var input = ByteBuffer()
        swap(&input, &sides.upstreams.connections[id].input)
        let taken = receive(upstream: id, input.lent)
        guard sides.upstreams.isOpen(id) else { return }
        input.consume(taken)
        if input.isEmpty { return }
        if sides.upstreams.connections[id].state == .idle { return sides.upstreams.close(id, &sides.loop) }
        swap(&input, &sides.upstreams.connections[id].input)
    }

    private mutating func receive(upstream id: SlotID, _ bytes: LentBytes) -> Int {
        var offset = 0
        while offset < bytes.count, sides.upstreams.isOpen(id), sides.upstreams.connections[id].state == .active {
            let rest = bytes.from(offset)
            let tunnel = sides.upstreams.connections[id].tunnel
            if tunnelTraffic.isTunnel(tunnel) { return offset + tunnelTraffic.relayFromEndpoint(id, tunnel, rest, &sides) }
            let (taken, outcome) = unsafe sides.upstreams.connections[id].http.receive(rest.buffer, now: sides.loop.now)
            takeUpstreamEvents(id, rest)
            offset += taken
            if case .broken = outcome {
                upstreamBroke(id)
                return bytes.count
            }
            if taken == 0 { break }
        }
        guard sides.upstreams.isOpen(id), sides.upstreams.connections[id].http.isHTTP2 else { return offset }
        sides.upstreams.noteStreamsMax(id)
        sides.upstreams.markDirty(id)
        return offset
    }

    /// The endpoint broke the protocol: what we say to that goes out, and its requests fail.
    private mutating func upstreamBroke(_ id: SlotID) {
        sides.loop.countEvent { $0.add($0.upstreamProtocolErrors) }
        guard sides.upstreams.isOpen(id) else { return }
        if sides.upstreams.connections[id].http.isHTTP2 { pumpUpstream(id, .protocolError) }
        upstreamEnded(id, .protocolError)
    }

    private mutating func takeUpstreamEvents(_ id: SlotID, _ bytes: LentBytes) {
        var index = 0
        while index < sides.inbox.contents.events.count {
            let event = sides.inbox.contents.events[index]
            index += 1
            if event.kind == .goAway { sides.upstreams.retire(id, &sides.loop) }
            let owner = LoopToken(rawValue: event.token)
            if owner.isOf(.request), requests.contains(owner.id), requests[owner.id].attempt.isOn(id, stream: event.stream) {
                takeEvent(event, of: id, for: owner.id, bytes)
            } else if owner.isOf(.mirror), mirrorTraffic.isOf(owner.id, id, stream: event.stream) {
                mirrorTraffic.takeEvent(event, of: id, for: owner.id, &sides)
            } else if owner.isOf(.check), CheckTraffic.isOf(owner.id, id, stream: event.stream, &sides) {
                if CheckTraffic.takeEvent(event, of: id, for: owner.id, bytes, &sides) { concludeCheck(owner.id) }
            } else if sides.upstreams.isOpen(id) {
                // Its owner has gone on without this stream.
                if event.kind == .data { sides.upstreams.connections[id].http.consume(Int(event.count), stream: event.stream) }
                if event.kind == .closed { sides.upstreams.streamFreed(id, &sides.loop) }
            }
        }
        sides.inbox.contents.clear()
    }

    @inline(__always)
    private mutating func takeEvent(_ event: HTTPEvent, of id: SlotID, for request: SlotID, _ bytes: LentBytes) {
        switch event.kind {
        case .head: takeHead(sides.inbox.contents.block(of: event), of: id, for: request)
        case .data:
            let piece = bytes[Int(event.start)..<Int(event.start) + Int(event.count)]
            if !ResponseForwarding.takeBody(piece, of: id, request, &requests[request], &sides) { endpointBrokeProtocol(request) }
        case .end:
            guard ResponseForwarding.passEnd(&requests[request], &sides) else { return endpointBrokeProtocol(request) }
            completeRequest(request, isWhole: true)
        case .closed:
            requests[request].attempt.upstream = .none
            sides.upstreams.streamFreed(id, &sides.loop)
            // What nobody asked us to end broke the rules (RFC 9113 8.1.1).
            let isRefused = event.code == HTTP2ErrorCode.refusedStream
            attemptFailed(request, isRefused ? .refusedStream : event.isRemote ? .remoteReset : .protocolError)
        case .goAway: break
        }
    }

    private mutating func endpointBrokeProtocol(_ request: SlotID) {
        sides.loop.countEvent { $0.add($0.upstreamProtocolErrors) }
        attemptFailed(request, .protocolError)
    }

    // MARK: Heads of responses

    @inline(__always) private mutating func takeHead(_ section: HeadSection, of id: SlotID, for request: SlotID) {
        switch ResponseForwarding.takeHead(section, of: id, request, &requests[request], &sides) {
        case .passed: return
        case .switches: takeSwitch(of: id, for: request)
        case .broken: endpointBrokeProtocol(request)
        case .retry(let pause): awaitRetry(request, pause)
        }
    }

    /// The endpoint switches to another protocol: the request becomes a tunnel.
    private mutating func takeSwitch(of id: SlotID, for request: SlotID) {
        guard requests[request].acceptsSwitch(by: sides.context.responseHead, sides.limits.upgrades) else {
            return endpointBrokeProtocol(request)
        }
        guard sides.downstreams.isOpen(requests[request].origin.connection) else { return }
        ResponseForwarding.passSwitch(&requests[request], &sides)
        CheckTraffic.release(&requests[request], &sides)
        guard tunnelTraffic.takeOver(&requests[request], upstream: id, &sides) else { return attemptFailed(request, .protocolError) }
        requests.retire(request)
        finished.append(request)
    }

    /// Sources whose output has drained go on.
    mutating func takeDrained() {
        guard !sides.inbox.contents.drained.isEmpty else { return }
        var index = 0
        while index < sides.inbox.contents.drained.count {
            let owner = LoopToken(rawValue: sides.inbox.contents.drained[index])
            index += 1
            guard owner.isOf(.request), requests.contains(owner.id) else { continue }
            sides.allowMoreBody(of: &requests[owner.id])
            sides.resumeResponse(of: &requests[owner.id])
            let isLow = RequestSending.waiting(requests[owner.id].attempt, &sides.upstreams) <= sides.limits.outputLowWatermark
            if isLow, !requests[owner.id].origin.isHTTP2 { sides.downstreams.resumeLater(requests[owner.id].origin.connection) }
        }
        sides.inbox.contents.clearDrained()
    }

    // MARK: Writing

    /// Sends what an endpoint is to get. `failure`: what becomes of the requests should this be the connection's end.
    mutating func pumpUpstream(_ id: SlotID, _ failure: AttemptFailure = .terminated) {
        guard sides.upstreams.isOpen(id) else { return }
        sides.upstreams.connections[id].isDirty = false
        guard sides.upstreams.connections[id].state == .active else { return }
        for _ in 0..<8 {
            if sides.upstreams.connections[id].tunnel.isNone, !fillFrom(upstream: id, failure) { return }
            if sides.upstreams.connections[id].stream.isFlushed && !sides.upstreams.connections[id].isBroken { break }
            let isLast = sides.upstreams.connections[id].gaveAll(of: sides.limits.outputHighWatermark)
            let progress = tunnelTraffic.splicing.flush(&sides.upstreams.connections[id].stream)
            if progress == .failed || sides.upstreams.connections[id].isBroken { return upstreamEnded(id, failure) }
            if progress == .blocked { return wakeDownstream(behind: id) }
            if isLast { break }
        }
        sides.inbox.contents.shelf.take(back: &sides.upstreams.connections[id].stream.output)
        if sides.upstreams.connections[id].http.isHTTP2 {
            if sides.upstreams.connections[id].http.wantsWrite { return sides.upstreams.markDirty(id) }
            if sides.upstreams.connections[id].http.isFinished { return upstreamEnded(id, failure) }
            return
        }
        let tunnel = sides.upstreams.connections[id].tunnel
        if tunnelTraffic.isTunnel(tunnel) { return tunnelTraffic.tunnelFlushed(tunnel, toClient: false, &sides) }
        if let request = http1Owner(of: id) { requests[request].noteSent(sides.loop.now) }
        wakeDownstream(behind: id)
    }

    /// Takes what the connection has to send, and what it tells meanwhile. False = it is gone.
    @inline(__always) private mutating func fillFrom(upstream id: SlotID, _ failure: AttemptFailure) -> Bool {
        let outcome = sides.upstreams.connections[id].fill(bytesMax: sides.limits.outputHighWatermark)
        if !sides.inbox.contents.events.isEmpty { takeUpstreamEvents(id, LentBytes()) }
        takeDrained()
        guard sides.upstreams.isOpen(id), sides.upstreams.connections[id].state == .active else { return false }
        if case .broken = outcome {
            upstreamEnded(id, failure)
            return false
        }
        return true
    }

    @inline(__always) private mutating func http1Owner(of id: SlotID) -> SlotID? {
        let owner = LoopToken(rawValue: sides.upstreams.connections[id].http.token)
        return owner.isOf(.request) && requests.contains(owner.id) ? owner.id : nil
    }

    /// A slow endpoint has taken some: perhaps enough for its client to be read again.
    private mutating func wakeDownstream(behind id: SlotID) {
        let tunnel = sides.upstreams.connections[id].tunnel
        let isRoomy = sides.upstreams.connections[id].stream.output.count <= sides.limits.outputLowWatermark
        if tunnelTraffic.isTunnel(tunnel) { return tunnelTraffic.endpointDrained(tunnel, wakes: isRoomy, &sides) }
        guard isRoomy, !sides.upstreams.connections[id].http.isHTTP2, let request = http1Owner(of: id), !requests[request].body.isComplete
        else { return }
        let origin = requests[request].origin
        if origin.isHTTP2 { return sides.allowMoreBody(of: &requests[request]) }
        guard sides.downstreams.isOpen(origin.connection) else { return }
        if sides.downstreams.connections[origin.connection].hasMore { sides.downstreams.resumeLater(origin.connection) }
    }

    // MARK: Ends

    /// The endpoint sends no more.
    private mutating func upstreamClosed(_ id: SlotID) {
        let tunnel = sides.upstreams.connections[id].tunnel
        if tunnelTraffic.isTunnel(tunnel) { return tunnelTraffic.tunnelEnded(tunnel, fromClient: false, &sides) }
        sides.upstreams.connections[id].http.receiveEnd()
        takeUpstreamEvents(id, LentBytes())
        upstreamEnded(id, .terminated)
    }

    /// The connection is gone, or did not come about: every request on it fails.
    mutating func upstreamEnded(_ id: SlotID, _ failure: AttemptFailure) {
        guard sides.upstreams.isOpen(id) else { return }
        let tunnel = sides.upstreams.connections[id].tunnel
        if tunnelTraffic.isTunnel(tunnel) {
            return failure.isOfConnecting
                ? tunnelTraffic.tunnelFailed(tunnel, failure, &sides) : tunnelTraffic.closeTunnel(tunnel, &sides)
        }
        // We said GOAWAY for what the endpoint sent.
        let isRefusal = failure == .terminated && sides.upstreams.connections[id].http.sentErrorCode != 0
        let line = sides.upstreams.connections[id].isNegotiating ? sides.upstreams.connections[id].pool : -1
        noteOwners(upstream: id)
        let failed = tokens
        tunnelTraffic.splicing.release(&sides.upstreams.connections[id].stream)
        sides.upstreams.close(id, &sides.loop)
        for token in failed {
            let owner = LoopToken(rawValue: token)
            if owner.isOf(.mirror) { mirrorTraffic.endpointEnded(owner.id, line >= 0 ? .none : id, &sides) }
            let cause = isRefusal ? AttemptFailure.protocolError : failure
            if owner.isOf(.check), CheckTraffic.endpointEnded(owner.id, line >= 0 ? .none : id, cause, &sides) { concludeCheck(owner.id) }
            guard owner.isOf(.request), requests.contains(owner.id) else { continue }
            let isOurs = line >= 0 ? requests[owner.id].leaveLine(ofPool: line, for: id) : requests[owner.id].attempt.upstream == id
            guard isOurs else { continue }
            attemptFailed(owner.id, cause)
        }
    }

    mutating func upstreamTimerFired(_ id: SlotID) {
        guard sides.upstreams.isOpen(id), sides.upstreams.connections[id].deadline.hasCome(&sides.loop, .upstream, id) else { return }
        switch sides.upstreams.connections[id].state {
        case .idle: sides.upstreams.close(id, &sides.loop)
        case .connecting, .securing: upstreamEnded(id, .connectionTimeout)
        case .active:
            let tunnel = sides.upstreams.connections[id].tunnel
            if tunnelTraffic.isTunnel(tunnel), tunnelTraffic.isAwaitingConnect(tunnel) {
                return tunnelTraffic.tunnelFailed(tunnel, .connectionTimeout, &sides)
            }
            if sides.upstreams.connections[id].http.isHTTP2, sides.upstreams.connections[id].http.openStreams == 0 {
                sides.upstreams.close(id, &sides.loop)
            }
        case .closed: break
        }
    }
}
