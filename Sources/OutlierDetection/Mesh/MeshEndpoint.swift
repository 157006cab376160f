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
    /// In a row in which it was slow, up to `MeshLimits.latencyWindowsMax`; those without enough requests left out.
    var slowWindows = 0
    /// Ordered by reporter.
    var opinions: [MeshOpinion] = []
    var ejection: Running?
    var backoff: UInt32 = 0
    var ejections: UInt32 = 0
    var lastUnejection: MonotonicInstant?
    var lastSeen: UInt64 = 0
    /// The last decisions that were no ejection, so that one that goes on is said once.
    var noted: [EjectionReason: (outcome: MeshDecision.Outcome, window: UInt64)] = [:]

    /// Where a reporter's opinion is, or would be. `hint`: where it may be; a search of hundreds reads memory that no cache has.
    func place(of reporter: UInt32, hint: Int) -> (index: Int, isThere: Bool) {
        if opinions.indices.contains(hint), opinions[hint].reporter == reporter { return (hint, true) }
        if let last = opinions.last, last.reporter < reporter { return (opinions.count, false) }
        var low = 0
        var high = opinions.count
        while low < high {
            let middle = (low + high) / 2
            if opinions[middle].reporter < reporter { low = middle + 1 } else { high = middle }
        }
        return (low, low < opinions.count && opinions[low].reporter == reporter)
    }

    /// Adds what a reporter saw in the window that runs. Returns whether there was an opinion of its to change. `isStale`: its counts are
    /// of the past. `hint`: where the reporter's opinion was of the endpoint before this one, then of this one.
    mutating func take(
        _ seen: borrowing MeshReport.Endpoint, reporter: UInt32, group: UInt32, window: UInt64, isStale: Bool, mayAdd: Bool,
        hint: inout Int
    ) -> Bool {
        lastSeen = window
        let (index, isThere) = place(of: reporter, hint: hint)
        hint = index
        if !isThere, !mayAdd {
            if !isStale { add(seen) }
            return false
        }
        var opinion = isThere ? opinions[index] : MeshOpinion(reporter: reporter, group: group, window: window)
        opinion.isAbsent = seen.isAbsent
        if let ejected = seen.ejected {
            opinion.ejected = ejected
        } else if seen.counts.successes > 0, !isStale {
            opinion.ejected = nil
        }
        if !isStale, !seen.counts.isEmpty {
            add(seen)
            if opinion.window != window { opinion.counts = AttemptCounts() }
            opinion.counts += seen.counts
            opinion.p95Milliseconds = seen.latency.p95Milliseconds ?? opinion.p95Milliseconds
        }
        opinion.window = window
        if isThere { opinions[index] = opinion } else { opinions.insert(opinion, at: index) }
        return isThere
    }

    private mutating func add(_ seen: borrowing MeshReport.Endpoint) {
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
