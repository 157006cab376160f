internal import Logging
internal import TelemetryModel
internal import TelemetryStore

/// What the log has been told of the store: each change is said once. On the control thread.
struct StoreWatch {
    private var isDiskFull = false
    /// Why the store is not open, as it was said last.
    private var reason: String?
    private var damage: Set<String> = []
    private var refusedDiskFull: UInt64 = 0

    /// Says when the store begins and ceases to refuse spans, and what of it cannot be read.
    mutating func look(at holder: StoreHolder, _ log: Logger) {
        guard let stores = holder.stores else {
            let problem = holder.problem
            if let problem, problem != reason {
                log.error("\(problem); until then spans and metrics are refused with 503; the proxy goes on")
            }
            reason = problem
            return
        }
        if reason != nil {
            reason = nil
            log.info("the trace store in \(holder.directory) is open: spans are taken")
        }
        let statistics = stores.traces.statistics()
        let found = statistics.damage + [stores.series.damage].compactMap(\.self)
        for one in found where damage.insert(one.description).inserted { log.error("store: \(one)") }
        // A disk that is full for large batches and not for small ones is full: what was refused since the last look counts as well.
        let refused = statistics.spansRefused[.diskFull, default: 0]
        let isFull = statistics.isDiskFull || refused > refusedDiskFull
        refusedDiskFull = refused
        guard isFull != isDiskFull else { return }
        isDiskFull = isFull
        if isFull {
            log.error("the disk of \(holder.directory) is full or failing: spans and metrics are refused with 503; the proxy goes on")
        } else {
            log.info("the disk of \(holder.directory) has room again: spans and metrics are taken")
        }
    }
}
