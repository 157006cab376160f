import Glibc
import TelemetryModel
import Testing
@testable import TelemetryStore

/// A write that fails, a process that is killed: what was acknowledged is there once, whichever write it was.
@Suite struct SeriesFaultTests {
    private static let tables = [
        "series_piece", "series", "series_journal", "series_block", "series_tier", "series_sender", "series_window",
        "series_exemplar",
    ]

    /// Makes the n-th changed row from now on fail, and every later one, with triggers of the writer's connection alone.
    private func failWrite(_ number: Int, _ world: SeriesWorld) {
        _ = world.store.file.jobs.run { database throws(StoreError) in
            try database.execute("CREATE TEMP TABLE countdown (n INTEGER)")
            try database.execute("INSERT INTO countdown VALUES (\(number))")
            for table in Self.tables {
                for change in ["INSERT", "DELETE", "UPDATE"] {
                    try database.execute("""
                        CREATE TEMP TRIGGER fail_\(table)_\(change) BEFORE \(change) ON main.\(table) BEGIN \
                        UPDATE countdown SET n = n - 1; SELECT RAISE(ABORT, 'injected') WHERE (SELECT n FROM countdown) <= 0; END
                        """)
                }
            }
            return true
        }
    }

    /// From here on writes work again, and the store tries them at once.
    private func endFailing(_ world: SeriesWorld) {
        _ = world.store.file.jobs.run { database throws(StoreError) in
            // A failed statement takes its own count back, so the table says little; the triggers would fail for ever.
            try database.execute("UPDATE countdown SET n = 1000000")
            return true
        }
        world.store.file.jobs.noteDiskHasRoom()
    }

    /// One life of a store: reports, of which the sender repeats those that fail, and upkeep in between. False = nothing failed.
    private func live(_ world: SeriesWorld, _ model: inout SeriesModel, failingAt number: Int, isSliced: Bool) throws -> Bool {
        let labels = (0..<3).map { LabelSet("metric_total", ["n": "\($0)"]) }
        if isSliced { try separate(labels[0], world, &model) }
        failWrite(number, world)
        var didFail = false
        for step in 1...40 {
            var batch = SeriesBatch()
            batch.report = SeriesBatch.Report(sender: "s", sequence: UInt64(step))
            let floor = world.store.tables.state.withLock { $0.floor }
            for (index, labels) in labels.enumerated() where step > index * 12 {
                batch.append(batch.append(labels, .counter), time: world.now, value: Double(step * (index + 1)))
                model.append(labels, .counter, world.now, Double(step * (index + 1)), floor: floor)
            }
            // A report that was not acknowledged comes again; one that was, too.
            if (try? world.store.append(batch)) == nil {
                #expect(!didFail)
                didFail = true
                #expect(try killed(world) == model.without(time: world.now), "write \(number)")
                endFailing(world)
                try world.store.append(batch)
            }
            if step % 5 == 0 { try world.store.append(batch) }
            world.advance(60_000)
            guard step % 7 == 0, (try? world.store.flush()) == nil else { continue }
            didFail = true
            #expect(try killed(world) == model.plain, "write \(number)")
            endFailing(world)
            try world.store.flush()
        }
        return didFail
    }

    /// A block's number of series between this one and those that come: their blocks are others, and have transactions of their own.
    private func separate(_ labels: LabelSet, _ world: SeriesWorld, _ model: inout SeriesModel) throws {
        try world.append { batch in
            for index in 0..<Int(SeriesLimits.groupSeries) {
                let own = index == 0 ? labels : LabelSet("between_total", ["n": "\(index)"])
                batch.append(batch.append(own, .counter), time: world.now, value: 0)
                model.append(own, .counter, world.now, 0, floor: Int64.min)
            }
        }
        world.advance(3_600_000)
        try world.store.flush()
    }

    /// A copy of the files at this moment, which is what a killed process leaves.
    private func killed(_ world: SeriesWorld) throws -> [LabelSet: [PlainSample]] {
        let copy = TemporaryDirectory()
        for suffix in ["", "-wal"] { copyFile(world.directory.path + "/skein.db" + suffix, copy.path + "/skein.db" + suffix) }
        var store = StoreConfiguration(directory: copy.path)
        store.compactsInBackground = false
        let opened = try SeriesStore.open(store, world.configuration)
        defer { opened.close() }
        let found = try opened.select(SeriesQuery([], from: 0, through: Int64.max))
        return Dictionary(found.series.map { ($0.labels, $0.plain) }) { first, _ in first }
    }

