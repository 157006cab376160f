internal import OutlierDetection
internal import Primitives
internal import Routing
internal import Synchronization

/// Which endpoint an attempt goes to: consistent hashing or the balancer, within a priority and locality, among those that are available, sooner one that the
/// request has not tried.
extension ProxyWorker {
    /// Draws before all endpoints are looked at (semantics 2.3: at most five further looks).
    private static var drawsMax: Int { 6 }

    /// Nil = nobody is available.
    mutating func pickEndpoint(_ exchange: UnsafeMutablePointer<Exchange>, _ cluster: ClusterEntry, _ index: Int) -> Int? {
        let place = unsafe exchange.pointee.epoch
        var group = cluster.all
        var panics = false
        if cluster.groups.count > 0 {
            guard let chosen = unsafe pickGroup(exchange, cluster, index) else { return nil }
            group = chosen.group
            panics = chosen.panics
            if unsafe !exchange.pointee.flags.contains(.isTCP) { unsafe exchange.pointee.triedPriorities |= 1 << UInt32(min(31, group.priority)) }
        }
        if cluster.hash.key != .none, unsafe exchange.pointee.flags.contains(.hasHash) {
            let hash = unsafe exchange.pointee.hash
            let found = unsafe tables(exchange).pick(hashed: cluster, hash) { endpoint in
                group.endpoints.indices.contains(endpoint) && (panics || isAvailable(endpoint, place))
            }
            if let found { return found }
        }
        var position = epochs[place].clusterPositions[index]
        var draw = balanceDraw
        let tables = unsafe tables(exchange)
        defer {
            epochs[place].clusterPositions[index] = position
            balanceDraw = draw
        }
        var chosen: Int?
        for _ in 0..<Self.drawsMax {
            chosen = Balancer.pick(
                group, by: cluster.balancer, position: &position, draw: &draw, weight: { unsafe tables.endpoint($0).weight },
                load: { load(of: $0, cluster, place) })
            guard let endpoint = chosen else { return nil }
            if panics || isAvailable(endpoint, place), unsafe !exchange.pointee.hasTried(endpoint), isWarm(endpoint, cluster, place, &draw) { return endpoint }
        }
        // The draws found none: whoever is available will do, tried or not.
        var available = 0
        var last: Int?
        for endpoint in group.endpoints.indices where isAvailable(endpoint, place) {
            available += 1
            if unsafe last == nil || !exchange.pointee.hasTried(endpoint) { last = endpoint }
        }
        if available == Int(group.endpoints.count), let chosen, unsafe !exchange.pointee.hasTried(chosen) { return chosen }
        if let last { return last }
        let panicShare = max(0, cluster.outlier.minHealthPercent)
        return panics || 100 * Int64(available) < panicShare * Int64(group.endpoints.count) ? chosen : nil
    }

    private mutating func isAvailable(_ endpoint: Int, _ place: Int) -> Bool {
        upstreamState.use { $0.isAvailable(pools[Int(epochs[place].poolOfEndpoint[endpoint])].slot) }
    }

    private mutating func load(of endpoint: Int, _ cluster: ClusterEntry, _ place: Int) -> UInt64 {
        let pool = Int(epochs[place].poolOfEndpoint[endpoint])
        let twin = pools[pool].twin
        let active = pools[pool].active &+ (twin >= 0 ? pools[Int(twin)].active : 0)
        guard cluster.balancer == .peakEWMA else { return UInt64(active) }
        return Balancer.peakCost(latencyMicroseconds: upstreamState.use { $0.latencyMicroseconds(pools[pool].slot) }, active: active)
    }

    /// A draw against the endpoint's present share: rejecting in proportion gives each the share that its age earns.
    private mutating func isWarm(_ endpoint: Int, _ cluster: ClusterEntry, _ place: Int, _ draw: inout RandomSource) -> Bool {
        guard cluster.warmup.nanoseconds > 0 else { return true }
        let age = upstreamState.use { $0.age(pools[Int(epochs[place].poolOfEndpoint[endpoint])].slot, now: now) }
        guard age < cluster.warmup.nanoseconds else { return true }
        return Double(draw.below(1 << 24)) < cluster.warmup.share(age: age) * Double(1 << 24)
    }

