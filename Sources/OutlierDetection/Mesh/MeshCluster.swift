internal import Primitives

/// One cluster over all its reporters: observations in, decisions out, window by window. Pure.
struct MeshCluster: Sendable {
    /// What a reporter says of the cluster as such.
    private struct Claim: Sendable {
        var hosts: UInt64
        var terms: Terms
        var periodNanoseconds: UInt64
        var window: UInt64
    }

    /// By which a reporter wants the cluster judged.
    struct Terms: Hashable, Sendable {
        var settings: OutlierSettings
        /// Nil = the collector's.
        var detectors: MeshDetectors?
    }

    let name: String
    private(set) var endpoints: [SocketEndpoint: MeshEndpoint] = [:]
    private var claims: [UInt32: Claim] = [:]
    /// Those that most reporters have; of several with as many, the one that is in use.
    private(set) var terms: Terms
    /// What reporters say in the middle, so that a few cannot make the cluster larger than it is.
    private(set) var hosts = 0
    private(set) var ejected = 0
    private(set) var opinions = 0
    /// Number of the window that runs.
    private(set) var window: UInt64 = 0
    private(set) var nextTick: MonotonicInstant
    private(set) var counters = MeshCounters()
    private var decisions: [MeshDecision] = []
    /// Of reports, the one in the middle, as of the last agreement.
    private var usualPeriodNanoseconds: UInt64 = 0
    /// Reporters of the last agreement.
    private var claimsAgreed = 0

    /// As the first report says; its endpoints are not taken.
    init(_ seen: MeshReport.Cluster, periodNanoseconds: UInt64, now: MonotonicInstant, _ limits: MeshLimits) {
        name = seen.name
        terms = Terms(settings: seen.settings, detectors: seen.detectors?.bounded)
        nextTick = now + Self.windowLength(seen.settings, periodNanoseconds, limits)
    }

    private var settings: OutlierSettings { terms.settings }

    var isAbandoned: Bool { claims.isEmpty && ejected == 0 }

    func isClaimed(by reporter: UInt32) -> Bool { claims[reporter] != nil }

    /// The detection's interval, or that of reports where it is longer.
    private static func windowLength(_ settings: OutlierSettings, _ periodNanoseconds: UInt64, _ limits: MeshLimits) -> UInt64 {
        min(max(settings.intervalNanoseconds, periodNanoseconds, limits.windowNanosecondsMin), limits.windowNanosecondsMax)
    }

    /// Adds what a reporter saw. `endpointsLeft`, `opinionsLeft`: how many more there may be of all clusters. Returns how many more there
    /// are.
    mutating func take(
        _ seen: borrowing MeshReport.Cluster, reporter: UInt32, group: UInt32, periodNanoseconds: UInt64, endpointsLeft: Int,
        opinionsLeft: Int, _ limits: MeshLimits
    ) -> (endpoints: Int, opinions: Int) {
        let (endpointsBefore, opinionsBefore) = (endpoints.count, opinions)
        // A report that waited for an outage to end says how things were; how long reports usually cover, the others say.
        let length = Self.windowLength(settings, usualPeriodNanoseconds, limits)
        let isStale = !claims.isEmpty && periodNanoseconds / limits.windowsPerReportMax > length
        claims[reporter] = Claim(
            hosts: min(seen.hosts, UInt64(limits.endpointsMax)),
            terms: Terms(settings: seen.settings, detectors: seen.detectors?.bounded),
            periodNanoseconds: isStale ? length : periodNanoseconds, window: window)
        // The first one makes the cluster; those that come before its first tick may be many, and are as good.
        if window == 0, claims.count >= 2 * claimsAgreed { agreeOnClaims() }
        if isStale { counters.clustersStale &+= 1 }
        var endpointsLeft = endpointsLeft
        var opinionsLeft = opinionsLeft
        var hint = 0
        for place in seen.endpoints.indices.prefix(limits.endpointsPerReportMax) {
            let address = seen.endpoints[place].address
            var known = endpoints.index(forKey: address)
            if known == nil {
                // Whoever was never there cannot have left.
                if seen.endpoints[place].isAbsent { continue }
                guard endpointsLeft > 0 else {
                    counters.beyondLimits &+= 1
                    continue
                }
                endpointsLeft -= 1
                endpoints[address] = MeshEndpoint()
                known = endpoints.index(forKey: address)
            }
            guard let known else { continue }
            // Of a stale one, only what local detection has out is so now.
            let isThere = endpoints.values[known].take(
                seen.endpoints[place], reporter: reporter, group: group, window: window, isStale: isStale, mayAdd: opinionsLeft > 0,
                hint: &hint)
            if isThere { continue }
            if opinionsLeft > 0 {
                opinionsLeft -= 1
                opinions += 1
            } else {
                counters.beyondLimits &+= 1
            }
        }
        return (endpoints.count - endpointsBefore, opinions - opinionsBefore)
    }

