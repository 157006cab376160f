import Policy
import Primitives
import Testing

@Suite struct TokenBucketTests {
    static func at(milliseconds: UInt64) -> MonotonicInstant { MonotonicInstant(nanoseconds: milliseconds * 1_000_000) }

    /// 100 a minute: a hundred at once, then one every 600 ms.
    @Test func hundredAMinute() throws {
        var bucket = TokenBucket(rate: try TokenRate(maxTokens: 100, tokensPerFill: 100, fillIntervalNanoseconds: 60_000_000_000))
        let start: UInt64 = 1_000_000
        for left in (0..<100 as Range<UInt32>).reversed() {
            let decision = bucket.take(now: Self.at(milliseconds: start))
            #expect(decision.isAllowed && decision.remaining == left && decision.limit == 100)
        }
        let refused = bucket.take(now: Self.at(milliseconds: start))
        #expect(refused == RateLimitDecision(isAllowed: false, limit: 100, remaining: 0, resetSeconds: 60, retryAfterSeconds: 1))
        #expect(!bucket.take(now: Self.at(milliseconds: start + 599)).isAllowed)
        #expect(bucket.take(now: Self.at(milliseconds: start + 600)).isAllowed)
        #expect(!bucket.take(now: Self.at(milliseconds: start + 600)).isAllowed)
        // Half a minute gives fifty back, and a minute no more than a full bucket.
        let half = bucket.take(now: Self.at(milliseconds: start + 30_600))
        #expect(half.remaining == 49 && half.resetSeconds == 31)
        #expect(bucket.take(now: Self.at(milliseconds: start + 600_000)).remaining == 99)
    }

    @Test func retryAfterIsWhenATokenIsThere() throws {
        var bucket = TokenBucket(rate: try TokenRate(maxTokens: 1, tokensPerFill: 1, fillIntervalNanoseconds: 90_000_000_000))
        #expect(bucket.take(now: Self.at(milliseconds: 0)).isAllowed)
        #expect(bucket.take(now: Self.at(milliseconds: 1)).retryAfterSeconds == 90)
        #expect(bucket.take(now: Self.at(milliseconds: 60_000)).retryAfterSeconds == 30)
        #expect(bucket.take(now: Self.at(milliseconds: 89_999)).retryAfterSeconds == 1)
        #expect(bucket.take(now: Self.at(milliseconds: 90_000)).isAllowed)
    }

    /// Against a bucket counted in tokens as exact fractions: 128-bit sums of 1/16 ns, never rounded but for
    /// one token's time, as documented.
    @Test(arguments: Array(1...60) as [UInt64])
    func behavesAsTheModel(seed: UInt64) throws {
        var random = RandomSource(seed: seed)
        let most = 1 + random.below(random.below(2) == 0 ? 5 : 100_000)
        let perFill = 1 + random.below(random.below(2) == 0 ? 10 : 1_000_000)
        let interval = 50_000_000 + random.next() % (1 << (20 + UInt64(random.below(20))))
        let rate = try TokenRate(maxTokens: most, tokensPerFill: perFill, fillIntervalNanoseconds: interval)
        var bucket = TokenBucket(rate: rate)
        // One token is this many 1/16 ns.
        let cost = (Int128(interval) * 16 + Int128(perFill) - 1) / Int128(perFill)
        let full = cost * Int128(most)
        var credit = full
        var now = random.next() >> 12
        var allowed = 0
        let start = now
        var last = now
        for step in 0..<4_000 {
            // Bursts, and waits about as long as a token or the bucket takes.
            let scale = max(1, (UInt64(clamping: cost / 16) << UInt64(random.below(8))) >> 5)
            switch random.below(6) {
            case 0, 1: break
            case 2: now += random.next() % (scale * UInt64(most) + 1)
            default: now += random.next() % scale
            }
            // Eighteen years of uptime are enough.
            guard now < 1 << 59 else { break }
            let before = credit
            credit = min(full, credit + Int128(now - last) * 16)
            last = now
            let decision = bucket.take(now: MonotonicInstant(nanoseconds: now))
            let fits = credit >= cost
            if fits { credit -= cost }
            allowed += fits ? 1 : 0
            let missing = full - credit
            let second = Int128(16_000_000_000)
            let expected = RateLimitDecision(
                isAllowed: fits, limit: most, remaining: fits ? UInt32(credit / cost) : 0,
                resetSeconds: UInt32((missing + second - 1) / second),
                retryAfterSeconds: fits ? 0 : UInt32(max(1, (cost - credit + second - 1) / second)))
            guard decision == expected else {
                Issue.record(
                    "seed \(seed) step \(step): \(decision) instead of \(expected) (credit \(before) to \(credit) of \(full), cost \(cost))"
                )
                return
            }
        }
        // The promise in its plain form: a full bucket, and what the fills brought.
        let brought = Int128(now - start) * Int128(perFill) / Int128(interval)
        #expect(Int128(allowed) <= Int128(most) + brought, "seed \(seed)")
    }

