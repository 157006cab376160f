@testable import Collector
import Primitives
import TelemetryModel
import Testing

/// Increases become totals, and what is counted is what is stored: neither more nor less, whatever the store says.
@Suite struct DeltaTotalsTests {
    static func point(
        _ name: String = "c", _ value: Double = 1, from start: Int64? = nil, to time: Int64, kind: MetricPoint.Kind = .counter
    ) -> MetricPoint {
        var point = MetricPoint(labels: LabelSet(name), kind: kind, time: time, value: .number(value), created: start)
        point.isIncrease = true
        return point
    }

    static func point(_ histogram: NativeHistogram, to time: Int64) -> MetricPoint {
        var point = MetricPoint(labels: LabelSet("h"), kind: .histogram, time: time, value: .histogram(histogram))
        point.isIncrease = true
        return point
    }

    static func point(_ histogram: ClassicHistogram, to time: Int64) -> MetricPoint {
        var point = MetricPoint(labels: LabelSet("h"), kind: .histogram, time: time, value: .classic(histogram))
        point.isIncrease = true
        return point
    }

    let statistics = CollectorStatistics()
    let now = MonotonicInstant(nanoseconds: 1_000_000_000)

    /// Adds, and the store takes it.
    @discardableResult
    func add(_ points: [MetricPoint], _ totals: DeltaTotals, now: MonotonicInstant? = nil) -> DeltaTotals.Addition? {
        let addition = totals.add(points, now: now ?? self.now)
        if let addition { totals.settle(addition, isStored: true) }
        return addition
    }

    func numbers(_ addition: DeltaTotals.Addition?) -> [Double]? {
        addition?.totals.map { if case .number(let number) = $0.value { number } else { .nan } }
    }

    @Test func increasesAreAddedUp() {
        let totals = DeltaTotals(statistics)
        #expect(numbers(add([Self.point("c", 3, from: 1000, to: 2000)], totals)) == [3])
        let second = add([Self.point("c", 4, from: 2000, to: 3000), Self.point("c", 1, from: 3000, to: 4000)], totals)
        #expect(numbers(second) == [7, 8])
        #expect(second?.totals.map(\.time) == [3000, 4000] && second?.totals.allSatisfy { !$0.isIncrease } == true)
        // Behind the last sample of whatever was before, so that the store sees a reset there.
        #expect(second?.totals.map(\.created) == [1001, 1001])
        #expect(statistics.total("skein_delta_series") == 1 && statistics.total("skein_delta_bytes") > 0)
    }

    /// SDKs leave out series without measurements: that is no reset.
    @Test func aGapChangesNothing() {
        let totals = DeltaTotals(statistics)
        add([Self.point("c", 3, from: 1000, to: 2000)], totals)
        #expect(numbers(add([Self.point("c", 2, from: 60_000, to: 61_000)], totals)) == [5])
    }

    @Test(arguments: [
        (Self.point("c", 1, from: 1000, to: 2000), "out_of_order"), (Self.point("c", 1, from: 500, to: 1500), "out_of_order"),
        (Self.point("c", 1, from: 1999, to: 3000), "overlap"), (Self.point("c", -1, from: 2000, to: 3000), "invalid"),
        (Self.point("c", .nan, from: 2000, to: 3000), "invalid"), (Self.point("c", .infinity, from: 2000, to: 3000), "invalid"),
        (Self.point("c", 1, from: 4000, to: 3000), "invalid"), (Self.point("c", 1, to: 0), "invalid"),
    ])
    func whatWouldCountWronglyIsRefusedAndCounted(_ point: MetricPoint, _ reason: String) {
        let totals = DeltaTotals(statistics)
        add([Self.point("c", 3, from: 1000, to: 2000)], totals)
        let refused = add([point, Self.point("other", 1, to: 5000)], totals)
        #expect(refused?.refused == 1 && refused?.firstRefusal?.rawValue == reason && numbers(refused) == [1])
        #expect(statistics.total("skein_delta_points_refused_total", ["reason": reason]) == 1)
        #expect(numbers(add([Self.point("c", 1, from: 2000, to: 3000)], totals)) == [4])
    }

