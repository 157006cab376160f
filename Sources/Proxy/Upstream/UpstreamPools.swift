internal import EventLoops
internal import HTTP
internal import OutlierDetection
internal import Primitives
internal import Routing
internal import TelemetryModel

/// Upstream connections: taken, made, returned and dropped.
extension ProxyWorker {
    struct PoolKey: Hashable {
        var cluster: NameID
        var endpoint: SocketEndpoint
        var isHTTP2 = false
    }

    /// Maps the endpoints of a new configuration to pools, keeping those that go on. Allocates; between two turns only.
    mutating func assignPools(_ next: ProxyConfiguration) -> [Int32] {
        let routing = next.routing
        // Endpoints have small numbers that outlive reloads, which find their pools without hashing; only those beyond the counted ones have none.
        var unnumbered: [PoolKey: Int] = [:]
        if next.upstreams.endpoints.contains(.none) {
            for index in pools.indices where !pools[index].isFree && pools[index].slot == .none {
                let key = PoolKey(cluster: pools[index].cluster, endpoint: pools[index].endpoint, isHTTP2: pools[index].settings.isHTTP2)
                unnumbered[key] = index
            }
        }
        pools.reserveCapacity(pools.count + routing.endpointCount)
        var assigned = [Int32](repeating: -1, count: routing.endpointCount)
        for index in 0..<routing.endpointCount {
            let entry = unsafe tables.endpoint(index)
            let cluster = unsafe tables.cluster(Int(entry.cluster))
            var settings = PoolSettings(
                cluster, slot: next.upstreams.clusters[Int(entry.cluster)], thresholds: next.upstreams.thresholds[Int(entry.cluster)])
            let pool = assign(entry.address, cluster.name, settings, next.upstreams.endpoints[index], routing.generation, &unnumbered)
            pools[pool].twin = -1
            if cluster.usesClientProtocol, !settings.isHTTP2 {
                settings.isHTTP2 = true
                let twin = assign(entry.address, cluster.name, settings, next.upstreams.endpoints[index], routing.generation, &unnumbered)
                pools[pool].twin = Int32(clamping: twin)
            }
            assigned[index] = Int32(clamping: pool)
        }
        for index in pools.indices where !pools[index].isFree && pools[index].generation != routing.generation && pools[index].generation != .max {
            retireConnections(ofPool: index)
        }
        return assigned
    }

    /// The pool of an endpoint, as it was or new.
    private mutating func assign(
        _ address: SocketEndpoint, _ cluster: NameID, _ settings: PoolSettings, _ slot: EndpointSlot, _ generation: UInt64, _ unnumbered: inout [PoolKey: Int]
    ) -> Int {
        let place = slot == .none ? -1 : Int(slot.rawValue) * 2 + (settings.isHTTP2 ? 1 : 0)
        if place >= poolOfSlot.count { poolOfSlot.append(contentsOf: repeatElement(-1, count: place + 1 - poolOfSlot.count)) }
        let known =
            place >= 0
            ? Int(poolOfSlot[place]) : unnumbered[PoolKey(cluster: cluster, endpoint: address, isHTTP2: settings.isHTTP2)] ?? -1
        let pool: Int
        // A number may have been given to somebody else since.
        if known >= 0, !pools[known].isFree, pools[known].endpoint == address, pools[known].cluster == cluster, pools[known].settings.isHTTP2 == settings.isHTTP2,
            pools[known].generation != .max
        {
            pool = known
            pools[pool].settings = settings
        } else {
            let fresh = UpstreamPool(endpoint: address, cluster: cluster, settings: settings, generation: generation)
            if let free = freePools.popLast() {
                pool = free
                pools[pool] = fresh
            } else {
                pools.append(fresh)
                pool = pools.count - 1
            }
            if place >= 0 {
                poolOfSlot[place] = Int32(clamping: pool)
            } else {
                unnumbered[PoolKey(cluster: cluster, endpoint: address, isHTTP2: settings.isHTTP2)] = pool
            }
        }
        pools[pool].generation = generation
        pools[pool].slot = slot
        return pool
    }

