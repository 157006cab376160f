// What mesh-wide outlier detection costs its collector: 200 proxies that each report 1,000 endpoints, and the window's end.

import OutlierDetection
import Primitives

func milliseconds(_ body: () -> Void) -> Double {
    let began = SystemClock.threadCPUNanoseconds()
    body()
    return Double(SystemClock.threadCPUNanoseconds() - began) / 1e6
}

let proxies = CommandLine.arguments.count > 1 ? Int(CommandLine.arguments[1]) ?? 200 : 200
let endpoints = CommandLine.arguments.count > 2 ? Int(CommandLine.arguments[2]) ?? 1_000 : 1_000
var settings = OutlierSettings()
settings.enforcingSuccessRate = 100
settings.enforcingFailurePercentage = 100
var judge = MeshJudge(seed: 1, epoch: 1)
var random = RandomSource(seed: 1)
var now = MonotonicInstant(nanoseconds: 1_000_000_000_000)

for window in 1...5 {
    var reports: [MeshReport] = []
    for proxy in 0..<proxies {
        var report = MeshReport(reporter: "10.0.0.\(proxy):15090/1", sequence: UInt64(window), periodNanoseconds: 10_000_000_000)
        // Clusters of ten endpoints.
        for cluster in 0..<max(1, endpoints / 10) {
            var seen = MeshReport.Cluster(name: "outbound|80||service-\(cluster).default.svc.cluster.local", settings: settings, hosts: 10)
            for place in 0..<10 {
                var endpoint = MeshReport.Endpoint(SocketEndpoint(ipv4: UInt32(truncatingIfNeeded: cluster * 10 + place), port: 8080))
                endpoint.counts = AttemptCounts(successes: UInt64(random.below(50)), errors: random.below(100) == 0 ? 1 : 0)
                endpoint.latency.buckets[3] = endpoint.counts.total
                seen.endpoints.append(endpoint)
            }
            report.clusters.append(seen)
        }
        reports.append(report)
    }
    let taking = milliseconds { for report in reports { _ = judge.take(report, now: now) } }
    now = now + 10_000_000_000
    var decisions = 0
    let judging = milliseconds { decisions = judge.tick(now: now).count }
    let size = judge.size
    print(
        "window \(window): \(proxies) reports taken in \(taking) ms, judged in \(judging) ms; \(size.endpoints) endpoints, "
            + "\(size.opinions) opinions, \(decisions) decisions")
}

// What a worker pays for the counts: an attempt's beginning, outcome and end, with detection off and on.
let state = UpstreamState(clustersMax: 1, endpointsMax: 16)
let member = ClusterMembership(key: ClusterKey(1), endpoints: [SocketEndpoint(ipv4: 1, port: 80)])
let slot = state.slots(for: [member]).clusters[0].endpoints[0]
for (name, thresholds) in [("off", OutlierThresholds.off), ("on", OutlierSettings().thresholds)] {
    let attempts = 20_000_000
    let spent = milliseconds {
        for _ in 0..<attempts {
            state.requestBegan(slot)
            _ = state.record(.response(status: 200), endpoint: slot, thresholds: thresholds)
            state.requestEnded(slot)
        }
    }
    print("detection \(name): \(spent * 1e6 / Double(attempts)) ns an attempt; \(state.attemptCounts(slot).successes) counted")
}
