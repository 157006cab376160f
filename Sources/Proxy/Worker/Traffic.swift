internal import EventLoops
internal import HTTP
internal import Primitives
internal import Routing
internal import Streams
internal import Synchronization

/// Everything that a worker has under way, and the only place where its parts meet: it hands what comes in to whom it concerns, and does
/// what they say. `TrafficClients`, `TrafficRequests` and `TrafficEndpoints` are its other files; tunnels and copies
/// have their own.
@safe
struct Traffic: ~Copyable {
    var sides: Sides
    var requests: Slab<Request>
    var mirrorTraffic: MirrorTraffic
    var tunnelTraffic: TunnelTraffic
    /// What was read last.
    let scratch: ScratchBytes
    /// What has ended during the turn and is reused from the next one on.
    var finished = WorkList<SlotID>()
    /// Lists being worked off, kept so that none of them allocates.
    var working = WorkList<SlotID>()
    var tokens: [UInt64] = []
    var keyWaiters = KeyWaiters()
    /// While draining: when connections that idle are closed.
    var idleDeadline = MonotonicInstant.distantFuture

    init(_ handle: WorkerHandle, poller: consuming Poller, seed: UInt64, network: (any StreamNetwork)?) {
        sides = Sides(handle, poller: poller, seed: seed, network: network)
        scratch = ScratchBytes(capacity: handle.limits.readBytes)
        requests = Slab(countMax: handle.limits.downstreamConnectionsMax)
        mirrorTraffic = MirrorTraffic(handle.limits)
        tunnelTraffic = TunnelTraffic(handle.limits)
    }

    // MARK: A turn

    /// Something is to be done without waiting for an event.
    var hasWork: Bool {
        !sides.downstreams.resumed.isEmpty || !sides.resumedUpstreams.isEmpty || sides.hasDirtySessions
    }

    mutating func dispatch(_ token: LoopToken, _ events: ReadyEvents) {
        switch token.kind {
        case .downstream: downstreamReady(token.id, events)
        case .upstream: upstreamReady(token.id, events)
        case .listener: acceptClients(Int(token.id.index))
        default: return
        }
        flushStreams()
    }

    /// What remains of a turn once its events are through.
    mutating func finishTurn() {
        serveResumed()
        fireTimers()
        if !sides.upstreams.lines.isEmpty { serveWaiting() }
        flushStreams()
        flushSessions()
        flushStreams()
        reapEnded()
    }

    /// Serves the connections that have something waiting but no event to say so. Bounded by the reads each may do.
    private mutating func serveResumed() {
        if !sides.resumedUpstreams.isEmpty {
            working.removeAll()
            swap(&working, &sides.resumedUpstreams)
            for index in 0..<working.count {
                readUpstream(working[index])
                flushStreams()
            }
        }
        guard !sides.downstreams.resumed.isEmpty else { return }
        sides.downstreams.takeResumed(&working)
        for index in 0..<working.count {
            resumeDownstream(working[index])
            flushStreams()
        }
    }

    /// Sends what HTTP/1.1 connections and tunnels have to send.
    mutating func flushStreams() {
        while !sides.downstreams.dirty.isEmpty || !sides.upstreams.dirty.isEmpty {
            while let id = sides.upstreams.dirty.popLast() { pumpUpstream(id) }
            while let id = sides.downstreams.dirty.popLast() { pumpDownstream(id) }
        }
    }

    /// Sends what the sessions have to send, each with as few writes as possible.
    private mutating func flushSessions() {
        if sides.downstreams.dirtySessions.isEmpty && sides.upstreams.dirtySessions.isEmpty { return }
        // Window updates go back and forth a few times at most; what is left waits for the next turn.
        for _ in 0..<4 where !sides.downstreams.dirtySessions.isEmpty || !sides.upstreams.dirtySessions.isEmpty {
            working.removeAll()
            swap(&working, &sides.upstreams.dirtySessions)
            for index in 0..<working.count { pumpUpstream(working[index]) }
            working.removeAll()
            swap(&working, &sides.downstreams.dirtySessions)
            for index in 0..<working.count { pumpDownstream(working[index]) }
        }
    }

