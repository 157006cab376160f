internal import HTTP
internal import Policy
internal import Primitives
internal import Routing
internal import TelemetryModel

/// Local rate limits: token buckets that all workers share (`Policy.RateLimiter`). Every limit that applies takes a token; the scarcest is
/// shown to the client.
enum RateLimiting {
    @inline(__always)
    static func run(
        _ request: inout Request, _ context: inout RequestContext, _ loop: inout WorkerLoop, _ epoch: inout Epoch
    ) -> StepOutcome {
        guard request.origin.listener >= 0 else { return .go }
        let limits = epoch.tables.listener(request.origin.listener).rateLimits
        for index in limits.indices {
            let entry = epoch.tables.rateLimit(index)
            let asked = unsafe RouteRequest(&request, claims: context.tokens.claims)
            guard let rate = epoch.rates[index],
                epoch.tables.applies(entry, port: request.origin.local.port, asked, request.head)
            else { continue }
            if entry.enabledShare < 1_000_000, context.draws.fault.below(1_000_000) >= entry.enabledShare { continue }
            let decision = takeTokens(entry, rate, asked, &request, &context, loop.now, &epoch)
            let isShown = request.plan.effects.contains(.showsRateLimit)
            if !isShown || !decision.isAllowed || decision.remaining < request.plan.rateLimit.remaining {
                request.plan.rateLimit = decision
                request.plan.effects.insert(.showsRateLimit)
            }
            if decision.isAllowed || (entry.enforcedShare < 1_000_000 && context.draws.fault.below(1_000_000) >= entry.enforcedShare) {
                continue
            }
            request.plan.rateLimitIndex = Int32(clamping: index)
            return .answer(LocalAnswer(429, .localRateLimited, [.rateLimited], body: "local_rate_limited"))
        }
        return .go
    }

    private static func takeTokens(
        _ entry: RateLimitEntry, _ rate: TokenRate, _ asked: borrowing RouteRequest, _ request: inout Request,
        _ context: inout RequestContext, _ now: MonotonicInstant, _ epoch: inout Epoch
    ) -> RateLimitDecision {
        var descriptor = RateLimitDescriptor(route: entry.id)
        let client = request.origin.remote
        epoch.tables.forEachPart(entry, asked, request.head) { part in
            switch part {
            case .value(let bytes): unsafe descriptor.add(bytes.buffer)
            case .client:
                descriptor.add(client.high)
                descriptor.add(client.low)
            case .absent: descriptor.addAbsent()
            }
        }
        return context.limiter.use { $0.take(descriptor, rate, now: now) }
    }

    /// Adds the fields that tell the client where it stands.
    static func addOwnFields(to head: inout MessageHead, _ plan: RoutePlan, _ epoch: inout Epoch) {
        for header in RateLimitHeader.allCases where plan.rateLimit.has(header) {
            head.add(header.name) { plan.rateLimit.write(header, to: &$0) }
        }
        guard plan.rateLimitIndex >= 0 else { return }
        let tables = epoch.tables
        tables.forEachRefusalField(tables.rateLimit(Int(plan.rateLimitIndex))) { name, value in head.add(name, value) }
    }
}
