internal import CanaryAnalysis
internal import Primitives
internal import PromQL
internal import Synchronization
public import TelemetryWire

/// Judges the canaries that somebody asked to have watched, as their series come in, and shows verdicts as metrics and in the log. It
/// changes nothing.
///
/// Each look reads only what is new. A canary begins with its first request. It is done when one of both had no requests for ten
/// minutes, or when the configuration names others; the next one begins anew. Any thread.
public final class CanaryWatch: Sendable {
    public static let questionsMax = 16
    /// A canary without requests, or without those of a stable version beside it, is gone. Milliseconds.
    static let quiet: Int64 = 600_000
    /// Steps that are read at once, and how often in a look; what a look leaves the next one reads.
    static let stepsMax = 360
    static let readingsMax = 16

    private struct Watched {
        let question: CanaryQuestion
        /// Milliseconds.
        let step: Int64
        var judge: CanaryJudge
        var pair: CanaryPair?
        /// Of the judge.
        var bounds: [Double] = []
        /// The end of the last step that was read, milliseconds since 1970.
        var through: Int64
        /// The last step with requests of both, or the canary's first. Nil = there is no canary.
        var lastRequests: Int64?
        var report = CanaryReport()
        var problem: String?
        var failures: UInt64 = 0

        init(_ question: CanaryQuestion, from start: Int64) {
            self.question = question
            judge = CanaryJudge(bounds: [], question.settings)
            step = question.stepLength(over: question.settings.durationMax)
            through = start - start % step
        }

        /// There is no canary any more.
        mutating func end() {
            judge = CanaryJudge(bounds: [], question.settings)
            (pair, bounds, lastRequests, report) = (nil, [], nil, CanaryReport())
        }
    }

    private let store: any SeriesQuerying
    private let routes: @Sendable (String) -> [WeightedRoute]
    private let say: @Sendable (String) -> Void
    private let watched: Mutex<[Watched]>
    /// A look that meets another one leaves the work to it.
    private let isLooking = Mutex(false)

    /// `questions`: `questionsMax` at most. `now`: milliseconds since 1970; as much time before it is looked at as a canary is judged, so
    /// that a restart does not forget one.
    public init(
        _ questions: [CanaryQuestion], store: any SeriesQuerying, routes: @escaping @Sendable (String) -> [WeightedRoute], now: Int64,
        say: @escaping @Sendable (String) -> Void
    ) {
        self.store = store
        self.routes = routes
        self.say = say
        watched = Mutex(questions.prefix(Self.questionsMax).map { Watched($0, from: max(0, now - $0.settings.durationMax)) })
    }

    /// Reads what is new. Blocks on the disk. `now`: milliseconds since 1970.
    public func look(now: Int64) {
        let isAlone = isLooking.withLock { isLooking in
            defer { isLooking = true }
            return !isLooking
        }
        guard isAlone else { return }
        defer { isLooking.withLock { $0 = false } }
        let count = watched.withLock { $0.count }
        for place in 0..<count {
            var one = watched.withLock { $0[place] }
            do {
                var readings = 0
                while readings < Self.readingsMax, try look(&one, now: now) { readings += 1 }
                one.problem = nil
            } catch let problem as CanaryProblem {
                // The configuration has no such canary now; it may have one later, and what was before then is none of it.
                one.end()
                one.through = max(one.through, now - now % one.step - one.step)
                note(problem.text, &one)
            } catch {
                note((error as? PromQLError)?.message ?? "\(error)", &one)
                one.failures &+= 1
            }
            watched.withLock { [one] in $0[place] = one }
        }
    }

    /// Said when it is new.
    private func note(_ problem: String, _ one: inout Watched) {
        if one.problem == nil { say("canary of \(one.question.title) is not judged: \(problem)") }
        one.problem = problem
    }

