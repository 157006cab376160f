import Matching
import TelemetryModel
import Testing
@testable import TelemetryStore

/// The store against an obvious model, under everything that can happen to it.
@Suite struct SeriesModelTests {
    /// Random reports with late, repeated and out-of-order samples; folding, sealing, rolling up, and opening again at any point.
    @Test(arguments: 0..<12)
    func answersAreTheModels(seed: Int) throws {
        var random = SeededRandom(UInt64(seed) + 0x5EED)
        let world = try SeriesWorld()
        var model = SeriesModel()
        var reported: [LabelSet: Double] = [:]
        for step in 0..<250 {
            let floor = world.store.tables.state.withLock { $0.floor }
            var batch = SeriesBatch()
            for _ in 0..<Int.random(in: 1...6, using: &random) {
                let number = Int.random(in: 0..<1200, using: &random) % (step % 2 == 0 ? 5 : 1200)
                let kind: SeriesKind = number % 2 == 0 ? .counter : .gauge
                let labels = LabelSet("metric_\(number % 3)", ["n": "\(number)"])
                let late = Int.random(in: 0..<8, using: &random) == 0 ? Int64.random(in: 0...1_800_000, using: &random) : 0
                let time = world.now - late + Int64.random(in: 0..<3, using: &random)
                let isReset = Int.random(in: 0..<20, using: &random) == 0
                let value = kind == .gauge ? Double.random(in: -9...9, using: &random) : (isReset ? 0 : reported[labels] ?? 0) + 3
                reported[labels] = value
                model.append(labels, kind, time, value, floor: floor)
                batch.append(batch.append(labels, kind), time: time, value: value)
            }
            try world.store.append(batch)
            world.advance(Int64.random(in: 0...40_000, using: &random))
            if Int.random(in: 0..<12, using: &random) == 0 { try world.store.flush() }
            if Int.random(in: 0..<15, using: &random) == 0 { try world.reopen() }
            if step % 25 == 24 { try expectEqual(world, model, "seed \(seed), step \(step)") }
        }
        world.store.close()
    }

