internal import OutlierDetection
internal import Policy
internal import Primitives
internal import Routing

/// A configuration as a worker lives under it. A request keeps the one it began with, until its end: indices of routes, clusters and endpoints that it
/// has noted stay good.
@safe
struct Epoch {
    let configuration: ProxyConfiguration
    let tables: RoutingTables
    /// Pool of each endpoint.
    var poolOfEndpoint: [Int32]
    /// Round-robin position of each cluster.
    var clusterPositions: [UInt32]
    /// What part each `EndpointGroup` gets at present, and the availability that was derived from, per cluster.
    var groupShares: [GroupShare] = []
    var sharesVersions: [UInt64] = []
    /// Of its rate limits; nil = one that cannot be kept.
    var rates: [TokenRate?] = []
    /// Requests that began under it and have not ended.
    var exchanges = 0
    /// Superseded and without requests; its place may be taken.
    var isOver = false
}

extension ProxyWorker {
    /// Makes a configuration the current one. Allocates; between two turns only.
    mutating func beginEpoch(_ next: ProxyConfiguration) {
        var positions = [UInt32](repeating: 0, count: next.routing.clusterCount)
        // Workers start their round robin in different places, so that the first endpoint is not everybody's first.
        for index in positions.indices { positions[index] = UInt32(truncatingIfNeeded: balanceDraw.next()) }
        let old = epochs.isEmpty ? -1 : epoch
        var fresh = unsafe Epoch(
            configuration: next, tables: next.routing.tables, poolOfEndpoint: assignPools(next), clusterPositions: positions)
        fresh.rates = unsafe (0..<fresh.tables.rateLimitCount).map { index in
            let entry = unsafe tables.rateLimit(index)
            return try? TokenRate(maxTokens: entry.maxTokens, tokensPerFill: entry.tokensPerFill, fillIntervalNanoseconds: entry.fillNanoseconds)
        }
        unsafe fresh.groupShares = [GroupShare](repeating: GroupShare(), count: fresh.tables.groupCount)
        fresh.sharesVersions = [UInt64](repeating: 0, count: next.routing.clusterCount)
        if let place = epochs.firstIndex(where: \.isOver) {
            epochs[place] = fresh
            epoch = place
        } else {
            epochs.append(fresh)
            epoch = epochs.count - 1
        }
        if old >= 0 { endEpochIfOver(old) }
    }

    /// Configurations with requests, and the current one.
    var epochsAlive: Int {
        var count = 0
        for index in epochs.indices where !epochs[index].isOver { count += 1 }
        return count
    }

    mutating func enterEpoch(_ exchange: UnsafeMutablePointer<Exchange>) {
        unsafe exchange.pointee.epoch = epoch
        epochs[epoch].exchanges += 1
    }

    mutating func leaveEpoch(_ index: Int) {
        epochs[index].exchanges -= 1
        endEpochIfOver(index)
    }

    private mutating func endEpochIfOver(_ index: Int) {
        guard index != epoch, epochs[index].exchanges == 0, !epochs[index].isOver else { return }
        endedConfigurations.append(epochs[index].configuration)
        // The current one stands in, so that nothing here holds the old one any longer.
        epochs[index] = epochs[epoch]
        epochs[index].poolOfEndpoint = []
        epochs[index].clusterPositions = []
        epochs[index].rates = []
        epochs[index].groupShares = []
        epochs[index].sharesVersions = []
        epochs[index].exchanges = 0
        epochs[index].isOver = true
        if epochsAlive == 1 { freeUnusedPools() }
    }

    /// The tables that a request began with.
    @inline(__always)
    mutating func tables(_ exchange: UnsafeMutablePointer<Exchange>) -> RoutingTables {
        let index = unsafe exchange.pointee.epoch
        return unsafe index == epoch ? tables : epochs[index].tables
    }
}
