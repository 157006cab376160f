internal import Primitives
internal import TelemetryModel

/// The span behind a duration that was counted, and when it was.
struct ObservedSpan {
    var traceID: TraceID
    var spanID: SpanID
    /// Milliseconds since 1970.
    var time: Int64
}

/// Exemplars for the next recording of a `TotalsTable`: the first span that falls into each bucket since the one before. A value, confined
/// to its owner.
///
/// Bounded: when there was no room for all, whoever has had one waits until a recording has room left, so that seldom buckets get theirs
/// beside busy ones. The store keeps several of each bucket, and shows those whose trace it has.
struct BucketExemplars {
    /// A bit for each bucket of two histograms at most.
    struct Noted {
        fileprivate var bits: UInt64 = 0
    }

    private struct Entry {
        var row: Int
        var family: Int
        var exemplar: SeriesExemplar
    }

    private let countMax: Int
    /// Where the bits of a family begin.
    private let shifts: [UInt64]
    private var entries: [Entry] = []
    /// While they are taken: the next one's place.
    private var next = 0

    static let bucketsMax = 32

    /// `histograms`: which families are.
    init(countMax: Int, histograms: [Bool]) {
        precondition(histograms.count(where: \.self) <= 2, "as many bits as two histograms have")
        self.countMax = countMax
        var shift: UInt64 = 0
        shifts = histograms.map { isHistogram in
            defer { if isHistogram { shift += UInt64(Self.bucketsMax) } }
            return shift
        }
    }

    /// Whether a bucket of a row has none yet, and there is room.
    @inline(__always)
    func wants(_ bucket: Int, of family: Int, _ noted: Noted) -> Bool {
        noted.bits >> (shifts[family] + UInt64(bucket)) & 1 == 0 && entries.count < countMax
    }

    mutating func note(_ span: ObservedSpan?, _ value: Double, _ bucket: Int, of family: Int, in row: Int, _ noted: inout Noted) {
        guard let span, !span.traceID.isNone else { return }
        noted.bits |= 1 << (shifts[family] + UInt64(bucket))
        let exemplar = SeriesExemplar(time: span.time, value: value, traceID: span.traceID, spanID: span.spanID)
        entries.append(Entry(row: row, family: family, exemplar: exemplar))
    }

    /// Rows have gone: `rows` are those that stay, ascending, each at the place of its old number.
    mutating func keep(_ rows: [Int]) {
        let places = Dictionary(uniqueKeysWithValues: rows.enumerated().map { ($1, $0) })
        entries = entries.compactMap { entry in
            places[entry.row].map { Entry(row: $0, family: entry.family, exemplar: entry.exemplar) }
        }
    }

    // MARK: Recording

    mutating func beginTaking() {
        next = 0
        // By the wall clock, which may have been set back meanwhile.
        entries.sort { ($0.row, $0.family, $0.exemplar.time) < ($1.row, $1.family, $1.exemplar.time) }
    }

    /// The next exemplar of a histogram, in order of time. Rows and families are to be asked for in ascending order.
    mutating func take(of family: Int, in row: Int) -> SeriesExemplar? {
        guard next < entries.count, entries[next].row == row, entries[next].family == family else { return nil }
        defer { next += 1 }
        return entries[next].exemplar
    }

    /// Returns whether all buckets may have another one: there was room.
    mutating func endTaking() -> Bool {
        assert(next == entries.count, "an exemplar of no row")
        defer { entries.removeAll(keepingCapacity: true) }
        return entries.count < countMax
    }
}
