internal import EventLoops
internal import HTTP
internal import OutlierDetection
internal import Primitives
internal import Routing
internal import TelemetryModel

/// Further attempts (semantics 2.3): decided by the route's policy, bounded by the cluster's limit of retries over all workers, begun after a back-off.
extension ProxyWorker {
    /// Begins another attempt if the policy wants one and nothing forbids it. True = the request goes on; what the attempt had is given up then.
    mutating func tryAgain(_ id: SlotID, _ exchange: UnsafeMutablePointer<Exchange>, _ outcome: RetryOutcome) -> Bool {
        guard unsafe exchange.pointee.route >= 0 && !exchange.pointee.flags.contains(.isShadow) && !exchange.pointee.flags.contains(.isTCP) else {
            return false
        }
        let tables = unsafe tables(exchange)
        let policy = unsafe retryPolicy(exchange)
        guard policy.attempts > 0 else { return false }
        var outcome = outcome
        outcome.isIdempotent = unsafe exchange.pointee.flags.contains(.isIdempotent)
        let isListed = unsafe tables.isRetriable(policy, status: outcome.status)
            || exchange.pointee.flags.contains(.hasOverrides) && exchange.pointee.overrides.isListed(outcome.status)
        guard policy.retries(outcome, isListed: isListed) else { return false }
        guard unsafe UInt32(exchange.pointee.retries) < policy.attempts else {
            unsafe exchange.pointee.record.flags.insert(.upstreamRetryLimitExceeded)
            return false
        }
        guard unsafe canReplay(exchange) else { return false }
        guard unsafe acquireRetry(exchange) else {
            unsafe exchange.pointee.record.flags.insert(.upstreamOverflow)
            return false
        }
        handle.statistics.add(handle.statistics.retries)
        if unsafe exchange.pointee.endpointIndex >= 0, policy.avoidsPreviousHosts { unsafe exchange.pointee.note(tried: Int(exchange.pointee.endpointIndex)) }
        unsafe exchange.pointee.note(attemptEnding: AttemptRecord.End(outcome.failure), status: outcome.status, now: now)
        unsafe exchange.pointee.retries += 1
        unsafe abandonAttempt(id, exchange)
        unsafe leavePool(exchange)
        unsafe exchange.pointee.record.grpcStatus = 255
        unsafe exchange.pointee.record.times.upstreamReceiveBegin = RequestTimes.absent
        unsafe exchange.pointee.record.times.upstreamSendBegin = RequestTimes.absent
        unsafe exchange.pointee.record.times.upstreamConnectBegin = RequestTimes.absent
        unsafe exchange.pointee.record.times.upstreamConnectEnd = RequestTimes.absent
        let pause = unsafe policy.backoffNanoseconds(beforeRetry: UInt32(exchange.pointee.retries), draw: &retryDraw)
        unsafe exchange.pointee.attemptWait = .backOff
        upstreamState.use { unsafe $0.retryBackOffBegan(cluster: exchange.pointee.retryCluster) }
        unsafe exchange.pointee.attemptTimer = timers.arm(Token(.attempt, id).rawValue, at: now + pause)
        return true
    }

    /// The route's policy, as the request wants it.
    mutating func retryPolicy(_ exchange: UnsafeMutablePointer<Exchange>) -> RetryPolicy {
        var policy = unsafe tables(exchange).actions(UInt32(exchange.pointee.route)).retry
        if unsafe exchange.pointee.flags.contains(.hasOverrides) { unsafe exchange.pointee.overrides.apply(to: &policy) }
        return policy
    }

    /// Whether the request can be sent again as it was.
    private mutating func canReplay(_ exchange: UnsafeMutablePointer<Exchange>) -> Bool {
        let flags = unsafe exchange.pointee.flags
        if unsafe exchange.pointee.requestFraming == .none || flags.contains(.keepsBody) { return true }
        return !flags.contains(.bodyForwarded)
    }

    /// A place among the cluster's retries, held until the attempt has ended.
    private mutating func acquireRetry(_ exchange: UnsafeMutablePointer<Exchange>) -> Bool {
        unsafe releaseRetry(exchange)
        let state = handle.shared.state
        let entry = unsafe tables(exchange).cluster(Int(exchange.pointee.clusterIndex))
        let slot = unsafe epochs[exchange.pointee.epoch].configuration.upstreams.clusters[Int(exchange.pointee.clusterIndex)]
        let isAllowed: Bool
        if entry.hasRetryBudget {
            let budget = RetryBudget(partsPerMillion: entry.retryBudgetShare, minRetryConcurrency: entry.retryBudgetMin)
            isAllowed =
                entry.retryBudgetNanoseconds > 0
                ? state.tryAcquireRetry(cluster: slot, budget: budget, windowNanoseconds: entry.retryBudgetNanoseconds, now: now)
                : state.tryAcquireRetry(cluster: slot, budget: budget)
        } else {
            isAllowed = state.tryAcquire(.retries, cluster: slot, limit: entry.maxRetries)
        }
        guard isAllowed else { return false }
        unsafe exchange.pointee.retryCluster = slot
        unsafe exchange.pointee.flags.insert(.holdsRetry)
        return true
    }

    mutating func releaseRetry(_ exchange: UnsafeMutablePointer<Exchange>) {
        guard unsafe exchange.pointee.flags.contains(.holdsRetry) else { return }
        unsafe exchange.pointee.flags.remove(.holdsRetry)
        upstreamState.use { unsafe $0.release(.retries, cluster: exchange.pointee.retryCluster) }
    }

    /// The request waits no more, because its attempt begins or because it is over.
    mutating func endBackOff(_ exchange: UnsafeMutablePointer<Exchange>) {
        guard unsafe exchange.pointee.attemptWait == .backOff else { return }
        unsafe exchange.pointee.attemptWait = .none
        upstreamState.use { unsafe $0.retryBackOffEnded(cluster: exchange.pointee.retryCluster) }
    }

    mutating func attemptTimerFired(_ id: SlotID) {
        guard let exchange = unsafe exchanges.pointer(id) else { return }
        unsafe exchange.pointee.attemptTimer = .none
        switch unsafe exchange.pointee.attemptWait {
        case .none: break
        case .tcpReport: unsafe reportTCPAgain(id, exchange)
        case .backOff:
            unsafe endBackOff(exchange)
            beginAttempt(id, hasMore: false)
        case .faultDelay:
            unsafe exchange.pointee.attemptWait = .none
            faultDelayEnded(id)
        case .perTryTimeout:
            unsafe exchange.pointee.attemptWait = .none
            if unsafe !exchange.pointee.flags.contains(.responseStarted) { attemptFailed(id, .perTryTimeout) }
        }
    }
}

extension AttemptRecord.End {
    init(_ failure: RetryOutcome.Failure) {
        switch failure {
        case .none, .overflow: self = .response
        case .connectFailure: self = .connectFailure
        case .refusedStream: self = .refusedStream
        case .resetBeforeRequest, .reset: self = .reset
        case .perTryTimeout: self = .perTryTimeout
        }
    }
}
