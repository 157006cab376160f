internal import Collector
internal import OutlierDetection
internal import Primitives
internal import Proxy
internal import Synchronization
internal import TelemetryModel
internal import TelemetryWire

/// This proxy's side of mesh-wide outlier detection: says with each report what was seen of endpoints since the last one, and carries out
/// what the collector answers (docs/outliers.md).
///
/// `update` and `check`: control thread. `nextReport` and `readAnswer`: the exporter's. The rest: any.
final class MeshOutliers: OutlierReporting {
    struct Row: Sendable {
        var name: String
        var key: ClusterKey
        var settings: OutlierSettings
        /// What a MeshOutlierDetection says; nil = the collector decides.
        var detectors: MeshDetectors?
        var endpoints: [(address: SocketEndpoint, slot: EndpointSlot)]
    }

    private struct Seen {
        var counts = AttemptCounts()
        var localEjections: UInt64 = 0
    }

    private struct State {
        var rows: [Row] = []
        var seen: [EndpointSlot: Seen] = [:]
        /// Requests by duration, as of the last report.
        var latencies: [OutcomeKey: [UInt64]] = [:]
        var lastReport: MonotonicInstant
        var follower: MeshFollower
        /// The last whole word, so that endpoints of it that are not here can be said to be absent.
        var word: [MeshWord.Ejection] = []
        /// Answers that said nothing of endpoints: an older collector.
        var unreadable: UInt64 = 0
    }

    private let upstreams: SharedUpstreams
    private let shards: [OutcomeShard]
    private let say: @Sendable (String) -> Void
    private let state: Mutex<State>

    /// `shards`: outcomes by endpoint of each worker, for latencies.
    init(
        _ upstreams: SharedUpstreams, shards: [OutcomeShard], intervalNanoseconds: UInt64, now: MonotonicInstant,
        say: @escaping @Sendable (String) -> Void
    ) {
        self.upstreams = upstreams
        self.shards = shards
        self.say = say
        state = Mutex(State(lastReport: now, follower: MeshFollower(intervalNanoseconds: intervalNanoseconds)))
    }

    /// Clusters with outlier detection of the configuration in use. Endpoints on this machine's paths are nobody else's.
    func update(_ rows: [Row]) {
        state.withLock { state in
            state.rows = rows.map { row in
                var row = row
                row.endpoints = row.endpoints.filter { $0.slot != .none && $0.address.family != .unix && $0.address.family != .absent }
                return row
            }
            let slots = Set(rows.flatMap { $0.endpoints.map(\.slot) })
            state.seen = state.seen.filter { slots.contains($0.key) }
            state.follower.forgetGeneration()
        }
    }

    // MARK: Reports

    func nextReport() -> [UInt8] {
        let latencies = readLatencies()
        let now = SystemClock.monotonicNow()
        return state.withLock { state in
            // The report around it has name and number.
            var report = MeshReport(reporter: "", sequence: 1, periodNanoseconds: now.nanoseconds(since: state.lastReport))
            state.lastReport = now
            var held: [String: [SocketEndpoint: EjectionReason]] = [:]
            for ejection in state.follower.held(now: now).map(\.ejection) {
                held[ejection.cluster, default: [:]][ejection.endpoint] = ejection.reason
            }
            for row in state.rows { report.clusters.append(cluster(row, held[row.name] ?? [:], latencies, &state)) }
            state.latencies = latencies
            let known = OutlierReportCoding.Known(epoch: state.follower.epoch, generation: state.follower.generation)
            return OutlierReportCoding.encode(report, known: known)
        }
    }

    private func cluster(
        _ row: Row, _ held: [SocketEndpoint: EjectionReason], _ latencies: [OutcomeKey: [UInt64]], _ state: inout State
    ) -> MeshReport.Cluster {
        var cluster = MeshReport.Cluster(name: row.name, settings: row.settings, hosts: UInt64(row.endpoints.count))
        cluster.detectors = row.detectors
        for (address, slot) in row.endpoints {
            let before = state.seen[slot] ?? Seen()
            let counts = upstreams.state.attemptCounts(slot)
            let local = upstreams.state.localEjections(slot)
            var seen = MeshReport.Endpoint(address)
            seen.counts = counts.since(before.counts)
            // Said as long as it is so: a collector that began anew, or lost a report, is to know it too.
            if let local, local.count != before.localEjections || upstreams.state.ejectedUntil(slot) != nil { seen.ejected = local.reason }
            // The collector that found it is gone: to the next one it is as if local detection had.
            if seen.ejected == nil { seen.ejected = held[address] }
            guard !seen.counts.isEmpty || seen.ejected != nil else { continue }
            state.seen[slot] = Seen(counts: counts, localEjections: local?.count ?? 0)
            let key = OutcomeKey(cluster: NameID(row.key.rawValue), endpoint: address)
            if let buckets = latencies[key] {
                let old = state.latencies[key]
                for index in buckets.indices where index < LatencyCounts.count {
                    let earlier = old.map { $0[index] } ?? 0
                    seen.latency.buckets[index] = buckets[index] >= earlier ? buckets[index] - earlier : buckets[index]
                }
            }
            cluster.endpoints.append(seen)
        }
        let here = Set(row.endpoints.map(\.address))
        for ejection in state.word where ejection.cluster == row.name && !here.contains(ejection.endpoint) {
            var gone = MeshReport.Endpoint(ejection.endpoint)
            gone.isAbsent = true
            cluster.endpoints.append(gone)
        }
        return cluster
    }

