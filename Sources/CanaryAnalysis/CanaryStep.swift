/// What one destination did in a step.
public struct DestinationCounts: Sendable, Equatable {
    /// Answered requests, failed ones among them.
    public var requests: UInt64
    /// Of those, failed: a 5xx, or gRPC's like (docs/canary.md).
    public var errors: UInt64
    /// Requests by latency, each bucket alone: up to and with each bound, and one bucket more for all beyond. Empty = not known.
    public var buckets: [UInt64]
    /// Of the requests in the buckets, milliseconds.
    public var latencySum: Double

    public init(requests: UInt64 = 0, errors: UInt64 = 0, buckets: [UInt64] = [], latencySum: Double = 0) {
        self.requests = requests
        self.errors = errors
        self.buckets = buckets
        self.latencySum = latencySum
    }
}

/// Both destinations in the same span of time.
public struct CanaryStep: Sendable, Equatable {
    /// Its end, milliseconds since 1970.
    public var end: Int64
    public var stable: DestinationCounts
    public var canary: DestinationCounts

    public init(end: Int64, stable: DestinationCounts = DestinationCounts(), canary: DestinationCounts = DestinationCounts()) {
        self.end = end
        self.stable = stable
        self.canary = canary
    }
}

/// How many requests there were, and how many of them had what is looked at: failed, or were slow.
struct Tally: Sendable, Equatable {
    /// At least 0.
    var count: Double
    /// 0…`count`.
    var hits: Double

    static let none = Tally(count: 0, hits: 0)

    init(count: Double, hits: Double) {
        self.count = count
        self.hits = min(hits, count)
    }

    var share: Double { count > 0 ? hits / count : 0 }

    static func + (left: Tally, right: Tally) -> Tally { Tally(count: left.count + right.count, hits: left.hits + right.hits) }
    func scaled(by factor: Double) -> Tally { Tally(count: count * factor, hits: hits * factor) }
}

/// Both destinations' tallies of one step.
struct TallyPair: Sendable, Equatable {
    var stable: Tally
    var canary: Tally

    static let none = TallyPair(stable: .none, canary: .none)

    var isComplete: Bool { stable.count > 0 && canary.count > 0 }
    var difference: Double { canary.share - stable.share }
    var pooled: Tally { stable + canary }

    static func + (left: TallyPair, right: TallyPair) -> TallyPair {
        TallyPair(stable: left.stable + right.stable, canary: left.canary + right.canary)
    }
    func scaled(by factor: Double) -> TallyPair { TallyPair(stable: stable.scaled(by: factor), canary: canary.scaled(by: factor)) }
}
