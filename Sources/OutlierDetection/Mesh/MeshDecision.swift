public import Primitives

/// Why an endpoint is suspected, in numbers.
public struct MeshEvidence: Hashable, Sendable {
    /// What was measured: errors, percent or milliseconds, as the reason has it.
    public var value: Double
    /// What it was held against, in the same unit.
    public var threshold: Double
    /// Attempts, or requests for latencies, that the value is made of.
    public var volume: UInt64
    /// Windows that the error rate was measured over, or in which the endpoint was slow.
    public var windows: UInt64 = 1
    /// Reporters with a say, and those of them that agree.
    public var reporters = 0
    public var agreeing = 0
    /// The same by voice: reporters of one principal have one together.
    public var voices = 0
    public var voicesAgreeing = 0
    /// What each said, those that agree first; at most `MeshLimits.voicesMax`.
    public var sayings: [Saying] = []

    public struct Saying: Hashable, Sendable {
        public var reporter: String
        public var agrees: Bool
        public var counts: AttemptCounts
        /// The reporter's local detection had ejected the endpoint.
        public var ejected: EjectionReason?
    }
}

/// One decision of the mesh-wide judge with its arithmetic.
public struct MeshDecision: Sendable {
    public enum Outcome: Hashable, Sendable {
        /// `ejections`: of this endpoint so far, this one included.
        case ejected(until: MonotonicInstant, ejections: UInt32)
        /// Detected, and too few reporters agree.
        case outvoted
        /// Fewer have a say than the detectors' `voicesMin`.
        case tooFewReporters
        case preventedByMaxEjectionPercent
        case preventedByMinHealthPercent
        case notEnforced
        case unejected(UnejectionCause)
    }

    /// Position in the endless sequence of decisions.
    public var sequence: UInt64
    public var at: MonotonicInstant
    public var cluster: String
    public var endpoint: SocketEndpoint
    public var outcome: Outcome
    /// Nil for the end of an ejection.
    public var reason: EjectionReason?
    public var evidence: MeshEvidence?
    /// Endpoints of the cluster, and those ejected once this was decided.
    public var hosts: Int
    public var ejected: Int
}

extension MeshDecision.Outcome {
    /// One word for tables, JSON and labels.
    public var name: String {
        switch self {
        case .ejected: "ejected"
        case .outvoted: "outvoted"
        case .tooFewReporters: "too_few_reporters"
        case .preventedByMaxEjectionPercent: "max_ejection_percent"
        case .preventedByMinHealthPercent: "min_health_percent"
        case .notEnforced: "not_enforced"
        case .unejected: "unejected"
        }
    }
}

extension MeshEvidence {
    /// The arithmetic in a sentence.
    public func text(_ reason: EjectionReason) -> String {
        func number(_ value: Double) -> String { "\((value * 10).rounded() / 10)" }
        // The sum of what reporters claim may be beyond what an integer holds.
        func count(_ value: Double) -> String { UInt64(exactly: value.rounded()).map { "\($0)" } ?? "\(value)" }
        let measured = switch reason {
        case .consecutive5xx, .consecutiveGatewayFailure, .consecutiveLocalOriginFailure:
            "\(count(value)) failures without a success between them, threshold \(count(threshold))"
        case .successRate, .localOriginSuccessRate:
            "success rate \(number(value)) % is below \(number(threshold)) % (mean less deviation of the cluster)"
        case .failurePercentage, .localOriginFailurePercentage: "\(number(value)) % failures, threshold \(number(threshold)) %"
        case .errorRate: "\(number(value)) % failures in \(windows) window\(windows == 1 ? "" : "s"), threshold \(number(threshold)) %"
        case .latency:
            "95th percentile \(number(value)) ms, threshold \(number(threshold)) ms (from the median of its peers)"
                + (windows > 1 ? ", \(windows) windows in a row" : "")
        }
        let agreement = "\(agreeing) of \(reporters) reporters agree"
        let voices = voices == reporters ? "" : " (\(voicesAgreeing) of \(self.voices) identities)"
        return "\(measured); volume \(volume); \(agreement)\(voices)"
    }
}

/// The last decisions, a bounded number: as many ejections and ends of them as suspicions that came to nothing, which are more frequent
/// and must not displace what explains an outage.
struct MeshHistory: Sendable {
    private struct Ring: Sendable {
        var decisions: [MeshDecision] = []
        /// Where the next one goes once the ring is full.
        var next = 0

        mutating func append(_ decision: MeshDecision, most: Int) {
            if decisions.count < most { return decisions.append(decision) }
            decisions[next] = decision
            next = (next + 1) % most
        }
    }

    private var ejections = Ring()
    private var suspicions = Ring()
    private var logged: UInt64 = 0
    private let decisionsMax: Int

    init(decisionsMax: Int) { self.decisionsMax = max(1, decisionsMax) }

    mutating func append(_ decision: MeshDecision) {
        var decision = decision
        decision.sequence = logged
        logged &+= 1
        switch decision.outcome {
        case .ejected, .unejected: ejections.append(decision, most: decisionsMax)
        default: suspicions.append(decision, most: decisionsMax)
        }
    }

    /// Those since `since`, oldest first.
    func decisions(since: MonotonicInstant) -> [MeshDecision] {
        (ejections.decisions + suspicions.decisions).filter { $0.at >= since }.sorted { $0.sequence < $1.sequence }
    }
}

/// What the mesh-wide judge took, left out and decided, since it began.
public struct MeshCounters: Hashable, Sendable {
    public var reports: UInt64 = 0
    /// Reports whose number was not above their reporter's last.
    public var reportsRepeated: UInt64 = 0
    /// Clusters of reports that covered too long a time to say how things are now.
    public var clustersStale: UInt64 = 0
    /// Reporters, clusters, endpoints and opinions beyond `MeshLimits`.
    public var beyondLimits: UInt64 = 0
    public var unejections: UInt64 = 0
    /// Index = `EjectionReason.rawValue`, unit = decisions.
    public var ejections = [UInt64](repeating: 0, count: EjectionReason.allCases.count)
    public var outvoted: UInt64 = 0
    public var tooFewReporters: UInt64 = 0
    public var preventedByMaxEjectionPercent: UInt64 = 0
    public var preventedByMinHealthPercent: UInt64 = 0
    public var notEnforced: UInt64 = 0

    public init() {}

    public static func += (left: inout MeshCounters, right: MeshCounters) {
        left.reports &+= right.reports
        left.reportsRepeated &+= right.reportsRepeated
        left.clustersStale &+= right.clustersStale
        left.beyondLimits &+= right.beyondLimits
        left.unejections &+= right.unejections
        for index in left.ejections.indices { left.ejections[index] &+= right.ejections[index] }
        left.outvoted &+= right.outvoted
        left.tooFewReporters &+= right.tooFewReporters
        left.preventedByMaxEjectionPercent &+= right.preventedByMaxEjectionPercent
        left.preventedByMinHealthPercent &+= right.preventedByMinHealthPercent
        left.notEnforced &+= right.notEnforced
    }
}
