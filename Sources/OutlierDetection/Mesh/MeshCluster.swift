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
    private(set) var endpoints = MeshEndpointTable()
    /// By reporter.
    private var lists: [UInt32: MeshOpinionList] = [:]
    /// Slots of which nothing that was said before this window's end counts any more.
    private var forgotten: Set<Int> = []
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
        if seen.endpoints.isEmpty { return (0, 0) }
        if lists[reporter] == nil { lists[reporter] = MeshOpinionList(reporter: reporter, group: group) }
        guard let list = lists.index(forKey: reporter) else { return (0, 0) }
        var room = MeshOpinionList.Room(endpoints: endpointsLeft, opinions: opinionsLeft)
        let beyond = lists.values[list].take(
            seen, into: &endpoints, window: window, isStale: isStale, endpointsMax: limits.endpointsPerReportMax, room: &room)
        counters.beyondLimits &+= beyond
        opinions += opinionsLeft - room.opinions
        return (endpointsLeft - room.endpoints, opinionsLeft - room.opinions)
    }

    /// The end of a window: ends ejections, judges, forgets. Returns what was decided. `standard`: detectors where the reporters name none.
    mutating func tick(
        now: MonotonicInstant, standard: MeshDetectors, reporterName: @escaping (UInt32) -> String, _ limits: MeshLimits,
        _ random: inout RandomSource
    ) -> [MeshDecision] {
        agreeOnClaims()
        let detectors = terms.detectors ?? standard
        gatherOpinions()
        // In the order of their addresses, so that the same reports lead to the same decisions.
        var order = endpoints.ordered()
        for slot in order { endIfDue(slot, now: now) }
        order.removeAll { removeIfAbsent($0, now: now) }
        let judge = MeshDetection(
            settings: settings, detectors: detectors, window: window, reporterName: reporterName, voicesMax: limits.voicesMax)
        let splits = settings.splitExternalLocalOriginErrors
        for slot in order where endpoints[slot].ejection == nil { endpoints[slot].extendRuns(splits: splits) }
        let (slow, others) = judge.measured(candidates(order))
        for one in slow { update(one.address) { $0.noteSlow() } }
        for address in others { update(address) { $0.slowWindows = 0 } }
        for suspicion in judge.suspicions(candidates(order), slow: slow) { decide(suspicion, now: now, detectors, &random) }
        let windows = Int(clamping: detectors.errorRate?.windows ?? 1)
        for slot in order { endWindow(slot, windows: windows, now: now) }
        window &+= 1
        forgetOpinions()
        claims = claims.filter { $0.value.window &+ MeshLimits.opinionWindows >= window }
        nextTick = now + Self.windowLength(settings, usualPeriodNanoseconds, limits)
        defer { decisions = [] }
        return decisions
    }

    /// Those that are not ejected.
    private func candidates(_ order: [Int]) -> [MeshDetection.Candidate] {
        order.filter { endpoints[$0].ejection == nil }.map { (endpoints.address(at: $0), endpoints[$0]) }
    }

    private mutating func update(_ address: SocketEndpoint, _ change: (inout MeshEndpoint) -> Void) {
        if let slot = endpoints.slot(of: address) { change(&endpoints[slot]) }
    }

    /// What reporters say, by endpoint, for as long as it is judged.
    private mutating func gatherOpinions() {
        for reporter in lists.keys.sorted() {
            for opinion in lists[reporter]?.opinions ?? [] { endpoints[Int(opinion.slot)].opinions.append(opinion) }
        }
    }

    private mutating func forgetOpinions() {
        opinions = 0
        for reporter in Array(lists.keys) {
            lists[reporter]?.endWindow(next: window, forgotten: forgotten)
            let left = lists[reporter]?.opinions.count ?? 0
            opinions += left
            if left == 0 { lists[reporter] = nil }
        }
        forgotten = []
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

    private mutating func endIfDue(_ slot: Int, now: MonotonicInstant) {
        guard let running = endpoints[slot].ejection, running.until <= now else { return }
        endpoints[slot].ejection = nil
        endpoints[slot].lastUnejection = now
        endpoints[slot].forgive()
        forgotten.insert(slot)
        ejected -= 1
        unejected(endpoints.address(at: slot), .timeOver, now: now)
    }

    /// Where most voices say that it left their cluster, it begins anew when it comes back. Returns whether it did.
    private mutating func removeIfAbsent(_ slot: Int, now: MonotonicInstant) -> Bool {
        guard endpoints[slot].opinions.contains(where: \.isAbsent) else { return false }
        var present = endpoints[slot].opinions
        for index in present.indices { present[index].isAbsent = false }
        let absent = Set(endpoints[slot].opinions.filter(\.isAbsent).map(\.reporter))
        guard MeshVote(present, window: window, volume: 0, agrees: { absent.contains($0.reporter) }).isCarried else { return false }
        let (address, wasEjected) = (endpoints.address(at: slot), endpoints[slot].ejection != nil)
        remove(slot)
        guard wasEjected else { return true }
        ejected -= 1
        unejected(address, .removed, now: now)
        return true
    }

    private mutating func remove(_ slot: Int) {
        endpoints.remove(slot)
        forgotten.insert(slot)
    }

    private mutating func unejected(_ address: SocketEndpoint, _ cause: UnejectionCause, now: MonotonicInstant) {
        counters.unejections &+= 1
        note(address, .unejected(cause), nil, nil, now: now)
    }

    private mutating func decide(
        _ suspicion: MeshSuspicion, now: MonotonicInstant, _ detectors: MeshDetectors, _ random: inout RandomSource
    ) {
        let (address, reason) = (suspicion.address, suspicion.reason)
        guard let slot = endpoints.slot(of: address), endpoints[slot].ejection == nil else { return }
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
        let backoff = settings.grown(endpoints[slot].backoff)
        let until = now + settings.ejectionTime(backoff: backoff) + settings.jitter(&random)
        endpoints[slot].backoff = backoff
        endpoints[slot].ejections &+= 1
        endpoints[slot].ejection = MeshEndpoint.Running(reason: reason, until: until)
        endpoints[slot].noted = [:]
        ejected += 1
        counters.ejections[Int(reason.rawValue)] &+= 1
        note(address, .ejected(until: until, ejections: endpoints[slot].ejections), reason, suspicion.evidence, now: now)
    }

    /// Counted each time, said when it begins.
    private mutating func refuse(
        _ suspicion: MeshSuspicion, _ outcome: MeshDecision.Outcome, _ counter: WritableKeyPath<MeshCounters, UInt64>, now: MonotonicInstant
    ) {
        counters[keyPath: counter] &+= 1
        guard let slot = endpoints.slot(of: suspicion.address) else { return }
        let noted = endpoints[slot].noted.updateValue((outcome, window), forKey: suspicion.reason)
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
    private mutating func endWindow(_ slot: Int, windows: Int, now: MonotonicInstant) {
        endpoints[slot].opinions = []
        endpoints[slot].endWindow(keeping: windows - 1)
        guard endpoints[slot].ejection == nil else { return }
        let backoff = endpoints[slot].backoff
        if backoff > 0 {
            if let since = endpoints[slot].lastUnejection, now.nanoseconds(since: since) >= settings.intervalNanoseconds {
                endpoints[slot].backoff -= 1
            }
            return
        }
        // Idle and without a past: nothing to remember.
        if endpoints[slot].lastSeen &+ MeshLimits.opinionWindows < window { remove(slot) }
    }
}