    /// Sums that may fall have no reset and no beginning.
    @Test func sumsThatMayFallAreGauges() {
        let totals = DeltaTotals(statistics)
        add([Self.point("u", 3, from: 1000, to: 2000, kind: .gauge)], totals)
        let second = add([Self.point("u", -5, from: 2000, to: 3000, kind: .gauge)], totals)
        #expect(numbers(second) == [-2] && second?.totals[0].created == nil)
    }

    // MARK: The store's answer

    @Test func whatTheStoreRefusesIsNotCounted() throws {
        let totals = DeltaTotals(statistics)
        add([Self.point("c", 3, to: 2000)], totals)
        let request = [Self.point("c", 4, to: 3000), Self.point("c", 1, to: 4000), Self.point("new", 7, to: 4000)]
        let refused = try #require(totals.add(request, now: now))
        #expect(numbers(refused) == [7, 8, 7])
        totals.settle(refused, isStored: false)
        #expect(statistics.total("skein_delta_series") == 1)
        // The sender comes with the same again.
        #expect(numbers(add(request, totals)) == [7, 8, 7])
        #expect(numbers(add([Self.point("c", 2, to: 5000), Self.point("new", 1, to: 5000)], totals)) == [10, 8])
    }

    /// A total that builds on increases that may still be refused could be stored without them.
    @Test func aSeriesIsHeldUntilTheStoreAnswers() throws {
        let totals = DeltaTotals(statistics)
        let first = try #require(totals.add([Self.point("c", 3, to: 2000)], now: now))
        #expect(totals.add([Self.point("other", 1, to: 2000), Self.point("c", 1, to: 3000)], now: now) == nil)
        #expect(statistics.total("skein_delta_requests_held_total") == 1)
        #expect(numbers(add([Self.point("other", 1, to: 2000)], totals)) == [1], "nothing of a held request was added")
        totals.settle(first, isStored: true)
        #expect(numbers(add([Self.point("c", 1, to: 3000)], totals)) == [4])
    }

    /// Random requests of several senders, answered late, in any order, well or badly, against the sum of what was stored.
    @Test(arguments: [1, 2, 3, 4, 5, 6, 7, 8] as [UInt64]) func totalsAreTheSumOfWhatIsStored(_ seed: UInt64) throws {
        var random = SplitMix(seed)
        let totals = DeltaTotals(statistics)
        var stored: [String: Double] = [:]
        var times: [String: Int64] = [:]
        var waiting: [(addition: DeltaTotals.Addition, points: [MetricPoint])] = []
        for step in 0..<3000 {
            if waiting.count < 6, random.next() % 2 == 0 {
                let names = (0..<(1 + random.next() % 3)).map { _ in "s\(random.next() % 12)" }
                let points = names.enumerated().map { place, name in
                    Self.point(name, Double(random.next() % 100), to: Int64(step) * 10 + Int64(place) + 1)
                }
                guard let addition = totals.add(points, now: now) else {
                    let held = waiting.flatMap(\.points).map(\.labels)
                    #expect(points.contains { held.contains($0.labels) }, "seed \(seed)")
                    continue
                }
                #expect(addition.refused == 0, "seed \(seed)")
                waiting.append((addition, points))
            } else if !waiting.isEmpty {
                let (addition, points) = waiting.remove(at: Int(random.next() % UInt64(waiting.count)))
                let isStored = random.next() % 3 != 0
                totals.settle(addition, isStored: isStored)
                guard isStored else { continue }
                for (point, total) in zip(points, addition.totals) {
                    let name = try #require(point.labels[LabelSet.metricName])
                    guard case .number(let increase) = point.value, case .number(let sum) = total.value else { continue }
                    stored[name, default: 0] += increase
                    #expect(sum == stored[name], "seed \(seed), step \(step), \(name)")
                    #expect(point.time > times[name] ?? 0)
                    times[name] = point.time
                }
            }
        }
        #expect(stored.count == 12)
    }

