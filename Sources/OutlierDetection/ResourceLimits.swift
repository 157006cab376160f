public import Primitives
internal import Synchronization

/// What a circuit breaker limits (semantics 2.4). Limits are per cluster and process: a limit of 100 is 100 over all worker threads.
public enum UpstreamResource: UInt8, Sendable, CaseIterable, BitwiseCopyable {
    /// `maxConnections`; overflow is Envoy's `upstream_cx_overflow`.
    case connections
    /// `http1MaxPendingRequests`: requests waiting for a connection; `upstream_rq_pending_overflow`.
    case pending
    /// `http2MaxRequests`: requests on connections; `upstream_rq_pending_overflow` too in Envoy, apart here.
    case requests
    /// `maxRetries`: retries decided on and not ended, those waiting in back-off included; `upstream_rq_retry_overflow`.
    case retries
}

/// How many retries a cluster may have in flight, as a share of its requests.
public struct RetryBudget: Hashable, Sendable, BitwiseCopyable {
    /// Parts per million of active and pending requests (20 % = 200,000).
    public var partsPerMillion: UInt32
    /// Retries that are always allowed at once.
    public var minRetryConcurrency: UInt32

    /// Envoy's and Istio's defaults: 20 %, at least 3.
    @inlinable
    public init(partsPerMillion: UInt32 = 200_000, minRetryConcurrency: UInt32 = 3) {
        self.partsPerMillion = partsPerMillion
        self.minRetryConcurrency = minRetryConcurrency
    }

    @inlinable
    public func limit(active: UInt64, pending: UInt64) -> UInt32 {
        let (sum, overflow) = active.addingReportingOverflow(pending)
        let share = (overflow ? UInt64.max : sum).multipliedFullWidth(by: UInt64(partsPerMillion))
        let quotient = share.high >= 1_000_000 ? UInt64.max : UInt64(1_000_000).dividingFullWidth(share).quotient
        return max(minRetryConcurrency, UInt32(clamping: quotient))
    }
}

extension UpstreamState {
    /// Any thread: takes one unit unless `limit` are held; a refusal is counted. Never more than `limit` are held, and a refusal means that
    /// `limit` really were: a plain add-and-back-out would refuse others for a moment. `UInt32.max` means unlimited. Pair with `release`.
    public func tryAcquire(_ resource: UpstreamResource, cluster: ClusterSlot, limit: UInt32) -> Bool {
        guard let row = unsafe row(cluster) else { return true }
        let cell = unsafe row + (ClusterWord.held + Int(resource.rawValue))
        if limit == .max {
            unsafe cell.pointee.wrappingAdd(1, ordering: .relaxed)
            return true
        }
        var held = unsafe cell.pointee.load(ordering: .relaxed)
        while held < UInt64(limit) {
            let (exchanged, original) = unsafe cell.pointee.weakCompareExchange(expected: held, desired: held &+ 1, ordering: .relaxed)
            if exchanged { return true }
            held = original
        }
        unsafe row[ClusterWord.overflow + Int(resource.rawValue)].wrappingAdd(1, ordering: .relaxed)
        return false
    }

    /// Any thread: gives back what `tryAcquire` took, with the same slot.
    public func release(_ resource: UpstreamResource, cluster: ClusterSlot) {
        guard let row = unsafe row(cluster) else { return }
        unsafe decrement(row + (ClusterWord.held + Int(resource.rawValue)))
    }

    /// Any thread: how many retries a budget allows at this moment, by the requests active and pending. Never "unlimited", however large it
    /// comes out.
    public func retryLimit(cluster: ClusterSlot, budget: RetryBudget) -> UInt32 {
        min(budget.limit(active: held(.requests, cluster: cluster), pending: held(.pending, cluster: cluster)), .max - 1)
    }

    /// Any thread: the same by the requests begun within the last `windowNanoseconds`; 0 = by those active and pending.
    public func retryLimit(cluster: ClusterSlot, budget: RetryBudget, windowNanoseconds: UInt64, now: MonotonicInstant) -> UInt32 {
        guard windowNanoseconds > 0 else { return retryLimit(cluster: cluster, budget: budget) }
        let seen = requestsSeen(cluster: cluster, windowNanoseconds: windowNanoseconds, now: now)
        return min(budget.limit(active: seen, pending: 0), .max - 1)
    }

    /// Any thread: takes one retry within `budget`: at most a share of the requests active and pending at this moment. What counts
    /// against it are all retries held, those waiting in back-off included; without them, a failing cluster would collect waiting retries
    /// without bound and send them all at once. Refusals are counted as overflow of `retries`. Pair with `release(.retries)`.
    public func tryAcquireRetry(cluster: ClusterSlot, budget: RetryBudget) -> Bool {
        tryAcquire(.retries, cluster: cluster, limit: retryLimit(cluster: cluster, budget: budget))
    }