    private func readLatencies() -> [OutcomeKey: [UInt64]] {
        var all: [OutcomeKey: [UInt64]] = [:]
        for shard in shards {
            shard.read { snapshot in
                let buckets = snapshot.duration.buckets
                if all[snapshot.key] == nil {
                    all[snapshot.key] = Array(buckets)
                } else {
                    for index in buckets.indices { all[snapshot.key]?[index] &+= buckets[index] }
                }
            }
        }
        return all
    }

    // MARK: Answers

    func readAnswer(_ body: [UInt8]) {
        let now = SystemClock.monotonicNow()
        do throws(ReportFault) {
            let word = try OutlierAnswerCoding.decode(body)
            let (change, wasAlone, isSecond) = state.withLock { state in
                let wasAlone = state.follower.isAlone
                let returns = state.follower.returns
                let windows = Dictionary(
                    state.rows.map { ($0.name, $0.settings.intervalNanoseconds) }, uniquingKeysWith: { first, _ in first })
                let change = state.follower.take(word, now: now) { windows[$0] ?? 0 }
                if case .ejections(let ejections) = change { state.word = ejections }
                return (change, wasAlone && state.follower.timesAlone > 0, returns == 0 && state.follower.returns > 0)
            }
            if wasAlone { say("outlier detection: the collector answers again; its ejections count beside local ones") }
            if isSecond { say("outlier detection: two collectors answer in turns; mesh-wide ejections are those of whichever spoke last") }
            carryOut(change, now: now)
        } catch {
            let isFirst = state.withLock { state in
                state.unreadable &+= 1
                return state.unreadable == 1
            }
            if isFirst { say("outlier detection: the collector's answer says nothing of endpoints (\(error)); local detection is alone") }
        }
    }

    /// Ends the collector's ejections when it has been silent for three intervals.
    func check(now: MonotonicInstant) {
        let change = state.withLock { state in
            let change = state.follower.check(now: now)
            if case .ejections = change { state.word = [] }
            return change
        }
        guard change != .none else { return }
        say(
            "outlier detection: no word of the collector for \(MeshFollower.intervalsMax) intervals; local detection decides alone "
                + "until it answers")
        carryOut(change, now: now)
    }

    private func carryOut(_ change: MeshFollower.Change, now: MonotonicInstant) {
        guard case .ejections(let ejections) = change else { return }
        let rows = state.withLock { $0.rows }
        var byName: [String: Row] = [:]
        for row in rows { byName[row.name] = row }
        var slots: [String: [SocketEndpoint: EndpointSlot]] = [:]
        for ejection in ejections where slots[ejection.cluster] == nil {
            guard let row = byName[ejection.cluster] else { continue }
            slots[ejection.cluster] = Dictionary(row.endpoints.map { ($0.address, $0.slot) }, uniquingKeysWith: { first, _ in first })
        }
        upstreams.judge.apply(
            ejections.compactMap { ejection in
                guard let row = byName[ejection.cluster], let slot = slots[ejection.cluster]?[ejection.endpoint] else { return nil }
                return MeshEjection(cluster: row.key, host: slot, reason: ejection.reason, until: now + ejection.nanosecondsLeft)
            }, now: now)
    }

    // MARK: For metrics

    func samples() -> [MetricSamples] {
        let (follower, names, unreadable) = state.withLock { state in
            (state.follower, Dictionary(state.rows.map { ($0.key, $0.name) }, uniquingKeysWith: { first, _ in first }), state.unreadable)
        }
        let ejections = upstreams.judge.meshEjections()
        var byCluster: [String: Int] = [:]
        for name in names.values { byCluster[name] = 0 }
        for ejection in ejections.running { byCluster[names[ejection.cluster] ?? "", default: 0] += 1 }
        func counter(_ name: String, _ help: String, _ value: UInt64) -> MetricSamples {
            MetricSamples(name: name, help: help, kind: .counter, value: Double(value))
        }
        return [
            MetricSamples(
                name: "skein_outlier_local_alone", help: "1 = the collector has not said for three reports what is ejected mesh-wide.",
                kind: .gauge, value: follower.isAlone ? 1 : 0),
            counter("skein_outlier_collector_silences_total", "Times that it was silent for three reports.", follower.timesAlone),
            counter(
                "skein_outlier_collectors_alternating_total", "Words of a collector that another one had replaced before.",
                follower.returns),
            counter("skein_outlier_words_unreadable_total", "Answers to reports that said nothing of endpoints.", unreadable),
            MetricSamples(
                name: "skein_outlier_mesh_ejections_active", help: "Endpoints of a cluster that the collector has ejected here.",
                kind: .gauge, label: "cluster", values: byCluster.sorted { $0.key < $1.key }.map { ($0.key, Double($0.value)) }),
            counter(
                "skein_outlier_mesh_ejections_overflow_total", "Ejections of the collector that maxEjectionPercent prevented here.",
                ejections.prevented),
        ].filter { !$0.samples.isEmpty }
    }
}
