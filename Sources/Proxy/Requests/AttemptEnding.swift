internal import HTTP
internal import OutlierDetection
internal import Primitives
internal import Routing
internal import TelemetryModel

/// What becomes of a request when an attempt has ended without a response for the client: another attempt (semantics 2.3), or an answer.
enum AttemptEnding {
    @safe
    enum Outcome {
        /// Once more at once, on a new connection.
        case replace
        /// Once more after so many nanoseconds.
        case retry(UInt64)
        case answer(LocalAnswer)
        /// The response has begun and cannot be finished.
        case cut
    }

    /// The attempt has failed. Its connection or stream is given up.
    static func settleFailure(
        _ request: inout Request, _ failure: AttemptFailure, _ upstreams: inout Upstreams, _ context: inout RequestContext,
        _ loop: inout WorkerLoop, _ epochs: inout Epochs
    ) -> Outcome {
        upstreams.note(failure, of: request.attempt, unixNanoseconds: loop.unixNow)
        if request.hasResponded {
            abandonAttempt(&request, &upstreams, &loop)
            request.log.record.flags.insert(failure.flag)
            request.log.record.details = failure.detailsAfterResponse
            return .cut
        }
        upstreams.judge(request.attempt, failure.outcome, now: loop.now)
        if failure.isOfConnecting { loop.countEvent { $0.add($0.upstreamConnectFailures) } }
        if failure == .transportFailure { upstreams.noteFailure(request.attempt.upstream, in: &request.log) }
        let outcome = retryOutcome(&request, failure)
        let isStale = failure == .terminated && canReplace(&request)
        abandonAttempt(&request, &upstreams, &loop)
        if isStale {
            loop.countEvent { $0.add($0.staleRetries) }
            request.attempt.wasReplaced = true
            noteEarlier(&request, .staleConnection, status: 0, loop.now)
            request.attempt.began = loop.now
            return .replace
        }
        if let pause = planRetry(&request, outcome, &upstreams, &context, &loop, &epochs.all[request.epoch]) { return .retry(pause) }
        let status: UInt16 = failure == .protocolError ? 502 : failure == .perTryTimeout ? 504 : 503
        let body = request.attempt.retries > 0 ? failure.bodyAfterRetries : failure.body
        return .answer(LocalAnswer(status, failure.details, [failure.flag], body: body))
    }

    /// The attempt has brought the response in the context. The pause before another attempt, which then is the request's way on; nil = it
    /// is the response.
    static func settleResponse(
        _ request: inout Request, _ upstreams: inout Upstreams, _ context: inout RequestContext, _ loop: inout WorkerLoop,
        _ epochs: inout Epochs
    ) -> UInt64? {
        let status = context.responseHead.statusCode
        let grpc = request.log.record.grpcStatus
        upstreams.judge(request.attempt, .response(status: grpc == 255 ? status : GRPCStatus.http(grpc)), now: loop.now)
        guard status >= 400 || (grpc != 255 && grpc != 0) else { return nil }
        var outcome = RetryOutcome()
        outcome.status = status
        outcome.grpcStatus = grpc
        outcome.isRateLimited = context.responseHead.bytes(named: "x-envoy-ratelimited") != nil
        return planRetry(&request, outcome, &upstreams, &context, &loop, &epochs.all[request.epoch])
    }

    /// Takes the attempt back, or the wait for it.
    static func abandonAttempt(_ request: inout Request, _ upstreams: inout Upstreams, _ loop: inout WorkerLoop) {
        upstreams.abandon(&request.attempt, &loop)
        endBackOff(&request, &upstreams)
        loop.cancel(&request.waitTimer)
    }

    // MARK: Another attempt

    /// Begins the wait for another attempt, if the policy wants one and nothing forbids it; what the attempt had is given up then.
    private static func planRetry(
        _ request: inout Request, _ outcome: RetryOutcome, _ upstreams: inout Upstreams, _ context: inout RequestContext,
        _ loop: inout WorkerLoop, _ epoch: inout Epoch
    ) -> UInt64? {
        guard request.plan.route >= 0 else { return nil }
        let policy = retryPolicy(&request, &epoch)
        guard policy.attempts > 0, isRetryWanted(&request, outcome, policy, &epoch) else { return nil }
        guard UInt32(request.attempt.retries) < policy.attempts else {
            request.log.record.flags.insert(.upstreamRetryLimitExceeded)
            return nil
        }
        guard canReplay(&request) else { return nil }
        releaseRetry(&request.attempt, &upstreams)
        guard acquireRetry(&request, &upstreams, loop.now, &epoch) else {
            request.log.record.flags.insert(.upstreamOverflow)
            return nil
        }
        loop.countEvent { $0.add($0.retries) }
        if policy.avoidsPreviousHosts { request.attempt.noteTried() }
        noteEarlier(&request, AttemptRecord.End(outcome.failure), status: outcome.status, loop.now)
        request.attempt.retries += 1
        abandonAttempt(&request, &upstreams, &loop)
        upstreams.leave(&request.attempt)
        forgetAttempt(&request.log.record)
        request.phase = .backingOff
        let cluster = request.attempt.retryCluster
        upstreams.state.use { $0.retryBackOffBegan(cluster: cluster) }
        return policy.backoffNanoseconds(beforeRetry: UInt32(request.attempt.retries), draw: &context.draws.retry)
    }