    /// The pool of an address that no configuration names; nil when there are too many.
    mutating func passthroughPool(_ endpoint: SocketEndpoint, _ cluster: ClusterEntry, slot: ClusterSlot) -> Int? {
        let key = PoolKey(cluster: cluster.name, endpoint: endpoint)
        if let known = passthroughPools[key], !pools[known].isFree, pools[known].endpoint == endpoint, pools[known].cluster == cluster.name {
            return known
        }
        if passthroughPools.count >= limits.passthroughPoolsMax { passthroughPools = passthroughPools.filter { !pools[$0.value].isFree } }
        guard passthroughPools.count < limits.passthroughPoolsMax else { return nil }
        let fresh = UpstreamPool(
            endpoint: endpoint, cluster: cluster.name, settings: PoolSettings(cluster, slot: slot, thresholds: .off), generation: .max)
        let pool: Int
        if let free = freePools.popLast() {
            pool = free
            pools[pool] = fresh
        } else {
            pools.append(fresh)
            pool = pools.count - 1
        }
        passthroughPools[key] = pool
        return pool
    }

    /// Once no request lives under an older configuration, pools that only those had are free.
    mutating func freeUnusedPools() {
        for index in pools.indices where !pools[index].isFree { freePoolIfUnused(index) }
    }

    mutating func freePoolIfUnused(_ index: Int) {
        guard epochsAlive == 1, !pools[index].isFree, pools[index].generation != configuration.routing.generation, pools[index].active == 0,
            pools[index].connections == 0
        else { return }
        pools[index].isFree = true
        freePools.append(index)
    }

    /// An idle connection of a pool, marked active; nil when none is left.
    mutating func takeIdle(_ pool: Int) -> SlotID? {
        let id = pools[pool].firstIdle
        guard let upstream = unsafe upstreams.pointer(id) else { return nil }
        unlist(id)
        if unsafe upstream.pointee.state == .idle { unsafe upstream.pointee.state = .active }
        return id
    }

    /// Connections of a pool that the configuration no longer has end with their last request.
    private mutating func retireConnections(ofPool pool: Int) {
        while let id = takeIdle(pool) {
            guard let upstream = unsafe upstreams.pointer(id), let session = unsafe upstream.pointee.session, unsafe session.pointee.openStreams > 0 else {
                closeUpstream(id)
                continue
            }
        }
    }

    /// Begins a connection; nil when the table, the system or, at once, the endpoint refuses: `failure` is how.
    mutating func connect(_ pool: Int, _ failure: inout AttemptFailure) -> SlotID? {
        do throws(SystemError) {
            let fd = try Socket.connect(to: pools[pool].endpoint)
            let keepalive = pools[pool].settings.keepalive
            if keepalive.isOn, pools[pool].endpoint.family != .unix {
                Socket.keepAlive(fd, probes: keepalive.probes, idleSeconds: keepalive.idleSeconds, intervalSeconds: keepalive.intervalSeconds)
            }
            let deadline = now + pools[pool].settings.connectTimeoutNanoseconds
            guard let id = upstreams.insert(UpstreamConnection(fd: fd, pool: pool, now: now, deadline: deadline)) else {
                Socket.close(fd)
                return nil
            }
            do throws(SystemError) {
                try poller.add(stream: fd, token: Token(.upstream, id).rawValue)
            } catch {
                Socket.close(fd)
                upstreams.remove(id)
                return nil
            }
            pools[pool].connections += 1
            unsafe upstreams.pointer(id)?.pointee.cluster = pools[pool].settings.cluster
            if pools[pool].settings.isHTTP2, let upstream = unsafe upstreams.pointer(id) {
                let session = UnsafeMutablePointer<HTTP2Session>.allocate(capacity: 1)
                unsafe session.initialize(to: HTTP2Session(.client, inbox: inbox, limits: limits.http, now: now))
                unsafe session.pointee.streamsMax = pools[pool].settings.maxConcurrentStreams
                unsafe session.pointee.streamsAssumed = pools[pool].peerStreamsMax
                unsafe upstream.pointee.session = session
                list(id)
            }
            handle.statistics.add(handle.statistics.upstreamTotal)
            setDeadline(ofUpstream: id, after: pools[pool].settings.connectTimeoutNanoseconds)
            return id
        } catch {
            failure = .connectFailure(code: error.code)
            if pools[pool].endpoint.family == .unix, let reason = UnixConnectError(error) { failure = .unixConnectFailure(reason) }
            return nil
        }
    }

