internal import OutlierDetection
internal import Primitives
internal import Routing
internal import TelemetryModel

/// The pools of a worker: one for each endpoint that its configurations name, and for addresses that none of them does. Indices stay what
/// they are from one configuration to the next, as long as the endpoint does.
struct UpstreamPools: ~Copyable {
    private var pools: [UpstreamPool] = []
    private var freePools: [Int] = []
    /// Of endpoints that all workers count; index = slot times two, plus one for HTTP/2; -1 = none.
    private var poolOfSlot: [Int32] = []
    /// Pools of addresses that no configuration names.
    private var passthroughPools: [PoolKey: Int] = [:]
    private let passthroughMax: Int
    /// The current configuration, and whether requests live under another.
    private var generation: UInt64 = 0
    private(set) var hasOldEpochs = false

    private struct PoolKey: Hashable {
        var cluster: NameID
        var endpoint: SocketEndpoint
        var isHTTP2 = false
        var security: Int32 = -1
    }

    init(passthroughMax: Int) { self.passthroughMax = passthroughMax }

    subscript(index: Int) -> UpstreamPool {
        @inline(__always) _read { yield pools[index] }
        @inline(__always) _modify { yield &pools[index] }
    }

    var indices: Range<Int> { pools.indices }

    /// A copy, for tests.
    var all: [UpstreamPool] { pools }

    /// Whether a pool's endpoint is one of the current configuration, or of none.
    @inline(__always)
    mutating func isCurrent(_ index: Int) -> Bool { pools[index].generation == generation || pools[index].generation == .max }

    /// Whether only older configurations have a pool.
    mutating func isRetired(_ index: Int) -> Bool { !pools[index].isFree && !isCurrent(index) }

    // MARK: Assigning

    /// Maps the endpoints of a new configuration to pools, keeping those that go on. Allocates; between two turns only.
    ///
    /// `securities`: slots of the configuration's kinds of TLS.
    mutating func assign(_ next: ProxyConfiguration, securities: [Int32]) -> [Int32] {
        let routing = next.routing
        let tables = unsafe routing.tables
        generation = routing.generation
        var unnumbered = unnumberedPools(next)
        pools.reserveCapacity(pools.count + routing.endpointCount)
        var assigned = [Int32](repeating: -1, count: routing.endpointCount)
        for index in 0..<routing.endpointCount {
            let entry = tables.endpoint(index)
            let cluster = tables.cluster(Int(entry.cluster))
            let place = Int(entry.cluster)
            var settings = PoolSettings(cluster, slot: next.upstreams.clusters[place], thresholds: next.upstreams.thresholds[place])
            settings.security = PoolSettings.securitySlot(entry.security, securities)
            let kinds = next.security.outbound
            settings.choosesVersion = kinds.indices.contains(Int(entry.security)) && kinds[Int(entry.security)].choosesHTTP
            let slot = next.upstreams.endpoints[index]
            let pool = assign(entry.address, cluster.name, settings, slot, &unnumbered)
            pools[pool].twin = -1
            if cluster.usesClientProtocol || settings.choosesVersion, !settings.isHTTP2 {
                settings.isHTTP2 = true
                let twin = assign(entry.address, cluster.name, settings, slot, &unnumbered)
                pools[pool].twin = Int32(clamping: twin)
                pools[twin].base = Int32(clamping: pool)
            }
            assigned[index] = Int32(clamping: pool)
        }
        return assigned
    }

    /// Endpoints have small numbers that outlive reloads, which find their pools without hashing; only those beyond the counted ones have
    /// none.
    private mutating func unnumberedPools(_ next: ProxyConfiguration) -> [PoolKey: Int] {
        guard next.upstreams.endpoints.contains(.none) else { return [:] }
        var unnumbered: [PoolKey: Int] = [:]
        for index in pools.indices where !pools[index].isFree && pools[index].slot == .none {
            let settings = pools[index].settings
            let key = PoolKey(
                cluster: pools[index].cluster, endpoint: pools[index].endpoint, isHTTP2: settings.isHTTP2, security: settings.security)
            unnumbered[key] = index
        }
        return unnumbered
    }

