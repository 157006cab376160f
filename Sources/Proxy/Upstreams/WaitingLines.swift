internal import OutlierDetection
internal import Primitives

/// Who waits for a connection: each pool has a line, and the pools are served in the order in which the first of each began to wait.
struct WaitingLines {
    private(set) var pools: [Int] = []

    var isEmpty: Bool { pools.isEmpty }

    /// Puts an attempt at the end of its pool's line.
    mutating func enter(_ owner: LoopToken, _ attempt: inout Attempt, _ all: inout UpstreamPools) {
        attempt.isWaiting = true
        if all[attempt.pool].waiting.isEmpty { pools.append(attempt.pool) }
        all[attempt.pool].waiting.append(owner)
    }

    /// The line at `place`, and its first, if that one may be served now: a connection rests, or the cluster may have one more.
    func servable(_ place: Int, _ all: inout UpstreamPools, _ state: Held<UpstreamState>) -> (pool: Int, first: LoopToken?) {
        let pool = pools[place]
        guard let first = all[pool].waiting.first else { return (pool, nil) }
        if !all[pool].firstIdle.isNone { return (pool, first) }
        let settings = all[pool].settings
        if settings.choosesVersion {
            if VersionChoice.hasMoved(pool, &all) { return (pool, first) }
            if VersionChoice.isAwaited(pool, &all) { return (pool, nil) }
        }
        let hasRoom = settings.maxConnections == .max
            || state.use({ $0.held(.connections, cluster: settings.cluster) }) < UInt64(settings.maxConnections)
        return (pool, hasRoom ? first : nil)
    }

    /// Whether a connection of a pool that has just become idle is needed more by another pool of its cluster, in any worker.
    static func wantsConnection(of pool: Int, _ all: inout UpstreamPools, _ state: Held<UpstreamState>) -> Bool {
        let settings = all[pool].settings
        guard settings.maxConnections != .max, all[pool].waiting.isEmpty else { return false }
        return state.use {
            $0.held(.pending, cluster: settings.cluster) > 0
                && $0.held(.connections, cluster: settings.cluster) >= UInt64(settings.maxConnections)
        }
    }

    /// Whoever waits for a connection that is being made, and did not come about, waits no more: the first in line, or all whom it would
    /// have done for.
    static func leave(oneConnectionOf pool: Int, _ all: inout UpstreamPools, into owners: inout [UInt64]) {
        let count = VersionChoice.sharesConnection(pool, &all) ? all[pool].waiting.count : min(1, all[pool].waiting.count)
        owners.append(contentsOf: all[pool].waiting.prefix(count).map(\.rawValue))
        all[pool].waiting.removeFirst(count)
    }

    /// Forgets lines in which nobody waits any more.
    mutating func forgetEmpty(_ all: inout UpstreamPools) {
        var kept: [Int] = []
        for pool in pools where !all[pool].waiting.isEmpty { kept.append(pool) }
        pools = kept
    }
}
