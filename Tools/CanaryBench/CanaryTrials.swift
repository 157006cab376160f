public import CanaryAnalysis
internal import Primitives

/// What is true of a simulated canary.
public enum CanaryTruth: String, CaseIterable, Sendable {
    /// As the stable version.
    case same
    /// A tenth slower, and half of the errors more that are tolerated.
    case slightlyWorse = "slightly_worse"
    /// One percentage point more errors than the margin allows.
    case moreErrors = "more_errors"
    case manyErrors = "many_errors"
    /// Half as slow again.
    case slower
    case twiceAsSlow = "twice_as_slow"
    /// More errors by the margin exactly: neither verdict may be given more often than claimed.
    case atTheMargin = "at_the_margin"

    public var isGood: Bool { [.same, .slightlyWorse].contains(self) }
    public var isBad: Bool { [.moreErrors, .manyErrors, .slower, .twiceAsSlow].contains(self) }
}

/// What became of canaries that were looked at every ten seconds for an hour, until the first verdict.
public struct TrialCounts: Sendable {
    public var trials = 0
    public var promoted = 0
    public var rolledBack = 0
    /// Seconds until the verdict, of those that had one.
    public var seconds: [Int] = []

    public init() {}

    public var undecided: Int { trials - promoted - rolledBack }

    public mutating func add(_ other: TrialCounts) {
        trials += other.trials
        promoted += other.promoted
        rolledBack += other.rolledBack
        seconds += other.seconds
    }

    /// Nil without verdicts.
    public func seconds(atShare share: Double) -> Int? {
        let sorted = seconds.sorted()
        return sorted.isEmpty ? nil : sorted[min(sorted.count - 1, Int(share * Double(sorted.count)))]
    }

    /// More wrong verdicts than this among as many trials would be chance once in a thousand times (normal approximation, with 3.1
    /// deviations) if the claim held.
    public static func allowed(_ trials: Int, error: Double) -> Int {
        let mean = Double(trials) * error
        return Int(mean + 3.1 * (mean * (1 - error)).squareRoot()) + 1
    }
}

public enum CanaryTrials {
    public static let errorRates = [0.0001, 0.001, 0.01, 0.05]

    /// Traffic of one trial: its volume, rates and latencies are drawn.
    public static func traffic(_ truth: CanaryTruth, _ pattern: TrafficPattern, seed: UInt64, volumes: [Double]) -> CanaryTraffic {
        var random = RandomSource(seed: seed &* 31 &+ 7)
        func pick(_ list: [Double]) -> Double { list[Int(random.below(UInt32(list.count)))] }
        var traffic = CanaryTraffic(seed: seed)
        traffic.pattern = pattern
        traffic.requestsPerSecond = pick(volumes)
        traffic.canaryShare = pick([0.05, 0.1, 0.25])
        traffic.errorRate = pick(errorRates)
        // From 2 ms to half a second, anywhere between two bounds of the histogram.
        traffic.median = pick([2, 7, 20, 60, 180, 500]) * (1 + Double(random.below(1000)) / 500)
        traffic.deviation = pick([0.1, 0.3, 0.6, 1])
        let margin = CanarySettings().errorMargin
        switch truth {
        case .same: break
        case .slightlyWorse: (traffic.slowdown, traffic.moreErrors) = (1.1, margin / 2)
        case .atTheMargin: traffic.moreErrors = margin
        case .moreErrors: traffic.moreErrors = margin + 0.01
        case .manyErrors: traffic.moreErrors = 0.2
        case .slower: traffic.slowdown = 1.5
        case .twiceAsSlow: traffic.slowdown = 2
        }
        return traffic
    }

    public static func run(
        _ truth: CanaryTruth, _ pattern: TrafficPattern, seeds: Range<UInt64>, volumes: [Double],
        _ settings: CanarySettings = CanarySettings()
    ) -> TrialCounts {
        var counts = TrialCounts()
        for seed in seeds {
            var traffic = traffic(truth, pattern, seed: seed, volumes: volumes)
            var judge = CanaryJudge(bounds: CanaryTraffic.bounds, settings)
            var steps = 0
            while judge.decision == nil, steps < 360 {
                judge.observe(traffic.next())
                steps += 1
            }
            counts.trials += 1
            guard let decision = judge.decision else { continue }
            if decision.verdict == .promote { counts.promoted += 1 } else { counts.rolledBack += 1 }
            counts.seconds.append(steps * 10)
        }
        return counts
    }
}