    /// Any thread: the same with a budget that is a share of the requests begun within the last `windowNanoseconds` (Istio's
    /// `budgetInterval`), which worker threads tell by `requestSeen`.
    public func tryAcquireRetry(cluster: ClusterSlot, budget: RetryBudget, windowNanoseconds: UInt64, now: MonotonicInstant) -> Bool {
        let limit = retryLimit(cluster: cluster, budget: budget, windowNanoseconds: windowNanoseconds, now: now)
        return tryAcquire(.retries, cluster: cluster, limit: limit)
    }

    /// Any thread: a request has begun that a budget with a window counts.
    public func requestSeen(cluster: ClusterSlot, windowNanoseconds: UInt64, now: MonotonicInstant) {
        guard let row = unsafe row(cluster), windowNanoseconds > 0 else { return }
        unsafe turnWindow(row, windowNanoseconds, now)
        unsafe row[ClusterWord.windowCount].wrappingAdd(1, ordering: .relaxed)
    }

    /// Any thread: requests begun within the last window. Exact in the first one; after that the window before counts by the part of it
    /// that is still within reach, as if its requests had been spread evenly.
    public func requestsSeen(cluster: ClusterSlot, windowNanoseconds: UInt64, now: MonotonicInstant) -> UInt64 {
        guard let row = unsafe row(cluster), windowNanoseconds > 0 else { return 0 }
        unsafe turnWindow(row, windowNanoseconds, now)
        let start = unsafe row[ClusterWord.windowStart].load(ordering: .relaxed)
        let elapsed = min(windowNanoseconds, now.nanoseconds >= start ? now.nanoseconds - start : 0)
        let before = unsafe row[ClusterWord.windowBefore].load(ordering: .relaxed)
        let product = before.multipliedFullWidth(by: windowNanoseconds - elapsed)
        let share = windowNanoseconds.dividingFullWidth(product).quotient
        return unsafe row[ClusterWord.windowCount].load(ordering: .relaxed) &+ share
    }

    /// Begins a new window when the time has come. Two threads that meet here may lose a few counts, which a budget can bear.
    private func turnWindow(_ row: UnsafeMutablePointer<Atomic<UInt64>>, _ nanoseconds: UInt64, _ now: MonotonicInstant) {
        let start = unsafe row[ClusterWord.windowStart].load(ordering: .relaxed)
        guard now.nanoseconds >= start, now.nanoseconds - start >= nanoseconds else { return }
        // Windows follow each other without a gap, so that what is counted is never older than two of them.
        let passed = (now.nanoseconds - start) / nanoseconds
        guard
            unsafe row[ClusterWord.windowStart].compareExchange(expected: start, desired: start + passed * nanoseconds, ordering: .relaxed)
                .exchanged
        else { return }
        let count = unsafe row[ClusterWord.windowCount].exchange(0, ordering: .relaxed)
        unsafe row[ClusterWord.windowBefore].store(passed == 1 ? count : 0, ordering: .relaxed)
    }

    /// Any thread: an acquired retry waits before its attempt. Only for show: waiting retries are part of `held(.retries)` anyway.
    public func retryBackOffBegan(cluster: ClusterSlot) {
        guard let row = unsafe row(cluster) else { return }
        unsafe row[ClusterWord.retriesInBackOff].wrappingAdd(1, ordering: .relaxed)
    }

    /// Any thread: it waits no more, whether its attempt begins or its request is given up.
    public func retryBackOffEnded(cluster: ClusterSlot) {
        guard let row = unsafe row(cluster) else { return }
        unsafe decrement(row + ClusterWord.retriesInBackOff)
    }

    /// Any thread: units held now.
    public func held(_ resource: UpstreamResource, cluster: ClusterSlot) -> UInt64 {
        guard let row = unsafe row(cluster) else { return 0 }
        return unsafe row[ClusterWord.held + Int(resource.rawValue)].load(ordering: .relaxed)
    }

    /// Any thread: of the retries held, those in back-off.
    public func retriesInBackOff(cluster: ClusterSlot) -> UInt64 {
        guard let row = unsafe row(cluster) else { return 0 }
        return unsafe row[ClusterWord.retriesInBackOff].load(ordering: .relaxed)
    }

    /// Any thread: refusals since the slot was assigned.
    public func overflow(_ resource: UpstreamResource, cluster: ClusterSlot) -> UInt64 {
        guard let row = unsafe row(cluster) else { return 0 }
        return unsafe row[ClusterWord.overflow + Int(resource.rawValue)].load(ordering: .relaxed)
    }
}
