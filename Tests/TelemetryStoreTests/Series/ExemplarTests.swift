import Matching
import TelemetryModel
import Testing
@testable import TelemetryStore

/// Exemplars: bounded, each bucket keeps one as long as its trace is there, and a process that is killed loses none that was acknowledged.
@Suite struct ExemplarTests {
    private static func exemplar(_ time: Int64, _ value: Double, trace: UInt64) -> SeriesExemplar {
        SeriesExemplar(time: time, value: value, traceID: TraceID(high: 0, low: trace), spanID: SpanID(trace))
    }

    private func ask(_ store: SeriesStore, _ name: String) -> [String: [UInt64]] {
        let matchers = [try? LabelMatcher(LabelSet.metricName, .equal, name)].compactMap { $0 }
        let found = store.exemplars(matchers, from: 0, through: Int64.max)
        return Dictionary(uniqueKeysWithValues: found.map { ($0.labels["le"] ?? "", $0.exemplars.map(\.traceID.low)) })
    }

    @Test func eachBucketHasItsOwn() throws {
        let world = try SeriesWorld()
        try world.append { batch in
            let histogram = batch.append(LabelSet("ms"), .classicHistogram, bounds: [1, 10])
            batch.append(histogram, time: world.now, buckets: [1, 1, 1], count: 3, sum: 60)
            for (value, trace) in [(0.5, 1), (1, 2), (7, 3), (50, 4)] as [(Double, UInt64)] {
                batch.append(histogram, Self.exemplar(world.now + Int64(trace), value, trace: trace))
            }
            let counter = batch.append(LabelSet("c_total"), .counter)
            batch.append(counter, time: world.now, value: 1)
            batch.append(counter, Self.exemplar(world.now, 1, trace: 9))
        }
        for _ in 0..<2 {
            #expect(ask(world.store, "ms_bucket") == ["1": [1, 2], "10": [3], "+Inf": [4]])
            #expect(ask(world.store, "ms_sum").isEmpty && ask(world.store, "ms_count").isEmpty)
            #expect(ask(world.store, "c_total") == ["": [9]])
            try world.reopen()
        }
        // What comes again is not kept again.
        try world.append { batch in
            batch.append(batch.append(LabelSet("c_total"), .counter), Self.exemplar(world.now, 1, trace: 9))
        }
        #expect(ask(world.store, "c_total") == ["": [9]])
        #expect(world.store.statistics().exemplarsDropped == 1 && world.store.statistics().exemplars == 5)
        world.store.close()
    }

    /// Against an obvious model of what matters: bounds hold, the newest of each place is there, and file and memory agree.
    @Test func theShelfIsBounded() {
        let seed: UInt64 = 0x5EED_E7E3
        var random = seed
        func draw(_ below: UInt64) -> UInt64 {
            random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return (random >> 33) % below
        }
        var shelf = ExemplarShelf()
        var file: [Int64: (ExemplarPlace, Int64)] = [:]
        var newest: [ExemplarPlace: Int64] = [:]
        for time in 1...4000 {
            var group: [(place: ExemplarPlace, exemplar: SeriesExemplar)] = []
            for _ in 0..<draw(20) {
                let place = ExemplarPlace(series: UInt32(draw(time < 2000 ? 20 : 40)), bucket: UInt16(draw(3)))
                group.append((place, Self.exemplar(Int64(time) * 100 + Int64(group.count), 1, trace: 1)))
                newest[place] = group.last?.exemplar.time
            }
            let change = shelf.planning(group)
            for row in change.removedRows { #expect(file.removeValue(forKey: row) != nil, "seed \(seed)") }
            for (place, shelved) in change.added { file[shelved.row] = (place, shelved.exemplar.time) }
            shelf.apply(change)
        }
        #expect(shelf.count == file.count && shelf.count == shelf.places.values.reduce(0) { $0 + $1.count }, "seed \(seed)")
        #expect(shelf.places.values.allSatisfy { $0.count <= ExemplarShelf.perPlaceMax }, "seed \(seed)")
        for (place, time) in newest { #expect(shelf.places[place]?.last?.exemplar.time == time, "seed \(seed)") }
        // Old ones are kept, too: a place does not only know its last minute.
        #expect(shelf.places.values.contains { ($0.first?.exemplar.time ?? .max) < 100_000 }, "seed \(seed)")
        shelf.forget(before: 300_000)
        #expect(shelf.places.values.joined().allSatisfy { $0.exemplar.time >= 300_000 })
    }

    /// More places than there is room for: each that is in has one, the others are counted.
    @Test func placesAreBounded() {
        var shelf = ExemplarShelf()
        let new = (0..<ExemplarShelf.allMax + 10).map { number in
            (place: ExemplarPlace(series: UInt32(number), bucket: 0), exemplar: Self.exemplar(Int64(number), 1, trace: 1))
        }
        let change = shelf.planning(new)
        #expect(change.dropped == 10)
        shelf.apply(change)
        #expect(shelf.count == ExemplarShelf.allMax)
        shelf.apply(shelf.planning([(ExemplarPlace(series: 5, bucket: 0), Self.exemplar(1_000_000, 1, trace: 2))]))
        #expect(shelf.count == ExemplarShelf.allMax && shelf.places[ExemplarPlace(series: 5, bucket: 0)]?.last?.exemplar.time == 1_000_000)
    }

    /// Which traces there are, young ones and those in segments; and exemplars go when no trace is as old as they are.
    @Test func exemplarsGoWithTheirTraces() throws {
        let directory = TemporaryDirectory()
        var configuration = StoreConfiguration(directory: directory.path)
        configuration.compactsInBackground = false
        configuration.retentionAgeSeconds = 0
        var series = SeriesConfiguration()
        let now = series.now()
        let clock = Monitor(now)
        series.now = { clock.withLock { $0 } }
        let stores = try Stores.open(configuration, series)
        func span(_ trace: UInt64) -> PlainTestSpan {
            PlainTestSpan(traceLow: trace, id: 1, timestamp: UInt64(now) * 1000, duration: 5, name: "get", service: "web")
        }
        try stores.traces.append(makeBatch([span(1), span(2)]))
        try stores.traces.flush()
        try stores.traces.append(makeBatch([span(3)]))
        #expect(try stores.traces.existing([TraceID(high: 0, low: 1), TraceID(high: 0, low: 3), TraceID(high: 0, low: 4)])
            == [TraceID(high: 0, low: 1), TraceID(high: 0, low: 3)])
        #expect(try stores.traces.existing([]) == [])
        var batch = SeriesBatch()
        let counter = batch.append(LabelSet("c_total"), .counter)
        batch.append(counter, time: now, value: 1)
        batch.append(counter, Self.exemplar(now - 7_200_000, 1, trace: 4))
        batch.append(counter, Self.exemplar(now, 1, trace: 3))
        try stores.series.append(batch)
        #expect(ask(stores.series, "c_total") == ["": [4, 3]])
        clock.withLock { $0 += 61_000 }
        try stores.series.flush()
        #expect(ask(stores.series, "c_total") == ["": [3]])
        stores.close()
        let again = try Stores.open(configuration, series)
        #expect(ask(again.series, "c_total") == ["": [3]])
        again.close()
    }
}
