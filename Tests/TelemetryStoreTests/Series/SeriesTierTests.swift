import Glibc
import Matching
import TelemetryModel
import Testing
@testable import TelemetryStore

/// Which tier answers, and that a file keeps the tiers it was made with.
@Suite struct SeriesTierTests {
    /// Three hours of 20 counters at 10 s: 21,600 samples, 3,600 minutes, 360 windows of ten minutes.
    private func world() throws -> SeriesWorld {
        let world = try SeriesWorld()
        let labels = (0..<20).map { LabelSet("metric_total", ["n": "\($0)"]) }
        for step in 0..<1080 {
            try world.append { batch in
                for one in labels { batch.append(batch.append(one, .counter), time: world.now, value: Double(step)) }
            }
            world.advance(10_000)
            if step % 60 == 0 { try world.store.flush() }
        }
        world.advance(60 * SeriesWorld.minute)
        try world.store.flush()
        return world
    }

    private func read(_ world: SeriesWorld, _ matchers: [LabelMatcher] = [], coarsest: Int64, wanted: Int) throws -> (Int64, Int) {
        let found = try world.store.select(SeriesQuery(
            matchers, from: world.now - 240 * SeriesWorld.minute, through: world.now, coarsest: coarsest, samplesWanted: wanted))
        return (found.stretches.first?.resolution ?? -1, found.series.reduce(0) { $0 + $1.times.count })
    }

    /// The finest that is kept, unless it would be too much; and never coarser than the query allows.
    @Test func theFinestTierAnswersUnlessItIsTooMuch() throws {
        let world = try world()
        let minute = SeriesWorld.minute
        #expect(try read(world, coarsest: 10 * minute, wanted: 100_000) == (0, 21_600))
        let (window, samples) = try read(world, coarsest: 10 * minute, wanted: 10_000)
        #expect(window == minute && samples < 5000)
        #expect(try read(world, coarsest: 10 * minute, wanted: 1000).0 == 10 * minute)
        #expect(try read(world, coarsest: minute, wanted: 1000).0 == minute)
        #expect(try read(world, coarsest: minute - 1, wanted: 1000) == (0, 21_600))
        // One series of the twenty is few.
        #expect(try read(world, [LabelMatcher("n", .equal, "7")], coarsest: 10 * minute, wanted: 10_000) == (0, 1080))
        world.store.close()
    }

    /// Where samples as they came are gone the next tier answers, and where each begins is said.
    @Test func whatIsExpiredComesFromTheNextTier() throws {
        let world = try SeriesWorld { $0.tiers[0].ageMax = 60 * SeriesWorld.minute }
        let labels = LabelSet("metric_total")
        let start = world.now
        for step in 0..<1080 {
            try world.append { $0.append($0.append(labels, .counter), time: world.now, value: Double(step)) }
            world.advance(10_000)
            if step % 30 == 0 { try world.store.flush() }
        }
        try world.store.flush()
        let found = try world.store.select(SeriesQuery([], from: start, through: world.now, samplesWanted: 1_000_000))
        #expect(found.stretches.map(\.resolution) == [SeriesWorld.minute, 0, 0])
        #expect(found.stretches.first?.start == start && found.stretches.last?.end == world.now + 1)
        #expect(zip(found.stretches, found.stretches.dropFirst()).allSatisfy { $0.end == $1.start })
        let samples = try #require(found.series.first)
        #expect(samples.values.first == 0 && samples.values.last == 1079)
        world.store.close()
    }

    /// Spans follow from windows; the defaults are what this makes of them.
    @Test func spansFollowFromWindows() throws {
        let (minute, hour, day) = (SeriesWorld.minute, 60 * SeriesWorld.minute, 1440 * SeriesWorld.minute)
        let wanted: [(Int64, Int64, UInt64)] = [(0, 2 * day, 0), (minute, 31 * day, 0), (hour, 400 * day, 0)]
        #expect(SeriesConfiguration.tiers(wanted) == SeriesConfiguration().tiers)
        #expect(SeriesConfiguration.tiers([(0, 0, 0), (7 * minute, 0, 0)])?.last?.span == 7 * hour)
        #expect(SeriesConfiguration.tiers([(0, 0, 0), (30 * day, 0, 0)]) != nil)
        #expect(SeriesConfiguration.tiers([(0, 0, 0), (hour, 0, 0), (90 * minute, 0, 0)]) == nil)
        #expect(SeriesConfiguration.tiers([(0, 0, 0), (hour, 0, 0), (minute, 0, 0)]) == nil)
        #expect(SeriesConfiguration.tiers([(minute, 0, 0)]) == nil)
        #expect(SeriesConfiguration.tiers([]) == nil)
    }

    /// Ages and sizes may change from start to start. Windows may not: blocks of both kinds would lie side by side.
    @Test func aFileKeepsItsWindows() throws {
        let world = try world()
        let before = try world.samples(LabelSet("metric_total", ["n": "3"]))?.plain
        world.store.close()
        var others = world.configuration
        others.tiers[1].resolution = 2 * SeriesWorld.minute
        let path = world.directory.path
        #expect(throws: StoreError.otherTiers(path: path + "/skein.db", found: [0, 60_000, 600_000])) {
            try SeriesStore.open(StoreConfiguration(directory: path), others)
        }
        others = world.configuration
        others.tiers.removeLast()
        #expect(throws: StoreError.self) { try SeriesStore.open(StoreConfiguration(directory: path), others) }
        try world.reopen()
        #expect(try world.samples(LabelSet("metric_total", ["n": "3"]))?.plain == before)
        world.store.close()
    }

    /// A file of the first version, which did not name its windows, had the defaults.
    @Test func theFirstVersionHadTheDefaults() throws {
        let directory = TemporaryDirectory()
        let store = try SeriesStore.open(StoreConfiguration(directory: directory.path), SeriesConfiguration())
        _ = store.file.jobs.run { database throws(StoreError) in
            for table in ["series_window", "series_exemplar", "series_overflow"] { try database.execute("DROP TABLE \(table)") }
            try database.execute("UPDATE schema SET version = 1 WHERE name = 'series'")
            try database.execute("INSERT OR REPLACE INTO series_tier (tier, through, expired) VALUES (0, 3600000, 0)")
            return true
        }
        store.close()
        var others = SeriesConfiguration()
        others.tiers[2].resolution = 2 * 3_600_000
        #expect(throws: StoreError.self) { try SeriesStore.open(StoreConfiguration(directory: directory.path), others) }
        try SeriesStore.open(StoreConfiguration(directory: directory.path), SeriesConfiguration()).close()
    }
}
