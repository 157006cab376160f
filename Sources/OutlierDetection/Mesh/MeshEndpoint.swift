internal import Primitives

/// One endpoint of a cluster, over all reporters.
struct MeshEndpoint: Sendable {
    struct Running: Sendable {
        var reason: EjectionReason
        var until: MonotonicInstant
    }

    /// Of the window that runs, all reporters together.
    var counts = AttemptCounts()
    var latency = LatencyCounts()
    /// Attempts and failures of the windows before; the newest at the end.
    var before: [(total: UInt64, failures: UInt64)] = []
    /// Failures since the last window in which any reporter saw a success.
    var errorsRun: UInt64 = 0
    var gatewayRun: UInt64 = 0
    var localRun: UInt64 = 0
    /// In a row in which it was slow, up to `MeshLimits.latencyWindowsMax`; those without enough requests left out.
    var slowWindows = 0
    /// Of all reporters, ordered by reporter; there only while a window ends (`MeshCluster.tick`).
    var opinions: [MeshOpinion] = []
    var ejection: Running?
    var backoff: UInt32 = 0
    var ejections: UInt32 = 0
    var lastUnejection: MonotonicInstant?
    var lastSeen: UInt64 = 0
    /// The last decisions that were no ejection, so that one that goes on is said once.
    var noted: [EjectionReason: (outcome: MeshDecision.Outcome, window: UInt64)] = [:]

    /// Adds what a reporter saw in the window that runs. `isStale`: its counts are of the past.
    mutating func take(_ seen: borrowing MeshReport.Endpoint, window: UInt64, isStale: Bool) {
        lastSeen = window
        guard !isStale, !seen.counts.isEmpty else { return }
        counts += seen.counts
        latency += seen.latency
    }

    /// Brings the runs up to the window that ends. Counts have no order, so a window with one success counts as if that were its last.
    mutating func extendRuns(splits: Bool) {
        let external = splits ? AttemptCounts.sum(counts.errors, counts.gatewayErrors) : counts.failures
        let gateway = splits ? counts.gatewayErrors : AttemptCounts.sum(counts.gatewayErrors, counts.localFailures)
        errorsRun = counts.successes > 0 ? 0 : AttemptCounts.sum(errorsRun, external)
        // A 5xx that is none of the gateway's interrupts a run of those (semantics 2.5).
        gatewayRun = counts.successes > 0 || counts.errors > 0 ? 0 : AttemptCounts.sum(gatewayRun, gateway)
        let answered = AttemptCounts.sum(counts.successes, AttemptCounts.sum(counts.errors, counts.gatewayErrors))
        localRun = answered > 0 ? 0 : AttemptCounts.sum(localRun, counts.localFailures)
    }

    mutating func noteSlow() { slowWindows = min(MeshLimits.latencyWindowsMax, slowWindows + 1) }

    /// The next window begins. `kept`: windows of the past that the error rate will look at.
    mutating func endWindow(keeping kept: Int) {
        before.append((counts.total, counts.failures))
        if before.count > kept { before.removeFirst(before.count - max(0, kept)) }
        counts = AttemptCounts()
        latency = LatencyCounts()
    }

    /// Nothing that was said before is held against it.
    mutating func forgive() {
        errorsRun = 0
        gatewayRun = 0
        localRun = 0
        slowWindows = 0
        before = []
        opinions = []
        noted = [:]
    }
}
