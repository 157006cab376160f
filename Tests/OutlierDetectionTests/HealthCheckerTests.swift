import OutlierDetection
import Primitives
import Testing

@Suite struct HealthCheckerTests {
    static func at(_ seconds: Double) -> MonotonicInstant { MonotonicInstant(nanoseconds: UInt64(seconds * 1e9)) }

    @Test func thresholdsDecideAfterTheFirstCheck() {
        var settings = HealthCheckSettings()
        settings.intervalNanoseconds = 10_000_000_000
        var checker = HealthChecker(settings: settings, now: Self.at(0), seed: 1)
        var now = 0.0
        func probe(_ passed: Bool) -> HealthChecker.Transition {
            #expect(checker.nextDeadline == Self.at(now) && checker.poll(now: Self.at(now)) == .probe)
            let transition = checker.completed(passed: passed, now: Self.at(now + 0.5))
            now += 10.5
            return transition
        }
        // The first check decides alone, later ones need two passed or three failed in a row.
        #expect(probe(false) == .becameUnhealthy)
        #expect([true, false, true].map(probe) == [.unchanged, .unchanged, .unchanged])
        #expect(probe(true) == .becameHealthy)
        #expect([false, false, true, false, false].map(probe).allSatisfy { $0 == .unchanged })
        #expect(probe(false) == .becameUnhealthy)
        #expect(!checker.isHealthy && checker.checks == 11 && checker.failures == 7)
    }

    @Test func aProbeWithoutAnswerIsAbandonedAndFails() {
        var checker = HealthChecker(settings: HealthCheckSettings(), now: Self.at(0), seed: 1)
        #expect(checker.poll(now: Self.at(0)) == .probe)
        #expect(checker.poll(now: Self.at(0.9)) == .none)
        #expect(checker.nextDeadline == Self.at(1))
        #expect(checker.poll(now: Self.at(1)) == .abandon)
        #expect(checker.lastTransition == .becameUnhealthy)
        // Its answer comes too late to count.
        #expect(checker.completed(passed: true, now: Self.at(1.1)) == .unchanged)
        #expect(!checker.isHealthy && checker.checks == 1)
        #expect(checker.nextDeadline == Self.at(11))
    }

    @Test func jitterSpreadsProbes() {
        var settings = HealthCheckSettings()
        settings.intervalJitterNanoseconds = 1_000_000_000
        let starts = (0..<100).map { HealthChecker(settings: settings, now: Self.at(5), seed: $0).nextDeadline }
        #expect(starts.allSatisfy { $0 >= Self.at(5) && $0 <= Self.at(6) })
        #expect(Set(starts).count > 90)
    }
}
