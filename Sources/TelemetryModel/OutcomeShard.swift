public import Primitives
public import Synchronization

/// What an `OutcomeShard` counts by: a route with the cluster that it led to, or an endpoint of a cluster.
public struct OutcomeKey: Hashable, Sendable, BitwiseCopyable {
    /// `.none` where endpoints are counted.
    public var route: NameID
    public var cluster: NameID
    /// Absent where routes are counted.
    public var endpoint: SocketEndpoint

    public init(route: NameID = .none, cluster: NameID, endpoint: SocketEndpoint = SocketEndpoint()) {
        self.route = route
        self.cluster = cluster
        self.endpoint = endpoint
    }

    /// Stands for all that a budget had no room for.
    public static let overflow = OutcomeKey(route: NameID(.max), cluster: NameID(.max))

    var words: (UInt64, UInt64, UInt64) {
        let names = UInt64(route.rawValue) << 32 | UInt64(cluster.rawValue)
        return (names, endpoint.high ^ UInt64(endpoint.port) << 48 ^ UInt64(endpoint.family.rawValue) << 40, endpoint.low)
    }
}

/// A moment's counts of one key. Numbers are exact; two of them may be one request apart, because they are read while the worker counts on.
public struct OutcomeSnapshot: Sendable {
    public var key: OutcomeKey
    /// Requests; index = raw value of `RequestOutcome`.
    public var outcomes: [UInt64]
    /// Attempts after the first one.
    public var retries: UInt64
    /// Microseconds.
    public var duration: SeriesSnapshot.Histogram

    public mutating func add(_ other: OutcomeSnapshot) {
        for index in outcomes.indices { outcomes[index] &+= other.outcomes[index] }
        retries &+= other.retries
        duration += other.duration
    }
}

/// Outcomes and durations of one worker's requests by route or by endpoint: what the labels of Istio's metrics have no room for.
///
/// One thread writes (`record`), any thread reads (`read`). Rows stay for the life of the process; keys beyond the budget are counted in
/// one overflow row. Allocates only for a key never seen before.
///
/// `@unchecked Sendable`: rows are atomics; a row's key is written before `used` says that it is there; the index is the writer's alone.
@safe
public final class OutcomeShard: @unchecked Sendable {
    // Words of a row.
    private static let retries = RequestOutcome.allCases.count
    private static let buckets = retries + 1
    private static let sum = buckets + HistogramBuckets.count
    private static let words = sum + 1

    /// Rows, that of the overflow included.
    public let rowsMax: Int
    private let keys: UnsafeMutablePointer<OutcomeKey>
    private let rows: UnsafeMutablePointer<UnsafeMutablePointer<Atomic<UInt64>>?>
    /// Open addressing; 0 = free, else row + 1. At least twice as many slots as rows, a power of two.
    private let index: UnsafeMutablePointer<UInt32>
    private let indexMask: Int
    private let used = Atomic<Int>(0)
    /// Requests counted in the overflow row.
    public let overflowed = Atomic<UInt64>(0)

    public init(rowsMax: Int) {
        self.rowsMax = max(2, rowsMax)
        unsafe keys = .allocate(capacity: self.rowsMax)
        unsafe keys.initialize(repeating: .overflow, count: self.rowsMax)
        unsafe rows = .allocate(capacity: self.rowsMax)
        unsafe rows.initialize(repeating: nil, count: self.rowsMax)
        var slots = 16
        while slots < self.rowsMax * 2 { slots *= 2 }
        indexMask = slots - 1
        unsafe index = .allocate(capacity: slots)
        unsafe index.initialize(repeating: 0, count: slots)
    }

    deinit {
        for row in 0..<rowsMax { unsafe rows[row]?.deallocate() }
        unsafe rows.deallocate()
        unsafe keys.deallocate()
        unsafe index.deallocate()
    }

    // MARK: Writer

    /// Counts one request.
    public func record(_ key: OutcomeKey, _ outcome: RequestOutcome, durationMicroseconds: UInt64, retries: UInt64) {
        let row = unsafe row(for: key)
        unsafe bump(row, Int(outcome.rawValue), 1)
        if retries > 0 { unsafe bump(row, Self.retries, retries) }
        unsafe bump(row, Self.buckets + HistogramBuckets.index(ofMicroseconds: durationMicroseconds), 1)
        unsafe bump(row, Self.sum, durationMicroseconds)
    }

    @inline(__always)
    private func bump(_ row: UnsafeMutablePointer<Atomic<UInt64>>, _ word: Int, _ amount: UInt64) {
        unsafe row[word].store(row[word].load(ordering: .relaxed) &+ amount, ordering: .relaxed)
    }

    @inline(__always)
    private func slot(of key: OutcomeKey) -> Int {
        let (names, high, low) = key.words
        let product = (names ^ 0x9E37_79B9_7F4A_7C15 ^ high).multipliedFullWidth(by: (low &* 0xD6E8_FEB8_6659_FD93) ^ 0xA076_1D64_78BD_642F)
        var slot = Int(truncatingIfNeeded: product.high ^ product.low) & indexMask
        while true {
            let number = unsafe index[slot]
            if number == 0 { return slot }
            if unsafe keys[Int(number - 1)] == key { return slot }
            slot = (slot + 1) & indexMask
        }
    }

    @inline(__always)
    private func row(for key: OutcomeKey) -> UnsafeMutablePointer<Atomic<UInt64>> {
        let number = unsafe index[slot(of: key)]
        if number != 0, let row = unsafe rows[Int(number - 1)] { return unsafe row }
        return unsafe makeRow(for: key)
    }

    @inline(never)
    private func makeRow(for key: OutcomeKey) -> UnsafeMutablePointer<Atomic<UInt64>> {
        var key = key
        let number = used.load(ordering: .relaxed)
        // One row is kept back for the overflow.
        if key != .overflow, number >= rowsMax - 1 {
            overflowed.store(overflowed.load(ordering: .relaxed) &+ 1, ordering: .relaxed)
            key = .overflow
            let known = unsafe index[slot(of: key)]
            if known != 0, let row = unsafe rows[Int(known - 1)] { return unsafe row }
        }
        precondition(number < rowsMax, "the overflow row is made once")
        let row = UnsafeMutablePointer<Atomic<UInt64>>.allocate(capacity: Self.words)
        for word in 0..<Self.words { unsafe (row + word).initialize(to: Atomic<UInt64>(0)) }
        unsafe keys[number] = key
        unsafe rows[number] = row
        unsafe index[slot(of: key)] = UInt32(truncatingIfNeeded: number + 1)
        used.store(number + 1, ordering: .releasing)
        return unsafe row
    }

    // MARK: Readers

    /// Calls `body` with the counts of every key.
    public func read(_ body: (OutcomeSnapshot) -> Void) {
        for number in 0..<used.load(ordering: .acquiring) {
            guard let row = unsafe rows[number] else { continue }
            func word(_ index: Int) -> UInt64 { unsafe row[index].load(ordering: .relaxed) }
            var duration = SeriesSnapshot.Histogram()
            for bucket in 0..<HistogramBuckets.count { duration.buckets[bucket] = word(Self.buckets + bucket) }
            duration.sum = word(Self.sum)
            body(OutcomeSnapshot(
                key: unsafe keys[number], outcomes: RequestOutcome.allCases.map { word(Int($0.rawValue)) }, retries: word(Self.retries),
                duration: duration))
        }
    }
}
