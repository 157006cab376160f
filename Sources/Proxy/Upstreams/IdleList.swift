internal import Primitives

/// The connections of a pool that may take a request, linked through themselves, the last one to come first: for HTTP/1.1 the idle ones,
/// for HTTP/2 those with streams to spare.
enum IdleList {
    /// A connection of a pool, taken out and marked active; nil when none is left.
    @inline(__always)
    static func takeIdle(_ pool: Int, _ connections: inout Slab<UpstreamConnection>, _ pools: inout UpstreamPools) -> SlotID? {
        let id = pools[pool].firstIdle
        guard connections.contains(id) else { return nil }
        unlist(id, &connections, &pools)
        if connections[id].state == .idle { connections[id].state = .active }
        return id
    }

    /// A closed connection, or one that is in the list, is left as it is.
    static func enlist(_ id: SlotID, _ connections: inout Slab<UpstreamConnection>, _ pools: inout UpstreamPools) {
        guard connections.contains(id), connections[id].state != .closed, !connections[id].isListed else { return }
        let pool = connections[id].pool
        let first = pools[pool].firstIdle
        connections[id].isListed = true
        connections[id].nextIdle = first
        connections[id].previousIdle = .none
        if connections.contains(first) { connections[first].previousIdle = id }
        pools[pool].firstIdle = id
        pools[pool].idleCount += 1
    }

    /// One that is not in the list is left as it is.
    static func unlist(_ id: SlotID, _ connections: inout Slab<UpstreamConnection>, _ pools: inout UpstreamPools) {
        guard connections.contains(id), connections[id].isListed else { return }
        let pool = connections[id].pool
        let next = connections[id].nextIdle
        let previous = connections[id].previousIdle
        if connections.contains(previous) { connections[previous].nextIdle = next } else { pools[pool].firstIdle = next }
        if connections.contains(next) { connections[next].previousIdle = previous }
        connections[id].nextIdle = .none
        connections[id].previousIdle = .none
        connections[id].isListed = false
        pools[pool].idleCount -= 1
    }
}
