internal import EventLoops
internal import HTTP
internal import OutlierDetection
internal import Policy
internal import Primitives
internal import Routing
internal import Streams
internal import Synchronization
internal import TelemetryModel

/// All connections of a worker to endpoints, and the pools they rest in. Limits of a cluster hold over all workers, because what is held is
/// counted in `UpstreamState` (semantics 2.4).
@safe
struct Upstreams: ~Copyable {
    var connections: Slab<UpstreamConnection>
    private(set) var pools: UpstreamPools
    var securities = UpstreamSecurities()
    /// Whose requests wait for a connection.
    private(set) var lines = WaitingLines()
    var isDraining = false
    /// Connections with something to send: HTTP/1.1 after each event, HTTP/2 at the end of the turn.
    var dirty = WorkList<SlotID>()
    var dirtySessions = WorkList<SlotID>()
    private var closed = WorkList<SlotID>()
    private let counting: AttemptCounting
    private let shared: SharedUpstreams
    let handle: WorkerHandle
    /// What records show of secured connections under the current configuration.
    var wantedTexts: ConnectionTextSet = []
    private let limits: ProxyLimits
    private let inbox: UnsafeMutablePointer<HTTPInbox>

    init(_ handle: WorkerHandle, inbox: UnsafeMutablePointer<HTTPInbox>) {
        self.handle = handle
        shared = handle.shared
        limits = handle.limits
        pools = UpstreamPools(passthroughMax: handle.limits.passthroughPoolsMax)
        counting = AttemptCounting(
            state: Held(keptByCaller: handle.shared.state), shared: Held(keptByCaller: handle.shared),
            failureLatencyNanoseconds: handle.limits.failureLatencyNanoseconds)
        unsafe self.inbox = unsafe inbox
        connections = Slab(countMax: handle.limits.upstreamConnectionsMax)
    }

    /// What all workers count.
    @inline(__always) var state: Held<UpstreamState> { counting.state }

    @inline(__always)
    mutating func isOpen(_ id: SlotID) -> Bool { connections.contains(id) && connections[id].state != .closed }

    // MARK: What connections tell

    /// What a connection tells in a record. A connection that outlives a configuration is described anew.
    @inline(__always)
    mutating func note(_ id: SlotID, in log: inout RequestLog) {
        guard connections[id].stream.isSecured else { return }
        if connections[id].texts.isStale(wantedTexts) { connections[id].describe(wantedTexts) }
        log.note(upstream: connections[id].texts)
    }

    /// Why TLS on a connection did not come about, also when it is closed; until the end of the turn.
    mutating func noteFailure(_ id: SlotID, in log: inout RequestLog) {
        if connections.contains(id) { log.note(upstream: connections[id].texts) }
    }

    // MARK: Pools

    /// Maps the endpoints of a new configuration to pools, keeping those that go on; connections of the others end with their last request.
    /// Allocates; between two turns only.
    mutating func assignPools(_ next: ProxyConfiguration, keepsOld: Bool, _ loop: inout WorkerLoop) -> AssignedPools {
        let slots = securities.adopt(next.security, keepsOld: keepsOld)
        let assigned = pools.assign(next, securities: slots)
        for index in pools.indices where pools.isRetired(index) { retireConnections(ofPool: index, &loop) }
        return AssignedPools(ofEndpoints: assigned, securities: slots)
    }

    /// The pool of the address that a client dialled; nil when there are too many.
    mutating func passthroughPool(_ endpoint: SocketEndpoint, _ cluster: ClusterEntry, _ index: Int, _ epoch: inout Epoch) -> Int? {
        let security = PoolSettings.securitySlot(cluster.dialledSecurity, epoch.pools.securities)
        return pools.passthrough(endpoint, cluster, slot: epoch.configuration.upstreams.clusters[index], security: security)
    }

    /// Whether requests live under another configuration than the current one.
    var hasOldEpochs: Bool { pools.hasOldEpochs }

    mutating func noteEpochs(areOld: Bool) { pools.noteEpochs(areOld: areOld) }

    /// Connections of a pool that the configuration no longer has end with their last request.
    private mutating func retireConnections(ofPool pool: Int, _ loop: inout WorkerLoop) {
        while let id = IdleList.takeIdle(pool, &connections, &pools) {
            if !connections[id].http.isHTTP2 || connections[id].http.openStreams == 0 { close(id, &loop) }
        }
    }

    // MARK: Counting