    /// The pool of an endpoint for this request; where the request's protocol decides, there are two.
    mutating func pool(of endpoint: Int, _ cluster: ClusterEntry, _ exchange: UnsafeMutablePointer<Exchange>) -> Int {
        let pool = unsafe Int(epochs[exchange.pointee.epoch].poolOfEndpoint[endpoint])
        guard cluster.usesClientProtocol, unsafe exchange.pointee.isHTTP2Downstream, pools[pool].twin >= 0 else { return pool }
        return Int(pools[pool].twin)
    }

    // MARK: Priorities and localities

    private mutating func pickGroup(
        _ exchange: UnsafeMutablePointer<Exchange>, _ cluster: ClusterEntry, _ index: Int
    ) -> (group: EndpointGroup, panics: Bool)? {
        let place = unsafe exchange.pointee.epoch
        let tables = unsafe tables(exchange)
        let version = handle.shared.state.availabilityVersion.load(ordering: .relaxed)
        if epochs[place].sharesVersions[index] != version {
            unsafe computeShares(cluster, place, tables)
            epochs[place].sharesVersions[index] = version
        }
        let start = Int(cluster.groups.start)
        let count = Int(cluster.groups.count)
        guard epochs[place].groupShares[start + count - 1].upTo > 0 else { return nil }
        // A hash decides this draw too, so that what is alike stays together.
        let point: UInt32
        if cluster.hash.key != .none, unsafe exchange.pointee.flags.contains(.hasHash) {
            point = unsafe UInt32(truncatingIfNeeded: ByteHash.mix(exchange.pointee.hash, 0x9E37_79B9_7F4A_7C15).multipliedFullWidth(by: 1_000_000).high)
        } else {
            point = balanceDraw.below(1_000_000)
        }
        var chosen = start
        while chosen < start + count - 1, epochs[place].groupShares[chosen].upTo <= point { chosen += 1 }
        let groups = unsafe tables.groups(cluster)
        if unsafe exchange.pointee.retries > 0, unsafe retriesElsewhere(exchange) {
            // Priorities already tried come last (Istio: retryRemoteLocalities).
            for other in 0..<count {
                let isTried = unsafe exchange.pointee.triedPriorities & (1 << UInt32(min(31, groups[other].priority))) != 0
                if !isTried, unsafe groups[other].endpoints.indices.contains(where: { isAvailable($0, place) }) {
                    chosen = start + other
                    break
                }
            }
        }
        return unsafe (groups[chosen - start], epochs[place].groupShares[chosen].panics)
    }

    private mutating func retriesElsewhere(_ exchange: UnsafeMutablePointer<Exchange>) -> Bool {
        let route = unsafe exchange.pointee.route
        return unsafe route >= 0 && tables(exchange).actions(UInt32(route)).retry.retriesRemoteLocalities
    }

    private mutating func computeShares(_ cluster: ClusterEntry, _ place: Int, _ tables: RoutingTables) {
        let groups = unsafe tables.groups(cluster)
        let range = Int(cluster.groups.start)..<Int(cluster.groups.start) + Int(cluster.groups.count)
        let state = handle.shared.state
        let slots = epochs[place].poolOfEndpoint
        unsafe epochs[place].groupShares.withUnsafeMutableBufferPointer { all in
            unsafe GroupShares.compute(
                groups, panicPercent: UInt64(max(0, cluster.outlier.minHealthPercent)), into: UnsafeMutableBufferPointer(rebasing: all[range])
            ) { group in
                var available: UInt64 = 0
                for endpoint in group.endpoints.indices where state.isAvailable(pools[Int(slots[endpoint])].slot) { available += 1 }
                return available
            }
        }
    }
}
