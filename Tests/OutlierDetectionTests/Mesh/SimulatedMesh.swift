import OutlierDetection
import Primitives
import TelemetryModel

/// One collector of `SimulatedMesh`; one that starts again knows nothing and has another epoch.
struct SimulatedCollector {
    private(set) var judge: MeshJudge
    var isUp = true
    private var starts: UInt64 = 0
    private let number: UInt64
    private let detectors: MeshDetectors

    init(number: UInt64, detectors: MeshDetectors) {
        self.number = number
        self.detectors = detectors
        judge = MeshJudge(seed: number, epoch: number * 1000, detectors: detectors)
    }

    mutating func restart() {
        starts += 1
        isUp = true
        judge = MeshJudge(seed: number, epoch: number * 1000 + starts, detectors: detectors)
    }

    /// What `OutlierService.take` does.
    mutating func take(_ report: MeshReport, epoch: UInt64, generation: UInt64, now: MonotonicInstant) -> MeshWord {
        judge.tick(now: now)
        _ = judge.take(report, now: now)
        guard judge.epoch == epoch, judge.generation == generation else { return judge.word(for: report.reporter, now: now) }
        var word = MeshWord(epoch: epoch, generation: generation)
        word.isUnchanged = true
        return word
    }

    mutating func tick(now: MonotonicInstant) { if isUp { judge.tick(now: now) } }
}

/// One proxy: its local detection, what it has seen since its last report, and what it makes of the collector's words. Times that it is
/// given are its own clock's.
struct SimulatedProxy {
    /// What one endpoint does with the proxy's attempts in each second.
    struct Behaviour {
        var outcomes: [(AttemptOutcome, count: Int)] = []
        var milliseconds: UInt64 = 1
    }

    static let cluster = ClusterKey(7)
    let name: String
    let principal: String?
    let state = UpstreamState(clustersMax: 4, endpointsMax: 32)
    let judge: OutlierJudge
    private(set) var follower: MeshFollower
    private(set) var slots: [String: EndpointSlot] = [:]
    var behaviours: [String: Behaviour] = [:]
    /// Says of every endpoint this, whatever it sees.
    var lie: (AttemptCounts, endpoints: Int)?
    /// The network, and the collectors that its reports go to, in turns.
    var isCut = false
    var collectors: [Int] = [0]
    /// The next reports are sent so many times.
    var copies = 1
    /// Ahead of the others' clocks.
    var clockNanoseconds: UInt64 = 0
    private let settings: OutlierSettings
    private let detectors: MeshDetectors?
    private var seen: [EndpointSlot: (counts: AttemptCounts, local: UInt64)] = [:]
    private var latency: [String: LatencyCounts] = [:]
    private var word: [MeshWord.Ejection] = []
    private var lastReport: MonotonicInstant
    private var sequence: UInt64 = 0
    /// A report that has no answer is sent again before the next.
    private var unanswered: MeshReport?

    init(
        _ name: String, principal: String?, _ settings: OutlierSettings, _ detectors: MeshDetectors?, reportNanoseconds: UInt64,
        now: MonotonicInstant
    ) {
        self.name = name
        self.principal = principal
        self.settings = settings
        self.detectors = detectors
        judge = OutlierJudge(state: state, seed: 1)
        follower = MeshFollower(intervalNanoseconds: reportNanoseconds)
        lastReport = now
    }

    static func address(_ host: String) -> SocketEndpoint {
        SocketEndpoint(ipv4: 0x0A00_0000 + UInt32(host.utf8.reduce(0) { Int($0) * 31 + Int($1) } & 0xFFFF), port: 80)
    }

    mutating func configure(_ hosts: [String], now: MonotonicInstant) {
        let assignment = state.slots(for: [ClusterMembership(key: Self.cluster, endpoints: hosts.map(Self.address))])
        slots = Dictionary(uniqueKeysWithValues: zip(hosts, assignment.clusters[0].endpoints))
        let own = OutlierCluster(key: Self.cluster, settings: settings, endpoints: assignment.clusters[0].endpoints)
        judge.configure([own], now: now + clockNanoseconds)
        state.reclaim(adopted: assignment.generation)
        follower.forgetGeneration()
    }

    var isPanicking: Bool { settings.panics(available: slots.values.count { state.isAvailable($0) }, hosts: slots.count) }