    /// Counts an attempt in at its endpoint and cluster. False = the cluster's limit of requests is reached.
    @inline(__always)
    mutating func enter(_ attempt: inout Attempt, _ pool: Int, now: MonotonicInstant) -> Bool {
        counting.enter(&attempt, pool, &pools, now: now)
    }

    /// The attempt is over: it counts no longer.
    @inline(__always)
    mutating func leave(_ attempt: inout Attempt) { counting.leave(&attempt, &pools) }

    mutating func stopPending(_ attempt: inout Attempt) { counting.stopPending(&attempt) }

    /// Keeps what happened to an attempt with its endpoint, for metrics and people.
    mutating func note(_ failure: AttemptFailure, of attempt: Attempt, unixNanoseconds: UInt64) {
        counting.note(failure, of: attempt, &pools, unixNanoseconds: unixNanoseconds)
    }

    /// Counts what an attempt came to against its endpoint.
    @inline(__always)
    mutating func judge(_ attempt: Attempt, _ outcome: AttemptOutcome, now: MonotonicInstant) {
        counting.judge(attempt, outcome, &pools, now: now)
    }

    // MARK: Connections for attempts

    /// Gives an attempt a connection of its pool, kept or new, and the request to it. `client`: whom it is for.
    mutating func attach(
        _ owner: LoopToken, _ attempt: inout Attempt, _ head: borrowing MessageHead, framing: BodyFraming, upgrades: Bool, isFresh: Bool,
        client: RequestOrigin, _ loop: inout WorkerLoop
    ) -> Attachment {
        if pools[attempt.pool].settings.choosesVersion { VersionChoice.moveToChosen(&attempt, upgrades: upgrades, &pools) }
        let pool = attempt.pool
        if pools[pool].settings.isHTTP2 { retireAged(pool, &loop) }
        var id = SlotID.none
        if !isFresh { id = reusable(pool) }
        if id.isNone {
            attempt.isOnReusedConnection = false
            if pools[pool].settings.choosesVersion, !upgrades { return negotiate(owner, &attempt, &loop) }
            switch open(owner, &attempt, waits: !pools[pool].settings.isHTTP2, &loop) {
            case .connecting(let made): id = made
            case .refused(let attachment): return attachment
            }
            connections[id].announce(client: client.remote, dialled: client.local, pools[attempt.pool].settings)
        } else if connections[id].state == .connecting || connections[id].state == .securing {
            attempt.isOnReusedConnection = false
            guard counting.startPending(&attempt, &pools) else { return .overflow }
        } else {
            attempt.isOnReusedConnection = true
            stopPending(&attempt)
        }
        guard let stream = connections[id].http.submitRequest(head, framing: framing, upgrades: upgrades, token: owner.rawValue) else {
            // It has just lost its last stream, or its numbers are used up.
            IdleList.unlist(id, &connections, &pools)
            if isFresh { return .failed(.connectFailure(code: 0)) }
            return attach(owner, &attempt, head, framing: framing, upgrades: upgrades, isFresh: true, client: client, &loop)
        }
        attempt.upstream = id
        attempt.stream = stream
        attempt.unconsumed = 0
        if connections[id].http.isHTTP2 { noteStream(id, &loop) }
        markDirty(id)
        return connections[id].state == .active ? .sent : .connecting
    }

    /// Puts an attempt in line for a connection whose version the endpoint will choose, and makes one unless one is being made.
    private mutating func negotiate(_ owner: LoopToken, _ attempt: inout Attempt, _ loop: inout WorkerLoop) -> Attachment {
        let pool = attempt.pool
        if pools[pool].negotiating > 0, VersionChoice.sharesConnection(pool, &pools) {
            guard counting.startPending(&attempt, &pools) else { return .overflow }
        } else {
            switch open(owner, &attempt, waits: true, &loop) {
            case .refused(let attachment): return attachment
            case .connecting(let id):
                IdleList.unlist(id, &connections, &pools)
                connections[id].isNegotiating = true
                pools[pool].negotiating += 1
            }
        }
        lines.enter(owner, &attempt, &pools)
        return .waiting
    }

