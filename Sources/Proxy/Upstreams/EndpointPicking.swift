internal import OutlierDetection
internal import Primitives
internal import Routing
internal import Synchronization

/// Which endpoint an attempt goes to: consistent hashing or the balancer, within a priority and locality, among those that are available,
/// sooner one that the request has not tried.
struct EndpointPicking {
    /// In its place: an entry is large.
    let cluster: TableSlot<ClusterEntry>
    let index: Int
    /// What consistent hashing goes by; nil = nothing.
    let hash: UInt64?
    let now: MonotonicInstant
    /// Retries go to other priorities first (Istio: retryRemoteLocalities).
    let retriesElsewhere: Bool

    /// Draws before all endpoints are looked at (semantics 2.3: at most five further looks).
    private static var drawsMax: Int { 6 }

    /// Nil = nobody is available.
    @inline(__always)
    func pick(_ attempt: inout Attempt, _ epoch: inout Epoch, _ upstreams: inout Upstreams, draw: inout RandomSource) -> Int? {
        var group = cluster.entry.all
        var panics = false
        if cluster.entry.groups.count > 0 {
            guard let chosen = pickGroup(attempt, &epoch, &upstreams, &draw) else { return nil }
            group = chosen.group
            panics = chosen.panics
            attempt.triedPriorities |= 1 << UInt32(min(31, group.priority))
        }
        if let hash, cluster.entry.hash.key != .none, let found = pick(hashed: hash, group, panics, &epoch, &upstreams) { return found }
        return drawOne(attempt, group, panics, &epoch, &upstreams, &draw)
    }

    private func pick(hashed hash: UInt64, _ group: EndpointGroup, _ panics: Bool, _ epoch: inout Epoch, _ upstreams: inout Upstreams)
        -> Int?
    {
        epoch.tables.pick(hashed: cluster.entry, hash) { endpoint in
            group.endpoints.indices.contains(endpoint) && (panics || isAvailable(endpoint, &epoch, &upstreams))
        }
    }

    @inline(__always)
    private func drawOne(
        _ attempt: Attempt, _ group: EndpointGroup, _ panics: Bool, _ epoch: inout Epoch, _ upstreams: inout Upstreams,
        _ draw: inout RandomSource
    ) -> Int? {
        var position = epoch.clusterPositions[index]
        let tables = epoch.tables
        var chosen: Int?
        for _ in 0..<Self.drawsMax {
            chosen = Balancer.pick(
                group, by: cluster.entry.balancer, position: &position, draw: &draw, weight: { tables.endpoint($0).weight },
                load: { endpointLoad(of: $0, &epoch, &upstreams) })
            epoch.clusterPositions[index] = position
            guard let endpoint = chosen else { return nil }
            guard panics || isAvailable(endpoint, &epoch, &upstreams), !attempt.hasTried(endpoint) else { continue }
            if isWarm(endpoint, &epoch, &upstreams, &draw) { return endpoint }
        }
        // The draws found none: whoever is available will do, tried or not.
        return anyOne(attempt, group, panics, drawn: chosen, &epoch, &upstreams)
    }

    private func anyOne(
        _ attempt: Attempt, _ group: EndpointGroup, _ panics: Bool, drawn: Int?, _ epoch: inout Epoch, _ upstreams: inout Upstreams
    ) -> Int? {
        var available = 0
        var last: Int?
        for endpoint in group.endpoints.indices where isAvailable(endpoint, &epoch, &upstreams) {
            available += 1
            if last == nil || !attempt.hasTried(endpoint) { last = endpoint }
        }
        if available == Int(group.endpoints.count), let drawn, !attempt.hasTried(drawn) { return drawn }
        if let last { return last }
        let panicShare = max(0, cluster.entry.outlier.minHealthPercent)
        return panics || 100 * Int64(available) < panicShare * Int64(group.endpoints.count) ? drawn : nil
    }

    private func endpointSlot(_ endpoint: Int, _ epoch: inout Epoch, _ upstreams: inout Upstreams) -> EndpointSlot {
        upstreams.pools[Int(epoch.pools.ofEndpoints[endpoint])].slot
    }

    private func isAvailable(_ endpoint: Int, _ epoch: inout Epoch, _ upstreams: inout Upstreams) -> Bool {
        let slot = endpointSlot(endpoint, &epoch, &upstreams)
        return upstreams.state.use { $0.isAvailable(slot) }
    }