    private func expectEqual(_ world: SeriesWorld, _ model: SeriesModel, _ place: String) throws {
        #expect(try world.select().mapValues(\.plain) == model.plain, "\(place)")
        // A coarser tier: the same growth, and the same last value.
        let rolled = try world.select(resolution: SeriesWorld.minute)
        #expect(Set(rolled.keys) == Set(model.series.keys), "\(place)")
        for (labels, series) in model.series {
            let found = rolled[labels]?.plain ?? []
            let all = zip(series.times, series.values).map { PlainSample($0, $1) }
            if series.kind == .counter { #expect(SeriesModel.growth(found) == SeriesModel.growth(all), "\(place) \(labels)") }
            #expect(found.last == all.last, "\(place) \(labels)")
            #expect(Set(found).isSubset(of: Set(all)), "\(place) \(labels)")
        }
    }

    /// Where a query crosses from tier to tier nothing is told twice and nothing is missing.
    @Test func tiersFollowEachOtherWithoutGap() throws {
        let world = try SeriesWorld()
        let labels = LabelSet("beats_total")
        var all: [PlainSample] = []
        for step in 0..<2000 {
            all.append(PlainSample(world.now, Double(step)))
            try world.append { $0.append($0.append(labels, .counter), time: world.now, value: Double(step)) }
            world.advance(10_000)
            if step % 200 == 199 { try world.store.flush() }
        }
        for resolution in [0, SeriesWorld.minute, 10 * SeriesWorld.minute] as [Int64] {
            let found = try #require(try world.samples(labels, resolution: resolution)).plain
            #expect(zip(found, found.dropFirst()).allSatisfy { $0.time < $1.time })
            #expect(Set(found).isSubset(of: Set(all)))
            #expect(found.first == all.first && found.last == all.last)
            #expect(SeriesModel.growth(found) == 1999)
            if resolution == 0 { #expect(found == all) }
            if resolution > SeriesWorld.minute { #expect(found.count < 600) }
        }
        // What has expired in the first tier is answered by the next.
        world.configuration.tiers[0].ageMax = 60 * SeriesWorld.minute
        try world.reopen()
        for _ in 0..<20 { try world.store.flush() }
        let found = try #require(try world.samples(labels)).plain
        #expect(found.count < 1000 && found.first == all.first && found.last == all.last && SeriesModel.growth(found) == 1999)
        #expect(world.store.statistics().spansExpired > 10)
        world.store.close()
    }

    /// A file that is too large gives up the finest samples first, and never what a coarser tier has not got.
    @Test func bytesAreBounded() throws {
        let world = try SeriesWorld { $0.tiers[0].bytesMax = 2000 }
        let labels = LabelSet("beats_total")
        var random = SeededRandom(5)
        var value = 0.0
        for step in 0..<3000 {
            value += Double(Int.random(in: 0..<1_000_000, using: &random))
            let now = value
            try world.append { $0.append($0.append(labels, .counter), time: world.now, value: now) }
            world.advance(10_000)
            if step % 60 == 59 { try world.store.flush() }
        }
        let statistics = world.store.statistics()
        #expect(statistics.tierBytes[0] < 3000 && statistics.spansExpired > 0)
        #expect(try #require(try world.samples(labels)).times.count > 400)
        world.store.close()
    }

    /// A gauge's window answers for its least and most as its samples would.
    @Test func windowsOfGaugesSayWhatTheirSamplesSaid() throws {
        let world = try SeriesWorld()
        let labels = LabelSet("depth")
        var values: [Double] = []
        for step in 0..<600 {
            values.append(Double((step * 37) % 101))
            try world.append { $0.append($0.append(labels, .gauge), time: world.now, value: values[step]) }
            world.advance(10_000)
        }
        try world.store.flush()
        func samples(_ value: SeriesQuery.GaugeValue) throws -> SeriesSamples {
            try #require(try world.samples(labels, resolution: SeriesWorld.minute, value))
        }
        func all(_ value: SeriesQuery.GaugeValue) throws -> [Double] { try samples(value).values }
        #expect(try all(.sum).reduce(0, +) == values.reduce(0, +))
        let means = try samples(.mean)
        #expect(means.weights.reduce(0, +) == 600)
        #expect(abs(zip(means.values, means.weights).reduce(0) { $0 + $1.0 * $1.1 } - values.reduce(0, +)) < 1e-6)
        #expect(try all(.least).min() == values.min() && all(.most).max() == values.max())
        #expect(try all(.last).count < 400 && all(.last).last == values.last)
        world.store.close()
    }

    /// A series that no tier knows any more goes, and is another when it comes back; senders are bounded, too.
    @Test func whatIsSilentIsForgotten() throws {
        let day = SeriesDay.milliseconds
        let world = try SeriesWorld { configuration in
            for tier in configuration.tiers.indices { configuration.tiers[tier].ageMax = 60 * SeriesWorld.minute }
            configuration.sendersMax = 4
        }
        for round in 0..<3 {
            for number in 0..<8 {
                try world.append { batch in
                    batch.report = SeriesBatch.Report(sender: "proxy-\(round)-\(number)", sequence: 1)
                    batch.append(batch.append(LabelSet("round_\(round)_total"), .counter), time: world.now, value: Double(number))
                }
                world.advance(10_000)
            }
            #expect(try world.select().keys.contains(LabelSet("round_\(round)_total")))
            world.advance(3 * day)
            for _ in 0..<3 { try world.store.flush() }
            world.advance(SeriesWorld.minute * 2)
            try world.store.flush()
            if round == 1 { try world.reopen() }
        }
        #expect(world.store.statistics().series <= 1)
        #expect(try world.select().isEmpty)
        try world.append { $0.append($0.append(LabelSet("round_0_total"), .counter), time: world.now, value: 1) }
        #expect(try world.samples(LabelSet("round_0_total"))?.values == [1])
        try world.reopen()
        #expect(try world.samples(LabelSet("round_0_total"))?.values == [1])
        world.store.close()
        let connection = try SQLiteConnection(path: world.directory.path + "/skein.db", access: .readWrite)
        #expect(try connection.integer("SELECT count(*) FROM series_sender") <= 5)
        #expect(try connection.integer("SELECT count(*) FROM series_block") == 0)
    }
}
