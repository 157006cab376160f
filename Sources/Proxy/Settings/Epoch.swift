internal import Policy
internal import Primitives
internal import Routing
internal import TelemetryModel

/// A configuration as a worker lives under it. A request keeps the one it began with, until its end: indices of routes, clusters and
/// endpoints that it has noted stay good.
@safe
struct Epoch: ~Copyable {
    let configuration: ProxyConfiguration
    let tables: RoutingTables
    let authorization: AuthorizationTables
    let tokens: TokenTables
    /// Whom policies of action CUSTOM ask, and the cluster where; nil and -1 = nobody.
    let authorizer: Held<ExternalAuthorizer>?
    let authorizerCluster: Int
    var plan: CapturePlan
    let pools: AssignedPools
    let inbound: InboundContext
    /// Of the servers of Gateways; index = `GatewayServer.security`.
    let gateways: [InboundContext]
    /// Of its rate limits; nil = one that cannot be kept.
    let rates: [TokenRate?]
    /// Round-robin position of each cluster.
    var clusterPositions: [UInt32]
    /// What part each `EndpointGroup` gets at present, and the availability that was derived from, per cluster.
    var groupShares: [GroupShare]
    var sharesVersions: [UInt64]
    /// Requests, connections and copies that began under it and have not ended.
    var users = 0

    init(_ configuration: ProxyConfiguration, pools: AssignedPools, draw: inout RandomSource) {
        self.configuration = configuration
        let tables = unsafe configuration.routing.tables
        self.tables = tables
        authorization = configuration.authorization.tables
        tokens = configuration.tokens.tables
        authorizer = configuration.authorization.authorizer.map { Held(keptByCaller: $0) }
        authorizerCluster = Int(configuration.routing.authorizerCluster)
        plan = CapturePlan(configuration.telemetry)
        self.pools = pools
        inbound = InboundContext(configuration.security.inbound)
        gateways = configuration.security.gateways.map { InboundContext($0) }
        rates = (0..<tables.rateLimitCount).map { index in
            let entry = tables.rateLimit(index)
            return try? TokenRate(
                maxTokens: entry.maxTokens, tokensPerFill: entry.tokensPerFill, fillIntervalNanoseconds: entry.fillNanoseconds)
        }
        let clusters = configuration.routing.clusterCount
        clusterPositions = [UInt32](repeating: 0, count: clusters)
        // Workers start their round robin in different places, so that the first endpoint is not everybody's first.
        for index in clusterPositions.indices { clusterPositions[index] = UInt32(truncatingIfNeeded: draw.next()) }
        groupShares = [GroupShare](repeating: GroupShare(), count: tables.groupCount)
        sharesVersions = [UInt64](repeating: 0, count: clusters)
    }

    /// Why a connection goes nowhere, where no route takes it.
    func noWay(listener: Int) -> LocalAnswer {
        LocalAnswer(0, choosesByServerName(listener: listener) ? .filterChainNotFound : .routeNotFound, [.noRouteFound])
    }

    /// See `RoutingTables`.
    func choosesByServerName(listener: Int) -> Bool { tables.choosesByServerName(listener: listener) }
    func gatewayServer(listener: Int, name: ArraySlice<UInt8>) -> GatewayServerChoice {
        tables.gatewayServer(listener: listener, name: name)
    }
    func gatewayServer(listener: Int, key: UInt64) -> GatewayServer? { tables.gatewayServer(listener: listener, key: key) }
}

/// Where a worker keeps what a configuration names.
struct AssignedPools {
    /// Index = endpoint.
    var ofEndpoints: [Int32]
    /// Slots in `UpstreamSecurities`; index = kind of TLS.
    var securities: [Int32]
}

/// The configurations that requests live under: the current one, and those before it that still have requests.
struct Epochs: ~Copyable {
    var all = Slab<Epoch>(countMax: Self.countMax)
    private(set) var current = SlotID.none
    /// Configurations that ended during this turn; given away at its end, when no command still holds one.
    var ended: [ProxyConfiguration] = []

    /// Configurations alive at once. A request that outlives so many reloads makes the next one wait for its end.
    static let countMax = 1024

    /// Makes a configuration the current one. False = there are too many. Allocates; between two turns only.
    mutating func begin(_ epoch: consuming Epoch) -> Bool {
        guard let fresh = all.insert(epoch) else { return false }
        let old = current
        current = fresh
        if !old.isNone { endIfOver(old) }
        return true
    }

    /// Configurations with requests, and the current one.
    var count: Int { all.count }

    mutating func enter() -> SlotID {
        all[current].users += 1
        return current
    }

    /// One more for a configuration that has users already.
    mutating func enter(_ id: SlotID) { all[id].users += 1 }

    mutating func leave(_ id: SlotID) {
        all[id].users -= 1
        endIfOver(id)
    }

    private mutating func endIfOver(_ id: SlotID) {
        guard id != current, all[id].users == 0 else { return }
        ended.append(all[id].configuration)
        all.remove(id)
    }
}