    /// Blocks of spans that were given up.
    private func blocksBehindTheirMark(_ world: SeriesWorld) throws -> Int64 {
        let connection = try SQLiteConnection(path: world.directory.path + "/skein.db", access: .readOnly)
        return try connection.integer("SELECT count(*) FROM series_block b JOIN series_tier t ON t.tier = b.tier AND b.start >= t.through")
    }

    /// A killed process left a part of a span: whoever opens the file next leaves it out, and it goes with the next span.
    @Test func aPartOfASpanIsNoSpan() throws {
        let world = try SeriesWorld()
        let labels = LabelSet("beats_total")
        for step in 0..<30 {
            try world.append { $0.append($0.append(labels, .counter), time: world.now, value: Double(step)) }
            world.advance(60_000)
        }
        try world.store.flush()
        let expected = try #require(try world.samples(labels)).plain
        world.store.close()
        let connection = try SQLiteConnection(path: world.directory.path + "/skein.db", access: .readWrite)
        try connection.execute(
            "INSERT INTO series_block SELECT id + 100, tier, t.through, t.through + 600000, part, samples, block "
                + "FROM series_block b JOIN series_tier t USING (tier) GROUP BY tier")
        try world.reopen()
        #expect(try blocksBehindTheirMark(world) > 0)
        #expect(try #require(try world.samples(labels)).plain == expected)
        for step in 30..<60 {
            try world.append { $0.append($0.append(labels, .counter), time: world.now, value: Double(step)) }
            world.advance(60_000)
        }
        try world.store.flush()
        #expect(try blocksBehindTheirMark(world) == 0)
        #expect(try #require(try world.samples(labels)).plain.count == expected.count + 30)
        world.store.close()
    }

    @Test(arguments: [false, true]) func anyWriteMayFail(isSliced: Bool) throws {
        var number = 1
        var didFail = true
        // The first ones one by one, then every fourth.
        while didFail, number < 1000 {
            let world = try SeriesWorld { if isSliced { $0.sliceBytes = 1 } }
            var model = SeriesModel()
            didFail = try live(world, &model, failingAt: number, isSliced: isSliced)
            #expect(try world.select().mapValues(\.plain) == model.plain, "write \(number)")
            #expect(try killed(world) == model.plain, "write \(number)")
            let rolled = try world.select(resolution: SeriesWorld.minute)
            for (labels, samples) in model.plain {
                #expect(SeriesModel.growth(rolled[labels]?.plain ?? []) == SeriesModel.growth(samples), "write \(number)")
            }
            #expect(try blocksBehindTheirMark(world) == 0, "write \(number)")
            world.store.close()
            number += number < 16 ? 1 : 4
        }
        #expect(!didFail && number > 60)
    }

    /// A damaged row of the journal costs its generation; a damaged block costs itself; the rest is there, and both are counted.
    @Test func damageCostsOnlyItself() throws {
        let world = try SeriesWorld()
        let labels = LabelSet("beats_total")
        for step in 0..<200 {
            try world.append { $0.append($0.append(labels, .counter), time: world.now, value: Double(step)) }
            world.advance(10_000)
            if step == 120 { try world.store.flush() }
        }
        world.store.close()
        let connection = try SQLiteConnection(path: world.directory.path + "/skein.db", access: .readWrite)
        let rows = try connection.integer("SELECT count(*) FROM series_journal")
        let middle = try connection.integer("SELECT number FROM series_journal ORDER BY number LIMIT 1 OFFSET \(rows / 2)")
        try connection.execute("UPDATE series_journal SET row = x'01000203' WHERE number = \(middle)")
        let block = try connection.integer("SELECT min(id) FROM series_block WHERE tier = 0")
        try connection.execute("UPDATE series_block SET block = substr(block, 1, 20) WHERE id = \(block)")
        try world.reopen()
        let found = try #require(try world.samples(labels)).plain
        #expect(found.count > 90 && found.count < 200)
        #expect(world.store.statistics().damagedRows > 0 && world.store.statistics().damagedRows <= 16)
        #expect(world.store.statistics().damagedBlocks > 0)
        try world.append { $0.append($0.append(labels, .counter), time: world.now, value: 500) }
        #expect(try #require(try world.samples(labels)).values.last == 500)
        world.store.close()
    }

    private func copyFile(_ source: String, _ target: String) {
        let input = unsafe open(source, O_RDONLY)
        let output = unsafe open(target, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
        defer {
            close(input)
            close(output)
        }
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = unsafe read(input, &buffer, buffer.count)
            guard count > 0 else { return }
            _ = unsafe write(output, buffer, count)
        }
    }
}
