internal import Primitives
internal import Synchronization

/// A row of an `OutcomeShard`: words of one key. The shard's writer writes, any thread reads; every word is an atomic.
///
/// The version is odd while the row is nobody's. It changes with the row's key alone, so that counting costs nothing for it.
///
/// `@safe`: the address is of `Word.count` words that live until `free`, which the shard calls at its end, and every index is within them.
@safe
struct OutcomeRow: BitwiseCopyable {
    private enum Word {
        static let version = 0
        static let names = 1
        static let endpointHigh = 2
        static let endpointLow = 3
        static let endpointPort = 4
        static let outcomes = 5
        static let retries = outcomes + RequestOutcome.allCases.count
        static let buckets = retries + 1
        static let sum = buckets + HistogramBuckets.count
        static let count = sum + 1
    }

    /// Tries of a reader to get a row that keeps its key meanwhile, before it leaves the row out: it is one that was just given away.
    private static let attemptsMax = 4

    private let words: UnsafeMutablePointer<Atomic<UInt64>>

    /// A row that is nobody's.
    init() {
        unsafe words = .allocate(capacity: Word.count)
        for word in 0..<Word.count { unsafe (words + word).initialize(to: Atomic<UInt64>(word == Word.version ? 1 : 0)) }
    }

    func free() { unsafe words.deallocate() }

    private subscript(word: Int) -> UInt64 {
        @inline(__always)
        get {
            assert(word >= 0 && word < Word.count)
            return unsafe words[word].load(ordering: .relaxed)
        }
        @inline(__always)
        nonmutating set {
            assert(word >= 0 && word < Word.count)
            unsafe words[word].store(newValue, ordering: .relaxed)
        }
    }

    // MARK: Writer

    /// Makes a row that is nobody's the row of a key, with nothing counted.
    func begin(_ key: OutcomeKey) {
        for word in Word.outcomes..<Word.count { self[word] = 0 }
        self[Word.names] = UInt64(key.route.rawValue) << 32 | UInt64(key.cluster.rawValue)
        self[Word.endpointHigh] = key.endpoint.high
        self[Word.endpointLow] = key.endpoint.low
        self[Word.endpointPort] = UInt64(key.endpoint.port) << 8 | UInt64(key.endpoint.family.rawValue)
        atomicMemoryFence(ordering: .releasing)
        self[Word.version] &+= 1
    }

    /// Makes a row nobody's.
    func end() {
        self[Word.version] &+= 1
        atomicMemoryFence(ordering: .releasing)
    }

    @inline(__always)
    func count(_ outcome: RequestOutcome, durationMicroseconds: UInt64, retries: UInt64) {
        self[Word.outcomes + Int(outcome.rawValue)] &+= 1
        if retries > 0 { self[Word.retries] &+= retries }
        self[Word.buckets + HistogramBuckets.index(ofMicroseconds: durationMicroseconds)] &+= 1
        self[Word.sum] &+= durationMicroseconds
    }

    var requests: UInt64 { RequestOutcome.allCases.reduce(0) { $0 &+ self[Word.outcomes + Int($1.rawValue)] } }

    // MARK: Readers

    /// A copy, or nil while the row is nobody's. `number`: the row's in its shard.
    func snapshot(_ number: Int) -> OutcomeSnapshot? {
        for _ in 0..<Self.attemptsMax {
            let version = self[Word.version]
            guard version & 1 == 0 else { return nil }
            atomicMemoryFence(ordering: .acquiring)
            let copy = (0..<Word.count).map { self[$0] }
            atomicMemoryFence(ordering: .acquiring)
            if self[Word.version] == version { return Self.snapshot(copy, number) }
        }
        return nil
    }

    private static func snapshot(_ words: [UInt64], _ number: Int) -> OutcomeSnapshot {
        let names = words[Word.names]
        var key = OutcomeKey(route: NameID(UInt32(truncatingIfNeeded: names >> 32)), cluster: NameID(UInt32(truncatingIfNeeded: names)))
        key.endpoint.high = words[Word.endpointHigh]
        key.endpoint.low = words[Word.endpointLow]
        key.endpoint.port = UInt16(truncatingIfNeeded: words[Word.endpointPort] >> 8)
        key.endpoint.family = SocketEndpoint.Family(rawValue: UInt8(truncatingIfNeeded: words[Word.endpointPort])) ?? .absent
        var duration = SeriesSnapshot.Histogram()
        duration.buckets = Array(words[Word.buckets..<Word.sum])
        duration.sum = words[Word.sum]
        let counts = Array(words[Word.outcomes..<Word.retries])
        return OutcomeSnapshot(
            key: key, outcomes: counts, retries: words[Word.retries], duration: duration,
            token: SeriesSnapshot.token(row: number, version: words[Word.version], requests: counts.reduce(0, &+)))
    }
}
