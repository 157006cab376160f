internal import EventLoops
internal import HTTP
internal import OutlierDetection
internal import Primitives
internal import Routing
internal import Synchronization
internal import TelemetryModel

/// Circuit breaking (semantics 2.4): limits of a cluster hold over all workers, because what is held is counted in `UpstreamState`. A request that may have
/// no new connection waits its turn; one that may not even wait is refused with 503 UO.
extension ProxyWorker {
    /// Counts an attempt in at its endpoint and cluster. False = the cluster's limit of requests is reached.
    mutating func enterPool(_ exchange: UnsafeMutablePointer<Exchange>, _ pool: Int) -> Bool {
        let settings = pools[pool].settings
        guard upstreamState.use({ $0.tryAcquire(.requests, cluster: settings.cluster, limit: settings.maxRequests) }) else { return false }
        upstreamState.use { $0.requestBegan(pools[pool].slot) }
        if settings.retryBudgetNanoseconds > 0, unsafe exchange.pointee.retries == 0 {
            upstreamState.use { $0.requestSeen(cluster: settings.cluster, windowNanoseconds: settings.retryBudgetNanoseconds, now: now) }
        }
        pools[pool].active += 1
        unsafe exchange.pointee.pool = pool
        unsafe exchange.pointee.cluster = settings.cluster
        unsafe exchange.pointee.endpoint = pools[pool].slot
        return true
    }

    /// The attempt is over: it counts no longer.
    mutating func leavePool(_ exchange: UnsafeMutablePointer<Exchange>) {
        let pool = unsafe exchange.pointee.pool
        guard pool >= 0 else { return }
        unsafe exchange.pointee.pool = -1
        unsafe stopPending(exchange)
        upstreamState.use { unsafe $0.release(.requests, cluster: exchange.pointee.cluster) }
        upstreamState.use { unsafe $0.requestEnded(exchange.pointee.endpoint) }
        pools[pool].active -= 1
        freePoolIfUnused(pool)
    }

    /// Counts a request that has no established connection yet; false = the limit is reached.
    mutating func startPending(_ exchange: UnsafeMutablePointer<Exchange>, _ pool: Int) -> Bool {
        if unsafe exchange.pointee.flags.contains(.isPending) { return true }
        let settings = pools[pool].settings
        guard upstreamState.use({ $0.tryAcquire(.pending, cluster: settings.cluster, limit: settings.maxPendingRequests) }) else { return false }
        unsafe exchange.pointee.flags.insert(.isPending)
        return true
    }

    mutating func stopPending(_ exchange: UnsafeMutablePointer<Exchange>) {
        guard unsafe exchange.pointee.flags.contains(.isPending) else { return }
        unsafe exchange.pointee.flags.subtract([.isPending, .isWaiting])
        upstreamState.use { unsafe $0.release(.pending, cluster: exchange.pointee.cluster) }
    }

    /// The request waits for a connection of its pool.
    mutating func wait(_ id: SlotID, _ exchange: UnsafeMutablePointer<Exchange>, _ pool: Int) {
        unsafe exchange.pointee.flags.insert(.isWaiting)
        if pools[pool].waiting.isEmpty { waitingPools.append(pool) }
        pools[pool].waiting.append(id)
        let cluster = pools[pool].settings.cluster
        let peers = handle.shared.peers.withLock { $0 }
        for peer in peers where peer !== handle { peer.mailbox.send(.shedIdle(cluster)) }
        // Another endpoint of the cluster may have connections here that idle.
        shedIdle(cluster)
    }

    /// Gives waiting requests what has become free.
    mutating func serveWaiting() {
        var place = 0
        while place < waitingPools.count {
            let pool = waitingPools[place]
            serveWaiting(pool)
            if pools[pool].waiting.isEmpty {
                waitingPools.remove(at: place)
            } else {
                place += 1
            }
        }
    }

