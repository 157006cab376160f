internal import Primitives

/// What one reporter last said of an endpoint. It holds for `MeshLimits.opinionWindows` windows after the one it was said in.
struct MeshOpinion: Sendable {
    let reporter: UInt32
    /// Reporters with the same number have one voice together.
    let group: UInt32
    /// The window of the cluster that it belongs to.
    var window: UInt64
    /// Of that window.
    var counts = AttemptCounts()
    var p95Milliseconds: Double?
    /// Local detection ejected the endpoint, and has not heard a success since.
    var ejected: EjectionReason?
    var isAbsent = false

    func holds(at now: UInt64) -> Bool { now <= window &+ MeshLimits.opinionWindows }
}

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
    /// Ordered by reporter.
    var opinions: [MeshOpinion] = []
    var ejection: Running?
    var backoff: UInt32 = 0
    var ejections: UInt32 = 0
    var lastUnejection: MonotonicInstant?
    var lastSeen: UInt64 = 0
    /// The last decisions that were no ejection, so that one that goes on is said once.
    var noted: [EjectionReason: (outcome: MeshDecision.Outcome, window: UInt64)] = [:]

    /// Where a reporter's opinion is, or would be.
    func place(of reporter: UInt32) -> (index: Int, isThere: Bool) {
        if let last = opinions.last, last.reporter < reporter { return (opinions.count, false) }
        var low = 0
        var high = opinions.count
        while low < high {
            let middle = (low + high) / 2
            if opinions[middle].reporter < reporter { low = middle + 1 } else { high = middle }
        }
        return (low, low < opinions.count && opinions[low].reporter == reporter)
    }

    /// Adds what a reporter saw in the window that runs. Returns whether there was an opinion of its to change.
    mutating func take(_ seen: MeshReport.Endpoint, reporter: UInt32, group: UInt32, window: UInt64, mayAdd: Bool) -> Bool {
        lastSeen = window
        counts += seen.counts
        latency += seen.latency
        let (index, isThere) = place(of: reporter)
        if !isThere {
            guard mayAdd else { return false }
            opinions.insert(MeshOpinion(reporter: reporter, group: group, window: window), at: index)
        }
        opinions[index].isAbsent = seen.isAbsent
        if let ejected = seen.ejected {
            opinions[index].ejected = ejected
        } else if seen.counts.successes > 0 {
            opinions[index].ejected = nil
        }
        if !seen.counts.isEmpty {
            if opinions[index].window != window { opinions[index].counts = AttemptCounts() }
            opinions[index].counts += seen.counts
            opinions[index].p95Milliseconds = seen.latency.p95Milliseconds ?? opinions[index].p95Milliseconds
        }
        opinions[index].window = window
        return isThere
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

    /// The next window begins.
    mutating func endWindow() {
        before.append((counts.total, counts.failures))
        if before.count >= MeshLimits.errorRateWindows { before.removeFirst(before.count - MeshLimits.errorRateWindows + 1) }
        counts = AttemptCounts()
        latency = LatencyCounts()
    }

    /// Nothing that was said before is held against it.
    mutating func forgive() {
        errorsRun = 0
        gatewayRun = 0
        localRun = 0
        before = []
        opinions = []
        noted = [:]
    }
}
