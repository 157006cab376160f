internal import Glibc
public import Synchronization

/// What distinguishes one RED series from another within a process; label text is made from it only at exposition.
public struct SeriesKey: Hashable, Sendable, BitwiseCopyable {
    public var labels: LabelPair
    public var flags: ResponseFlags
    /// 0 = no response was begun.
    public var responseCode: UInt16
    public var side: ProxySide
    public var isGRPC: Bool
    /// grpc-status, 255 = none.
    public var grpcStatus: UInt8

    @inlinable
    public init(labels: LabelPair, responseCode: UInt16, flags: ResponseFlags, side: ProxySide) {
        self.labels = labels
        self.flags = flags
        self.responseCode = responseCode
        self.side = side
        isGRPC = false
        grpcStatus = 255
    }

    /// The series that counts a request.
    @inlinable
    public init(_ record: borrowing RequestRecord) {
        self.init(labels: record.labels, responseCode: record.responseCode, flags: record.flags, side: record.side)
        isGRPC = record.isGRPC
        grpcStatus = record.grpcStatus
    }

    /// The key as two words.
    @inlinable var first: UInt64 { labels.word }
    @inlinable var second: UInt64 {
        UInt64(flags.rawValue) << 32 | UInt64(responseCode) << 16 | UInt64(side.rawValue) << 12 | (isGRPC ? 1 << 11 : 0)
            | UInt64(grpcStatus)
    }

    init(first: UInt64, second: UInt64) {
        labels = LabelPair(word: first)
        flags = ResponseFlags(rawValue: UInt32(truncatingIfNeeded: second >> 32))
        responseCode = UInt16(truncatingIfNeeded: second >> 16)
        side = second >> 12 & 1 == 1 ? .inbound : .outbound
        isGRPC = second >> 11 & 1 == 1
        grpcStatus = UInt8(truncatingIfNeeded: second)
    }
}

/// One finished request as the counters see it.
public struct REDSample: BitwiseCopyable {
    public var durationMicroseconds: UInt64 = 0
    /// Head and body.
    public var requestBytes: UInt64 = 0
    public var responseBytes: UInt64 = 0

    @inlinable public init() {}
}

/// A consistent copy of one series, for exposition.
public struct SeriesSnapshot: Sendable {
    public struct Histogram: Sendable {
        /// Requests per bucket, not cumulative; index = `HistogramBuckets`.
        public var buckets = [UInt64](repeating: 0, count: HistogramBuckets.count)
        /// In microseconds or bytes.
        public var sum: UInt64 = 0

        public init() {}

        public static func += (left: inout Histogram, right: Histogram) {
            for index in 0..<HistogramBuckets.count { left.buckets[index] &+= right.buckets[index] }
            left.sum &+= right.sum
        }
    }

    public var key: SeriesKey
    public var requests: UInt64
    public var duration: Histogram
    public var requestBytes: Histogram
    public var responseBytes: Histogram
    /// Another one once the row has counted, or was freed and is of the same key again: whether anything happened since somebody looked.
    public var token: UInt64

    static func token(row: Int, version: UInt64, requests: UInt64) -> UInt64 {
        UInt64(row) &* 0x9E37_79B9_7F4A_7C15 &+ version &* 0xD6E8_FEB8_6659_FD93 &+ requests &* 0xA076_1D64_78BD_642F
    }
}

/// The RED counters of one worker: exact, whatever is sampled, and never waited for.
///
/// One thread writes (`record`, `expire`), any thread reads (`read`). A slot is a row of 64-bit words guarded by a version that is odd
/// while the row changes; readers copy and retry. Series beyond the budget are counted in one overflow series per side.
///
/// `@unchecked Sendable`: rows are atomics; the index is touched by the writer only.
@safe
public final class REDShard: @unchecked Sendable {
    // Words of a row.
    private static let version = 0
    private static let keyFirst = 1
    private static let keySecond = 2
    private static let requests = 3
    private static let histograms = 4
    private static let histogramWords = HistogramBuckets.count + 1
    private static let words = histograms + 3 * histogramWords

    /// Tries of a reader to get a whole row, before it takes what it has.
    private static let attemptsMax = 4096

    /// Series in one shard, the overflow series included.
    public let seriesMax: Int
    private let rows: UnsafeMutablePointer<UnsafeMutablePointer<Atomic<UInt64>>?>
    /// Open addressing; 0 = free, else row + 1. Twice as many slots as rows, a power of two.
    private let index: UnsafeMutablePointer<UInt32>
    private let indexMask: Int
    private let used = Atomic<Int>(0)
    private var freeRows: [UInt32] = []
    /// Requests that were counted in an overflow series because the budget was spent.
    public let overflowed = Atomic<UInt64>(0)