    /// The version of a connection has been chosen: it takes whoever waits.
    private mutating func settleVersion(_ id: SlotID, _ loop: inout WorkerLoop) {
        connections[id].isNegotiating = false
        let chosen = connections[id].stream.agreement?.applicationProtocol ?? ""
        let pool = VersionChoice.settle(connections[id].pool, chose: chosen, &pools)
        if pool != connections[id].pool {
            connections[id].pool = pool
            connections[id].http = makeHTTP(pool, loop.now)
        }
        if !pools[pool].settings.isHTTP2 { connections[id].state = .idle }
        IdleList.enlist(id, &connections, &pools)
        setIdleDeadline(id, &loop)
    }

    /// Lists whom a connection is for: those with a stream on it, or who waits for it while its version is not chosen.
    mutating func noteOwners(of id: SlotID, in owners: inout [UInt64]) {
        guard connections[id].isNegotiating else { return connections[id].http.tokens(into: &owners) }
        WaitingLines.leave(oneConnectionOf: connections[id].pool, &pools, into: &owners)
    }

    private mutating func reusable(_ pool: Int) -> SlotID {
        if pools[pool].settings.isHTTP2 { return isOpen(pools[pool].firstIdle) ? pools[pool].firstIdle : .none }
        return IdleList.takeIdle(pool, &connections, &pools) ?? .none
    }

    private mutating func noteStream(_ id: SlotID, _ loop: inout WorkerLoop) {
        connections[id].requestsServed &+= 1
        let isSpent = connections[id].isSpent(pools[connections[id].pool].settings, now: loop.now)
        if isSpent || connections[id].http.spareStreams == 0 { IdleList.unlist(id, &connections, &pools) }
        if connections[id].state == .active { connections[id].deadline.set(&loop, .upstream, id, after: .max) }
    }

    private enum Opening {
        case connecting(SlotID)
        case refused(Attachment)
    }

    /// Makes a connection for an attempt, if its cluster may have one more. `waits`: otherwise it waits in line.
    private mutating func open(_ owner: LoopToken, _ attempt: inout Attempt, waits: Bool, _ loop: inout WorkerLoop) -> Opening {
        let pool = attempt.pool
        guard counting.startPending(&attempt, &pools) else { return .refused(.overflow) }
        let settings = pools[pool].settings
        guard state.use({ $0.tryAcquire(.connections, cluster: settings.cluster, limit: settings.maxConnections) }) else {
            guard waits else { return .refused(.overflow) }
            joinLine(owner, &attempt, &loop)
            return .refused(.waiting)
        }
        var failure = AttemptFailure.connectFailure(code: 0)
        guard let id = openConnection(pool, &failure, &loop) else {
            state.use { $0.release(.connections, cluster: settings.cluster) }
            return .refused(connections.count >= limits.upstreamConnectionsMax ? .tableFull : .failed(failure))
        }
        return .connecting(id)
    }

    /// As `attach`, for a tunnel: the connection is its own.
    mutating func attach(tunnel: SlotID, _ attempt: inout Attempt, client: RequestOrigin, _ loop: inout WorkerLoop) -> Attachment {
        switch open(LoopToken(.tunnel, tunnel), &attempt, waits: true, &loop) {
        case .refused(let attachment): return attachment
        case .connecting(let id):
            connections[id].tunnel = tunnel
            attempt.upstream = id
            connections[id].announce(client: client.remote, dialled: client.local, pools[attempt.pool].settings)
            return .connecting
        }
    }

    private mutating func joinLine(_ owner: LoopToken, _ attempt: inout Attempt, _ loop: inout WorkerLoop) {
        lines.enter(owner, &attempt, &pools)
        let cluster = pools[attempt.pool].settings.cluster
        let peers = shared.peers.withLock { $0 }
        for peer in peers where peer !== handle { peer.mailbox.send(.shedIdle(cluster)) }
        // Another endpoint of the cluster may have connections here that idle.
        closeOneIdle(cluster, &loop)
    }

    /// The line of the waiting pool at `place`, and whether its first may be served now.
    mutating func nextServable(_ place: Int) -> (pool: Int, first: LoopToken?) { lines.servable(place, &pools, state) }

    /// Takes the first of a pool's line out of it.
    mutating func advance(line pool: Int) { pools[pool].waiting.removeFirst() }

    mutating func forgetEmptyLines() { lines.forgetEmpty(&pools) }

    /// Closes one idle connection of a cluster, for somebody who has more use for it.
    mutating func closeOneIdle(_ cluster: ClusterSlot, _ loop: inout WorkerLoop) {
        for index in pools.indices where !pools[index].isFree && pools[index].settings.cluster == cluster {
            if pools[index].settings.isHTTP2 { continue }
            if let idle = IdleList.takeIdle(index, &connections, &pools) { return close(idle, &loop) }
        }
    }

