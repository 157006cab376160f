import OutlierDetection
import Primitives

/// How long it takes until an endpoint is out at all of 20 proxies that each see a twentieth of its failures: from the failure that reaches
/// the threshold to the last proxy's having heard of it. Reports every second, windows of ten seconds; phases by the seed.
struct Convergence {
    static let proxies = 20
    private static let second: UInt64 = 1_000_000_000

    /// Seconds.
    static func run(seed: UInt64) -> Double? {
        var random = RandomSource(seed: seed)
        var settings = OutlierSettings()
        settings.consecutive5xx = UInt32(proxies)
        settings.maxEjectionPercent = 50
        var judge = MeshJudge(seed: seed, epoch: 1)
        let start = MonotonicInstant(nanoseconds: 1_000 * second)
        let phases = (0..<proxies).map { _ in UInt64(random.below(10)) }
        // The last of twenty failures, one at each proxy, in tenths of a second from the start.
        let threshold = UInt64(200 + random.below(100))
        var followers = (0..<proxies).map { _ in MeshFollower(intervalNanoseconds: second) }
        var heard = Set<Int>()
        for tenth in UInt64(1)...600 {
            let now = start + tenth * second / 10
            judge.tick(now: now)
            for proxy in 0..<proxies where (tenth + phases[proxy]) % 10 == 0 {
                var report = MeshReport(reporter: "proxy-\(proxy)", sequence: tenth, periodNanoseconds: second)
                var cluster = MeshReport.Cluster(name: "outbound|80||reviews", settings: settings, hosts: 10)
                var endpoint = MeshReport.Endpoint(SocketEndpoint(ipv4: 1, port: 80))
                // Each failed once in the second before the threshold was reached.
                if tenth >= threshold, tenth < threshold + 10 { endpoint.counts.errors = 1 }
                if !endpoint.counts.isEmpty { cluster.endpoints = [endpoint] }
                report.clusters = [cluster]
                _ = judge.take(report, now: now)
                if case .ejections(let ejections) = followers[proxy].take(judge.word(for: report.reporter, now: now), now: now),
                    !ejections.isEmpty
                { heard.insert(proxy) }
            }
            if heard.count == proxies { return Double(tenth - threshold) / 10 }
        }
        return nil
    }
}
