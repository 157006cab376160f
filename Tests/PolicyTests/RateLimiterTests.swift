import Dispatch
import Glibc
import Policy
import Primitives
import Synchronization
import Testing

@Suite struct RateLimiterTests {
    static func minute(_ count: UInt32) throws -> TokenRate {
        try TokenRate(maxTokens: count, tokensPerFill: count, fillIntervalNanoseconds: 60_000_000_000)
    }

    static func descriptor(_ parts: String?...) -> RateLimitDescriptor {
        var descriptor = RateLimitDescriptor(route: 1)
        for part in parts {
            guard var part else {
                descriptor.addAbsent()
                continue
            }
            part.withUTF8 { unsafe descriptor.add(UnsafeRawBufferPointer($0)) }
        }
        return descriptor
    }

    /// 100 a minute is 100 a minute over all threads, for each of many descriptors that all threads meet for the first time at once.
    @Test(arguments: 1...10)
    func limitsAreExactOverAllThreads(round: Int) throws {
        let limiter = RateLimiter(bucketsMax: 4096)
        let rate = try Self.minute(100)
        let descriptors = (0..<200).map { Self.descriptor("client-\($0)", "\(round)") }
        let granted = Atomics(count: descriptors.count)
        DispatchQueue.concurrentPerform(iterations: 4) { thread in
            for attempt in 0..<60 {
                for index in descriptors.indices {
                    // Threads see clocks of their own, within a turn of each other.
                    let now = MonotonicInstant(nanoseconds: 1_000_000_000_000 + UInt64(attempt) * 1000 + UInt64(thread))
                    if limiter.take(descriptors[index], rate, now: now).isAllowed { granted.increment(index) }
                }
            }
        }
        #expect(limiter.evictedEarly.load(ordering: .relaxed) == 0)
        for index in descriptors.indices { #expect(granted[index] == 100, "descriptor \(index)") }
        #expect(limiter.allowed.load(ordering: .relaxed) == 20_000 && limiter.limited.load(ordering: .relaxed) == 28_000)
        #expect(limiter.busy(now: MonotonicInstant(nanoseconds: 1_000_000_000_000)) == 200)
    }

    /// Threads that meet a new descriptor at the same moment find one bucket, not one each.
    @Test func aNewDescriptorHasOneBucket() throws {
        let limiter = RateLimiter(bucketsMax: 65_536)
        let rate = try Self.minute(1)
        let rounds = 4000, threads = 2
        let granted = Atomics(count: rounds)
        let arrived = Atomic<Int>(0)
        DispatchQueue.concurrentPerform(iterations: threads) { _ in
            for round in 0..<rounds {
                var descriptor = RateLimitDescriptor(route: 9)
                descriptor.add(UInt64(round))
                arrived.wrappingAdd(1, ordering: .relaxed)
                var spins = 0
                while arrived.load(ordering: .relaxed) < (round + 1) * threads {
                    spins += 1
                    if spins % 1000 == 0 { sched_yield() }
                }
                if limiter.take(descriptor, rate, now: MonotonicInstant(nanoseconds: 1 << 40)).isAllowed { granted.increment(round) }
            }
        }
        let wrong = (0..<rounds).count { granted[$0] != 1 }
        #expect(wrong == 0, "descriptors that had none or two")
    }

    /// The same with rows changing owners under the threads' hands: short-lived descriptors come and go in the sets of busy ones.
    @Test func busyBucketsSurviveTheComingAndGoingOfIdleOnes() throws {
        let limiter = RateLimiter(bucketsMax: 16)
        let slow = try Self.minute(50)
        // Full again within 50 ms: idle by the next turn.
        let quick = try TokenRate(maxTokens: 1, tokensPerFill: 1, fillIntervalNanoseconds: 50_000_000)
        let busy = (0..<6).map { Self.descriptor("busy-\($0)") }
        let granted = Atomics(count: busy.count)
        DispatchQueue.concurrentPerform(iterations: 3) { thread in
            for turn in 0..<100 {
                let now = MonotonicInstant(nanoseconds: 1_000_000_000_000 + UInt64(turn) * 1_000_000)
                for index in busy.indices where limiter.take(busy[index], slow, now: now).isAllowed { granted.increment(index) }
                _ = limiter.take(Self.descriptor("idle-\(thread)-\(turn)"), quick, now: now)
            }
        }
        // 50 at once and none more within 100 ms; evicting early would be allowed to give more, and takes the soonest full first.
        for index in busy.indices { #expect(granted[index] == 50, "descriptor \(index)") }
    }

    /// One bucket per list of parts, against a dictionary of single-threaded buckets.
    @Test(arguments: Array(1...10) as [UInt64])
    func behavesAsADictionaryOfBuckets(seed: UInt64) throws {
        var random = RandomSource(seed: seed)
        let limiter = RateLimiter(bucketsMax: 8192)
        var model: [String: TokenBucket] = [:]
        let rates = [try Self.minute(3), try TokenRate(maxTokens: 7, tokensPerFill: 2, fillIntervalNanoseconds: 777_777_777)]
        var now = MonotonicInstant(nanoseconds: 1 << 50)
        for step in 0..<20_000 {
            now = now + UInt64(random.below(20_000_000))
            let client = random.below(60), rate = Int(random.below(2))
            let name = "\(client)/\(rate)"
            let expected = model[name, default: TokenBucket(rate: rates[rate])].take(now: now)
            let decision = limiter.take(Self.descriptor("\(client)"), rates[rate], now: now)
            guard decision == expected else {
                Issue.record("seed \(seed) step \(step): \(decision) instead of \(expected)")
                return
            }
        }
        #expect(limiter.evictedEarly.load(ordering: .relaxed) == 0, "seed \(seed)")
    }

    /// However many descriptors a client invents, the table stays as it is and the loss is counted.
    @Test func floodOfDescriptorsIsCounted() throws {
        let limiter = RateLimiter(bucketsMax: 64)
        let rate = try Self.minute(10)
        let now = MonotonicInstant(nanoseconds: 1_000_000_000_000)
        let victim = Self.descriptor("heavy")
        for _ in 0..<10 { #expect(limiter.take(victim, rate, now: now).isAllowed) }
        for number in 0..<10_000 { #expect(limiter.take(Self.descriptor("made-up-\(number)"), rate, now: now).isAllowed) }
        #expect(limiter.evictedEarly.load(ordering: .relaxed) >= 10_000 - 64)
        // Made-up ones have used a tenth of their bucket: they go first, who used all of it stays limited.
        #expect(!limiter.take(victim, rate, now: now).isAllowed)
        #expect(limiter.busy(now: now) <= limiter.bucketsMax && limiter.bucketsMax == 64)
    }

    @Test func partsAreNotConfused() {
        let different = [
            Self.descriptor("ab", "c"), Self.descriptor("a", "bc"), Self.descriptor("abc"), Self.descriptor("abc", ""),
            Self.descriptor("abc", nil),
            Self.descriptor(nil, "abc"), Self.descriptor("", "abc"), Self.descriptor(),
        ]
        #expect(Set(different.map(\.hash)).count == different.count)
        #expect(Self.descriptor("a", nil) == Self.descriptor("a", nil))
        #expect(RateLimitDescriptor(route: 1) != RateLimitDescriptor(route: 2))
    }

    @Test func headersTellTheDecision() {
        let allowed = RateLimitDecision(isAllowed: true, limit: 100, remaining: 7, resetSeconds: 56, retryAfterSeconds: 0)
        let refused = RateLimitDecision(isAllowed: false, limit: 100, remaining: 0, resetSeconds: 60, retryAfterSeconds: 4_294_967_295)
        func text(_ decision: RateLimitDecision) -> [String] {
            RateLimitHeader.allCases.filter(decision.has).map { header in
                var buffer = ByteBuffer()
                decision.write(header, to: &buffer)
                let value = unsafe String(decoding: buffer.readable, as: UTF8.self)
                return "\(header.name): " + value
            }
        }
        #expect(text(allowed) == ["x-ratelimit-limit: 100", "x-ratelimit-remaining: 7", "x-ratelimit-reset: 56"])
        #expect(text(refused) == ["x-ratelimit-limit: 100", "x-ratelimit-remaining: 0", "x-ratelimit-reset: 60", "retry-after: 4294967295"])
    }
}

/// Counters that threads share.
private final class Atomics: Sendable {
    private let cells: [Cell]

    private final class Cell: Sendable { let value = Atomic<Int>(0) }

    init(count: Int) { cells = (0..<count).map { _ in Cell() } }

    func increment(_ index: Int) { cells[index].value.wrappingAdd(1, ordering: .relaxed) }
    subscript(index: Int) -> Int { cells[index].value.load(ordering: .relaxed) }
}