    /// The pool of an endpoint, as it was or new.
    private mutating func assign(
        _ address: SocketEndpoint, _ cluster: NameID, _ settings: PoolSettings, _ slot: EndpointSlot, _ unnumbered: inout [PoolKey: Int]
    ) -> Int {
        let place = slot == .none ? -1 : Int(slot.rawValue) * 2 + (settings.isHTTP2 ? 1 : 0)
        if place >= poolOfSlot.count { poolOfSlot.append(contentsOf: repeatElement(-1, count: place + 1 - poolOfSlot.count)) }
        let key = PoolKey(cluster: cluster, endpoint: address, isHTTP2: settings.isHTTP2, security: settings.security)
        let known = place >= 0 ? Int(poolOfSlot[place]) : unnumbered[key] ?? -1
        let pool: Int
        // A number may have been given to somebody else since.
        if known >= 0, isSame(pools[known], key), pools[known].generation != .max {
            pool = known
            pools[pool].settings = settings
        } else {
            pool = add(UpstreamPool(endpoint: address, cluster: cluster, settings: settings, generation: generation))
            if place >= 0 { poolOfSlot[place] = Int32(clamping: pool) } else { unnumbered[key] = pool }
        }
        pools[pool].generation = generation
        pools[pool].slot = slot
        return pool
    }

    private mutating func isSame(_ pool: UpstreamPool, _ key: PoolKey) -> Bool {
        !pool.isFree && pool.endpoint == key.endpoint && pool.cluster == key.cluster && pool.settings.isHTTP2 == key.isHTTP2
            && pool.settings.security == key.security
    }

    private mutating func add(_ pool: UpstreamPool) -> Int {
        if let free = freePools.popLast() {
            pools[free] = pool
            return free
        }
        pools.append(pool)
        return pools.count - 1
    }

    /// The pool of an address that no configuration names; nil when there are too many. `security`: as `PoolSettings.security`. What is
    /// secured belongs to its configuration, because another one may mean something else by the same slot.
    mutating func passthrough(_ endpoint: SocketEndpoint, _ cluster: ClusterEntry, slot: ClusterSlot, security: Int32) -> Int? {
        let key = PoolKey(cluster: cluster.name, endpoint: endpoint, security: security)
        if let known = passthroughPools[key], isSame(pools[known], key), isCurrent(known) { return known }
        if passthroughPools.count >= passthroughMax { forgetFreePassthroughPools() }
        guard passthroughPools.count < passthroughMax else { return nil }
        var settings = PoolSettings(cluster, slot: slot, thresholds: .off)
        settings.security = security
        let lifetime = security == -1 ? UInt64.max : generation
        let pool = add(UpstreamPool(endpoint: endpoint, cluster: cluster.name, settings: settings, generation: lifetime))
        passthroughPools[key] = pool
        return pool
    }

    private mutating func forgetFreePassthroughPools() {
        var kept: [PoolKey: Int] = [:]
        for (key, pool) in passthroughPools where isSame(pools[pool], key) && isCurrent(pool) { kept[key] = pool }
        passthroughPools = kept
    }

    /// Once no request lives under an older configuration, pools that only those had are free.
    mutating func noteEpochs(areOld: Bool) {
        let hadOld = hasOldEpochs
        hasOldEpochs = areOld
        guard hadOld, !areOld else { return }
        for index in pools.indices where !pools[index].isFree { freeIfUnused(index) }
    }

    mutating func freeIfUnused(_ index: Int) {
        guard !hasOldEpochs, !pools[index].isFree, pools[index].generation != generation, pools[index].active == 0,
            pools[index].connections == 0
        else { return }
        pools[index].isFree = true
        freePools.append(index)
    }
}
