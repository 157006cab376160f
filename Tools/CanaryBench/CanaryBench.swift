import CanaryAnalysis
import Primitives

/// How often the canary judge is wrong, and how long it takes: `CanaryBench [TRIALS] [CONFIDENCE] [SEED]`, that many for each row.
@main
struct CanaryBench {
    static func main() {
        let arguments = CommandLine.arguments.dropFirst()
        let trials = arguments.first.flatMap { UInt64($0) } ?? 300
        var settings = CanarySettings()
        settings.confidence = arguments.dropFirst().first.flatMap { Double($0) } ?? settings.confidence
        let seed = arguments.dropFirst(2).first.flatMap { UInt64($0) } ?? 1
        print("confidence \(settings.confidence), \(trials) trials a row, seed \(seed), 2 to 500 requests/s")
        print("truth           pattern         promote  rollback  undecided   50 %    90 % decided after")
        var wrong = (promoted: 0, bad: 0, rolledBack: 0, good: 0)
        for truth in CanaryTruth.allCases {
            for pattern in TrafficPattern.allCases {
                let counts = CanaryTrials.run(truth, pattern, seeds: seed..<seed + trials, volumes: [2, 10, 50, 200, 500], settings)
                func share(_ count: Int) -> String { padded("\((Double(count) / Double(counts.trials) * 10_000).rounded() / 100) %", 9) }
                func time(_ at: Double) -> String { padded(counts.seconds(atShare: at).map { "\($0) s" } ?? "-", 7) }
                print(
                    padded(truth.rawValue, 15), padded(pattern.rawValue, 15), share(counts.promoted), share(counts.rolledBack),
                    share(counts.undecided), time(0.5), time(0.9))
                if truth.isBad { wrong = (wrong.promoted + counts.promoted, wrong.bad + counts.trials, wrong.rolledBack, wrong.good) }
                if truth.isGood { wrong = (wrong.promoted, wrong.bad, wrong.rolledBack + counts.rolledBack, wrong.good + counts.trials) }
            }
        }
        power(trials: max(20, trials / 5), seed, settings)
        cost(settings)
        print("\(wrong.promoted) of \(wrong.bad) bad canaries promoted, \(wrong.rolledBack) of \(wrong.good) good ones rolled back")
    }

    /// How long it takes by the requests of both a second; the canary has a twentieth, a tenth or a quarter of them.
    private static func power(trials: UInt64, _ seed: UInt64, _ settings: CanarySettings) {
        print("truth           requests/s      decided  50 %    90 % after, steady, \(trials) trials")
        for truth in [CanaryTruth.same, .moreErrors, .manyErrors, .slower, .twiceAsSlow] {
            for volume in [5.0, 20, 100, 500] {
                let counts = CanaryTrials.run(truth, .steady, seeds: seed..<seed + trials, volumes: [volume], settings)
                let decided = "\(Int((Double(counts.seconds.count) / Double(counts.trials) * 100).rounded())) %"
                func time(_ at: Double) -> String { padded(counts.seconds(atShare: at).map { "\($0) s" } ?? "-", 7) }
                print(padded(truth.rawValue, 15), padded("\(Int(volume))", 15), padded(decided, 8), time(0.5), time(0.9))
            }
        }
    }

    /// CPU time of a judgement and its report, by steps.
    private static func cost(_ settings: CanarySettings) {
        for count in [360, CanaryLimits.stepsMax] {
            var traffic = CanaryTraffic(seed: 1)
            traffic.requestsPerSecond = 20
            let steps = (0..<count).map { _ in traffic.next() }
            var long = settings
            long.durationMax = 86_400_000
            var judge = CanaryJudge(bounds: CanaryTraffic.bounds, long)
            let begun = SystemClock.threadCPUNanoseconds()
            for step in steps { judge.observe(step) }
            let judged = SystemClock.threadCPUNanoseconds()
            let report = judge.report()
            let reported = SystemClock.threadCPUNanoseconds()
            print("\(count) steps: judged in \((judged - begun) / 1000) us, report in \((reported - judged) / 1000) us, \(report.verdict)")
        }
    }

    private static func padded(_ text: String, _ width: Int) -> String { text + String(repeating: " ", count: max(0, width - text.count)) }
}
