import Matching
import Primitives
import TelemetryModel
import Testing
@testable import TelemetryStore

@Suite struct SeriesStoreTests {
    private let requests = LabelSet("requests_total", ["code": "200", "service": "a"])

    /// The first thing anybody asks: what went in comes out, before and after folding, sealing and opening again.
    @Test func samplesAreTheSameWhereverTheyAre() throws {
        let world = try SeriesWorld()
        let other = LabelSet("temperature", ["room": "1"])
        var expected: [LabelSet: [PlainSample]] = [:]
        for step in 0..<200 {
            let time = world.now
            try world.append { batch in
                let a = batch.append(requests, .counter)
                let b = batch.append(other, .gauge)
                batch.append(a, time: time, value: Double(step * 3))
                batch.append(b, time: time, value: Double(step) * 0.37)
            }
            expected[requests, default: []].append(PlainSample(time, Double(step * 3)))
            expected[other, default: []].append(PlainSample(time, Double(step) * 0.37))
            world.advance(10_000)
            if step % 37 == 36 { try world.store.flush() }
            if step % 61 == 60 { try world.reopen() }
            if step % 20 == 19 { #expect(try world.select().mapValues(\.plain) == expected, "step \(step)") }
        }
        let statistics = world.store.statistics()
        #expect(statistics.tierBlocks[0] > 1 && statistics.tierBlocks[1] > 0)
        #expect(statistics.series == 2)
        world.store.close()
    }

    /// Refused samples are counted, acknowledged, and change nothing.
    @Test func samplesOutOfPlaceAreRefusedAndCounted() throws {
        let world = try SeriesWorld()
        let start = world.now
        try world.append { batch in
            let id = batch.append(requests, .counter)
            for (offset, value) in [(0, 1.0), (10_000, 2), (10_000, 3), (5_000, 4), (20_000, 5), (3_600_000, 6)] as [(Int64, Double)] {
                batch.append(id, time: start + offset, value: value)
            }
        }
        let kept = [PlainSample(start, 1), PlainSample(start + 10_000, 2), PlainSample(start + 20_000, 5)]
        #expect(try world.samples(requests)?.plain == kept)
        var dropped = world.store.statistics().samplesDropped
        #expect(dropped == [.duplicate: 1, .outOfOrder: 1, .future: 1])
        // Sealed: the same series and others are too late there.
        world.advance(40 * SeriesWorld.minute)
        try world.store.flush()
        try world.append { batch in
            batch.append(batch.append(requests, .counter), time: start + 30_000, value: 9)
            batch.append(batch.append(LabelSet("other"), .gauge), time: start + 30_000, value: 9)
        }
        dropped = world.store.statistics().samplesDropped
        #expect(dropped[.late] == 2)
        try world.reopen()
        #expect(try world.samples(requests)?.times.count == 3)
        world.store.close()
    }

    /// A report that comes again, also after a restart, counts once.
    @Test func aReportCountsOnce() throws {
        let world = try SeriesWorld()
        func report(_ sequence: UInt64, _ value: Double) throws {
            try world.append { batch in
                batch.report = SeriesBatch.Report(sender: "proxy-1", sequence: sequence)
                batch.append(batch.append(requests, .counter), time: world.now, value: value)
            }
            world.advance(1000)
        }
        try report(1, 1)
        try report(2, 2)
        try report(2, 3)
        try world.reopen()
        try report(1, 4)
        try report(3, 5)
        #expect(try world.samples(requests)?.values == [1, 2, 5])
        #expect(world.store.statistics().reportsRepeated == 1)
        world.store.close()
    }

    /// What a proxy had counted when its first report came is an increase, and so is what it counted since it started anew.
    @Test func aKnownBeginningIsASampleOfItsOwn() throws {
        let world = try SeriesWorld()
        let start = world.now
        try world.append { $0.append($0.append(requests, .counter), time: start, value: 7, created: start - 5000) }
        try world.append { $0.append($0.append(requests, .counter), time: start + 10_000, value: 9, created: start - 5000) }
        try world.append { $0.append($0.append(requests, .counter), time: start + 20_000, value: 11, created: start + 15_000) }
        #expect(try world.samples(requests)?.plain == [
            PlainSample(start - 5000, 0), PlainSample(start, 7), PlainSample(start + 10_000, 9), PlainSample(start + 15_000, 0),
            PlainSample(start + 20_000, 11),
        ])
        world.store.close()
    }

    /// A classic histogram is one series here, and many for whoever asks.
    @Test func classicHistogramsAreSeriesOfTheirParts() throws {
        let world = try SeriesWorld()
        let histogram = LabelSet("latency_seconds", ["service": "a"])
        for step in 0..<3 {
            try world.append { batch in
                let id = batch.append(histogram, .classicHistogram, bounds: [0.5, 1, 1_800_000])
                let n = Double(step)
                batch.append(id, time: world.now, buckets: [n, 2 * n, 0, 1], count: 3 * n + 1, sum: n / 3)
            }
            world.advance(10_000)
        }
        try world.append { batch in
            batch.appendStale(batch.append(histogram, .classicHistogram, bounds: [0.5, 1, 1_800_000]), time: world.now)
        }
        try world.reopen()
        let buckets = try world.select([LabelMatcher("__name__", .equal, "latency_seconds_bucket")])
        #expect(Set(buckets.keys.map { $0["le"] }) == ["0.5", "1", "1.8e+06", "+Inf"])
        let one = LabelSet("latency_seconds_bucket", ["service": "a", "le": "1"])
        #expect(buckets[one]?.values.prefix(3) == [0, 3, 6])
        #expect(buckets[one]?.values.last.map(SeriesSamples.isStale) == true)
        #expect(try world.select([LabelMatcher("le", .matches, "0.5|1")]).count == 2)
        #expect(try world.select([LabelMatcher("__name__", .matches, "latency_.+"), LabelMatcher("le", .equal, "")]).count == 2)
        #expect(try world.samples(LabelSet("latency_seconds_count", ["service": "a"]))?.values.prefix(3) == [1, 4, 7])
        #expect(try world.samples(LabelSet("latency_seconds_sum", ["service": "a"]))?.values.prefix(3) == [0, 1.0 / 3, 2.0 / 3])
        let view = world.store
        #expect(view.labelNames([], from: 0, through: Int64.max) == ["__name__", "le", "service"])
        #expect(view.labelValues("le", [], from: 0, through: Int64.max) == ["+Inf", "0.5", "1", "1.8e+06"])
        #expect(view.labelValues("__name__", [], from: 0, through: Int64.max)
            == ["latency_seconds_bucket", "latency_seconds_count", "latency_seconds_sum"])
        #expect(try view.series([LabelMatcher("service", .equal, "a")], from: 0, through: Int64.max).count == 6)
        world.store.close()
    }

    @Test func nativeHistogramsAreASampleTypeFromTheFirst() throws {
        let world = try SeriesWorld()
        let labels = LabelSet("native")
        var expected: [NativeHistogram] = []
        for step in 0..<150 {
            let n = Double(step)
            let histogram = NativeHistogram(
                schema: 3, zeroThreshold: 1e-128, zeroCount: n, count: 4 * n, sum: n * 0.3,
                positiveSpans: [.init(offset: -2, length: 2), .init(offset: 3, length: 1)], positiveCounts: [n, n, n])
            expected.append(histogram)
            try world.append { $0.append($0.append(labels, .nativeHistogram), time: world.now, histogram) }
            world.advance(10_000)
        }
        try world.store.flush()
        try world.reopen()
        #expect(try world.samples(labels)?.histograms.map(\.histogram) == expected)
        #expect(try world.samples(labels, resolution: SeriesWorld.minute)?.histograms.count ?? 0 < 80)
        world.store.close()
    }

    /// The four operations, on labels that are there and that are not.
    @Test func matchersFindWhatPrometheusWouldFind() throws {
        let world = try SeriesWorld()
        var random = SeededRandom(7)
        var all: [LabelSet] = []
        try world.append { batch in
            for number in 0..<600 {
                var labels = LabelSet("metric_\(number % 7)", ["n": "\(number)"])
                for name in ["a", "b", "c"] where Int.random(in: 0..<3, using: &random) > 0 {
                    labels[name] = ["x", "y", "xx", "long value"][Int.random(in: 0..<4, using: &random)]
                }
                all.append(labels)
                batch.append(batch.append(labels, .gauge), time: world.now, value: 1)
            }
        }
        let values = ["", "x", "y", "xx", "x.*", "x+|y", ".*", ".+", "z", "metric_3"]
        for round in 0..<300 {
            let matchers = try (0..<Int.random(in: 1..<4, using: &random)).map { _ in
                try LabelMatcher(
                    ["a", "b", "c", "__name__", "none"][Int.random(in: 0..<5, using: &random)],
                    LabelMatcher.Operation.allCases[Int.random(in: 0..<4, using: &random)],
                    values[Int.random(in: 0..<values.count, using: &random)])
            }
            let expected = Set(all.filter { labels in matchers.allSatisfy { $0.accepts(labels[$0.name] ?? "") } })
            #expect(Set(world.store.series(matchers, from: 0, through: Int64.max)) == expected, "round \(round): \(matchers)")
        }
        world.store.close()
    }

    /// A family above its bound: its total is as exact as before, also over orderly restarts in between, of which its sums show nothing.
    @Test(arguments: [[], [7], [3, 4, 15]]) func whatIsAboveTheBoundIsSummedUpExactly(restarts: [Int]) throws {
        let world = try SeriesWorld { $0.familySeriesMax = 10 }
        var values = [Double](repeating: 0, count: 30)
        var increased = 0.0
        var random = SeededRandom(3)
        for step in 0..<20 {
            if restarts.contains(step) { try world.reopen() }
            try world.append { batch in
                for index in values.indices {
                    let increase = Double(Int.random(in: 0..<5, using: &random))
                    // Some start anew; what is not less than before is no reset for anybody.
                    let old = values[index]
                    values[index] = Int.random(in: 0..<15, using: &random) == 0 ? increase : old + increase
                    increased += values[index] < old ? values[index] : values[index] - old
                    let id = batch.append(LabelSet("hits_total", ["path": "/\(index)"]), .counter)
                    batch.append(id, time: world.now, value: values[index])
                }
            }
            world.advance(10_000)
        }
        let found = try world.select([LabelMatcher("__name__", .equal, "hits_total")])
        #expect(found.count == 11)
        let total = found.values.reduce(0.0) { sum, series in
            var last = 0.0
            return sum + series.values.reduce(0.0) { total, value in
                defer { last = value }
                return total + (value < last ? value : value - last)
            }
        }
        #expect(total == increased)
        let sums = try #require(found[LabelSet("hits_total", ["skein_overflow": "true"])]).values
        #expect(sums == sums.sorted())
        let report = try #require(world.store.cardinalityReport(limit: 5).first)
        #expect(report.metric == "hits_total" && report.labels.first == SeriesFamily.Label(name: "path", values: 10))
        if restarts.isEmpty { #expect(report.overflow == SeriesOverflow(series: 20, samples: 400)) }
        world.store.close()
    }

    @Test func floatsInLabelsAreGos() {
        let texts: [(Double, String)] = [
            (0.005, "0.005"), (1, "1"), (2.5, "2.5"), (10, "10"), (100_000, "100000"), (1_000_000, "1e+06"), (1_800_000, "1.8e+06"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"), (1e21, "1e+21"), (123_456.5, "123456.5"), (-2, "-2"), (1.7976931348623157e308, "1.7976931348623157e+308"),
        ]
        for (value, text) in texts { #expect(GoFloat.general(value) == text) }
    }
}
