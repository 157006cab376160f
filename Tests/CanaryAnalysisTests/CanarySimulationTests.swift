import CanaryAnalysis
import CanaryBench
import Testing

/// How often verdicts are wrong when somebody looks every ten seconds for an hour and acts on the first verdict. `CanaryBench` runs
/// thousands of the same trials; these are as many as a suite has time for.
@Suite struct CanarySimulationTests {
    /// Bursts that hit one destination alone are left out: no test of shares in a step can tell them from a difference (docs/canary.md).
    private static let claimed: [TrafficPattern] = [.steady, .sharedBursts, .diurnal, .ramp, .heavyTail]
    private static let trials: UInt64 = 8
    /// Requests a second: enough for verdicts, little to simulate.
    private static let volumes = [2.0, 10, 30]

    @Test(arguments: [CanaryTruth.moreErrors, .manyErrors, .slower, .twiceAsSlow])
    func badCanariesAreNotPromoted(_ truth: CanaryTruth) {
        var all = TrialCounts()
        for pattern in Self.claimed { all.add(CanaryTrials.run(truth, pattern, seeds: 1000..<1000 + Self.trials, volumes: Self.volumes)) }
        print("canary simulation, seed 1000: \(truth.rawValue): \(all.promoted) of \(all.trials) promoted, \(all.rolledBack) rolled back")
        #expect(all.promoted <= TrialCounts.allowed(all.trials, error: 0.05))
        if [.manyErrors, .twiceAsSlow].contains(truth) { #expect(all.rolledBack * 10 >= all.trials * 8, "the bad ones must be found") }
    }

    @Test(arguments: [CanaryTruth.same, .slightlyWorse])
    func goodCanariesAreNotRolledBack(_ truth: CanaryTruth) {
        var all = TrialCounts()
        for pattern in Self.claimed { all.add(CanaryTrials.run(truth, pattern, seeds: 2000..<2000 + Self.trials, volumes: Self.volumes)) }
        print("canary simulation, seed 2000: \(truth.rawValue): \(all.rolledBack) of \(all.trials) rolled back, \(all.promoted) promoted")
        #expect(all.rolledBack <= TrialCounts.allowed(all.trials, error: 0.05))
        if truth == .same { #expect(all.promoted * 2 >= all.trials, "good ones must be found, too") }
    }

    /// Operators act on the interval as well. Its lower end may be wrong in a quarter of 5 %, the upper one in 5 %.
    @Test func intervalsOfTheErrorsHaveTheTruthInThem() {
        var missed = 0
        for seed in UInt64(4000)..<4030 {
            var traffic = CanaryTrials.traffic(.atTheMargin, .steady, seed: seed, volumes: [20])
            let judged = (0..<25).reduce(into: CanaryJudge(bounds: CanaryTraffic.bounds, CanarySettings())) { judge, _ in
                judge.observe(traffic.next())
            }
            let interval = judged.report().tests[0].interval
            if !interval.contains(0.005) { missed += 1 }
            #expect(interval.upperBound - interval.lowerBound < 1, "seed \(seed)")
        }
        print("canary simulation, seed 4000: \(missed) of 30 intervals miss the truth")
        #expect(missed <= TrialCounts.allowed(30, error: 0.0625))
    }

    @Test func onTheMarginNeitherVerdictIsMoreFrequentThanClaimed() {
        let all = CanaryTrials.run(.atTheMargin, .steady, seeds: 3000..<3000 + 3 * Self.trials, volumes: Self.volumes)
        print("canary simulation, seed 3000: at the margin: \(all.promoted) promoted, \(all.rolledBack) rolled back of \(all.trials)")
        #expect(all.promoted <= TrialCounts.allowed(all.trials, error: 0.05))
        #expect(all.rolledBack <= TrialCounts.allowed(all.trials, error: 0.05))
    }
}
