import Collector
import OutlierDetection
import Primitives

/// What mesh-wide outlier detection costs its collector and a proxy: reports of so many proxies with so many endpoints each, every second,
/// in windows of ten seconds.
struct ReportCosts {
    let proxies: Int
    let endpoints: Int
    private static let second: UInt64 = 1_000_000_000
    private static let known = OutlierReportCoding.Known(epoch: 1, generation: 1)

    /// Clusters of ten endpoints, all of them asked.
    func report(_ proxy: Int, sequence: UInt64, _ random: inout RandomSource) -> MeshReport {
        var settings = OutlierSettings()
        settings.enforcingSuccessRate = 100
        settings.enforcingFailurePercentage = 100
        var report = MeshReport(reporter: "10.0.0.\(proxy):15090/1", sequence: sequence, periodNanoseconds: Self.second)
        for cluster in 0..<max(1, endpoints / 10) {
            var seen = MeshReport.Cluster(name: "outbound|80||service-\(cluster).default.svc.cluster.local", settings: settings, hosts: 10)
            seen.detectors = MeshDetectors()
            for place in 0..<10 {
                var endpoint = MeshReport.Endpoint(SocketEndpoint(ipv4: UInt32(truncatingIfNeeded: cluster * 10 + place), port: 8080))
                endpoint.counts = AttemptCounts(successes: UInt64(random.below(50)), errors: random.below(100) == 0 ? 1 : 0)
                endpoint.latency.buckets[3] = endpoint.counts.total
                seen.endpoints.append(endpoint)
            }
            report.clusters.append(seen)
        }
        return report
    }

    /// Of one report, as a proxy sends it.
    func part() -> [UInt8] {
        var random = RandomSource(seed: 1)
        return OutlierReportCoding.encode(report(0, sequence: 1, &random), known: Self.known)
    }

    func run() {
        var judge = MeshJudge(seed: 1, epoch: 1)
        var random = RandomSource(seed: 1)
        var now = MonotonicInstant(nanoseconds: 1_000 * Self.second)
        var encoding = 0.0
        var decoding = 0.0
        var taking = 0.0
        var judging = 0.0
        var decisions = 0
        var bytes = 0
        let seconds = 30
        for second in 1...seconds {
            let reports = (0..<proxies).map { report($0, sequence: UInt64(second), &random) }
            var parts: [[UInt8]] = []
            let encoded = milliseconds { parts = reports.map { OutlierReportCoding.encode($0, known: Self.known) } }
            var decoded = 0.0
            var taken = 0.0
            // One after the other, as a collector does: what was read is taken while caches have it.
            for (place, part) in parts.enumerated() {
                var report = MeshReport(reporter: reports[place].reporter, sequence: UInt64(second), periodNanoseconds: 0)
                decoded += milliseconds { _ = try? OutlierReportCoding.decode(part, into: &report) }
                taken += milliseconds { _ = judge.take(report, now: now) }
            }
            now = now + Self.second
            let judged = milliseconds { decisions += judge.tick(now: now).count }
            // The first window makes what later ones find there.
            guard second > 10 else { continue }
            encoding += encoded
            decoding += decoded
            taking += taken
            judging += judged
            bytes = parts.first?.count ?? 0
        }
        let measured = Double(seconds - 10)
        let size = judge.size
        print(
            "{\"proxies\": \(proxies), \"endpoints\": \(size.endpoints), \"opinions\": \(size.opinions), \"report_bytes\": \(bytes), "
                + "\"encode_ms_a_report\": \(rounded(encoding / measured / Double(proxies))), "
                + "\"decode_ms_a_second\": \(rounded(decoding / measured)), \"take_ms_a_second\": \(rounded(taking / measured)), "
                + "\"judge_ms_a_second\": \(rounded(judging / measured)), \"decisions\": \(decisions)}")
    }

    /// What a worker pays for the counts: an attempt's beginning, outcome and end, with detection off and on.
    static func attempts() {
        let state = UpstreamState(clustersMax: 1, endpointsMax: 16)
        let member = ClusterMembership(key: ClusterKey(1), endpoints: [SocketEndpoint(ipv4: 1, port: 80)])
        let slot = state.slots(for: [member]).clusters[0].endpoints[0]
        var spent: [Double] = []
        let attempts = 10_000_000
        for thresholds in [OutlierThresholds.off, OutlierSettings().thresholds] {
            spent.append(
                milliseconds {
                    for _ in 0..<attempts {
                        state.requestBegan(slot)
                        _ = state.record(.response(status: 200), endpoint: slot, thresholds: thresholds)
                        state.requestEnded(slot)
                    }
                } * 1e6 / Double(attempts))
        }
        print("{\"ns_an_attempt_off\": \(rounded(spent[0])), \"ns_an_attempt_on\": \(rounded(spent[1]))}")
    }
}
