public enum CanaryVerdict: String, Sendable, CaseIterable {
    /// The canary is as good as the stable version, up to the margins.
    case promote
    /// Not decided.
    case wait
    /// The canary is worse by more than a margin.
    case rollback
    /// One of both destinations had no requests.
    case noData = "no_data"
}

/// A verdict with its evidence.
public struct CanaryReport: Sendable {
    /// One destination over all steps.
    public struct Destination: Sendable {
        public var requests: UInt64 = 0
        public var errors: UInt64 = 0
        /// Milliseconds; nil = not known.
        public var meanLatency: Double?
        public var p50, p95, p99: QuantileEstimate?

        /// 0…1; nil = there were no requests.
        public var errorRate: Double? { requests > 0 ? Double(errors) / Double(requests) : nil }
    }

    public enum Measure: String, Sendable {
        case errors
        /// Requests slower than a bound (`LatencyTests`).
        case slowLow = "slow_low"
        case slowHigh = "slow_high"
        case slowTail = "slow_tail"
    }

    public enum Outcome: String, Sendable {
        /// The canary's share is within the margin.
        case within
        /// It is beyond the margin.
        case worse
        case undecided
    }

    /// A share that was compared.
    public struct Test: Sendable {
        public var measure: Measure
        /// Milliseconds above which a request is slow; nil for errors.
        public var bound: Double?
        /// Shares over the steps in which it was compared, 0…1.
        public var stable: Double
        public var canary: Double
        /// Where the canary's share less the stable one lies, whenever somebody looks.
        public var interval: ClosedRange<Double>
        public var margin: Double
        public var outcome: Outcome
        /// Evidence that the canary is worse than the margin allows, and that it is not, each as natural logarithms: what there is and what
        /// is needed.
        public var worse: (evidence: Double, needed: Double)
        public var within: (evidence: Double, needed: Double)
        /// By what factor evidence was divided at the end because it comes in bursts, at least 1.
        public var dispersion: Double
    }

    public var verdict = CanaryVerdict.noData
    /// Why, in a sentence.
    public var reason = ""
    /// When the verdict was reached, milliseconds since 1970; nil = it is none.
    public var decidedAt: Int64?
    /// Steps with requests of both.
    public var steps = 0
    /// The ends of the first step with requests of the canary and of the last one, milliseconds since 1970; nil = there is none.
    public var begin: Int64?
    public var end: Int64?
    /// `durationMax` is over: nothing will change the verdict.
    public var isOver = false
    public var stable = Destination()
    public var canary = Destination()
    /// The canary's mean latency over the stable one in the same steps; nil = not known.
    public var meanRatio: Double?
    /// Evidence that the mean is slower by half the latency margin in most of the time, as in `Test.worse`.
    public var meanSlower: (evidence: Double, needed: Double) = (0, 0)
    public var tests: [Test] = []
    public var settings = CanarySettings()

    public init() {}
}
