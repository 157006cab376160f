public import Primitives

/// What becomes of one report.
public enum MeshIntake: Hashable, Sendable {
    case taken
    /// It came before, or a later one did.
    case repeated
    /// There are as many reporters as `MeshLimits.reportersMax`.
    case beyondLimits
}

/// Mesh-wide outlier detection: what all proxies saw in, ejections with their arithmetic out (docs/outliers.md).
///
/// Pure: virtual time, draws from the seed. Times of reporters are not asked for; a window is the judge's own. A value; whoever shares it
/// between threads locks it.
public struct MeshJudge: Sendable {
    private struct Reporter: Sendable {
        let number: UInt32
        let group: UInt32
        var sequence: UInt64
        var lastReport: MonotonicInstant
    }

    public let limits: MeshLimits
    /// Of clusters whose reporters name none.
    public var detectors: MeshDetectors
    /// Drawn at the start, so that a proxy knows a collector that began anew from the one it had.
    public let epoch: UInt64
    /// Grows with every change of any ejection.
    public private(set) var generation: UInt64 = 1
    private var clusters: [String: MeshCluster] = [:]
    private var reporters: [String: Reporter] = [:]
    private var names: [UInt32: String] = [:]
    private var groups: [String: UInt32] = [:]
    private var numbersGiven: UInt32 = 0
    private var counted = MeshCounters()
    /// Of all clusters.
    private var endpoints = 0
    private var opinions = 0
    private var history: MeshHistory
    private var random: RandomSource

    public init(seed: UInt64, epoch: UInt64, detectors: MeshDetectors = MeshDetectors(), limits: MeshLimits = MeshLimits()) {
        self.epoch = epoch
        self.detectors = detectors
        self.limits = limits
        history = MeshHistory(decisionsMax: limits.decisionsMax)
        random = RandomSource(seed: seed)
    }

    // MARK: In

    /// Takes a report. Cost: what is in it.
    public mutating func take(_ report: MeshReport, now: MonotonicInstant) -> MeshIntake {
        if let known = reporters[report.reporter] {
            reporters[report.reporter]?.lastReport = now
            guard report.sequence > known.sequence else {
                counted.reportsRepeated &+= 1
                return .repeated
            }
            reporters[report.reporter]?.sequence = report.sequence
        } else if !welcome(report, now: now) {
            counted.beyondLimits &+= 1
            return .beyondLimits
        }
        guard let reporter = reporters[report.reporter] else { return .beyondLimits }
        counted.reports &+= 1
        let reported = report.clusters.span
        for place in 0..<min(reported.count, limits.clustersPerReportMax) {
            let name = reported[place].name
            var known = clusters.index(forKey: name)
            if known == nil {
                guard clusters.count < limits.clustersMax else {
                    counted.beyondLimits &+= 1
                    continue
                }
                clusters[name] = MeshCluster(
                    reported[place], periodNanoseconds: report.periodNanoseconds, now: now, limits)
                known = clusters.index(forKey: name)
            }
            guard let known else { continue }
            let added = clusters.values[known].take(
                reported[place], reporter: reporter.number, group: reporter.group, periodNanoseconds: report.periodNanoseconds,
                endpointsLeft: limits.endpointsMax - endpoints, opinionsLeft: limits.opinionsMax - opinions, limits)
            endpoints += added.endpoints
            opinions += added.opinions
        }
        return .taken
    }

    private mutating func welcome(_ report: MeshReport, now: MonotonicInstant) -> Bool {
        guard reporters.count < limits.reportersMax else { return false }
        numbersGiven &+= 1
        let number = numbersGiven
        var group = number
        if let principal = report.principal {
            group = groups[principal] ?? number
            groups[principal] = group
        }
        names[number] = report.reporter
        reporters[report.reporter] = Reporter(number: number, group: group, sequence: report.sequence, lastReport: now)
        return true
    }

    // MARK: Judging

