import Foundation
import Primitives
import Testing

@testable import CanaryAnalysis

/// The two sequential tests of a share. An e-value whose mean is above 1 would be wrong more often than claimed, and no single example
/// shows it; so the means are computed whole.
@Suite struct ShareTestTests {
    /// All outcomes of a step of few requests, with their probabilities: the mean of a step's e-value, exactly.
    private static func meanStepValue(
        _ past: TallyPair, margin: Double, _ truth: SharePair, counts: (Int, Int)
    ) -> (worse: Double, within: Double) {
        var sums = (worse: 0.0, within: 0.0)
        for stableHits in 0...counts.0 {
            for canaryHits in 0...counts.1 {
                let probability = binomial(counts.0, stableHits, truth.stable) * binomial(counts.1, canaryHits, truth.canary)
                var test = ShareTest(worseError: 0.0125, withinError: 0.05)
                test.observe(past, margin: margin)
                let before = (test.worse.value, test.within.value)
                test.observe(
                    TallyPair(
                        stable: Tally(count: Double(counts.0), hits: Double(stableHits)),
                        canary: Tally(count: Double(counts.1), hits: Double(canaryHits))),
                    margin: margin)
                sums.worse += probability * exp(test.worse.value - before.0)
                sums.within += probability * exp(test.within.value - before.1)
            }
        }
        return sums
    }

    private static func binomial(_ n: Int, _ k: Int, _ p: Double) -> Double {
        exp(lgamma(Double(n + 1)) - lgamma(Double(k + 1)) - lgamma(Double(n - k + 1))) * pow(p, Double(k)) * pow(1 - p, Double(n - k))
    }

    @Test func theMeanOfAStepsEvidenceIsAtMostOneUnderItsHypothesis() {
        var random = RandomSource(seed: 14)
        func uniform() -> Double { Double(random.below(1_000_000)) / 1_000_000 }
        for round in 0..<300 {
            let margin = [0.0001, 0.005, 0.05, 0.3, -0.1][Int(random.below(5))]
            let pastCounts = (Double(1 + random.below(60)), Double(1 + random.below(60)))
            let past = TallyPair(
                stable: Tally(count: pastCounts.0, hits: (uniform() * pastCounts.0).rounded()),
                canary: Tally(count: pastCounts.1, hits: (uniform() * pastCounts.1).rounded()))
            let counts = (Int(1 + random.below(12)), Int(1 + random.below(12)))
            // Shares on the edge between both hypotheses, and on either side.
            let stable = max(0, -margin) + uniform() * (1 - abs(margin))
            let below = uniform() * (stable + margin)
            let above = stable + margin + uniform() * (1 - stable - margin)
            for canary in [stable + margin, below, above] {
                let truth = SharePair(stable: stable, canary: min(max(canary, 0), 1))
                let mean = Self.meanStepValue(past, margin: margin, truth, counts: counts)
                let what: Comment = "seed 14, round \(round): \(past), margin \(margin), \(truth), \(counts)"
                if truth.difference <= margin { #expect(mean.worse <= 1 + 1e-9, what) }
                if truth.difference >= margin { #expect(mean.within <= 1 + 1e-9, what) }
            }
        }
    }

    /// The projection against a search over a grid.
    @Test func projectsToTheNearestShares() {
        var random = RandomSource(seed: 3)
        func uniform() -> Double { Double(1 + random.below(999_998)) / 1_000_000 }
        func divergence(_ p: Double, _ q: Double) -> Double { p * log(p / q) + (1 - p) * log((1 - p) / (1 - q)) }
        for round in 0..<200 {
            let estimate = SharePair(stable: uniform(), canary: uniform())
            let difference = uniform() * 1.8 - 0.9
            let counts = (1 + uniform() * 1000, 1 + uniform() * 1000)
            let found = NullProjection.nearest(to: estimate, difference: difference, stableCount: counts.0, canaryCount: counts.1)
            func cost(_ share: Double) -> Double {
                counts.0 * divergence(estimate.stable, share) + counts.1 * divergence(estimate.canary, share + difference)
            }
            let (low, high) = (max(0, -difference), min(1, 1 - difference))
            let best = (1..<2000).map { cost(low + (high - low) * Double($0) / 2000) }.min() ?? 0
            #expect(abs(found.difference - difference) < 1e-12, "seed 3, round \(round)")
            #expect(cost(found.stable) <= best + 1e-9, "seed 3, round \(round): \(estimate), \(difference), \(counts)")
        }
    }

    @Test func nothingIsDecidedByOneStepHoweverLarge() {
        var test = ShareTest(worseError: 0.01, withinError: 0.01)
        let large = TallyPair(stable: Tally(count: 1e9, hits: 1e6), canary: Tally(count: 1e9, hits: 3e7))
        for _ in 0..<3 { test.observe(large, margin: 0.005) }
        #expect(!test.isWorse && test.worse.value > 0)
        for _ in 0..<2 { test.observe(large, margin: 0.005) }
        #expect(test.isWorse && !test.isWithin)
    }

    @Test func aStepWithoutRequestsOfBothTellsNothing() {
        var test = ShareTest(worseError: 0.05, withinError: 0.05)
        for _ in 0..<100 {
            test.observe(TallyPair(stable: Tally(count: 100, hits: 0), canary: .none), margin: 0.005)
            test.observe(TallyPair(stable: .none, canary: Tally(count: 100, hits: 100)), margin: 0.005)
        }
        #expect(test.worse.most == 0 && test.within.most == 0)
    }

    @Test func burstsOfFailuresMakeEvidenceWeaker() {
        func dispersion(_ hits: (Int) -> Double) -> Double {
            var test = ShareTest(worseError: 0.05, withinError: 0.05)
            for step in 0..<60 {
                test.observe(TallyPair(stable: Tally(count: 900, hits: 9), canary: Tally(count: 100, hits: hits(step))), margin: 0.005)
            }
            return test.dispersion
        }
        #expect(dispersion { _ in 1 } == 1)
        #expect(dispersion { $0 % 10 == 0 ? 20 : 0 } > 2)
    }
}