    /// Frees what has ended during the turn.
    private mutating func reapEnded() {
        for index in 0..<finished.count { requests.park(retired: finished[index]) }
        finished.removeAll()
        mirrorTraffic.reapMirrors()
        sides.checks.reap()
        tunnelTraffic.reapTunnels()
        sides.downstreams.reap()
        sides.upstreams.reap()
        if !sides.epochs.ended.isEmpty { sides.handle.retire(&sides.epochs.ended) }
    }

    // MARK: Timers

    mutating func fireTimers() {
        let count = sides.loop.advanceTimers()
        for index in 0..<count {
            let token = sides.loop.firedToken(index)
            switch token.kind {
            case .downstream: downstreamTimerFired(token.id)
            case .upstream: upstreamTimerFired(token.id)
            case .listenerResume: sides.downstreams.resumeListener(Int(token.id.index), &sides.loop)
            case .requestTime: routeTimedOut(token.id)
            case .requestWait: waitEnded(token.id)
            case .requestIdle: idleTimerFired(token.id)
            case .mirrorTime: mirrorTraffic.dropMirror(token.id, &sides)
            case .check: checkTimedOut(token.id)
            case .tunnelTime: tunnelTraffic.tunnelTimedOut(token.id, &sides)
            case .tunnelReport: tunnelTraffic.reportTunnel(token.id, &sides)
            default: break
            }
        }
    }

    /// Gives waiting requests what has become free.
    private mutating func serveWaiting() {
        for place in sides.upstreams.lines.pools.indices {
            var served = 0
            while served < sides.limits.servedPerTurnMax, case (let pool, let owner?) = sides.upstreams.nextServable(place) {
                sides.upstreams.advance(line: pool)
                served += 1
                if !serveOwner(owner, pool) { break }
            }
        }
        sides.upstreams.forgetEmptyLines()
    }

    /// False = another worker was faster; it is last in the line now.
    private mutating func serveOwner(_ owner: LoopToken, _ pool: Int) -> Bool {
        switch owner.kind {
        case .request:
            guard requests.contains(owner.id), requests[owner.id].stopWaiting(inLineOf: pool) else { return true }
            attachRequest(owner.id, isFresh: false)
            return !requests.contains(owner.id) || !requests[owner.id].attempt.isWaiting
        case .mirror: return mirrorTraffic.serveMirror(owner.id, &sides)
        case .check:
            if CheckTraffic.serve(owner.id, &sides) { concludeCheck(owner.id) }
            return !CheckTraffic.waitsInLine(owner.id, &sides)
        case .tunnel: return tunnelTraffic.serveTunnel(owner.id, &sides)
        default: return true
        }
    }

    // MARK: Draining

    /// No further connection is taken; those without a request end now, or after `patience` nanoseconds.
    mutating func beginDraining(idleFor patience: UInt64) {
        sides.context.isDraining = true
        sides.upstreams.isDraining = true
        idleDeadline = sides.loop.now + patience
        sides.downstreams.closeListeners(&sides.loop)
        if patience == 0 { return closeIdle() }
        for id in sides.downstreams.connections.identifiers() where sides.downstreams.connections[id].http.isHTTP2 {
            sides.downstreams.connections[id].http.announceEnd()
            sides.downstreams.markDirty(id)
        }
    }

    /// Ends what waits for a request.
    mutating func closeIdle() {
        idleDeadline = .distantFuture
        for id in sides.downstreams.connections.identifiers() where sides.downstreams.isOpen(id) {
            if sides.downstreams.connections[id].http.isHTTP2 {
                sides.downstreams.connections[id].http.goAway()
                sides.downstreams.markDirty(id)
                continue
            }
            guard sides.downstreams.isQuiet(id) else { continue }
            // A request that is already in the kernel's buffer is served; only a silent connection is closed.
            readDownstream(id)
            flushStreams()
            if sides.downstreams.isOpen(id), sides.downstreams.isQuiet(id) { sides.downstreams.close(id, &sides.loop) }
        }
    }
}
