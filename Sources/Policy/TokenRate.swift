public import Primitives

/// A token bucket's size and speed: Envoy's `token_bucket` (max_tokens, tokens_per_fill, fill_interval).
///
/// As in Envoy since its buckets have no timer, tokens arrive evenly over the fill interval rather than all at its end: 100 tokens with
/// 100 per minute let 100 requests pass at once and then one every 600 ms.
///
/// A bucket's state is one number: when it will be full again. That instant lies `missing tokens × time per token` ahead; a token taken
/// moves it one token's time further; an instant in the past means full. Time per token is kept in 1/16 ns and rounded up, so that a
/// bucket never gives more than it should, and errs by less than 1/16 ns a token.
public struct TokenRate: Hashable, Sendable, BitwiseCopyable {
    /// Why a limit cannot be used.
    public enum Invalid: Error, Hashable, CustomStringConvertible {
        case noTokens
        case noTokensPerFill
        case fillIntervalTooShort
        case takesTooLongToFill

        public var description: String {
            switch self {
            case .noTokens: "max_tokens must be at least 1"
            case .noTokensPerFill: "tokens_per_fill must be at least 1"
            case .fillIntervalTooShort: "fill_interval must be at least 50ms"
            case .takesTooLongToFill:
                "an empty bucket must be full again within a year: raise tokens_per_fill, or lower fill_interval or max_tokens"
            }
        }
    }

    /// Envoy's own bound.
    public static let fillIntervalNanosecondsMin: UInt64 = 50_000_000
    /// So that a bucket's state and its sums stay far inside 64 bits.
    public static let timeToFillNanosecondsMax: UInt64 = 365 * 86_400 * 1_000_000_000

    /// Fractions of a nanosecond in bucket states.
    static let ticksPerNanosecond: UInt64 = 16

    public let maxTokens: UInt32
    public let tokensPerFill: UInt32
    public let fillIntervalNanoseconds: UInt64
    /// Time of one token, in ticks; at least 1.
    let ticksPerToken: UInt64

    public init(maxTokens: UInt32, tokensPerFill: UInt32 = 1, fillIntervalNanoseconds: UInt64) throws(Invalid) {
        guard maxTokens > 0 else { throw .noTokens }
        guard tokensPerFill > 0 else { throw .noTokensPerFill }
        guard fillIntervalNanoseconds >= Self.fillIntervalNanosecondsMin else { throw .fillIntervalTooShort }
        // No longer than a year for `maxTokens`; the interval itself is bounded first so that nothing below overflows.
        guard fillIntervalNanoseconds / UInt64(tokensPerFill) < Self.timeToFillNanosecondsMax else { throw .takesTooLongToFill }
        let (quotient, remainder) = UInt64(tokensPerFill).dividingFullWidth(
            fillIntervalNanoseconds.multipliedFullWidth(by: Self.ticksPerNanosecond))
        let ticks = quotient + (remainder > 0 ? 1 : 0)
        let (total, overflow) = ticks.multipliedReportingOverflow(by: UInt64(maxTokens))
        guard !overflow, total <= Self.timeToFillNanosecondsMax * Self.ticksPerNanosecond else { throw .takesTooLongToFill }
        self.maxTokens = maxTokens
        self.tokensPerFill = tokensPerFill
        self.fillIntervalNanoseconds = fillIntervalNanoseconds
        ticksPerToken = ticks
    }

    /// Ticks from empty to full.
    var ticksToFill: UInt64 { ticksPerToken * UInt64(maxTokens) }

    /// Buckets of different rates are different buckets, also when a reload changes the rate of a descriptor.
    var fingerprint: UInt64 {
        ByteHash.mix(fillIntervalNanoseconds ^ 0xE703_7ED1_A0B4_28DB, UInt64(maxTokens) << 32 | UInt64(tokensPerFill))
    }
}

/// One bucket for one thread, and the arithmetic of the shared ones.
public struct TokenBucket: Sendable {
    public let rate: TokenRate
    /// Ticks since the clock's zero at which the bucket is full again; in the past = full now.
    private var fullAt: UInt64 = 0

    /// Full.
    public init(rate: TokenRate) { self.rate = rate }

    /// Takes a token if there is one.
    public mutating func take(now: MonotonicInstant) -> RateLimitDecision {
        let (decision, after) = Self.take(fullAt, rate, now: Self.ticks(now))
        fullAt = after
        return decision
    }

    /// Stands still after 34 years of uptime.
    static func ticks(_ now: MonotonicInstant) -> UInt64 {
        let (ticks, overflow) = now.nanoseconds.multipliedReportingOverflow(by: TokenRate.ticksPerNanosecond)
        return overflow ? ticksMax : min(ticks, ticksMax)
    }

    /// Room above for a bucket's whole time to fill.
    static let ticksMax = UInt64.max - (1 << 60)

    /// The decision and the new state; the same state when refused.
    static func take(_ fullAt: UInt64, _ rate: TokenRate, now: UInt64) -> (RateLimitDecision, UInt64) {
        let missing = fullAt > now ? fullAt - now : 0
        let after = missing + rate.ticksPerToken
        guard after <= rate.ticksToFill else {
            let wait = after - rate.ticksToFill
            return (
                RateLimitDecision(
                    isAllowed: false, limit: rate.maxTokens, remaining: 0, resetSeconds: seconds(missing),
                    retryAfterSeconds: max(1, seconds(wait))),
                fullAt
            )
        }
        return (
            RateLimitDecision(
                isAllowed: true, limit: rate.maxTokens, remaining: UInt32(clamping: (rate.ticksToFill - after) / rate.ticksPerToken),
                resetSeconds: seconds(after), retryAfterSeconds: 0),
            now + after
        )
    }

    /// Rounded up.
    private static func seconds(_ ticks: UInt64) -> UInt32 {
        let perSecond = 1_000_000_000 * TokenRate.ticksPerNanosecond
        return UInt32(clamping: ticks / perSecond + (ticks % perSecond > 0 ? 1 : 0))
    }
}