    /// Ends the windows that are due; a late call ends a cluster's window once.
    /// - Returns: What was decided.
    @discardableResult
    public mutating func tick(now: MonotonicInstant) -> [MeshDecision] {
        var all: [MeshDecision] = []
        let names = names
        let due = clusters.values.filter { $0.nextTick <= now }.map(\.name).sorted()
        for name in due {
            let decisions = clusters[name]?.tick(
                now: now, standard: detectors, reporterName: { names[$0] ?? "a reporter that left" }, limits, &random) ?? []
            for decision in decisions {
                history.append(decision)
                switch decision.outcome {
                case .ejected, .unejected: generation &+= 1
                default: break
                }
            }
            all += decisions
            if let cluster = clusters[name], cluster.isAbandoned {
                counted += cluster.counters
                clusters[name] = nil
            }
        }
        if !due.isEmpty {
            forgetSilentReporters(now: now)
            endpoints = clusters.values.reduce(0) { $0 + $1.endpoints.count }
            opinions = clusters.values.reduce(0) { $0 + $1.opinions }
        }
        return all
    }

    private mutating func forgetSilentReporters(now: MonotonicInstant) {
        let silent = reporters.filter { now.nanoseconds(since: $0.value.lastReport) > limits.silenceNanoseconds }
        guard !silent.isEmpty else { return }
        for (name, reporter) in silent {
            reporters[name] = nil
            names[reporter.number] = nil
        }
        let used = Set(reporters.values.map(\.group))
        groups = groups.filter { used.contains($0.value) }
    }

    // MARK: Out

    /// The ejections that concern a reporter: those of clusters it has reported. Times left are from `now`.
    public func word(for reporter: String, now: MonotonicInstant) -> MeshWord {
        var word = MeshWord(epoch: epoch, generation: generation)
        guard let number = reporters[reporter]?.number else { return word }
        for cluster in clusters.values where cluster.ejected > 0 && cluster.isClaimed(by: number) {
            for ejection in Self.ejections(of: cluster) {
                word.ejections.append(
                    MeshWord.Ejection(
                        cluster: cluster.name, endpoint: ejection.endpoint, reason: ejection.reason,
                        nanosecondsLeft: ejection.until.nanoseconds(since: now)))
            }
        }
        return word
    }

    public struct Running: Hashable, Sendable {
        public var cluster: String
        public var endpoint: SocketEndpoint
        public var reason: EjectionReason
        /// The earliest end; the real one is the end of the window.
        public var until: MonotonicInstant
        public var ejections: UInt32
    }

    /// All ejections that run, ordered by cluster and address.
    public var ejections: [Running] {
        clusters.values.sorted { $0.name < $1.name }.flatMap { Self.ejections(of: $0) }
    }

    private static func ejections(of cluster: MeshCluster) -> [Running] {
        cluster.endpoints.ordered { $0.ejection != nil }.compactMap { slot in
            let (address, endpoint) = (cluster.endpoints.address(at: slot), cluster.endpoints[slot])
            return endpoint.ejection.map {
                Running(cluster: cluster.name, endpoint: address, reason: $0.reason, until: $0.until, ejections: endpoint.ejections)
            }
        }
    }

    /// Decisions of the last hour, oldest first.
    public func decisions(now: MonotonicInstant) -> [MeshDecision] {
        let since = now.nanoseconds > limits.historyNanoseconds ? now.nanoseconds - limits.historyNanoseconds : 0
        return history.decisions(since: MonotonicInstant(nanoseconds: since))
    }

    public var counters: MeshCounters {
        clusters.values.reduce(into: counted) { $0 += $1.counters }
    }

    public struct Size: Hashable, Sendable {
        public var reporters, clusters, endpoints, opinions, ejected: Int
    }

    public var size: Size {
        Size(
            reporters: reporters.count, clusters: clusters.count, endpoints: endpoints, opinions: opinions,
            ejected: clusters.values.reduce(0) { $0 + $1.ejected })
    }
}
