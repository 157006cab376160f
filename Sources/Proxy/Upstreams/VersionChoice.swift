internal import HTTP
internal import Primitives

/// HTTP/1.1 or HTTP/2 where the endpoint chooses with each connection (ALPN, RFC 7301). Such an endpoint has two pools, a base and its twin
/// in HTTP/2. Requests wait in line until the connection that is made for them is secured; it then belongs to the pool that it fits.
enum VersionChoice {
    /// Moves an attempt that has no connection to the pool of what the endpoint chose last. Upgrades are HTTP/1.1's (RFC 9113 8.6).
    static func moveToChosen(_ attempt: inout Attempt, upgrades: Bool, _ pools: inout UpstreamPools) {
        let own = attempt.pool
        let base = pools[own].settings.isHTTP2 ? Int(pools[own].base) : own
        guard base >= 0, pools[base].twin >= 0 else { return }
        let wanted = pools[base].chosen == .http2 && !upgrades ? Int(pools[base].twin) : base
        guard wanted != own else { return }
        pools[own].active -= 1
        pools[wanted].active += 1
        attempt.pool = wanted
    }

    /// Whether one connection that is being made will do for everybody in line: it may turn out to be HTTP/2's.
    static func sharesConnection(_ pool: Int, _ pools: inout UpstreamPools) -> Bool {
        pools[pool].settings.isHTTP2 || pools[pool].chosen == .unknown
    }

    /// Whether the line waits for a connection that is being made; otherwise its first may have one made.
    static func isAwaited(_ pool: Int, _ pools: inout UpstreamPools) -> Bool {
        let negotiating = Int(pools[pool].negotiating)
        return negotiating >= pools[pool].waiting.count || negotiating > 0 && sharesConnection(pool, &pools)
    }

    /// Whether the line of a base is to go on in its twin.
    static func hasMoved(_ pool: Int, _ pools: inout UpstreamPools) -> Bool {
        !pools[pool].settings.isHTTP2 && pools[pool].chosen == .http2
    }

    /// The endpoint has chosen: the pool that the connection belongs to from now on.
    static func settle(_ pool: Int, chose applicationProtocol: String, _ pools: inout UpstreamPools) -> Int {
        pools[pool].negotiating -= 1
        let base = pools[pool].settings.isHTTP2 ? Int(pools[pool].base) : pool
        guard base >= 0, pools[base].twin >= 0 else { return pool }
        let isHTTP2 = applicationProtocol == "h2"
        pools[base].chosen = isHTTP2 ? .http2 : .http1
        let wanted = isHTTP2 ? Int(pools[base].twin) : base
        if wanted != pool {
            pools[pool].connections -= 1
            pools[wanted].connections += 1
        }
        return wanted
    }
}
