import OutlierDetection
import Primitives

/// Reporters of one cluster and its judge, in virtual time: a window is ten seconds.
struct MeshWorld {
    static let second: UInt64 = 1_000_000_000
    static let window = 10 * second
    static let cluster = "outbound|80||reviews.local"

    var judge: MeshJudge
    var settings = OutlierSettings()
    /// What reporters say a MeshOutlierDetection has; nil = there is none.
    var detectors: MeshDetectors?
    var hosts: UInt64 = 10
    var now = MonotonicInstant(nanoseconds: 1_000 * second)
    private var sequences: [String: UInt64] = [:]

    init(seed: UInt64 = 1, detectors: MeshDetectors = MeshDetectors(), limits: MeshLimits = MeshLimits()) {
        judge = MeshJudge(seed: seed, epoch: 77, detectors: detectors, limits: limits)
        settings.maxEjectionPercent = 50
    }

    static func address(_ number: Int) -> SocketEndpoint { SocketEndpoint(address: "10.0.\(number / 200).\(number % 200 + 1)", port: 80)! }

    static func seen(_ number: Int, ok: UInt64 = 0, errors: UInt64 = 0, gateway: UInt64 = 0, local: UInt64 = 0) -> MeshReport.Endpoint {
        var endpoint = MeshReport.Endpoint(address(number))
        endpoint.counts = AttemptCounts(successes: ok, errors: errors, gatewayErrors: gateway, localFailures: local)
        return endpoint
    }

    /// One report; what it covers is a window unless said otherwise.
    @discardableResult
    mutating func report(
        _ reporter: String, _ endpoints: [MeshReport.Endpoint], principal: String? = nil, sequence: UInt64? = nil, period: UInt64 = window
    ) -> MeshIntake {
        let number = sequence ?? sequences[reporter, default: 0] + 1
        sequences[reporter] = max(number, sequences[reporter] ?? 0)
        var report = MeshReport(reporter: reporter, principal: principal, sequence: number, periodNanoseconds: period)
        var cluster = MeshReport.Cluster(name: Self.cluster, settings: settings, hosts: hosts)
        cluster.detectors = detectors
        cluster.endpoints = endpoints
        report.clusters = [cluster]
        return judge.take(report, now: now)
    }

    /// The end of the window that runs.
    @discardableResult
    mutating func endWindow() -> [MeshDecision] {
        now = now + Self.window
        return judge.tick(now: now)
    }

    var ejected: Set<SocketEndpoint> { Set(judge.ejections.map(\.endpoint)) }
}

extension [MeshDecision] {
    var ejections: [MeshDecision] { filter { if case .ejected = $0.outcome { true } else { false } } }
    func has(_ outcome: MeshDecision.Outcome) -> Bool { contains { $0.outcome == outcome } }
}
