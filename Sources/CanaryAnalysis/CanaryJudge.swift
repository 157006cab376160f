internal import Glibc

/// Judges a canary step by step. A value without a clock: the same steps give the same verdict.
///
/// - `rollback`: for one of the four shares it is certain that the canary's is beyond the margin. The confidence is shared out among them
///   (Bonferroni). Where all requests take about the same time, a slow-down far below the margin may carry all of them over a bound; so the
///   two lower bounds count only where it is as certain that the mean is slower by half the margin (`MeanRatio`).
/// - `promote`: for all four it is certain that the canary's is within; the mean is not slower than the margin; there were enough requests.
///   All have to be certain, so a canary that is bad in one way is promoted with at most that one test's error (Berger 1982,
///   intersection-union test, Technometrics 24).
///
/// A `promote` is replaced by a later `rollback`; else what was reached stays.
public struct CanaryJudge: Sendable {
    private static let measures: [CanaryReport.Measure] = [.errors, .slowLow, .slowHigh, .slowTail]

    public let settings: CanarySettings
    private let bounds: [Double]
    private var errors: ShareTest
    private var errorsSeen: [TallyPair] = []
    private var latencies: LatencyTests
    private var mean: MeanRatio

    private var stable = CanaryReport.Destination()
    private var canary = CanaryReport.Destination()
    private var stableLatencies: LatencyHistogram
    private var canaryLatencies: LatencyHistogram
    private var stableSum = 0.0
    private var canarySum = 0.0

    private var begun: Int64?
    private var end: Int64?
    private var steps = 0
    private var observed = 0
    private var isOver = false
    /// What was reached, when, and by which measure.
    public private(set) var decision: (verdict: CanaryVerdict, at: Int64, measure: CanaryReport.Measure?)?

    /// `bounds`: of the steps' buckets, milliseconds, ascending and above 0. `settings` must have no `problem`.
    public init(bounds: [Double], _ settings: CanarySettings) {
        self.settings = settings
        self.bounds = Array(bounds.prefix(CanaryLimits.boundsMax))
        let error = 1 - settings.confidence
        let each = error / Double(Self.measures.count)
        errors = ShareTest(worseError: each, withinError: error)
        latencies = LatencyTests(bounds: self.bounds, settings, worseError: each, withinError: error)
        mean = MeanRatio(margin: settings.latencyMargin / 2, error: each)
        stableLatencies = LatencyHistogram(bounds: self.bounds)
        canaryLatencies = LatencyHistogram(bounds: self.bounds)
    }

    /// Steps come in the order of their time. Those before the canary's first request are no part of the comparison, nor is what comes when
    /// the time is over.
    public mutating func observe(_ step: CanaryStep) {
        if begun == nil {
            guard step.canary.requests > 0 else { return stable.requests = stable.requests.addingClamped(step.stable.requests) }
            begun = step.end
            stable = CanaryReport.Destination()
        }
        guard !isOver, let begun else { return }
        guard step.end.subtractingClamped(begun) < settings.durationMax, observed < CanaryLimits.stepsMax else { return isOver = true }
        observed += 1
        end = step.end
        count(step)
        let tallies = TallyPair(stable: Self.tally(step.stable), canary: Self.tally(step.canary))
        errors.observe(tallies, margin: settings.errorMargin)
        errorsSeen.append(tallies)
        if !bounds.isEmpty { latencies.observe(step) }
        mean.add(step)
        decide(at: step.end)
    }

    private static func tally(_ counts: DestinationCounts) -> Tally {
        Tally(count: Double(counts.requests), hits: Double(counts.errors))
    }

    private mutating func count(_ step: CanaryStep) {
        if step.stable.requests > 0, step.canary.requests > 0 { steps += 1 }
        stable.requests = stable.requests.addingClamped(step.stable.requests)
        stable.errors = stable.errors.addingClamped(step.stable.errors)
        canary.requests = canary.requests.addingClamped(step.canary.requests)
        canary.errors = canary.errors.addingClamped(step.canary.errors)
        stableLatencies.add(step.stable.buckets)
        canaryLatencies.add(step.canary.buckets)
        stableSum += step.stable.latencySum
        canarySum += step.canary.latencySum
    }

