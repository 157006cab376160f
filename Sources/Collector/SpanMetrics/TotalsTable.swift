internal import Primitives
internal import TelemetryModel

/// Running totals of many series with the same families: a row has one number for each counter and a vector for each histogram. A value,
/// confined to its owner.
///
/// Rows are named by a key that packs the numbers of their texts. Bounded: `row` gives none when there are too many.
struct TotalsTable {
    /// One metric of every row.
    struct Family {
        var name: String
        /// Whether it is a histogram over the table's bounds; else a counter.
        var isHistogram: Bool
    }

    private struct Row {
        var key: UInt64
        /// Milliseconds since 1970: when it began to count.
        var created: Int64
        /// Monotonic nanoseconds of the last addition.
        var used: UInt64
        /// By family; made at the first recording.
        var identities: [[UInt8]] = []
    }

    private let families: [Family]
    /// Upper bounds of all histograms, microseconds, ascending; +Inf follows.
    private let bounds: [UInt64]
    /// Microseconds in the histograms' unit.
    private let unit: Double
    private let rowsMax: Int
    /// Where a family's numbers are within a row's: a counter's one, a histogram's buckets, count and sum, as `SeriesBatch` wants them.
    private let offsets: [Int]
    private let width: Int
    private var rows: [Row] = []
    /// `width` for each row.
    private var numbers: [Double] = []
    private var slots = HashSlots()

    init(_ families: [Family], bounds: [UInt64], unit: Double, rowsMax: Int) {
        self.families = families
        self.bounds = bounds
        self.unit = unit
        self.rowsMax = rowsMax
        var offsets: [Int] = []
        var width = 0
        for family in families {
            offsets.append(width)
            width += family.isHistogram ? bounds.count + 3 : 1
        }
        self.offsets = offsets
        self.width = width
    }

    var count: Int { rows.count }
    /// Series that the rows stand for.
    var seriesCount: Int { rows.count * families.count }

    /// The row of a key, new when there is none; nil when it would be one too many. `isExempt`: one of few rows that are made regardless.
    @inline(__always)
    mutating func row(_ key: UInt64, isExempt: Bool = false, at moment: SpanMetricsMoment) -> Int? {
        let hash = Self.hash(key)
        if let known = slots.find(hash, { rows[$0].key == key }) {
            rows[known].used = moment.monotonic.nanoseconds
            return known
        }
        guard isExempt || rows.count < rowsMax else { return nil }
        return add(key, hash, moment)
    }

    private mutating func add(_ key: UInt64, _ hash: UInt64, _ moment: SpanMetricsMoment) -> Int {
        let place = rows.count
        rows.append(Row(key: key, created: moment.unixMilliseconds, used: moment.monotonic.nanoseconds))
        numbers.append(contentsOf: repeatElement(0, count: width))
        slots.insert(hash, place) { Self.hash(rows[$0].key) }
        return place
    }

    private static func hash(_ key: UInt64) -> UInt64 { ByteHash.mix(key ^ ByteHash.seed, 0x9E37_79B9_7F4A_7C15) }

    @inline(__always)
    mutating func add(_ amount: Double, to family: Int, of row: Int) { numbers[row * width + offsets[family]] += amount }

    /// A duration that `weight` calls had.
    @inline(__always)
    mutating func observe(microseconds: UInt64, weight: Double, in family: Int, of row: Int) {
        let first = row * width + offsets[family]
        var bucket = 0
        while bucket < bounds.count, microseconds > bounds[bucket] { bucket += 1 }
        numbers[first + bucket] += weight
        numbers[first + bounds.count + 1] += weight
        numbers[first + bounds.count + 2] += Double(microseconds) / unit * weight
    }

    // MARK: Recording

    /// Adds a point of every series. `labels` says what a row of this key is about, without the metric's name; asked once for each row.
    mutating func append(to batch: inout SeriesBatch, time: Int64, labels: (UInt64) -> [LabelSet.Label]) {
        let upper = bounds.map { Double($0) / unit }
        for row in rows.indices {
            if rows[row].identities.isEmpty { rows[row].identities = identities(labels(rows[row].key), upper) }
            for (index, family) in families.enumerated() {
                let first = row * width + offsets[index]
                // A start is before the first sample, or nothing would be known to have been added since.
                let created = min(rows[row].created, time - 1)
                guard family.isHistogram else {
                    let identity = batch.append(identity: rows[row].identities[index], .counter)
                    batch.append(identity, time: time, value: numbers[first], created: created)
                    continue
                }
                let identity = batch.append(identity: rows[row].identities[index], .classicHistogram, bounds: bounds.count)
                let end = first + bounds.count + 1
                batch.append(
                    identity, time: time, buckets: numbers[first..<end], count: numbers[end], sum: numbers[end + 1], created: created)
            }
        }
    }

    /// Ends the series of rows that were not added to since `oldest`, and forgets the rows.
    mutating func endIdle(since oldest: MonotonicInstant, in batch: inout SeriesBatch, time: Int64) {
        guard rows.contains(where: { $0.used < oldest.nanoseconds }) else { return }
        let (old, oldNumbers) = (rows, numbers)
        rows.removeAll(keepingCapacity: true)
        numbers.removeAll(keepingCapacity: true)
        slots.removeAll()
        for (index, row) in old.enumerated() {
            if row.used < oldest.nanoseconds {
                for (family, identity) in zip(families, row.identities) {
                    let kind: SeriesKind = family.isHistogram ? .classicHistogram : .counter
                    batch.appendStale(
                        batch.append(identity: identity, kind, bounds: family.isHistogram ? bounds.count : 0), time: time)
                }
                continue
            }
            rows.append(row)
            numbers.append(contentsOf: oldNumbers[index * width..<(index + 1) * width])
            slots.insert(Self.hash(row.key), rows.count - 1) { Self.hash(rows[$0].key) }
        }
    }

    /// Keys of all rows.
    var keys: [UInt64] { rows.map(\.key) }

    private func identities(_ labels: [LabelSet.Label], _ bounds: [Double]) -> [[UInt8]] {
        families.map { family in
            let set = LabelSet(labels + [LabelSet.Label(LabelSet.metricName, family.name)])
            return family.isHistogram
                ? SeriesIdentity.encode(set, .classicHistogram, bounds: bounds) : SeriesIdentity.encode(set, .counter)
        }
    }
}
