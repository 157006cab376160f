internal import OutlierDetection
internal import Primitives
internal import TelemetryModel

/// Counts attempts in and out at their endpoints and clusters, and what they came to. Limits of a cluster hold over all workers, because
/// what is held is counted in `UpstreamState` (semantics 2.4).
struct AttemptCounting {
    let state: Held<UpstreamState>
    let shared: Held<SharedUpstreams>
    /// A failure counts as at least this long.
    let failureLatencyNanoseconds: UInt64

    /// Counts an attempt in. False = the cluster's limit of requests is reached.
    func enter(_ attempt: inout Attempt, _ pool: Int, _ pools: inout UpstreamPools, now: MonotonicInstant) -> Bool {
        let settings = pools[pool].settings
        let slot = pools[pool].slot
        guard state.use({ $0.tryAcquire(.requests, cluster: settings.cluster, limit: settings.maxRequests) }) else { return false }
        state.use { $0.requestBegan(slot) }
        if settings.retryBudgetNanoseconds > 0, attempt.retries == 0 {
            state.use { $0.requestSeen(cluster: settings.cluster, windowNanoseconds: settings.retryBudgetNanoseconds, now: now) }
        }
        pools[pool].active += 1
        attempt.pool = pool
        attempt.cluster = settings.cluster
        attempt.endpoint = slot
        return true
    }

    /// The attempt is over: it counts no longer.
    func leave(_ attempt: inout Attempt, _ pools: inout UpstreamPools) {
        let pool = attempt.pool
        guard pool >= 0 else { return }
        attempt.pool = -1
        stopPending(&attempt)
        let (cluster, endpoint) = (attempt.cluster, attempt.endpoint)
        state.use {
            $0.release(.requests, cluster: cluster)
            $0.requestEnded(endpoint)
        }
        pools[pool].active -= 1
        pools.freeIfUnused(pool)
    }

    /// Counts a request that has no established connection yet; false = the limit is reached.
    func startPending(_ attempt: inout Attempt, _ pools: inout UpstreamPools) -> Bool {
        if attempt.isPending { return true }
        let settings = pools[attempt.pool].settings
        guard state.use({ $0.tryAcquire(.pending, cluster: settings.cluster, limit: settings.maxPendingRequests) }) else { return false }
        attempt.isPending = true
        return true
    }

    func stopPending(_ attempt: inout Attempt) {
        guard attempt.isPending else { return }
        attempt.isPending = false
        attempt.isWaiting = false
        let cluster = attempt.cluster
        state.use { $0.release(.pending, cluster: cluster) }
    }

    /// Keeps what happened to an attempt with its endpoint, for metrics and people.
    func note(_ failure: AttemptFailure, of attempt: Attempt, _ pools: inout UpstreamPools, unixNanoseconds: UInt64) {
        guard attempt.pool >= 0 else { return }
        let cluster = pools[attempt.pool].settings.cluster
        state.use {
            $0.noteFailure(
                failure.endpointFailure, endpoint: attempt.endpoint, cluster: cluster, unixMilliseconds: unixNanoseconds / 1_000_000)
        }
    }

    /// Counts what an attempt came to against its endpoint; the judge is asked only when that crossed a threshold.
    func judge(_ attempt: Attempt, _ outcome: AttemptOutcome, _ pools: inout UpstreamPools, now: MonotonicInstant) {
        guard attempt.pool >= 0 else { return }
        if pools[attempt.pool].settings.measuresLatency {
            let elapsed = now.nanoseconds(since: attempt.began)
            let counted = outcome.isResponse ? elapsed : max(elapsed, failureLatencyNanoseconds)
            state.use { $0.recordLatency(nanoseconds: counted, endpoint: attempt.endpoint, now: now) }
        }
        let thresholds = pools[attempt.pool].settings.thresholds
        let crossing = state.use { $0.record(outcome, endpoint: attempt.endpoint, thresholds: thresholds) }
        if !crossing.isEmpty { shared.use { _ = $0.judge.crossed(attempt.endpoint, crossing, now: now) } }
    }
}