    /// The end of a window: ends ejections, judges, forgets. Returns what was decided. `standard`: detectors where the reporters name none.
    mutating func tick(
        now: MonotonicInstant, standard: MeshDetectors, reporterName: @escaping (UInt32) -> String, _ limits: MeshLimits,
        _ random: inout RandomSource
    ) -> [MeshDecision] {
        agreeOnClaims()
        let detectors = terms.detectors ?? standard
        // In the order of their addresses, so that the same reports lead to the same decisions.
        let order = endpoints.keys.sorted(by: SocketEndpoint.isOrdered)
        for address in order { endIfDue(address, now: now) }
        for address in order { removeIfAbsent(address, now: now) }
        let judge = MeshDetection(
            settings: settings, detectors: detectors, window: window, reporterName: reporterName, voicesMax: limits.voicesMax)
        let splits = settings.splitExternalLocalOriginErrors
        for address in order where endpoints[address]?.ejection == nil {
            endpoints[address]?.extendRuns(splits: splits)
        }
        let (slow, others) = judge.measured(candidates(order))
        for one in slow { endpoints[one.address]?.noteSlow() }
        for address in others { endpoints[address]?.slowWindows = 0 }
        for suspicion in judge.suspicions(candidates(order), slow: slow) { decide(suspicion, now: now, detectors, &random) }
        let windows = Int(clamping: detectors.errorRate?.windows ?? 1)
        for address in order { endWindow(address, windows: windows, now: now) }
        window &+= 1
        opinions = endpoints.values.reduce(0) { $0 + $1.opinions.count }
        claims = claims.filter { $0.value.window &+ MeshLimits.opinionWindows >= window }
        nextTick = now + Self.windowLength(settings, usualPeriodNanoseconds, limits)
        defer { decisions = [] }
        return decisions
    }

    /// Those that are not ejected.
    private func candidates(_ order: [SocketEndpoint]) -> [MeshDetection.Candidate] {
        order.compactMap { address in endpoints[address].flatMap { $0.ejection == nil ? (address, $0) : nil } }
    }

    private mutating func agreeOnClaims() {
        guard !claims.isEmpty else { return }
        claimsAgreed = claims.count
        let periods = claims.values.map(\.periodNanoseconds).sorted()
        usualPeriodNanoseconds = periods[(periods.count - 1) / 2]
        let hosts = claims.values.map(\.hosts).sorted()
        self.hosts = Int(clamping: hosts[(hosts.count - 1) / 2])
        var votes: [Terms: Int] = [:]
        for claim in claims.values { votes[claim.terms, default: 0] += 1 }
        let most = votes.values.max() ?? 0
        if votes[terms] != most {
            // Of several, the one with the smallest number, so that it does not depend on the order of a hash table.
            let first = claims.filter { votes[$0.value.terms] == most }.min { $0.key < $1.key }
            terms = first?.value.terms ?? terms
        }
    }

    // MARK: Ejections

    private mutating func endIfDue(_ address: SocketEndpoint, now: MonotonicInstant) {
        guard let running = endpoints[address]?.ejection, running.until <= now else { return }
        endpoints[address]?.ejection = nil
        endpoints[address]?.lastUnejection = now
        endpoints[address]?.forgive()
        ejected -= 1
        unejected(address, .timeOver, now: now)
    }

    /// Where most voices say that it left their cluster, it begins anew when it comes back.
    private mutating func removeIfAbsent(_ address: SocketEndpoint, now: MonotonicInstant) {
        guard let endpoint = endpoints[address], endpoint.opinions.contains(where: \.isAbsent) else { return }
        var present = endpoint.opinions
        for index in present.indices { present[index].isAbsent = false }
        let absent = Set(endpoint.opinions.filter(\.isAbsent).map(\.reporter))
        guard MeshVote(present, window: window, volume: 0, agrees: { absent.contains($0.reporter) }).isCarried else { return }
        endpoints[address] = nil
        guard endpoint.ejection != nil else { return }
        ejected -= 1
        unejected(address, .removed, now: now)
    }