    private mutating func decide(at time: Int64) {
        if decision?.verdict == .rollback { return }
        if let measure = zip(Self.measures, allTests).first(where: { counts($0, $1) })?.0 {
            decision = (.rollback, time, measure)
        } else if decision == nil, allTests.allSatisfy(\.isWithin), hasEnoughRequests,
            mean.isNotSlower(by: settings.latencyMargin)
        {
            decision = (.promote, time, nil)
        }
    }

    private var allTests: [ShareTest] { [errors] + latencies.tests }
    private var hasEnoughRequests: Bool { min(stable.requests, canary.requests) >= settings.requestsMin }

    /// Whether a test says that the canary is worse.
    private func counts(_ measure: CanaryReport.Measure, _ test: ShareTest) -> Bool {
        guard test.isWorse else { return false }
        return measure == .errors || measure == .slowTail || mean.isSlower
    }

    // MARK: The report

    /// The verdict of now. `hasIntervals`: those of the differences are computed, which costs as much as some hundred judgements; else they
    /// are −1…1.
    public func report(hasIntervals: Bool = true) -> CanaryReport {
        var report = CanaryReport()
        report.settings = settings
        (report.steps, report.begin, report.end, report.isOver) = (steps, begun, end, isOver)
        (report.meanRatio, report.meanSlower) = (mean.value, (mean.slower.most, mean.needed))
        report.stable = summary(stable, stableLatencies, stableSum)
        report.canary = summary(canary, canaryLatencies, canarySum)
        report.tests = zip(Self.measures, allTests).enumerated().map { place, pair in test(pair.0, pair.1, place, hasIntervals) }
        report.decidedAt = decision?.at
        report.verdict = decision?.verdict ?? (stable.requests > 0 && canary.requests > 0 ? .wait : .noData)
        report.reason = CanaryReason(report, decidedBy: decision?.measure).text
        return report
    }

    private func summary(
        _ destination: CanaryReport.Destination, _ latencies: LatencyHistogram, _ sum: Double
    ) -> CanaryReport.Destination {
        var result = destination
        let deviations = NormalDistribution.deviations(confidence: settings.confidence)
        result.meanLatency = latencies.total > 0 ? sum / latencies.total : nil
        result.p50 = latencies.quantile(0.5, deviations: deviations)
        result.p95 = latencies.quantile(0.95, deviations: deviations)
        result.p99 = latencies.quantile(0.99, deviations: deviations)
        return result
    }

    /// `place`: 0 = the errors, then the latencies' roles.
    private func test(
        _ measure: CanaryReport.Measure, _ test: ShareTest, _ place: Int, _ hasInterval: Bool
    ) -> CanaryReport.Test {
        let seen = place == 0 ? errorsSeen : latencies.seen[place - 1]
        let all = seen.reduce(.none, +)
        return CanaryReport.Test(
            measure: measure, bound: place == 0 ? nil : latencies.bounds[place - 1], stable: all.stable.share, canary: all.canary.share,
            interval: hasInterval
                ? DifferenceInterval.find(seen, worseNeeded: test.worseNeeded, withinNeeded: test.withinNeeded) : -1...1,
            margin: place == 0 ? settings.errorMargin : latencies.margins[place - 1],
            outcome: counts(measure, test) ? .worse : test.isWithin && !test.isWorse ? .within : .undecided,
            worse: (test.worse.most, test.worseNeeded), within: (test.within.most, test.withinNeeded), dispersion: test.dispersion)
    }
}

extension UInt64 {
    func addingClamped(_ other: UInt64) -> UInt64 {
        let (sum, isBeyond) = addingReportingOverflow(other)
        return isBeyond ? .max : sum
    }
}

extension Int64 {
    func subtractingClamped(_ other: Int64) -> Int64 {
        let (difference, isBeyond) = subtractingReportingOverflow(other)
        return isBeyond ? .max : difference
    }
}
