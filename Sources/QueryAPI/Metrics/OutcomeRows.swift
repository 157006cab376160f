internal import Primitives
internal import Synchronization
public import TelemetryModel

/// Routes, clusters and endpoints of the configuration in use, as far as requests are counted by them.
public struct KnownDestinations: Sendable {
    public var routes: Set<NameID> = []
    public var clusters: Set<NameID> = []
    public var endpoints: Set<OutcomeKey> = []
    /// Clusters that go to addresses which only clients know.
    public var openClusters: Set<NameID> = []

    public init() {}

    /// Whether requests of the configuration may be counted there.
    public func knows(_ key: OutcomeKey) -> Bool {
        guard key.endpoint.family == .absent else { return endpoints.contains(key) || openClusters.contains(key.cluster) }
        // A route that answers itself leads to no cluster.
        return routes.contains(key.route) && (key.cluster == .none || clusters.contains(key.cluster))
    }
}

/// The shards that count by route and by endpoint, in worker order, and what the configuration in use knows of both.
public struct OutcomeShards: Sendable {
    var routes: [OutcomeShard]
    var endpoints: [OutcomeShard]
    var known: @Sendable () -> KnownDestinations?

    /// `known`: nil = everything is.
    public init(
        routes: [OutcomeShard] = [], endpoints: [OutcomeShard] = [], known: @escaping @Sendable () -> KnownDestinations? = { nil }
    ) {
        self.routes = routes
        self.endpoints = endpoints
        self.known = known
    }

    /// Requests counted together with others, because their route's or endpoint's row would have been one too many.
    var overflowed: UInt64 { (routes + endpoints).reduce(0) { $0 &+ $1.overflowed.load(ordering: .relaxed) } }
}

/// Sums what all workers count by route, or by endpoint, and finds rows that nobody uses.
///
/// A key is hidden, and its rows are offered to their workers, once no worker has counted anything for the janitor's time, or for
/// `SeriesExpiryTimes.goneSeconds` if no configuration knows it. It comes back with its old counts while its rows are there, and from zero
/// afterwards: a new series to whoever saw it go, a reset to whoever did not. The overflow row stays, so that what it has counted does.
struct OutcomeRows {
    private struct Row {
        var shard: Int
        var requests: UInt64
        var token: UInt64
    }

    private let shards: [OutcomeShard]
    private var janitor: SeriesJanitor<OutcomeKey>

    init(_ shards: [OutcomeShard], idleSeconds: UInt64) {
        self.shards = shards
        janitor = SeriesJanitor(idleSeconds: idleSeconds)
    }

    /// What is to be shown, each key once, and the idle rows of each shard.
    mutating func collect(_ known: KnownDestinations?, now: MonotonicInstant) -> (shown: [OutcomeSnapshot], idle: [IdleOutcomes]) {
        var places: [OutcomeKey: Int] = [:]
        var sums: [OutcomeSnapshot] = []
        /// Rows behind each sum.
        var rows: [[Row]] = []
        for (shard, source) in shards.enumerated() {
            source.read { row in
                if let place = places[row.key] {
                    sums[place].add(row)
                    rows[place].append(Row(shard: shard, requests: row.requests, token: row.token))
                } else {
                    places[row.key] = sums.count
                    sums.append(row)
                    rows.append([Row(shard: shard, requests: row.requests, token: row.token)])
                }
            }
        }
        var shown: [OutcomeSnapshot] = []
        var idle = [IdleOutcomes](repeating: [], count: shards.count)
        janitor.beginPass()
        for (sum, rows) in zip(sums, rows) {
            guard sum.key != .overflow, isIdle(sum.key, rows, known, now) else {
                shown.append(sum)
                continue
            }
            for row in rows { idle[row.shard].append((sum.key, row.requests)) }
        }
        janitor.endPass()
        return (shown, idle)
    }

    private mutating func isIdle(
        _ key: OutcomeKey, _ rows: [Row], _ known: KnownDestinations?, _ now: MonotonicInstant
    ) -> Bool {
        let tokens = rows.reduce(0) { $0 &+ SeriesJanitor<OutcomeKey>.weighted($1.token, ofShard: $1.shard) }
        let secondsMax = known?.knows(key) ?? true ? UInt64.max : SeriesExpiryTimes.goneSeconds
        return janitor.isIdle(key, tokens: tokens, now: now, secondsMax: secondsMax)
    }
}