    public init(seriesMax: Int) {
        self.seriesMax = max(4, seriesMax)
        unsafe rows = .allocate(capacity: self.seriesMax)
        unsafe rows.initialize(repeating: nil, count: self.seriesMax)
        var slots = 16
        while slots < self.seriesMax * 2 { slots *= 2 }
        indexMask = slots - 1
        unsafe index = .allocate(capacity: slots)
        unsafe index.initialize(repeating: 0, count: slots)
        freeRows.reserveCapacity(self.seriesMax)
    }

    deinit {
        for row in 0..<seriesMax { unsafe rows[row]?.deallocate() }
        unsafe rows.deallocate()
        unsafe index.deallocate()
    }

    // MARK: Writer

    /// Counts one request. Allocates only for a series never seen before.
    public func record(_ key: SeriesKey, _ sample: REDSample) {
        guard let row = unsafe row(for: key) else { return }
        let version = unsafe row[Self.version].load(ordering: .relaxed)
        unsafe row[Self.version].store(version &+ 1, ordering: .relaxed)
        atomicMemoryFence(ordering: .releasing)
        unsafe bump(row, Self.requests, 1)
        let duration = Self.histograms
        unsafe bump(row, duration + HistogramBuckets.index(ofMicroseconds: sample.durationMicroseconds), 1)
        unsafe bump(row, duration + HistogramBuckets.count, sample.durationMicroseconds)
        let request = duration + Self.histogramWords
        unsafe bump(row, request + HistogramBuckets.index(ofBytes: sample.requestBytes), 1)
        unsafe bump(row, request + HistogramBuckets.count, sample.requestBytes)
        let response = request + Self.histogramWords
        unsafe bump(row, response + HistogramBuckets.index(ofBytes: sample.responseBytes), 1)
        unsafe bump(row, response + HistogramBuckets.count, sample.responseBytes)
        unsafe row[Self.version].store(version &+ 2, ordering: .releasing)
    }

    /// Frees the rows of series that are still at the given counts: nobody has used them since somebody looked.
    public func expire(_ idle: [(key: SeriesKey, requests: UInt64)]) {
        for (key, requests) in idle {
            // The overflow series keep their rows: with the budget spent there might be none to come back to.
            guard key.labels != .overflow, let slot = find(key), let row = unsafe rows[Int(index[slot] - 1)] else { continue }
            guard unsafe row[Self.requests].load(ordering: .relaxed) == requests else { continue }
            let number = unsafe index[slot] - 1
            unsafe clear(row)
            freeRows.append(number)
            removeIndex(at: slot)
        }
    }

    @inline(__always)
    private func bump(_ row: UnsafeMutablePointer<Atomic<UInt64>>, _ word: Int, _ amount: UInt64) {
        unsafe row[word].store(row[word].load(ordering: .relaxed) &+ amount, ordering: .relaxed)
    }

    @inline(__always)
    private func hash(_ first: UInt64, _ second: UInt64) -> Int {
        let product = (first ^ 0x9E37_79B9_7F4A_7C15).multipliedFullWidth(by: (second &* 0xD6E8_FEB8_6659_FD93) ^ 0xA076_1D64_78BD_642F)
        return Int(truncatingIfNeeded: product.high ^ product.low) & indexMask
    }

    /// The index slot of a key, or nil.
    private func find(_ key: SeriesKey) -> Int? {
        let first = key.first
        let second = key.second
        var slot = hash(first, second)
        while unsafe index[slot] != 0 {
            if let row = unsafe rows[Int(index[slot] - 1)], unsafe row[Self.keyFirst].load(ordering: .relaxed) == first,
                unsafe row[Self.keySecond].load(ordering: .relaxed) == second
            {
                return slot
            }
            slot = (slot + 1) & indexMask
        }
        return nil
    }

    @inline(__always)
    private func row(for key: SeriesKey) -> UnsafeMutablePointer<Atomic<UInt64>>? {
        if let slot = find(key) { return unsafe rows[Int(index[slot] - 1)] }
        return unsafe makeRow(for: key)
    }

