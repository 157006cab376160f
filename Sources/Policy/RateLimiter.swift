internal import Glibc
public import Primitives
public import Synchronization

/// Token buckets of all descriptors, shared by all workers: a limit of 100 a minute is 100 a minute over all threads.
///
/// A fixed table of sets of eight rows; a descriptor's hash names its set, and it lies anywhere in it. A row is two words: the
/// descriptor's key and its bucket's state (`TokenBucket`: when it is full again). A request of a known descriptor reads the set and
/// exchanges one word. A new descriptor claims its set for some instructions, so that two threads cannot give it two buckets; it takes a
/// row whose bucket is full again, because forgetting a full bucket loses nothing. When all eight are busy, the one soonest full goes,
/// and `evictedEarly` counts it: it may be given up to its whole bucket again. The table is full of busy descriptors then and should be
/// larger.
///
/// `@unchecked Sendable`: rows and claims are atomics, allocated for the object's life.
@safe
public final class RateLimiter: @unchecked Sendable {
    /// Default bound of descriptors with a busy bucket; 16 bytes each.
    public static let bucketsMaxDefault = 65_536

    private static let ways = 8
    /// State of a row that is changing its owner.
    private static let changing = UInt64.max

    public let bucketsMax: Int
    private let setMask: Int
    /// Key and state of each row, by turns; key 0 = never used.
    private let rows: UnsafeMutablePointer<Atomic<UInt64>>
    /// 1 = a thread is bringing a descriptor into this set.
    private let claims: UnsafeMutablePointer<Atomic<UInt8>>

    public let allowed = Atomic<UInt64>(0)
    public let limited = Atomic<UInt64>(0)
    /// Buckets forgotten before they were full again.
    public let evictedEarly = Atomic<UInt64>(0)

    /// `bucketsMax` is rounded up to a power of two of at least eight.
    public init(bucketsMax: Int = bucketsMaxDefault) {
        precondition(bucketsMax <= 1 << 26, "a table of rate limits beyond a gigabyte is a mistake")
        var sets = 1
        while sets * Self.ways < bucketsMax { sets *= 2 }
        self.bucketsMax = sets * Self.ways
        setMask = sets - 1
        let words = sets * Self.ways * 2
        unsafe rows = UnsafeMutableRawPointer.allocate(byteCount: words * 8, alignment: 64).bindMemory(
            to: Atomic<UInt64>.self, capacity: words)
        for word in 0..<words { unsafe (rows + word).initialize(to: Atomic(0)) }
        unsafe claims = .allocate(capacity: sets)
        for set in 0..<sets { unsafe (claims + set).initialize(to: Atomic(0)) }
    }

    deinit {
        unsafe UnsafeMutableRawPointer(rows).deallocate()
        unsafe claims.deallocate()
    }

    /// Any thread: takes a token of the descriptor's bucket for one request. A descriptor never seen has a full bucket.
    public func take(_ descriptor: RateLimitDescriptor, _ rate: TokenRate, now: MonotonicInstant) -> RateLimitDecision {
        let key = max(1, ByteHash.mix(descriptor.hash ^ rate.fingerprint, 0x9E37_79B9_7F4A_7C15))
        let now = TokenBucket.ticks(now)
        let decision = takeKnown(key, rate, now: now) ?? takeNew(key, rate, now: now)
        if decision.isAllowed { allowed.wrappingAdd(1, ordering: .relaxed) } else { limited.wrappingAdd(1, ordering: .relaxed) }
        return decision
    }

    /// Nil when the descriptor has no row, or is losing it at this moment.
    private func takeKnown(_ key: UInt64, _ rate: TokenRate, now: UInt64) -> RateLimitDecision? {
        let set = unsafe rows + (Int(truncatingIfNeeded: key >> 32) & setMask) * Self.ways * 2
        for way in 0..<Self.ways where unsafe set[way * 2].load(ordering: .relaxed) == key {
            if let decision = unsafe take(set + way * 2, key, rate, now: now) { return decision }
        }
        return nil
    }

    /// Takes from the row's bucket, or returns nil because the row has another owner by now.
    @unsafe
    private func take(_ row: UnsafeMutablePointer<Atomic<UInt64>>, _ key: UInt64, _ rate: TokenRate, now: UInt64) -> RateLimitDecision? {
        while true {
            // The key is read again behind the state: a new owner writes its key before its state.
            let state = unsafe row[1].load(ordering: .acquiring)
            guard state != Self.changing, unsafe row[0].load(ordering: .relaxed) == key else { return nil }
            let (decision, after) = TokenBucket.take(state, rate, now: now)
            guard decision.isAllowed else { return decision }
            if unsafe row[1].compareExchange(expected: state, desired: after, ordering: .relaxed).exchanged { return decision }
        }
    }

    private func takeNew(_ key: UInt64, _ rate: TokenRate, now: UInt64) -> RateLimitDecision {
        let number = Int(truncatingIfNeeded: key >> 32) & setMask
        let claim = unsafe claims + number
        var tries = 0
        while true {
            if unsafe claim.pointee.compareExchange(expected: 0, desired: 1, ordering: .acquiring).exchanged { break }
            tries += 1
            // The claim is held for some instructions; longer means that its thread was put aside in the middle of them.
            if tries > 64 { sched_yield() }
        }
        defer { unsafe claim.pointee.store(0, ordering: .releasing) }
        // Another thread may have brought it while this one waited.
        if let decision = takeKnown(key, rate, now: now) { return decision }
        let set = unsafe rows + number * Self.ways * 2
        while true {
            // The row soonest full; one that was never used is the first of all.
            var victim = 0
            var soonest = UInt64.max
            for way in 0..<Self.ways {
                let state = unsafe set[way * 2 + 1].load(ordering: .relaxed)
                if state < soonest { (victim, soonest) = (way, state) }
            }
            let row = unsafe set + victim * 2
            // Fails when its owner has just taken a token.
            guard unsafe row[1].compareExchange(expected: soonest, desired: Self.changing, ordering: .acquiring).exchanged else { continue }
            if soonest > now { evictedEarly.wrappingAdd(1, ordering: .relaxed) }
            let (decision, after) = TokenBucket.take(0, rate, now: now)
            unsafe row[0].store(key, ordering: .relaxed)
            // Never the old owner's state again: a thread that read that one must fail to exchange it.
            unsafe row[1].store(after == soonest ? after + 1 : after, ordering: .releasing)
            return decision
        }
    }

    /// Descriptors whose bucket is not full; reads the whole table, for statistics.
    public func busy(now: MonotonicInstant) -> Int {
        let now = TokenBucket.ticks(now)
        var count = 0
        for row in 0..<bucketsMax {
            let state = unsafe rows[row * 2 + 1].load(ordering: .relaxed)
            if state > now { count += 1 }
        }
        return count
    }
}
