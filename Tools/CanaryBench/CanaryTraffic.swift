public import CanaryAnalysis
internal import Glibc
internal import Primitives

/// What differs from steady traffic.
public enum TrafficPattern: String, CaseIterable, Sendable {
    case steady
    /// Both destinations fail and slow down for a while: something behind them does.
    case sharedBursts = "shared_bursts"
    /// Each has bursts of its own, equally often.
    case ownBursts = "own_bursts"
    /// Requests and failures of both rise and fall, by a factor of four within the hour.
    case diurnal
    /// The canary's share of requests is doubled every ten minutes while both get better.
    case ramp
    /// One request in fifty takes much longer: a Pareto tail of exponent 1.5.
    case heavyTail = "heavy_tail"
}

/// A stable version and its canary in virtual time. The same seed gives the same requests.
public struct CanaryTraffic {
    public var pattern = TrafficPattern.steady
    /// Of both.
    public var requestsPerSecond = 50.0
    public var canaryShare = 0.1
    public var errorRate = 0.001
    /// Added to the canary's error rate.
    public var moreErrors = 0.0
    /// Milliseconds; latencies are log-normal around it.
    public var median = 20.0
    /// Of their logarithms.
    public var deviation = 0.5
    /// The canary takes so many times as long.
    public var slowdown = 1.0

    public static let stepMilliseconds: Int64 = 10_000
    public static let bounds: [Double] = [
        0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000, 300_000, 600_000, 1_800_000, 3_600_000,
    ]

    private var random: RandomSource
    private var step = 0
    private var spare: Double?
    /// Steps that a burst still lasts: of both, of the stable version, of the canary.
    private var bursts = (both: 0, stable: 0, canary: 0)

    public init(seed: UInt64) { random = RandomSource(seed: seed) }

    public mutating func next() -> CanaryStep {
        step += 1
        let hour = Double(step) / 360
        var (load, failing, share) = (1.0, 1.0, canaryShare)
        switch pattern {
        case .diurnal:
            load = exp(0.693 * sin(2 * .pi * hour))
            failing = exp(0.693 * sin(2 * .pi * hour + 1))
        case .ramp:
            share = min(0.5, canaryShare * pow(2, Double(step / 60)))
            failing = 1 / (1 + hour * 2)
        case .sharedBursts: bursts.both = burst(bursts.both, lasting: 6)
        case .ownBursts:
            bursts.stable = burst(bursts.stable, lasting: 3)
            bursts.canary = burst(bursts.canary, lasting: 3)
        case .steady, .heavyTail: break
        }
        let requests = requestsPerSecond * load * Double(Self.stepMilliseconds) / 1000
        return CanaryStep(
            end: Int64(step) * Self.stepMilliseconds,
            stable: counts(requests * (1 - share), errorRate * failing + burstErrors(bursts.stable), burstSlowdown),
            canary: counts(requests * share, errorRate * failing + burstErrors(bursts.canary) + moreErrors, burstSlowdown * slowdown))
    }

    /// Steps that are left of a burst after this one.
    private mutating func burst(_ left: Int, lasting most: UInt32) -> Int {
        if left > 0 { return left - 1 }
        return random.below(60) == 0 ? 1 + Int(random.below(most)) : 0
    }

    private func burstErrors(_ own: Int) -> Double { (bursts.both > 0 ? 0.2 : 0) + (own > 0 ? 0.05 : 0) }
    private var burstSlowdown: Double { bursts.both > 0 ? 3 : 1 }

    private mutating func counts(_ expected: Double, _ failing: Double, _ slowdown: Double) -> DestinationCounts {
        var counts = DestinationCounts(requests: poisson(expected), buckets: Array(repeating: 0, count: Self.bounds.count + 1))
        for _ in 0..<counts.requests {
            if uniform() < failing { counts.errors += 1 }
            var latency = median * slowdown * exp(deviation * normal())
            if pattern == .heavyTail, random.below(50) == 0 { latency *= pow(1 - uniform(), -1 / 1.5) * 3 }
            counts.latencySum += latency
            counts.buckets[Self.bounds.firstIndex { latency <= $0 } ?? Self.bounds.count] += 1
        }
        return counts
    }

    // MARK: Draws

    /// 0 ..< 1.
    private mutating func uniform() -> Double { Double(random.next() >> 11) / 9_007_199_254_740_992 }

    /// Box and Muller's.
    private mutating func normal() -> Double {
        if let kept = spare {
            spare = nil
            return kept
        }
        let radius = (-2 * log(1 - uniform())).squareRoot()
        let angle = 2 * .pi * uniform()
        spare = radius * sin(angle)
        return radius * cos(angle)
    }

    /// Knuth's for few, the normal distribution for many.
    private mutating func poisson(_ mean: Double) -> UInt64 {
        guard mean < 100 else { return UInt64(max(0, (mean + mean.squareRoot() * normal()).rounded())) }
        let limit = exp(-mean)
        var (product, count) = (uniform(), UInt64(0))
        while product > limit {
            product *= uniform()
            count += 1
        }
        return count
    }
}