    // MARK: Bounds

    @Test func theTableHasABound() {
        var limits = DeltaTotals.Limits()
        limits.seriesMax = 2
        let totals = DeltaTotals(statistics, limits: limits)
        let full = add([Self.point("a", to: 1), Self.point("b", to: 1), Self.point("c", to: 1)], totals)
        #expect(full?.refused == 1 && full?.firstRefusal == .full && full?.totals.count == 2)
        // Those that are there go on.
        #expect(numbers(add([Self.point("a", to: 2)], totals)) == [2])
        // An hour later there is room again.
        let later = now + (limits.idleNanosecondsMax + 1)
        #expect(add([Self.point("c", to: 5)], totals, now: later)?.refused == 0)
        #expect(statistics.total("skein_delta_series") == 1)
    }

    @Test func memoryHasABound() {
        var limits = DeltaTotals.Limits()
        limits.bytesMax = 1000
        let totals = DeltaTotals(statistics, limits: limits)
        let wide = ClassicHistogram(bounds: (0..<50).map { Double($0) }, buckets: [Double](repeating: 1, count: 51), count: 51, sum: 1)
        #expect(add([Self.point(wide, to: 1)], totals)?.firstRefusal == .full)
        #expect(add([Self.point("c", to: 1)], totals)?.refused == 0)
    }

    /// Many small increases of a histogram with many buckets: each makes a total that has them all.
    @Test func whatOneRequestMakesHasABound() {
        var limits = DeltaTotals.Limits()
        limits.requestBytesMax = 100_000
        let totals = DeltaTotals(statistics, limits: limits)
        add([Self.point(Self.exponential(8, 0, [Double](repeating: 1, count: 300)), to: 1)], totals)
        let small = (2...1000).map { Self.point(Self.exponential(8, 0, [1]), to: $0) }
        let addition = add(small, totals)
        #expect(addition?.firstRefusal == .large && (20...60).contains(addition?.totals.count ?? 0))
        // What was refused is in no total.
        let next = native(add([Self.point(Self.exponential(8, 0, [1]), to: 2000)], totals))
        #expect(next?.count == 301 + Double(addition?.totals.count ?? 0))
    }

    @Test func anIdleTotalBeginsAnew() {
        let totals = DeltaTotals(statistics)
        add([Self.point("c", 3, from: 1000, to: 2000)], totals)
        let later = now + (DeltaTotals.Limits().idleNanosecondsMax + 1)
        let anew = add([Self.point("c", 2, from: 8000, to: 9000)], totals, now: later)
        #expect(numbers(anew) == [2] && anew?.totals[0].created == 8001)
    }

    // MARK: Histograms