    // MARK: Making and ending

    /// Begins a connection; nil when the table, the system or, at once, the endpoint refuses: `failure` is how.
    private mutating func openConnection(_ pool: Int, _ failure: inout AttemptFailure, _ loop: inout WorkerLoop) -> SlotID? {
        guard connections.count < connections.countMax else { return nil }
        let endpoint = pools[pool].endpoint
        let stream: ByteStream
        do throws(SystemError) {
            stream = try loop.connect(to: endpoint)
        } catch {
            failure = .connectFailure(code: error.code)
            if endpoint.family == .unix, let reason = UnixConnectError(error) { failure = .unixConnectFailure(reason) }
            return nil
        }
        pools[pool].settings.keepAlive(stream.descriptor, endpoint)
        let isHTTP2 = pools[pool].settings.isHTTP2
        let fresh = UpstreamConnection(stream: stream, pool: pool, http: makeHTTP(pool, loop.now), now: loop.now)
        guard let id = connections.insert(fresh) else { return nil }
        do throws(SystemError) {
            try loop.add(connections[id].stream, token: LoopToken(.upstream, id))
        } catch {
            connections[id].stream.close()
            connections.remove(id)
            return nil
        }
        pools[pool].connections += 1
        connections[id].cluster = pools[pool].settings.cluster
        if isHTTP2 { IdleList.enlist(id, &connections, &pools) }
        loop.countEvent { $0.add($0.upstreamTotal) }
        connections[id].deadline.set(&loop, .upstream, id, after: pools[pool].settings.connectTimeoutNanoseconds)
        return id
    }

    private mutating func makeHTTP(_ pool: Int, _ now: MonotonicInstant) -> HTTPClientConnection {
        let isHTTP2 = pools[pool].settings.isHTTP2
        var http = unsafe HTTPClientConnection(isHTTP2: isHTTP2, inbox: inbox, now: now)
        http.bound(streams: pools[pool].settings.maxConcurrentStreams, assumed: pools[pool].peerStreamsMax)
        return http
    }

    /// The connection has been established.
    mutating func connected(_ id: SlotID, awaitsTunnel: Bool, _ loop: inout WorkerLoop) {
        connections[id].state = .active
        // Our end of a connection to a path has no name.
        if pools[connections[id].pool].endpoint.family != .unix {
            connections[id].local = connections[id].stream.localEndpoint
        }
        // An HTTP proxy must have connected further by then, too.
        if !awaitsTunnel { connections[id].deadline.set(&loop, .upstream, id, after: .max) }
        if connections[id].isNegotiating { settleVersion(id, &loop) }
        markDirty(id)
    }

    /// The endpoint's answer to the attempt is complete: the connection rests in its pool or goes; a stream ends by itself, or is cancelled
    /// (`isWhole` = the request has been sent to its end, too).
    mutating func release(_ attempt: inout Attempt, isWhole: Bool, _ loop: inout WorkerLoop) {
        let id = attempt.upstream
        guard isOpen(id), connections[id].http.isHTTP2, isWhole else { return releaseConnection(&attempt, isWhole: isWhole, &loop) }
        connections[id].http.consume(attempt.unconsumed, stream: attempt.stream)
        connections[id].http.detach(stream: attempt.stream)
        markDirty(id)
        detachAttempt(&attempt)
    }

    @inline(__always)
    private mutating func releaseConnection(_ attempt: inout Attempt, isWhole: Bool, _ loop: inout WorkerLoop) {
        let id = attempt.upstream
        guard isOpen(id), !connections[id].http.isHTTP2, isWhole, isReusable(id, loop.now) else { return abandon(&attempt, &loop) }
        detachAttempt(&attempt)
        connections[id].http.detach(stream: 0)
        connections[id].isPaused = false
        connections[id].state = .idle
        IdleList.enlist(id, &connections, &pools)
        setIdleDeadline(id, &loop)
    }

    @inline(__always)
    private mutating func isReusable(_ id: SlotID, _ now: MonotonicInstant) -> Bool {
        connections[id].requestsServed &+= 1
        let pool = connections[id].pool
        return connections[id].http.isReusable && !connections[id].isSpent(pools[pool].settings, now: now) && !isDraining
            && !connections[id].stream.sawHangUp && connections[id].input.isEmpty && connections[id].stream.isFlushed
            && pools.isCurrent(pool)
            && pools[pool].idleCount < limits.idleConnectionsPerEndpointMax && !WaitingLines.wantsConnection(of: pool, &pools, state)
    }

