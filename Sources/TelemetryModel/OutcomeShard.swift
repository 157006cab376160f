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
    /// As `SeriesSnapshot.token`.
    public var token: UInt64

    public var requests: UInt64 { outcomes.reduce(0, &+) }

    public mutating func add(_ other: OutcomeSnapshot) {
        for index in outcomes.indices { outcomes[index] &+= other.outcomes[index] }
        retries &+= other.retries
        duration += other.duration
    }
}

/// Outcomes and durations of one worker's requests by route or by endpoint: what the labels of Istio's metrics have no room for.
///
/// One thread writes (`record`, `expire`), any thread reads (`read`). Keys beyond the budget are counted in one overflow row, which stays
/// for the life of the process, as rows of other keys do until they expire. Allocates only for a key never seen before.
///
/// `@unchecked Sendable`: rows are atomics; `keys`, the index and the free rows are the writer's alone.
@safe
public final class OutcomeShard: @unchecked Sendable {
    /// Rows, that of the overflow included.
    public let rowsMax: Int
    private let keys: UnsafeMutablePointer<OutcomeKey>
    private let rows: UnsafeMutablePointer<OutcomeRow?>
    /// Open addressing; 0 = free, else row + 1. At least twice as many slots as rows, a power of two.
    private let index: UnsafeMutablePointer<UInt32>
    private let indexMask: Int
    /// Rows made so far.
    private let used = Atomic<Int>(0)
    private var freeRows: [UInt32] = []
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
        freeRows.reserveCapacity(self.rowsMax)
    }

    deinit {
        for row in 0..<rowsMax { unsafe rows[row]?.free() }
        unsafe rows.deallocate()
        unsafe keys.deallocate()
        unsafe index.deallocate()
    }

    // MARK: Writer

    /// Counts one request.
    public func record(_ key: OutcomeKey, _ outcome: RequestOutcome, durationMicroseconds: UInt64, retries: UInt64) {
        row(for: key).count(outcome, durationMicroseconds: durationMicroseconds, retries: retries)
    }

    /// Frees the rows of keys that are still at the given counts: nobody has used them since somebody looked.
    public func expire(_ idle: IdleOutcomes) {
        for (key, requests) in idle where key != .overflow {
            let slot = slot(of: key)
            guard let row = row(at: slot), row.requests == requests else { continue }
            row.end()
            unsafe freeRows.append(index[slot] - 1)
            removeIndex(at: slot)
        }
    }

    /// Where the search for a key begins.
    @inline(__always)
    private func home(of key: OutcomeKey) -> Int {
        let (names, high, low) = key.words
        let product = (names ^ 0x9E37_79B9_7F4A_7C15 ^ high).multipliedFullWidth(by: (low &* 0xD6E8_FEB8_6659_FD93) ^ 0xA076_1D64_78BD_642F)
        return Int(truncatingIfNeeded: product.high ^ product.low) & indexMask
    }

    @inline(__always)
    private func slot(of key: OutcomeKey) -> Int {
        var slot = home(of: key)
        while true {
            let number = unsafe index[slot]
            if number == 0 { return slot }
            if unsafe keys[Int(number - 1)] == key { return slot }
            slot = (slot + 1) & indexMask
        }
    }

    @inline(__always)
    private func row(at slot: Int) -> OutcomeRow? {
        let number = unsafe index[slot]
        return unsafe number == 0 ? nil : rows[Int(number - 1)]
    }

    @inline(__always)
    private func row(for key: OutcomeKey) -> OutcomeRow { row(at: slot(of: key)) ?? makeRow(for: key) }

    @inline(never)
    private func makeRow(for key: OutcomeKey) -> OutcomeRow {
        var key = key
        let made = used.load(ordering: .relaxed)
        // One row is kept back for the overflow.
        if key != .overflow, freeRows.isEmpty, made >= rowsMax - 1 {
            overflowed.store(overflowed.load(ordering: .relaxed) &+ 1, ordering: .relaxed)
            key = .overflow
            if let row = row(at: slot(of: key)) { return row }
        }
        let number = key == .overflow ? made : freeRows.popLast().map { Int($0) } ?? made
        precondition(number < rowsMax, "the overflow row is made once")
        let row = unsafe rows[number] ?? OutcomeRow()
        row.begin(key)
        unsafe keys[number] = key
        unsafe index[slot(of: key)] = UInt32(truncatingIfNeeded: number + 1)
        if number == made {
            unsafe rows[number] = row
            used.store(made + 1, ordering: .releasing)
        }
        return row
    }

    /// Linear probing without tombstones: later entries of the run move up.
    private func removeIndex(at start: Int) {
        var hole = start
        var slot = (start + 1) & indexMask
        while unsafe index[slot] != 0 {
            let home = unsafe home(of: keys[Int(index[slot] - 1)])
            if (slot - home) & indexMask >= (slot - hole) & indexMask {
                unsafe index[hole] = index[slot]
                hole = slot
            }
            slot = (slot + 1) & indexMask
        }
        unsafe index[hole] = 0
    }

    // MARK: Readers

    /// Calls `body` with the counts of every key. The worker is never held up.
    public func read(_ body: (OutcomeSnapshot) -> Void) {
        for number in 0..<used.load(ordering: .acquiring) {
            if let row = unsafe rows[number]?.snapshot(number) { body(row) }
        }
    }
}