    /// False when nothing is new.
    private func look(_ one: inout Watched, now: Int64) throws -> Bool {
        let step = one.step
        let count = (now - step - one.through) / step
        guard count > 0 else { return false }
        let window = StepWindow(start: one.through, length: step, count: Int(clamping: min(count, Int64(Self.stepsMax))))
        let deadline = SystemClock.monotonicNow() + CanaryAPI.timeoutMilliseconds * 1_000_000
        let reader = CanaryReader(store: store, routes: routes) { SystemClock.monotonicNow() >= deadline ? .timedOut : nil }
        let comparison = try reader.read(one.question, window, known: one.pair)
        one.through = window.end
        let before = one.report.verdict
        if let comparison { take(comparison, &one) }
        if let last = one.lastRequests, one.through - last > Self.quiet {
            if one.report.verdict == .wait { say("canary of \(one.question.title) ended without a verdict: \(one.report.reason)") }
            one.end()
            return true
        }
        let report = one.report
        if report.verdict != before, report.verdict == .promote || report.verdict == .rollback {
            say("canary of \(one.question.title): \(report.verdict.rawValue), \(report.reason)")
        }
        return true
    }

    private func take(_ comparison: CanaryReader.Comparison, _ one: inout Watched) {
        if one.pair != comparison.pair {
            one.end()
            guard let first = comparison.steps.first(where: { $0.canary.requests > 0 }) else { return }
            one.lastRequests = first.end
            one.pair = comparison.pair
            one.bounds = comparison.bounds
            one.judge = CanaryJudge(bounds: comparison.bounds, one.question.settings)
        }
        for step in comparison.steps {
            one.judge.observe(step.rebucketed(from: comparison.bounds, to: one.bounds))
            if step.canary.requests > 0, step.stable.requests > 0 { one.lastRequests = step.end }
        }
        one.report = one.judge.report(hasIntervals: false)
    }

    /// For `/metrics`. Series are bounded by `questionsMax`.
    public func metricSamples() -> [MetricSamples] {
        let all = watched.withLock { $0 }
        guard !all.isEmpty else { return [] }
        typealias Samples = [MetricSamples.Sample]
        func family(_ name: String, _ help: String, _ kind: MetricKind = .gauge, _ samples: (Watched) -> Samples) -> MetricSamples {
            MetricSamples(name: name, help: help, kind: kind, samples: all.flatMap(samples))
        }
        func sample(_ one: Watched, _ labels: [(name: String, value: String)], _ value: Double?) -> Samples {
            value.map { [MetricSamples.Sample(labels: [("canary", one.question.title)] + labels, value: $0)] } ?? []
        }
        func sides(_ one: Watched, _ value: (CanaryReport.Destination) -> Double?) -> Samples {
            sample(one, [("destination", "stable")], value(one.report.stable))
                + sample(one, [("destination", "canary")], value(one.report.canary))
        }
        return [
            family("skein_canary_verdict", "1 for the verdict that a watched canary has.") { one in
                CanaryVerdict.allCases.flatMap { sample(one, [("verdict", $0.rawValue)], one.report.verdict == $0 ? 1 : 0) }
            },
            family("skein_canary_requests", "Requests that the verdict is about.") { one in sides(one) { Double($0.requests) } },
            family("skein_canary_error_ratio", "Share of these that failed.") { one in sides(one) { $0.errorRate } },
            family("skein_canary_latency_p95_seconds", "95th percentile of their latency.") { one in
                sides(one) { $0.p95.map { $0.value / 1000 } }
            },
            family("skein_canary_evidence_ratio", "Evidence on a measure, over what a verdict needs; from 1 on it is certain.") { one in
                one.report.tests.flatMap { test in
                    sample(one, [("measure", test.measure.rawValue), ("for", "worse")], test.worse.evidence / test.worse.needed)
                        + sample(one, [("measure", test.measure.rawValue), ("for", "within")], test.within.evidence / test.within.needed)
                }
            },
            family("skein_canary_look_failures_total", "Looks that could not read what they needed.", .counter) { one in
                sample(one, [], Double(one.failures))
            },
        ].filter { !$0.samples.isEmpty }
    }
}

extension CanaryStep {
    /// The same step with the buckets of other bounds, both ascending: what lies between two of them counts at the next one.
    func rebucketed(from bounds: [Double], to others: [Double]) -> CanaryStep {
        guard bounds != others else { return self }
        func counted(_ counts: DestinationCounts) -> DestinationCounts {
            var result = counts
            result.buckets = Array(repeating: 0, count: others.count + 1)
            for (index, count) in counts.buckets.enumerated() {
                let bound = index < bounds.count ? bounds[index] : .infinity
                result.buckets[others.firstIndex { $0 >= bound } ?? others.count] += count
            }
            return result
        }
        var result = self
        (result.stable, result.canary) = (counted(stable), counted(canary))
        return result
    }
}