    /// The response is complete: the connection rests in its pool, or goes.
    mutating func releaseUpstream(_ id: SlotID, isReusable: Bool) {
        guard let upstream = unsafe upstreams.pointer(id), unsafe upstream.pointee.state != .closed else { return }
        let pool = unsafe upstream.pointee.pool
        unsafe upstream.pointee.exchange = .none
        unsafe upstream.pointee.isPaused = false
        unsafe upstream.pointee.requestsServed &+= 1
        let servedMax = pools[pool].settings.maxRequestsPerConnection
        let isSpent = unsafe servedMax > 0 && upstream.pointee.requestsServed >= servedMax || upstream.pointee.isAged(pools[pool].settings, now: now)
        guard isReusable, !isSpent, !isDraining, unsafe !upstream.pointee.sawHangUp && upstream.pointee.input.isEmpty && upstream.pointee.output.isEmpty,
            pools[pool].generation == configuration.routing.generation || pools[pool].generation == .max, pools[pool].idleCount < limits.idleConnectionsPerEndpointMax, !isWantedElsewhere(pool)
        else {
            closeUpstream(id)
            return
        }
        unsafe upstream.pointee.state = .idle
        unsafe upstream.pointee.scan = .init()
        list(id)
        unsafe setIdleDeadline(ofUpstream: id, upstream)
    }

    /// Idle for too long, or open for too long: the sooner of the two.
    mutating func idleTime(_ upstream: UnsafeMutablePointer<UpstreamConnection>) -> UInt64 {
        let settings = unsafe pools[upstream.pointee.pool].settings
        let idle = settings.idleTimeoutNanoseconds == 0 ? .max : settings.idleTimeoutNanoseconds
        guard settings.maxConnectionNanoseconds > 0 else { return idle }
        let age = unsafe now.nanoseconds(since: upstream.pointee.connectBegan)
        return min(idle, settings.maxConnectionNanoseconds > age ? settings.maxConnectionNanoseconds - age : 1)
    }

    mutating func setIdleDeadline(ofUpstream id: SlotID, _ upstream: UnsafeMutablePointer<UpstreamConnection>) {
        unsafe setDeadline(ofUpstream: id, after: idleTime(upstream))
    }

    /// Drops the connection of a request that will not be finished.
    mutating func abandonUpstream(_ id: SlotID) {
        guard let upstream = unsafe upstreams.pointer(id), unsafe upstream.pointee.state != .closed else { return }
        unsafe upstream.pointee.exchange = .none
        closeUpstream(id)
    }

    mutating func closeUpstream(_ id: SlotID) {
        guard let upstream = unsafe upstreams.pointer(id), unsafe upstream.pointee.state != .closed else { return }
        let pool = unsafe upstream.pointee.pool
        unlist(id)
        unsafe upstream.pointee.state = .closed
        unsafe returnPipe(&upstream.pointee.pipe)
        unsafe timers.cancel(upstream.pointee.timer)
        unsafe Socket.close(upstream.pointee.fd)
        closedUpstream.append(id)
        pools[pool].connections -= 1
        upstreamState.use { unsafe $0.release(.connections, cluster: upstream.pointee.cluster) }
        freePoolIfUnused(pool)
    }
}
