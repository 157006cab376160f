import Primitives
import Routing
import Testing

@Suite struct RetryPolicyTests {
    static func outcome(
        _ failure: RetryOutcome.Failure = .none, status: UInt16 = 0, grpc: UInt8 = 255, limited: Bool = false, idempotent: Bool = true
    ) -> RetryOutcome {
        var outcome = RetryOutcome()
        outcome.failure = failure
        outcome.status = status
        outcome.grpcStatus = grpc
        outcome.isRateLimited = limited
        outcome.isIdempotent = idempotent
        return outcome
    }

    static func policy(_ conditions: RetryConditions, attempts: UInt32 = 3) -> RetryPolicy {
        var policy = RetryPolicy()
        policy.attempts = attempts
        policy.conditions = conditions
        policy.isAskedFor = true
        return policy
    }

    /// semantics 2.3, condition by condition.
    @Test(arguments: [
        (RetryConditions.fiveXX, outcome(status: 500), true), (.fiveXX, outcome(status: 599), true), (.fiveXX, outcome(status: 499), false),
        (.fiveXX, outcome(.reset), true), (.fiveXX, outcome(.connectFailure), true), (.fiveXX, outcome(.refusedStream), true),
        (.fiveXX, outcome(.perTryTimeout), true), (.gatewayError, outcome(status: 500), false), (.gatewayError, outcome(status: 502), true),
        (.gatewayError, outcome(status: 504), true), (.gatewayError, outcome(.reset), true), (.reset, outcome(.reset), true),
        (.reset, outcome(status: 503), false), (.connectFailure, outcome(.connectFailure), true), (.connectFailure, outcome(.reset), false),
        (.connectFailure, outcome(status: 503), false), (.refusedStream, outcome(.refusedStream), true),
        (.refusedStream, outcome(.reset), false),
        (.retriable4xx, outcome(status: 409), true), (.retriable4xx, outcome(status: 404), false),
        (.resetBeforeRequest, outcome(.resetBeforeRequest), true), (.resetBeforeRequest, outcome(.reset), false),
        (.cancelled, outcome(status: 200, grpc: 1), true), (.deadlineExceeded, outcome(status: 200, grpc: 4), true),
        (.resourceExhausted, outcome(status: 200, grpc: 8), true), (.internal, outcome(status: 200, grpc: 13), true),
        (.unavailable, outcome(status: 200, grpc: 14), true), (.unavailable, outcome(status: 200, grpc: 13), false),
        (.fiveXX, outcome(status: 503, limited: true), false), ([.fiveXX, .envoyRateLimited], outcome(status: 503, limited: true), true),
        (.fiveXX, outcome(.overflow), false),
    ] as [(RetryConditions, RetryOutcome, Bool)])
    func conditions(_ conditions: RetryConditions, _ outcome: RetryOutcome, _ expected: Bool) {
        #expect(Self.policy(conditions).retries(outcome, isListed: false) == expected)
    }

    @Test func listedStatusCodesNeedTheirCondition() {
        #expect(Self.policy(.retriableStatusCodes).retries(Self.outcome(status: 418), isListed: true))
        #expect(!Self.policy(.retriableStatusCodes).retries(Self.outcome(status: 418), isListed: false))
        #expect(!Self.policy(.fiveXX).retries(Self.outcome(status: 418), isListed: true))
    }

    /// Istio's own default once charged people twice (semantics 2.3): without being asked, a POST is tried again only where nobody has seen
    /// it.
    @Test func theDefaultSparesWhatIsNotIdempotent() {
        let policy = RetryPolicy.istioDefault
        #expect(policy.attempts == 2)
        #expect(policy.retries(Self.outcome(.connectFailure, idempotent: false), isListed: false))
        #expect(policy.retries(Self.outcome(.refusedStream, idempotent: false), isListed: false))
        #expect(!policy.retries(Self.outcome(status: 200, grpc: 14, idempotent: false), isListed: false))
        #expect(policy.retries(Self.outcome(status: 200, grpc: 14), isListed: false))
        #expect(!policy.retries(Self.outcome(status: 503), isListed: false))
        #expect(!policy.retries(Self.outcome(.reset), isListed: false))
        // Asked for, it holds for every method.
        #expect(Self.policy(.fiveXX).retries(Self.outcome(status: 503, idempotent: false), isListed: false))
    }

    @Test func noAttemptsNoRetries() {
        #expect(!Self.policy(.fiveXX, attempts: 0).retries(Self.outcome(status: 503), isListed: false))
    }

    /// Uniform in [0, (2^n - 1) x 25 ms), at most 250 ms.
    @Test func backOffHasFullJitterAndACap() {
        let seed = UInt64.random(in: 1...UInt64.max)
        var draw = RandomSource(seed: seed)
        let policy = RetryPolicy.istioDefault
        for (retry, bound) in [(1, 25), (2, 75), (3, 175), (4, 250), (12, 250)] as [(UInt32, UInt64)] {
            let waits = (0..<2000).map { _ in policy.backoffNanoseconds(beforeRetry: retry, draw: &draw) }
            let limit = bound * 1_000_000
            #expect(waits.allSatisfy { $0 < limit }, "seed \(seed)")
            // Both ends are reached, nearly: the chance to miss a twentieth 2000 times is below 1e-44.
            #expect(waits.contains { $0 < limit / 20 } && waits.contains { $0 > limit / 20 * 19 }, "seed \(seed)")
        }
    }

    @Test(
        arguments: [
            (100, 1_000_000), (50, 500_000), (0.1, 1000), (0.00005, 0), (0.0001, 1), (0.29, 2900), (33.3333, 333_333), (-1, 0),
            (1000, 1_000_000),
        ] as [(Double, UInt32)])
    func sharesOfAHundred(_ percent: Double, _ expected: UInt32) {
        #expect(FaultPolicy.share(percent: percent) == expected)
    }
}