    /// Rounding a token's time up costs less than a token in a day, and never gives one too many.
    @Test func roundingIsInvisible() throws {
        let rate = try TokenRate(maxTokens: 10, tokensPerFill: 97, fillIntervalNanoseconds: 1_000_000_000)
        var bucket = TokenBucket(rate: rate)
        var allowed = 0
        // One request a millisecond for 100 s: ten at first, then 97 a second.
        for millisecond in 0..<100_000 as Range<UInt64> where bucket.take(now: Self.at(milliseconds: millisecond)).isAllowed {
            allowed += 1
        }
        #expect((9_708...9_709).contains(allowed))
    }

    /// A clock that is behind another thread's never gives tokens back twice.
    @Test func earlierNowGivesNothing() throws {
        var bucket = TokenBucket(rate: try TokenRate(maxTokens: 2, tokensPerFill: 1, fillIntervalNanoseconds: 1_000_000_000))
        #expect(bucket.take(now: Self.at(milliseconds: 5000)).isAllowed)
        #expect(bucket.take(now: Self.at(milliseconds: 5000)).isAllowed)
        #expect(!bucket.take(now: Self.at(milliseconds: 4990)).isAllowed)
        #expect(!bucket.take(now: Self.at(milliseconds: 5999)).isAllowed)
        #expect(bucket.take(now: Self.at(milliseconds: 6000)).isAllowed)
    }

    @Test func unusableRatesSayWhy() {
        func reason(_ most: UInt32, _ perFill: UInt32, _ interval: UInt64) -> TokenRate.Invalid? {
            do {
                _ = try TokenRate(maxTokens: most, tokensPerFill: perFill, fillIntervalNanoseconds: interval)
                return nil
            } catch { return error }
        }
        #expect(reason(0, 1, 1_000_000_000) == .noTokens)
        #expect(reason(1, 0, 1_000_000_000) == .noTokensPerFill)
        #expect(reason(1, 1, 49_999_999) == .fillIntervalTooShort)
        #expect(reason(.max, 1, 86_400_000_000_000) == .takesTooLongToFill)
        #expect(reason(1, 1, .max) == .takesTooLongToFill)
        #expect(reason(.max, .max, .max) == .takesTooLongToFill)
        #expect(reason(1, .max, .max) == nil)
        #expect(reason(.max, .max, 50_000_000) == nil)
        #expect(reason(1, 1, TokenRate.timeToFillNanosecondsMax - 1) == nil)
        #expect(TokenRate.Invalid.fillIntervalTooShort.description.contains("50ms"))
    }

    /// Times at the end of the range decide something and trap nowhere.
    @Test func hugeTimesAreHarmless() throws {
        var bucket = TokenBucket(
            rate: try TokenRate(maxTokens: 1, tokensPerFill: 1, fillIntervalNanoseconds: TokenRate.timeToFillNanosecondsMax - 1))
        for now in [0, 1, UInt64.max / 16, .max / 2, .max - 1, .max] { _ = bucket.take(now: MonotonicInstant(nanoseconds: now)) }
    }
}
