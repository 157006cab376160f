import CanaryBench
import Testing

@testable import CanaryAnalysis

/// Verdicts as operators meet them. Latencies are 20 ms, in the bucket from 10 to 25 ms.
@Suite struct CanaryJudgeTests {
    private static let bounds = CanaryTraffic.bounds

    private static func counts(_ requests: UInt64, errors: UInt64 = 0, milliseconds: Double = 20) -> DestinationCounts {
        var buckets = Array(repeating: UInt64(0), count: bounds.count + 1)
        buckets[bounds.firstIndex { milliseconds <= $0 } ?? bounds.count] = requests
        return DestinationCounts(requests: requests, errors: errors, buckets: buckets, latencySum: Double(requests) * milliseconds)
    }

    private static func judged(
        _ count: Int, _ settings: CanarySettings = CanarySettings(), from first: Int = 0,
        _ step: (Int) -> (stable: DestinationCounts, canary: DestinationCounts)
    ) -> CanaryJudge {
        var judge = CanaryJudge(bounds: bounds, settings)
        for index in first..<first + count {
            let (stable, canary) = step(index)
            judge.observe(CanaryStep(end: Int64(index + 1) * 10_000, stable: stable, canary: canary))
        }
        return judge
    }

    @Test func aFailingCanaryIsRolledBackWithItsEvidence() throws {
        let report = Self.judged(30) { _ in (Self.counts(900, errors: 1), Self.counts(100, errors: 10)) }.report()
        #expect(report.verdict == .rollback && report.reason == "errors: 10 % of the canary's requests against 0.111 % failed")
        let test = try #require(report.tests.first)
        #expect(test.measure == .errors && test.outcome == .worse && test.worse.evidence >= test.worse.needed)
        #expect(test.interval.contains(0.0989) && test.interval.lowerBound > test.margin && test.interval.upperBound < 0.2)
        #expect(try #require(report.decidedAt) <= 120_000)
        #expect(report.canary.errorRate == 0.1 && report.steps == 30)
    }

    @Test func aGoodCanaryIsPromoted() throws {
        let report = Self.judged(60) { _ in (Self.counts(900, errors: 1), Self.counts(100)) }.report()
        #expect(report.verdict == .promote && report.tests.allSatisfy { $0.outcome == .within })
        for test in report.tests {
            #expect(test.interval.upperBound < test.margin && test.interval.contains(test.canary - test.stable), "\(test.measure)")
        }
        #expect(report.meanRatio == 1)
    }

    @Test func aSlowCanaryIsRolledBackForItsLatency() throws {
        let report = Self.judged(30) { _ in (Self.counts(900), Self.counts(100, milliseconds: 40)) }.report()
        #expect(report.verdict == .rollback && report.reason == "latency: 100 % of the canary's requests against 0 % took more than 25 ms")
        #expect(report.meanRatio == 2)
    }

    /// Most requests are as fast as ever; one in thirty takes four seconds. Neither the median nor the 95th percentile shows it.
    @Test func aFewVerySlowRequestsAreFound() {
        let report = Self.judged(120) { step in
            var canary = Self.counts(100)
            canary.buckets[4] -= 3
            canary.buckets[11] += 3
            canary.latencySum += 3 * 3980
            return (Self.counts(900), canary)
        }.report()
        #expect(report.verdict == .rollback && report.reason.hasPrefix("latency: 3 % of the canary's requests against 0 %"))
    }

    /// 24 and 26 ms lie in two buckets, and yet the canary is only a twelfth slower.
    @Test func aSmallSlowDownOverABucketsBoundIsNoRollback() {
        let report = Self.judged(300) { _ in (Self.counts(900, milliseconds: 24), Self.counts(100, milliseconds: 26)) }.report()
        #expect(report.verdict == .wait && report.tests.contains { $0.worse.evidence > $0.worse.needed })
    }

    /// 26 and 45 ms lie in one bucket: shares say that nothing changed, and the mean knows better.
    @Test func aSlowDownInsideABucketIsNotPromoted() {
        let report = Self.judged(300) { _ in (Self.counts(900, milliseconds: 26), Self.counts(100, milliseconds: 45)) }.report()
        #expect(report.verdict == .wait && report.reason.contains("the mean is 1.731 times the stable one"))
    }

