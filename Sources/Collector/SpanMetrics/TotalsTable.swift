internal import Primitives
internal import TelemetryModel

/// Running totals of many series with the same families: a row has one number for each counter and a vector for each histogram. A value,
/// confined to its owner.
///
/// A row is found by a fingerprint of what it is about, which is 64 bits or their hash. Bounded: no row is added when there are too many.
struct TotalsTable {
    /// One metric of every row.
    struct Family {
        var name: String
        /// Whether it is a histogram over the table's bounds; else a counter.
        var isHistogram: Bool
    }

    private struct Row {
        var fingerprint: UInt64
        /// What it is about, packed by the owner.
        var subject: UInt64
        /// Buckets of its histograms that have an exemplar, see `BucketExemplars`.
        var noted = BucketExemplars.Noted()
        /// Milliseconds since 1970: when it began to count.
        var created: Int64
        /// Of the first family, at the last recording that found it changed.
        var recorded = 0.0
        /// Monotonic nanoseconds of that recording.
        var changed: UInt64
        /// By family; made at the first recording.
        var identities: [[UInt8]] = []
    }

    private let families: [Family]
    /// Upper bounds of all histograms, microseconds, ascending; +Inf follows.
    private let bounds: [UInt64]
    /// The same, filled up with what no duration is above.
    private let lanes: SIMD16<Int32>
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
    private var exemplars: BucketExemplars
    private let seed = ByteHash.seed

    /// The first family is a counter, to which every addition to a row adds. At most 16 bounds of `durationMax` at most. `exemplarsMax`:
    /// of one recording.
    init(_ families: [Family], bounds: [UInt64], unit: Double, rowsMax: Int, exemplarsMax: Int) {
        precondition(bounds.count <= 16 && bounds.allSatisfy { $0 <= Self.durationMax } && families.first?.isHistogram == false)
        self.families = families
        exemplars = BucketExemplars(countMax: exemplarsMax, histograms: families.map(\.isHistogram))
        self.bounds = bounds
        var lanes = SIMD16<Int32>(repeating: .max)
        for (index, bound) in bounds.enumerated() { lanes[index] = Int32(clamping: bound) }
        self.lanes = lanes
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

    /// The row with this fingerprint.
    @inline(__always)
    func row(_ fingerprint: UInt64) -> Int? {
        slots.find(ByteHash.mix(fingerprint ^ seed, Self.factor)) { rows[$0].fingerprint == fingerprint }
    }

    /// Whether one more row may be added; those for what is above the bound may regardless.
    var hasRoom: Bool { rows.count < rowsMax }

    /// Adds a row that is not there.
    mutating func add(_ fingerprint: UInt64, _ subject: UInt64, at moment: SpanMetricsMoment) -> Int {
        let place = rows.count
        rows.append(
            Row(
                fingerprint: fingerprint, subject: subject, created: moment.unixMilliseconds, changed: moment.monotonic.nanoseconds))
        numbers.append(contentsOf: repeatElement(0, count: width))
        insertSlot(place)
        return place
    }

    private mutating func insertSlot(_ place: Int) {
        slots.insert(ByteHash.mix(rows[place].fingerprint ^ seed, Self.factor), place)
    }

    private static let factor: UInt64 = 0x9E37_79B9_7F4A_7C15

    @inline(__always)
    func subject(of row: Int) -> UInt64 { rows[row].subject }

    @inline(__always)
    mutating func add(_ amount: Double, to family: Int, of row: Int) { numbers[row * width + offsets[family]] += amount }

    /// A duration that `weight` calls had, microseconds, of which `span` is an example, if its trace is known.
    @inline(__always)
    mutating func observe(_ duration: UInt64, weight: Double, in family: Int, of row: Int, _ span: @autoclosure () -> ObservedSpan?) {
        let first = row * width + offsets[family]
        // All bounds at once: a loop would have to guess where it ends.
        let above = SIMD16<Int32>(repeating: Int32(clamping: duration)) .> lanes
        let bucket = Int(SIMD16<Int32>(repeating: 0).replacing(with: 1, where: above).wrappedSum())
        let (count, sum) = (first + bounds.count + 1, Double(duration) / unit * weight)
        var numbers = numbers.mutableSpan
        numbers[first + bucket] += weight
        numbers[count] += weight
        numbers[count + 1] += sum
        if exemplars.wants(bucket, of: family, rows[row].noted) {
            exemplars.note(span(), Double(duration) / unit, bucket, of: family, in: row, &rows[row].noted)
        }
    }

    /// The largest bound, microseconds: 35 minutes. A longer duration is above every one.
    static let durationMax = UInt64(Int32.max) - 1

    // MARK: Recording

    /// Adds a point of every series. `labels` says what a subject is, without the metric's name; asked once for each row.
    mutating func append(to batch: inout SeriesBatch, at moment: SpanMetricsMoment, labels: (UInt64) -> [LabelSet.Label]) {
        let time = moment.unixMilliseconds
        let upper = bounds.map { Double($0) / unit }
        exemplars.beginTaking()
        for row in rows.indices {
            if rows[row].identities.isEmpty { rows[row].identities = identities(labels(rows[row].subject), upper) }
            if rows[row].recorded != numbers[row * width] {
                rows[row].recorded = numbers[row * width]
                rows[row].changed = moment.monotonic.nanoseconds
            }
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
                while let exemplar = exemplars.take(of: index, in: row) { batch.append(identity, exemplar) }
            }
        }
        guard exemplars.endTaking() else { return }
        for row in rows.indices { rows[row].noted = BucketExemplars.Noted() }
    }

    /// Ends the series of rows that no recording since `oldest` found changed, and forgets the rows.
    mutating func endIdle(since oldest: MonotonicInstant, in batch: inout SeriesBatch, time: Int64) {
        func isIdle(_ place: Int) -> Bool { rows[place].changed < oldest.nanoseconds && rows[place].recorded == numbers[place * width] }
        let idle = rows.indices.filter(isIdle)
        guard !idle.isEmpty else { return }
        for place in idle {
            for (family, identity) in zip(families, rows[place].identities) {
                let kind: SeriesKind = family.isHistogram ? .classicHistogram : .counter
                batch.appendStale(batch.append(identity: identity, kind, bounds: family.isHistogram ? bounds.count : 0), time: time)
            }
        }
        let kept = Set(rows.indices).subtracting(idle).sorted()
        exemplars.keep(kept)
        numbers = kept.flatMap { numbers[$0 * width..<($0 + 1) * width] }
        rows = kept.map { rows[$0] }
        slots.forgetEntries()
        for place in rows.indices { insertSlot(place) }
    }

    /// What all rows are about.
    var subjects: [UInt64] { rows.map(\.subject) }

    private func identities(_ labels: [LabelSet.Label], _ bounds: [Double]) -> [[UInt8]] {
        families.map { family in
            let set = LabelSet(labels + [LabelSet.Label(LabelSet.metricName, family.name)])
            return family.isHistogram
                ? SeriesIdentity.encode(set, .classicHistogram, bounds: bounds) : SeriesIdentity.encode(set, .counter)
        }
    }
}