    @Test func classicHistogramsAreAddedUp() {
        let totals = DeltaTotals(statistics)
        add([Self.point(ClassicHistogram(bounds: [5], buckets: [1, 2], count: 3, sum: 20), to: 1)], totals)
        let second = add([Self.point(ClassicHistogram(bounds: [5], buckets: [3, 0], count: 3, sum: 6), to: 2)], totals)
        guard case .classic(let sum)? = second?.totals.first?.value else { return #expect(Bool(false)) }
        #expect(sum == ClassicHistogram(bounds: [5], buckets: [4, 2], count: 6, sum: 26))
        // Other bounds are another total: its buckets could not be told apart.
        let other = add([Self.point(ClassicHistogram(bounds: [7], buckets: [1, 1], count: 2, sum: 9), to: 3)], totals)
        guard case .classic(let begun)? = other?.totals.first?.value else { return #expect(Bool(false)) }
        #expect(begun.count == 2)
    }

    static func exponential(
        _ schema: Int32, _ start: Int32, _ counts: [Double], negative: [Double] = [], zero: Double = 0
    ) -> NativeHistogram {
        NativeHistogram(
            schema: schema, zeroThreshold: 1e-128, zeroCount: zero, count: (counts + negative).reduce(zero, +), sum: 1,
            positiveSpans: counts.isEmpty ? [] : [.init(offset: start, length: UInt32(counts.count))], positiveCounts: counts,
            negativeSpans: negative.isEmpty ? [] : [.init(offset: start, length: UInt32(negative.count))], negativeCounts: negative)
    }

    func native(_ addition: DeltaTotals.Addition?) -> NativeHistogram? {
        guard case .histogram(let histogram)? = addition?.totals.last?.value else { return nil }
        return histogram
    }

    @Test func exponentialHistogramsAreAddedUp() {
        let totals = DeltaTotals(statistics)
        add([Self.point(Self.exponential(2, 3, [1, 2], zero: 1), to: 1)], totals)
        let same = native(add([Self.point(Self.exponential(2, 1, [5], negative: [7]), to: 2)], totals))
        #expect(same?.positiveSpans == [.init(offset: 1, length: 4)] && same?.positiveCounts == [5, 0, 1, 2])
        #expect(same?.negativeCounts == [7] && same?.zeroCount == 1 && same?.count == 16 && same?.sum == 2)
        // Two buckets of schema 2 are one of schema 1: 1 2, 3 4.
        let coarser = native(add([Self.point(Self.exponential(1, 1, [10]), to: 3)], totals))
        #expect(coarser?.schema == 1 && coarser?.positiveSpans == [.init(offset: 1, length: 2)] && coarser?.positiveCounts == [15, 3])
    }

    /// Buckets far apart make the total coarser until it has few enough.
    @Test func aTotalWithTooManyBucketsIsMadeCoarser() throws {
        let totals = DeltaTotals(statistics)
        add([Self.point(Self.exponential(8, 0, [1]), to: 1)], totals)
        let wide = try #require(native(add([Self.point(Self.exponential(8, 4000, [1]), to: 2)], totals)))
        #expect(wide.isValid && wide.positiveCounts.count <= DeltaHistogram.bucketsMax && wide.positiveCounts.reduce(0, +) == 2)
        #expect(wide.schema == 4, "4001 buckets, halved four times")
        // Numbers that no double is: nothing is added.
        let absurd = add([Self.point(Self.exponential(-4, Int32.max - 10, [1]), to: 3)], totals)
        #expect(absurd?.firstRefusal == .buckets)
        #expect(native(add([Self.point(Self.exponential(8, 0, [1]), to: 4)], totals))?.count == 3)
    }

    /// Against counting each observation in the coarser bucket by itself.
    @Test(arguments: [11, 12, 13] as [UInt64]) func sumsOfHistogramsAreExact(_ seed: UInt64) throws {
        var random = SplitMix(seed)
        let totals = DeltaTotals(statistics)
        var schema: Int32 = 8
        var observed: [(schema: Int32, index: Int32, count: Double)] = []
        for time in 1...60 as ClosedRange<Int64> {
            let finer = Int32(random.next() % 5) + 2
            let start = Int32(random.next() % 80) - 40
            let counts = (0..<(1 + random.next() % 20)).map { _ in Double(random.next() % 4) }
            schema = min(schema, finer)
            for (place, count) in counts.enumerated() { observed.append((finer, start + Int32(place), count)) }
            let sum = try #require(native(add([Self.point(Self.exponential(finer, start, counts), to: time)], totals)))
            #expect(sum.isValid && sum.schema == schema, "seed \(seed)")
            var expected: [Int32: Double] = [:]
            for one in observed { expected[((one.index - 1) >> (one.schema - schema)) + 1, default: 0] += one.count }
            for (place, count) in sum.positiveCounts.enumerated() {
                #expect(count == expected[sum.positiveSpans[0].offset + Int32(place)] ?? 0, "seed \(seed), time \(time)")
            }
            #expect(sum.positiveCounts.reduce(0, +) == expected.values.reduce(0, +), "seed \(seed), time \(time)")
        }
    }
}

/// Steele, Lea, Flood: "Fast splittable pseudorandom number generators".
struct SplitMix: RandomNumberGenerator {
    private var state: UInt64

    init(_ seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
        return mixed ^ mixed >> 31
    }
}