    private mutating func unejected(_ address: SocketEndpoint, _ cause: UnejectionCause, now: MonotonicInstant) {
        counters.unejections &+= 1
        note(address, .unejected(cause), nil, nil, now: now)
    }

    private mutating func decide(
        _ suspicion: MeshSuspicion, now: MonotonicInstant, _ detectors: MeshDetectors, _ random: inout RandomSource
    ) {
        let (address, reason) = (suspicion.address, suspicion.reason)
        guard endpoints[address]?.ejection == nil else { return }
        guard suspicion.isCarried else { return refuse(suspicion, .outvoted, \.outvoted, now: now) }
        guard UInt64(suspicion.evidence.voices) >= detectors.voicesMin else {
            return refuse(suspicion, .tooFewReporters, \.tooFewReporters, now: now)
        }
        guard settings.allowsEjection(ejected: ejected, hosts: hosts) else {
            return refuse(suspicion, .preventedByMaxEjectionPercent, \.preventedByMaxEjectionPercent, now: now)
        }
        guard !settings.panics(available: hosts - ejected - 1, hosts: hosts) else {
            return refuse(suspicion, .preventedByMinHealthPercent, \.preventedByMinHealthPercent, now: now)
        }
        let enforcement = detectors.enforcement(of: reason, settings)
        guard enforcement >= 100 || enforcement > 0 && random.below(100) < enforcement else {
            return refuse(suspicion, .notEnforced, \.notEnforced, now: now)
        }
        let backoff = settings.grown(endpoints[address]?.backoff ?? 0)
        let until = now + settings.ejectionTime(backoff: backoff) + settings.jitter(&random)
        endpoints[address]?.backoff = backoff
        endpoints[address]?.ejections &+= 1
        endpoints[address]?.ejection = MeshEndpoint.Running(reason: reason, until: until)
        endpoints[address]?.noted = [:]
        ejected += 1
        counters.ejections[Int(reason.rawValue)] &+= 1
        let count = endpoints[address]?.ejections ?? 1
        note(address, .ejected(until: until, ejections: count), reason, suspicion.evidence, now: now)
    }

    /// Counted each time, said when it begins.
    private mutating func refuse(
        _ suspicion: MeshSuspicion, _ outcome: MeshDecision.Outcome, _ counter: WritableKeyPath<MeshCounters, UInt64>, now: MonotonicInstant
    ) {
        counters[keyPath: counter] &+= 1
        let noted = endpoints[suspicion.address]?.noted[suspicion.reason]
        endpoints[suspicion.address]?.noted[suspicion.reason] = (outcome, window)
        if let noted, noted.outcome == outcome, window <= noted.window &+ MeshLimits.opinionWindows { return }
        note(suspicion.address, outcome, suspicion.reason, suspicion.evidence, now: now)
    }

    private mutating func note(
        _ address: SocketEndpoint, _ outcome: MeshDecision.Outcome, _ reason: EjectionReason?, _ evidence: MeshEvidence?,
        now: MonotonicInstant
    ) {
        decisions.append(
            MeshDecision(
                sequence: 0, at: now, cluster: name, endpoint: address, outcome: outcome, reason: reason, evidence: evidence, hosts: hosts,
                ejected: ejected))
    }

    /// `windows`: that the error rate looks at.
    private mutating func endWindow(_ address: SocketEndpoint, windows: Int, now: MonotonicInstant) {
        guard let endpoint = endpoints[address] else { return }
        endpoints[address]?.endWindow(keeping: windows - 1)
        endpoints[address]?.opinions.removeAll { !$0.holds(at: window &+ 1) }
        guard endpoint.ejection == nil else { return }
        if endpoint.backoff > 0, let since = endpoint.lastUnejection, now.nanoseconds(since: since) >= settings.intervalNanoseconds {
            endpoints[address]?.backoff -= 1
        }
        // Idle and without a past: nothing to remember.
        if endpoint.backoff == 0, endpoint.lastSeen &+ MeshLimits.opinionWindows < window { endpoints[address] = nil }
    }
}

extension SocketEndpoint {
    static func isOrdered(_ left: SocketEndpoint, _ right: SocketEndpoint) -> Bool {
        (left.high, left.low, left.port) < (right.high, right.low, right.port)
    }
}