    @Test func withTooFewRequestsItWaits() {
        let report = Self.judged(30) { _ in (Self.counts(45), Self.counts(5)) }.report()
        #expect(report.verdict == .wait && report.reason == "too few requests: 150 of the canary, 200 are needed")
    }

    @Test func withoutRequestsThereIsNothingToSay() {
        #expect(Self.judged(10) { _ in (Self.counts(900), Self.counts(0)) }.report().verdict == .noData)
        #expect(Self.judged(0) { _ in (Self.counts(0), Self.counts(0)) }.report().verdict == .noData)
        let alone = Self.judged(10) { _ in (Self.counts(0), Self.counts(100)) }.report()
        #expect(alone.verdict == .noData && alone.reason == "the stable version had no requests")
    }

    @Test func theComparisonBeginsWithTheCanary() {
        // Before the canary came, the stable version had a bad hour.
        let report = Self.judged(400) { step in
            step < 340 ? (Self.counts(900, errors: 450), Self.counts(0)) : (Self.counts(900, errors: 1), Self.counts(100, errors: 10))
        }.report()
        #expect(report.verdict == .rollback && report.stable.requests == 60 * 900)
    }

    @Test func aCanaryThatTurnsBadAfterItWasGoodIsRolledBack() {
        let judge = Self.judged(200) { step in (Self.counts(900, errors: 1), Self.counts(100, errors: step < 120 ? 0 : 30)) }
        let before = Self.judged(120) { _ in (Self.counts(900, errors: 1), Self.counts(100)) }
        #expect(before.decision?.verdict == .promote && judge.decision?.verdict == .rollback)
        #expect((judge.decision?.at ?? .max) < 1_500_000)
    }

    @Test func afterTheTimeIsOverNothingChanges() {
        var settings = CanarySettings()
        settings.durationMax = 600_000
        // Not enough to decide within ten minutes; afterwards it fails.
        let report = Self.judged(200, settings) { step in (Self.counts(9), Self.counts(1, errors: step < 60 ? 0 : 1)) }.report()
        #expect(report.verdict == .wait && report.isOver && report.reason.hasSuffix("the time is over") && report.canary.errors == 0)
    }

    @Test func withoutLatenciesItWaits() {
        var judge = CanaryJudge(bounds: [], CanarySettings())
        for step in 0..<300 {
            judge.observe(CanaryStep(
                end: Int64(step) * 10_000, stable: DestinationCounts(requests: 900), canary: DestinationCounts(requests: 100)))
        }
        #expect(judge.report().verdict == .wait && judge.report().reason == "no latencies are known")
    }

    /// Whatever comes from the wire: nothing traps, and the report can be made.
    @Test func numbersFromOutsideDoNoHarm() {
        let worst: [DestinationCounts] = [
            DestinationCounts(requests: .max, errors: .max, buckets: [.max, .max], latencySum: .infinity),
            DestinationCounts(requests: 1, errors: .max, buckets: Array(repeating: .max, count: 400), latencySum: -.nan),
            DestinationCounts(requests: 0, errors: 5, buckets: [], latencySum: -1), Self.counts(1),
        ]
        let strange: [[Double]] = [Self.bounds, [], [1e-300, 1e300], [0, 0, 0], (0..<5000).map { Double($0) }]
        for bounds in strange {
            var judge = CanaryJudge(bounds: bounds, CanarySettings())
            for step in 0..<64 {
                let end: Int64 = step % 7 == 6 ? .min : step % 7 == 5 ? .max : Int64(step)
                judge.observe(CanaryStep(end: end, stable: worst[step % 4], canary: worst[step / 4 % 4]))
            }
            #expect(judge.report().tests.count == 4)
        }
    }

    @Test func settingsOutOfTheirRangesAreNamed() {
        func problem(_ change: (inout CanarySettings) -> Void) -> String? {
            var settings = CanarySettings()
            change(&settings)
            return settings.problem
        }
        #expect(problem { _ in } == nil)
        #expect(problem { $0.confidence = 1 }?.hasPrefix("confidence 1.0") == true)
        #expect(problem { $0.confidence = .nan } != nil && problem { $0.errorMargin = 0 } != nil)
        #expect(problem { $0.latencyMargin = -1 } != nil && problem { $0.slowMargin = 0.9 } != nil)
        #expect(problem { $0.requestsMin = .max } != nil && problem { $0.durationMax = .min } != nil)
    }
}