    private mutating func serveWaiting(_ pool: Int) {
        var served = 0
        while served < pools[pool].waiting.count {
            let id = pools[pool].waiting[served]
            guard let exchange = unsafe exchanges.pointer(id), unsafe exchange.pointee.flags.contains(.isWaiting) && exchange.pointee.pool == pool else {
                // It has been answered meanwhile.
                served += 1
                continue
            }
            let settings = pools[pool].settings
            if pools[pool].firstIdle.isNone {
                let hasRoom = settings.maxConnections == .max || upstreamState.use({ $0.held(.connections, cluster: settings.cluster) }) < UInt64(settings.maxConnections)
                guard hasRoom else { break }
            }
            unsafe exchange.pointee.flags.remove(.isWaiting)
            served += 1
            attachUpstream(id, freshConnection: false, hasMore: false)
            // Another worker was faster: it is last in the line now, and first of those that this turn could not serve.
            if let still = unsafe exchanges.pointer(id), unsafe still.pointee.flags.contains(.isWaiting) { break }
        }
        pools[pool].waiting.removeFirst(min(served, pools[pool].waiting.count))
    }

    /// Closes one idle connection of a cluster, for somebody who has more use for it.
    mutating func shedIdle(_ cluster: ClusterSlot) {
        for index in pools.indices where !pools[index].isFree && pools[index].settings.cluster == cluster && !pools[index].settings.isHTTP2 {
            if let idle = takeIdle(index) {
                closeUpstream(idle)
                return
            }
        }
    }

    /// Whether a connection that has just become idle is needed more elsewhere.
    mutating func isWantedElsewhere(_ pool: Int) -> Bool {
        let settings = pools[pool].settings
        guard settings.maxConnections != .max, pools[pool].waiting.isEmpty else { return false }
        let state = handle.shared.state
        return state.held(.pending, cluster: settings.cluster) > 0 && state.held(.connections, cluster: settings.cluster) >= UInt64(settings.maxConnections)
    }

    /// A limit of the cluster refuses the request (semantics 2.4).
    mutating func overflow(_ id: SlotID) {
        guard let exchange = unsafe exchanges.pointer(id) else { return }
        unsafe exchange.pointee.flags.insert(.isOverloaded)
        reply(
            id, 503, .overflowBeforeResponse, [.upstreamOverflow],
            body: "upstream connect error or disconnect/reset before headers. reset reason: overflow", closes: false)
    }

    /// Keeps what happened to an attempt with its endpoint, for metrics and people.
    mutating func note(_ failure: AttemptFailure, of exchange: UnsafeMutablePointer<Exchange>) {
        let pool = unsafe exchange.pointee.pool
        guard pool >= 0 else { return }
        let cluster = pools[pool].settings.cluster
        upstreamState.use {
            unsafe $0.noteFailure(failure.endpointFailure, endpoint: exchange.pointee.endpoint, cluster: cluster, unixMilliseconds: unix(now) / 1_000_000)
        }
    }

    /// Counts what an attempt came to against its endpoint; the judge is asked only when that crossed a threshold.
    mutating func judge(_ exchange: UnsafeMutablePointer<Exchange>, _ outcome: AttemptOutcome) {
        let pool = unsafe exchange.pointee.pool
        guard pool >= 0 else { return }
        if pools[pool].settings.measuresLatency {
            let elapsed = unsafe now.nanoseconds(since: exchange.pointee.attemptStart)
            let counted = outcome.isResponse ? elapsed : max(elapsed, limits.failureLatencyNanoseconds)
            upstreamState.use { unsafe $0.recordLatency(nanoseconds: counted, endpoint: exchange.pointee.endpoint, now: now) }
        }
        let crossing = upstreamState.use { unsafe $0.record(outcome, endpoint: exchange.pointee.endpoint, thresholds: pools[pool].settings.thresholds) }
        if !crossing.isEmpty { unsafe _ = handle.shared.judge.crossed(exchange.pointee.endpoint, crossing, now: now) }
    }
}
