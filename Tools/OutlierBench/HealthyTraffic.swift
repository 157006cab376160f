import Glibc
import OutlierDetection
import Primitives
import TelemetryModel

/// Endpoints that are all alike and well, for so many windows: whoever is ejected is ejected wrongly. One in a hundred attempts fails.
/// Both detectors of the mesh eject here, and so does the failure percentage.
struct HealthyTraffic {
    enum Kind: String, CaseIterable {
        /// About as many requests in each window.
        case steady
        /// Few, and in one window of ten twenty times as many.
        case bursty
        /// Endpoints begin one after the other, slower at first and with few requests.
        case slowStart = "slow-start"
        /// Latencies by a Pareto distribution with exponent 1.5: a mean, and no variance.
        case heavyTailed = "heavy-tailed"
        case oneCaller = "one-caller"
        /// Twenty that share what one has above.
        case manyCallers = "many-callers"
    }

    let kind: Kind
    private static let endpoints = 10
    private static let window: UInt64 = 10_000_000_000
    private var random: RandomSource

    init(_ kind: Kind, seed: UInt64) {
        self.kind = kind
        random = RandomSource(seed: seed)
    }

    /// - Returns: Endpoints that were ejected, in `windows` windows of an endpoint.
    mutating func run(windows: Int) -> (wrong: Int, suspicions: Int) {
        var detectors = MeshDetectors()
        detectors.enforcesErrorRate = true
        detectors.enforcesLatency = true
        var settings = OutlierSettings()
        settings.maxEjectionPercent = 50
        settings.enforcingFailurePercentage = 100
        var judge = MeshJudge(seed: random.next(), epoch: 1, detectors: detectors)
        var now = MonotonicInstant(nanoseconds: Self.window)
        var wrong = 0
        var suspicions = 0
        let callers = kind == .oneCaller ? 1 : kind == .manyCallers ? 20 : 3
        for window in 0..<(windows / Self.endpoints) {
            let isBurst = kind == .bursty && window % 10 == 0
            for caller in 0..<callers {
                var report = MeshReport(reporter: "caller-\(caller)", sequence: UInt64(window + 1), periodNanoseconds: Self.window)
                var cluster = MeshReport.Cluster(name: "outbound|80||healthy", settings: settings, hosts: UInt64(Self.endpoints))
                for endpoint in 0..<Self.endpoints {
                    // Of the endpoint, which begins anew each hundred windows.
                    let age = kind == .slowStart ? (window + endpoint * 10) % 100 : 100
                    let mean = Double(kind == .bursty ? isBurst ? 400 : 20 : 120) * min(1, Double(age + 1) / 10) / Double(callers)
                    cluster.endpoints.append(seen(endpoint, attempts: poisson(mean), slowness: age < 5 ? 2 : 1))
                }
                report.clusters = [cluster]
                _ = judge.take(report, now: now)
            }
            now = now + Self.window
            for decision in judge.tick(now: now) {
                switch decision.outcome {
                case .ejected: wrong += 1
                case .unejected: break
                default: suspicions += 1
                }
            }
        }
        return (wrong, suspicions)
    }

    private mutating func seen(_ number: Int, attempts: Int, slowness: Double) -> MeshReport.Endpoint {
        var seen = MeshReport.Endpoint(SocketEndpoint(ipv4: UInt32(number) + 1, port: 80))
        for _ in 0..<attempts {
            if random.below(100) == 0 { seen.counts.errors += 1 } else { seen.counts.successes += 1 }
            let milliseconds = slowness * latency()
            seen.latency.buckets[HistogramBuckets.index(ofMicroseconds: UInt64(min(1e9, milliseconds * 1000)))] += 1
        }
        return seen
    }

    /// Milliseconds. Where tails are light, it is 10 ms plus an exponential of as much.
    private mutating func latency() -> Double {
        let draw = (Double(random.next() >> 11) + 0.5) / 9_007_199_254_740_992
        return kind == .heavyTailed ? 10 / pow(draw, 1 / 1.5) : 10 - 10 * log(draw)
    }

    /// By the product of draws up to 30, beyond it by the sum of smaller ones.
    private mutating func poisson(_ mean: Double) -> Int {
        if mean > 30 { return poisson(mean / 2) + poisson(mean / 2) }
        let limit = exp(-mean)
        var product = 1.0
        var count = -1
        repeat {
            product *= (Double(random.next() >> 11) + 0.5) / 9_007_199_254_740_992
            count += 1
        } while product > limit
        return count
    }
}