    @inline(never)
    private func makeRow(for key: SeriesKey) -> UnsafeMutablePointer<Atomic<UInt64>>? {
        var key = key
        // Two rows are kept back for the overflow series of each side.
        if key.labels != .overflow, freeRows.isEmpty, used.load(ordering: .relaxed) >= seriesMax - 2 {
            overflowed.store(overflowed.load(ordering: .relaxed) &+ 1, ordering: .relaxed)
            key = SeriesKey(labels: .overflow, responseCode: 0, flags: [], side: key.side)
            if let slot = find(key) { return unsafe rows[Int(index[slot] - 1)] }
        }
        let number: UInt32
        if let free = freeRows.popLast() {
            number = free
        } else {
            let next = used.load(ordering: .relaxed)
            guard next < seriesMax else { return nil }
            let row = UnsafeMutablePointer<Atomic<UInt64>>.allocate(capacity: Self.words)
            for word in 0..<Self.words { unsafe (row + word).initialize(to: Atomic<UInt64>(0)) }
            unsafe rows[next] = row
            number = UInt32(truncatingIfNeeded: next)
            used.store(next + 1, ordering: .releasing)
        }
        guard let row = unsafe rows[Int(number)] else { return nil }
        let version = unsafe row[Self.version].load(ordering: .relaxed)
        unsafe row[Self.version].store(version &+ 1, ordering: .relaxed)
        atomicMemoryFence(ordering: .releasing)
        unsafe row[Self.keyFirst].store(key.first, ordering: .relaxed)
        unsafe row[Self.keySecond].store(key.second, ordering: .relaxed)
        unsafe row[Self.version].store(version &+ 2, ordering: .releasing)
        var slot = hash(key.first, key.second)
        while unsafe index[slot] != 0 { slot = (slot + 1) & indexMask }
        unsafe index[slot] = number + 1
        return unsafe row
    }

    private func clear(_ row: UnsafeMutablePointer<Atomic<UInt64>>) {
        let version = unsafe row[Self.version].load(ordering: .relaxed)
        unsafe row[Self.version].store(version &+ 1, ordering: .relaxed)
        atomicMemoryFence(ordering: .releasing)
        for word in 1..<Self.words { unsafe row[word].store(0, ordering: .relaxed) }
        unsafe row[Self.version].store(version &+ 2, ordering: .releasing)
    }

    /// Linear probing without tombstones: later entries of the run move up.
    private func removeIndex(at start: Int) {
        var hole = start
        var slot = (start + 1) & indexMask
        while unsafe index[slot] != 0 {
            if let row = unsafe rows[Int(index[slot] - 1)] {
                let home = unsafe hash(row[Self.keyFirst].load(ordering: .relaxed), row[Self.keySecond].load(ordering: .relaxed))
                if (slot - home) & indexMask >= (slot - hole) & indexMask {
                    unsafe index[hole] = index[slot]
                    hole = slot
                }
            }
            slot = (slot + 1) & indexMask
        }
        unsafe index[hole] = 0
    }

    // MARK: Readers

    /// Calls `body` with a copy of every series that has counted something. The worker is never held up.
    public func read(_ body: (SeriesSnapshot) -> Void) {
        let count = used.load(ordering: .acquiring)
        var copy = [UInt64](repeating: 0, count: Self.words)
        for number in 0..<count {
            guard let row = unsafe rows[number] else { continue }
            // A row changes for some nanoseconds at a time. A reader that is unlucky this often has met a writer that lost its processor in
            // the middle of a row: it sleeps until the row is whole, for 0.4 s at most.
            for attempt in 0..<Self.attemptsMax {
                if attempt >= 64 { usleep(100) }
                let before = unsafe row[Self.version].load(ordering: .acquiring)
                for word in 1..<Self.words { unsafe copy[word] = row[word].load(ordering: .relaxed) }
                atomicMemoryFence(ordering: .acquiring)
                copy[Self.version] = before
                if unsafe before & 1 == 0 && row[Self.version].load(ordering: .relaxed) == before { break }
            }
            guard copy[Self.requests] > 0 else { continue }
            body(snapshot(copy, row: number))
        }
    }

    /// Rows in use, for the budget's gauge.
    public var seriesCount: Int { used.load(ordering: .relaxed) }

    private func snapshot(_ words: [UInt64], row: Int) -> SeriesSnapshot {
        func histogram(_ number: Int) -> SeriesSnapshot.Histogram {
            let start = Self.histograms + number * Self.histogramWords
            var result = SeriesSnapshot.Histogram()
            result.buckets = Array(words[start..<start + HistogramBuckets.count])
            result.sum = words[start + HistogramBuckets.count]
            return result
        }
        return SeriesSnapshot(
            key: SeriesKey(first: words[Self.keyFirst], second: words[Self.keySecond]), requests: words[Self.requests],
            duration: histogram(0), requestBytes: histogram(1), responseBytes: histogram(2),
            token: SeriesSnapshot.token(row: row, version: words[Self.version], requests: words[Self.requests]))
    }
}