    /// What the record says of the attempt that is over.
    private static func forgetAttempt(_ record: inout RequestRecord) {
        record.grpcStatus = 255
        record.times.upstreamReceiveBegin = RequestTimes.absent
        record.times.upstreamSendBegin = RequestTimes.absent
        record.times.upstreamConnectBegin = RequestTimes.absent
        record.times.upstreamConnectEnd = RequestTimes.absent
    }

    private static func noteEarlier(_ request: inout Request, _ ending: AttemptRecord.End, status: UInt16, _ now: MonotonicInstant) {
        let began = request.attempt.began.nanoseconds(since: request.start)
        request.log.note(attempt: began, request.elapsed(now), ending, status: status)
    }

    /// The route's policy, as the request wants it.
    static func retryPolicy(_ request: inout Request, _ epoch: inout Epoch) -> RetryPolicy {
        var policy = epoch.tables.actions(UInt32(request.plan.route)).retry
        if request.plan.effects.contains(.hasOverrides) { request.overrides.apply(to: &policy) }
        return policy
    }

    private static func isRetryWanted(
        _ request: inout Request, _ outcome: RetryOutcome, _ policy: RetryPolicy, _ epoch: inout Epoch
    ) -> Bool {
        var outcome = outcome
        outcome.isIdempotent = request.traits.contains(.isIdempotent)
        let isListed = epoch.tables.isRetriable(policy, status: outcome.status)
            || request.plan.effects.contains(.hasOverrides) && request.overrides.isListed(outcome.status)
        return policy.retries(outcome, isListed: isListed)
    }

    /// Whether the request can be sent again as it was.
    private static func canReplay(_ request: inout Request) -> Bool {
        request.framing == .none || request.body.isKept || !request.body.isForwarded
    }

    /// A kept connection may have been closed while our request was on its way. RFC 9110 9.2.2 lets a proxy send an idempotent request
    /// again then; once, on a new connection, and only if none of its body is gone.
    private static func canReplace(_ request: inout Request) -> Bool {
        guard request.log.record.times.upstreamReceiveBegin == RequestTimes.absent, request.attempt.pool >= 0 else { return false }
        // Who has hinted was there.
        guard request.interim.count == 0 else { return false }
        return request.attempt.isOnReusedConnection && request.traits.contains(.isIdempotent) && !request.attempt.wasReplaced
            && !request.body.isForwarded && request.body.isComplete
    }

    private static func retryOutcome(_ request: inout Request, _ failure: AttemptFailure) -> RetryOutcome {
        var outcome = RetryOutcome()
        switch failure {
        case .connectFailure, .unixConnectFailure, .connectionRefused, .connectionTimeout, .transportFailure:
            outcome.failure = .connectFailure
        case .refusedStream: outcome.failure = .refusedStream
        case .perTryTimeout: outcome.failure = .perTryTimeout
        case .terminated, .remoteReset, .protocolError:
            // Nothing of the request had left our buffers.
            let wasSent = request.log.record.times.upstreamSendBegin != RequestTimes.absent
            outcome.failure = wasSent ? .reset : .resetBeforeRequest
        }
        return outcome
    }

    // MARK: The cluster's retries

    /// A place among the cluster's retries, held until the attempt has ended.
    private static func acquireRetry(
        _ request: inout Request, _ upstreams: inout Upstreams, _ now: MonotonicInstant, _ epoch: inout Epoch
    ) -> Bool {
        let entry = epoch.tables.cluster(Int(request.plan.cluster))
        let slot = epoch.configuration.upstreams.clusters[Int(request.plan.cluster)]
        let isAllowed = upstreams.state.use { state in
            guard entry.hasRetryBudget else { return state.tryAcquire(.retries, cluster: slot, limit: entry.maxRetries) }
            let budget = RetryBudget(partsPerMillion: entry.retryBudgetShare, minRetryConcurrency: entry.retryBudgetMin)
            guard entry.retryBudgetNanoseconds > 0 else { return state.tryAcquireRetry(cluster: slot, budget: budget) }
            return state.tryAcquireRetry(cluster: slot, budget: budget, windowNanoseconds: entry.retryBudgetNanoseconds, now: now)
        }
        if isAllowed {
            request.attempt.retryCluster = slot
            request.attempt.holdsRetry = true
        }
        return isAllowed
    }

    static func releaseRetry(_ attempt: inout Attempt, _ upstreams: inout Upstreams) {
        guard attempt.holdsRetry else { return }
        attempt.holdsRetry = false
        let cluster = attempt.retryCluster
        upstreams.state.use { $0.release(.retries, cluster: cluster) }
    }

    /// The request waits no more, because its attempt begins or because it is over.
    static func endBackOff(_ request: inout Request, _ upstreams: inout Upstreams) {
        guard request.phase == .backingOff else { return }
        request.phase = .attempting
        let cluster = request.attempt.retryCluster
        upstreams.state.use { $0.retryBackOffEnded(cluster: cluster) }
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
