/// What one reporter last said of an endpoint. It holds for `MeshLimits.opinionWindows` windows after the one it was said in. 64 bytes.
struct MeshOpinion: Sendable, BitwiseCopyable {
    let reporter: UInt32
    /// Reporters with the same number have one voice together.
    let group: UInt32
    /// The endpoint's, in the cluster's table.
    let slot: UInt32
    /// Local detection ejected the endpoint, and has not heard a success since.
    var ejected: EjectionReason?
    var isAbsent = false
    /// The window of the cluster that it belongs to.
    var window: UInt64
    /// Of that window.
    var counts = AttemptCounts()
    /// Of the last window with requests; 0 = none yet.
    var p95Milliseconds = 0.0

    init(reporter: UInt32, group: UInt32, slot: UInt32, window: UInt64) {
        self.reporter = reporter
        self.group = group
        self.slot = slot
        self.window = window
    }

    func holds(at now: UInt64) -> Bool { now <= window &+ MeshLimits.opinionWindows }

    /// Adds what the reporter saw in `now`, the window that runs. `isStale`: its counts are of the past.
    mutating func take(_ seen: borrowing MeshReport.Endpoint, window now: UInt64, isStale: Bool) {
        isAbsent = seen.isAbsent
        if let reason = seen.ejected {
            ejected = reason
        } else if seen.counts.successes > 0, !isStale {
            ejected = nil
        }
        if !isStale, !seen.counts.isEmpty {
            if window != now { counts = AttemptCounts() }
            counts += seen.counts
            p95Milliseconds = seen.latency.p95Milliseconds ?? p95Milliseconds
        }
        window = now
    }
}