    private mutating func detachAttempt(_ attempt: inout Attempt) {
        attempt.upstream = .none
        attempt.stream = 0
        attempt.unconsumed = 0
    }

    /// Takes the attempt back: its stream is cancelled, or its connection closed, since nothing sent on it can be.
    mutating func abandon(_ attempt: inout Attempt, _ loop: inout WorkerLoop) {
        let id = attempt.upstream
        let (stream, unconsumed) = (attempt.stream, attempt.unconsumed)
        detachAttempt(&attempt)
        guard isOpen(id) else { return }
        guard connections[id].http.isHTTP2 else { return close(id, &loop) }
        connections[id].http.consume(unconsumed, stream: stream)
        _ = connections[id].http.reset(stream: stream, code: HTTP2ErrorCode.cancel)
        markDirty(id)
    }

    /// A stream more may be opened on this connection; or it has nothing left to do.
    mutating func streamFreed(_ id: SlotID, _ loop: inout WorkerLoop) {
        guard isOpen(id), connections[id].http.isHTTP2 else { return }
        let pool = connections[id].pool
        let isSpent = connections[id].isSpent(pools[pool].settings, now: loop.now)
        let isIdle = connections[id].http.openStreams == 0
        if !isSpent && pools.isCurrent(pool) && !isDraining && connections[id].http.spareStreams > 0 {
            IdleList.enlist(id, &connections, &pools)
        } else if isIdle {
            return close(id, &loop)
        }
        if isIdle { setIdleDeadline(id, &loop) }
    }

    /// The endpoint takes no new request on this connection (GOAWAY).
    mutating func retire(_ id: SlotID, _ loop: inout WorkerLoop) {
        IdleList.unlist(id, &connections, &pools)
        if isOpen(id), connections[id].http.openStreams == 0 { close(id, &loop) }
    }

    /// What an HTTP/2 endpoint allows is remembered for its next connection.
    mutating func noteStreamsMax(_ id: SlotID) {
        if let allowed = connections[id].http.peerStreamsMax { pools[connections[id].pool].peerStreamsMax = allowed }
    }

    /// Connections that are open for too long take no new request; the last response closes them.
    private mutating func retireAged(_ pool: Int, _ loop: inout WorkerLoop) {
        guard pools[pool].settings.maxConnectionNanoseconds > 0 else { return }
        while isOpen(pools[pool].firstIdle), connections[pools[pool].firstIdle].isAged(pools[pool].settings, now: loop.now) {
            let id = pools[pool].firstIdle
            IdleList.unlist(id, &connections, &pools)
            if connections[id].http.openStreams == 0 { close(id, &loop) }
        }
    }

    /// Idle for too long, or open for too long: the sooner of the two.
    @inline(__always)
    private mutating func setIdleDeadline(_ id: SlotID, _ loop: inout WorkerLoop) {
        let time = connections[id].idleTimeLeft(pools[connections[id].pool].settings, now: loop.now)
        connections[id].deadline.set(&loop, .upstream, id, after: time)
    }

    mutating func close(_ id: SlotID, _ loop: inout WorkerLoop) {
        guard isOpen(id) else { return }
        let pool = connections[id].pool
        IdleList.unlist(id, &connections, &pools)
        connections[id].state = .closed
        connections[id].deadline.cancel(&loop)
        connections[id].stream.close()
        closed.append(id)
        pools[pool].connections -= 1
        if connections[id].isNegotiating { pools[pool].negotiating -= 1 }
        let cluster = connections[id].cluster
        state.use { $0.release(.connections, cluster: cluster) }
        pools.freeIfUnused(pool)
    }

    /// The end of a turn: frees what was closed.
    mutating func reap() {
        for index in 0..<closed.count { connections.remove(closed[index]) }
        closed.removeAll()
    }

    mutating func closeAll() {
        for id in connections.identifiers() { connections[id].stream.close() }
    }

    @inline(__always)
    mutating func markDirty(_ id: SlotID) {
        guard !connections[id].isDirty else { return }
        connections[id].isDirty = true
        if connections[id].http.isHTTP2 { dirtySessions.append(id) } else { dirty.append(id) }
    }
}