    /// A second's attempts. Whoever is ejected is not asked, unless too few are left.
    mutating func live(now: MonotonicInstant) {
        judge.tick(now: now + clockNanoseconds)
        if case .ejections = follower.check(now: now + clockNanoseconds) { obey([], now: now) }
        let isPanicking = isPanicking
        for (host, slot) in slots.sorted(by: { $0.key < $1.key }) {
            guard let behaviour = behaviours[host], state.isAvailable(slot) || isPanicking else { continue }
            for (outcome, count) in behaviour.outcomes {
                for _ in 0..<count {
                    let crossing = state.record(outcome, endpoint: slot, thresholds: settings.thresholds)
                    if !crossing.isEmpty { judge.crossed(slot, crossing, now: now + clockNanoseconds) }
                    let bucket = HistogramBuckets.index(ofMicroseconds: behaviour.milliseconds * 1000)
                    latency[host, default: LatencyCounts()].buckets[bucket] += 1
                }
            }
        }
    }

    /// The reports to send now, and what the sender has of the collector's word.
    mutating func reports(now: MonotonicInstant) -> [MeshReport] {
        let report = unanswered ?? nextReport(now: now)
        unanswered = report
        if isCut { return [] }
        unanswered = nil
        return Array(repeating: report, count: copies)
    }

    mutating func nextReport(now: MonotonicInstant) -> MeshReport {
        sequence += 1
        var report = MeshReport(
            reporter: name, principal: principal, sequence: sequence, periodNanoseconds: now.nanoseconds(since: lastReport))
        lastReport = now
        var cluster = MeshReport.Cluster(name: MeshWorld.cluster, settings: settings, hosts: UInt64(slots.count))
        cluster.detectors = detectors
        let held = follower.held(now: now + clockNanoseconds)
        for (host, slot) in slots.sorted(by: { $0.key < $1.key }) {
            let before = seen[slot] ?? (AttemptCounts(), 0)
            let counts = state.attemptCounts(slot)
            var endpoint = MeshReport.Endpoint(Self.address(host))
            endpoint.counts = counts.since(before.counts)
            let local = state.localEjections(slot)
            if let local, local.count != before.local || state.ejectedUntil(slot) != nil { endpoint.ejected = local.reason }
            if endpoint.ejected == nil, let held = held.first(where: { $0.ejection.endpoint == endpoint.address }) {
                endpoint.ejected = held.ejection.reason
            }
            endpoint.latency = latency[host] ?? LatencyCounts()
            seen[slot] = (counts, local?.count ?? 0)
            if !endpoint.counts.isEmpty || endpoint.ejected != nil { cluster.endpoints.append(endpoint) }
        }
        latency = [:]
        let here = Set(slots.keys.map(Self.address))
        for ejection in word where !here.contains(ejection.endpoint) {
            var gone = MeshReport.Endpoint(ejection.endpoint)
            gone.isAbsent = true
            cluster.endpoints.append(gone)
        }
        if let lie {
            cluster.hosts = UInt64(max(lie.endpoints, slots.count))
            let others = (0..<max(0, lie.endpoints - slots.count)).map { SocketEndpoint(ipv4: 0x0B00_0000 + UInt32($0), port: 80) }
            cluster.endpoints = (slots.keys.sorted().map(Self.address) + others).map { address in
                var endpoint = MeshReport.Endpoint(address)
                endpoint.counts = lie.0
                return endpoint
            }
        }
        report.clusters = [cluster]
        return report
    }

    mutating func hear(_ word: MeshWord, now: MonotonicInstant) {
        let window = settings.intervalNanoseconds
        guard case .ejections(let ejections) = follower.take(word, now: now + clockNanoseconds, windowNanoseconds: { _ in window }) else {
            return
        }
        obey(ejections, now: now)
    }

    private mutating func obey(_ ejections: [MeshWord.Ejection], now: MonotonicInstant) {
        let now = now + clockNanoseconds
        word = ejections
        let byAddress = Dictionary(uniqueKeysWithValues: slots.map { (Self.address($0.key), $0.value) })
        judge.apply(
            ejections.compactMap { ejection in
                byAddress[ejection.endpoint].map {
                    MeshEjection(cluster: Self.cluster, host: $0, reason: ejection.reason, until: now + ejection.nanosecondsLeft)
                }
            }, now: now)
    }
}