    private func endpointLoad(of endpoint: Int, _ epoch: inout Epoch, _ upstreams: inout Upstreams) -> UInt64 {
        let pool = Int(epoch.pools.ofEndpoints[endpoint])
        let twin = upstreams.pools[pool].twin
        let active = upstreams.pools[pool].active &+ (twin >= 0 ? upstreams.pools[Int(twin)].active : 0)
        guard cluster.entry.balancer == .peakEWMA else { return UInt64(active) }
        let slot = upstreams.pools[pool].slot
        return Balancer.peakCost(latencyMicroseconds: upstreams.state.use { $0.latencyMicroseconds(slot) }, active: active)
    }

    /// A draw against the endpoint's present share: rejecting in proportion gives each the share that its age earns.
    private func isWarm(_ endpoint: Int, _ epoch: inout Epoch, _ upstreams: inout Upstreams, _ draw: inout RandomSource) -> Bool {
        guard cluster.entry.warmup.nanoseconds > 0 else { return true }
        let slot = endpointSlot(endpoint, &epoch, &upstreams)
        let age = upstreams.state.use { $0.age(slot, now: now) }
        guard age < cluster.entry.warmup.nanoseconds else { return true }
        return Double(draw.below(1 << 24)) < cluster.entry.warmup.share(age: age) * Double(1 << 24)
    }

    /// The pool of an endpoint; where the request's protocol decides, there are two.
    func poolIndex(of endpoint: Int, isHTTP2: Bool, _ epoch: inout Epoch, _ upstreams: inout Upstreams) -> Int {
        let pool = Int(epoch.pools.ofEndpoints[endpoint])
        guard cluster.entry.usesClientProtocol, isHTTP2, upstreams.pools[pool].twin >= 0 else { return pool }
        return Int(upstreams.pools[pool].twin)
    }

    // MARK: Priorities and localities

    private func pickGroup(
        _ attempt: Attempt, _ epoch: inout Epoch, _ upstreams: inout Upstreams, _ draw: inout RandomSource
    ) -> (group: EndpointGroup, panics: Bool)? {
        let tables = epoch.tables
        let version = upstreams.state.use { $0.availabilityVersion.load(ordering: .relaxed) }
        if epoch.sharesVersions[index] != version {
            computeShares(&epoch, &upstreams)
            epoch.sharesVersions[index] = version
        }
        let start = Int(cluster.entry.groups.start)
        let count = Int(cluster.entry.groups.count)
        guard epoch.groupShares[start + count - 1].upTo > 0 else { return nil }
        let point = sharePoint(&draw)
        var chosen = start
        while chosen < start + count - 1, epoch.groupShares[chosen].upTo <= point { chosen += 1 }
        let groups = unsafe tables.groups(cluster.entry)
        if attempt.retries > 0, retriesElsewhere {
            // Priorities already tried come last.
            for other in 0..<count {
                let isTried = unsafe attempt.triedPriorities & (1 << UInt32(min(31, groups[other].priority))) != 0
                if !isTried, hasAvailable(unsafe groups[other], &epoch, &upstreams) {
                    chosen = start + other
                    break
                }
            }
        }
        return unsafe (groups[chosen - start], epoch.groupShares[chosen].panics)
    }

    /// A hash decides this draw too, so that what is alike stays together.
    private func sharePoint(_ draw: inout RandomSource) -> UInt32 {
        guard let hash, cluster.entry.hash.key != .none else { return draw.below(1_000_000) }
        return UInt32(truncatingIfNeeded: ByteHash.mix(hash, 0x9E37_79B9_7F4A_7C15).multipliedFullWidth(by: 1_000_000).high)
    }

    private func hasAvailable(_ group: EndpointGroup, _ epoch: inout Epoch, _ upstreams: inout Upstreams) -> Bool {
        for endpoint in group.endpoints.indices where isAvailable(endpoint, &epoch, &upstreams) { return true }
        return false
    }

    private func computeShares(_ epoch: inout Epoch, _ upstreams: inout Upstreams) {
        let groups = unsafe epoch.tables.groups(cluster.entry)
        let range = Int(cluster.entry.groups.start)..<Int(cluster.entry.groups.start) + Int(cluster.entry.groups.count)
        var shares: [GroupShare] = []
        swap(&shares, &epoch.groupShares)
        unsafe shares.withUnsafeMutableBufferPointer { all in
            unsafe GroupShares.compute(
                groups, panicPercent: UInt64(max(0, cluster.entry.outlier.minHealthPercent)),
                into: UnsafeMutableBufferPointer(rebasing: all[range])
            ) { group in
                var available: UInt64 = 0
                for endpoint in group.endpoints.indices where isAvailable(endpoint, &epoch, &upstreams) { available += 1 }
                return available
            }
        }
        swap(&shares, &epoch.groupShares)
    }
}
