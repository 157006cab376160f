import Glibc
import TelemetryModel
import Testing
@testable import TelemetryStore

/// Sets of tables side by side in one file: another kind of telemetry is an addition to the traces and changes nothing of them.
@Suite struct TableSetTests {
    private func configuration(_ directory: TemporaryDirectory) -> StoreConfiguration {
        var configuration = StoreConfiguration(directory: directory.path)
        configuration.compactsInBackground = false
        configuration.retentionAgeSeconds = 0
        configuration.groupCommitMilliseconds = 0
        return configuration
    }

    private func span(_ trace: UInt64) -> PlainTestSpan {
        var span = PlainTestSpan(traceLow: trace, id: 1)
        span.timestamp = 1_700_000_000_000_000 + trace
        span.service = "a"
        return span
    }

    /// The writer does nothing else until `body` has returned.
    private func whileWriterIsBusy(_ file: StoreFile, _ body: () throws -> Void) throws {
        let isBusy = Monitor(false)
        let mayEnd = Monitor(false)
        let thread = try StoreThread {
            _ = file.jobs.run { _ throws(StoreError) in
                isBusy.notify { $0 = true }
                _ = mayEnd.wait { $0 ? true : nil }
            }
        }
        _ = isBusy.wait { $0 ? true : nil }
        defer {
            mayEnd.notify { $0 = true }
            thread.join()
        }
        try body()
    }

    /// Submits one batch of each to a writer that finds both at once, and waits for both answers.
    private func submitBoth(
        _ store: TraceStore, _ tables: CountTables, trace: UInt64, values: [Int64]
    ) throws -> (spans: Result<Void, StoreError>?, counts: Result<Void, StoreError>?) {
        let spans = Monitor<Result<Void, StoreError>?>(nil)
        let counts = Monitor<Result<Void, StoreError>?>(nil)
        try whileWriterIsBusy(store.file) {
            store.submit(makeBatch([span(trace)])) { result in spans.notify { $0 = result } }
            store.file.submit(CountBatch(values), to: tables.counts) { result in counts.notify { $0 = result } }
        }
        return (spans.wait(until: { $0 }), counts.wait(until: { $0 }))
    }

    private func isSuccess(_ result: Result<Void, StoreError>?) -> Bool {
        if case .success = result { return true }
        return false
    }

    /// Both are in one transaction, both can be read at once, and both are there when the process is killed now: the kernel has what was
    /// written to the log, which a copy of the files shows.
    @Test func batchesOfTwoSetsShareACommitAndSurviveAKill() throws {
        let directory = TemporaryDirectory()
        let tables = CountTables(configuration(directory))
        let store = try TraceStore.open(configuration(directory), beside: [tables])
        let before = store.statistics().commits
        let (spans, counts) = try submitBoth(store, tables, trace: 1, values: [3, 4])
        #expect(isSuccess(spans) && isSuccess(counts))
        #expect(store.statistics().commits == before + 1)
        #expect(store.statistics().spansAccepted == 1)
        #expect(tables.published == [3, 4])
        #expect(try tables.sum() == 7)
        #expect(try store.trace(TraceID(high: 0, low: 1)).spans.count == 1)

        let killed = TemporaryDirectory()
        for suffix in ["", "-wal"] { copy(directory.path + "/skein.db" + suffix, killed.path + "/skein.db" + suffix) }
        store.close()
        #expect(throws: StoreError.closed) { try store.trace(TraceID(high: 0, low: 1)) }
        for again in [killed, directory] {
            let tables = CountTables(configuration(again))
            let store = try TraceStore.open(configuration(again), beside: [tables])
            #expect(try tables.sum() == 7)
            #expect(try store.trace(TraceID(high: 0, low: 1)).spans.count == 1)
            try store.file.append(CountBatch([5]), to: tables.counts)
            try store.flush()
            #expect(try tables.sum() == 12)
            #expect(store.statistics().segments == 1)
            store.close()
        }
    }

    /// A set that cannot write must not take the others' batches with it, nor leave half of its own behind.
    @Test func whatOneSetCannotWriteIsNotTheOthersFault() throws {
        let directory = TemporaryDirectory()
        let tables = CountTables(configuration(directory))
        let store = try TraceStore.open(configuration(directory), beside: [tables])
        tables.isBroken.withLock { $0 = true }
        let (spans, counts) = try submitBoth(store, tables, trace: 1, values: [3, 4])
        #expect(isSuccess(spans) && !isSuccess(counts))
        #expect(store.statistics().spansAccepted == 1)
        #expect(store.statistics().spansRefused[.diskFull] == 0)
        #expect(!store.statistics().isDiskFull)
        #expect(tables.published.isEmpty)
        #expect(try tables.sum() == 0)
        #expect(try store.trace(TraceID(high: 0, low: 1)).spans.count == 1)
        store.close()
    }

    /// Each queue has its own bounds: a flood of one signal refuses that signal.
    @Test func aFullQueueRefusesItsOwnSignalOnly() throws {
        let directory = TemporaryDirectory()
        let tables = CountTables(configuration(directory))
        let store = try TraceStore.open(configuration(directory), beside: [tables])
        let refused = Monitor(0)
        let stored = Monitor<Result<Void, StoreError>?>(nil)
        try whileWriterIsBusy(store.file) {
            for _ in 0..<70 {
                store.file.submit(CountBatch([1, 1]), to: tables.counts) {
                    if case .failure(.overloaded) = $0 { refused.withLock { $0 += 1 } }
                }
            }
            #expect(refused.withLock { $0 } == 6)
            store.submit(makeBatch([span(1)])) { result in stored.notify { $0 = result } }
        }
        #expect(isSuccess(stored.wait(until: { $0 })))
        #expect(store.statistics().spansRefused[.overloaded] == 0)
        var counts = StoreStatistics()
        store.file.describe(tables.counts, in: &counts)
        #expect(counts.spansRefused[.overloaded] == 12)
        store.close()
    }

    /// A version of one set is brought up to date by itself; the traces' tables and their version are not touched.
    @Test func onlyTheSetWithANewVersionIsMigrated() throws {
        let directory = TemporaryDirectory()
        var tables = CountTables(configuration(directory))
        var store = try TraceStore.open(configuration(directory), beside: [tables])
        try store.append(makeBatch([span(1)]))
        try store.file.append(CountBatch([3]), to: tables.counts)
        store.close()
        let journal = try integer("SELECT rootpage FROM sqlite_master WHERE name = 'journal'", directory)

        tables = CountTables(configuration(directory), [CountTables.first, CountTables.second])
        store = try TraceStore.open(configuration(directory), beside: [tables])
        #expect(try tables.sum() == 3)
        #expect(try store.trace(TraceID(high: 0, low: 1)).spans.count == 1)
        store.close()
        #expect(try integer("SELECT source FROM count", directory) == 7)
        #expect(try integer("SELECT version FROM schema WHERE name = 'counts'", directory) == 2)
        #expect(try integer("SELECT count(*) FROM schema", directory) == 1)
        #expect(try integer("PRAGMA user_version", directory) == TraceSchema.tables.version)
        #expect(try integer("SELECT rootpage FROM sqlite_master WHERE name = 'journal'", directory) == journal)

        // The program before knows version 1 only, and must not guess at what it has.
        let path = directory.path + "/skein.db"
        #expect(throws: StoreError.newerSchema(path: path, tables: "counts", found: 2, known: 1)) {
            try TraceStore.open(configuration(directory), beside: [CountTables(configuration(directory))])
        }
        // One that knows nothing of the set leaves it alone.
        store = try TraceStore.open(configuration(directory))
        #expect(try store.trace(TraceID(high: 0, low: 1)).spans.count == 1)
        store.close()
        #expect(try integer("SELECT value FROM count", directory) == 3)
    }

    /// A file with traces alone is what it has always been: no other tables, and the version where earlier programs look for it.
    @Test func aFileOfTracesAloneIsAsBefore() throws {
        let directory = TemporaryDirectory()
        try TraceStore.open(configuration(directory)).close()
        #expect(try integer("PRAGMA user_version", directory) == 2)
        #expect(try integer("SELECT count(*) FROM sqlite_master", directory) == 4)
        #expect(try integer("SELECT count(*) FROM sqlite_master WHERE name IN ('journal', 'segment', 'block', 'damaged')", directory) == 4)
    }

    /// Files of earlier programs, of both versions: they open as they are, and take another set of tables.
    @Test(arguments: [("version1", 106), ("version2", 640)])
    func filesOfEarlierProgramsOpenAndTakeAnotherSet(name: String, spans: UInt64) throws {
        let directory = TemporaryDirectory()
        let fixture = #filePath.split(separator: "/").dropLast(2).map { "/" + $0 }.joined() + "/Fixtures/Store/\(name).db"
        copy(fixture, directory.path + "/skein.db")
        var store = try TraceStore.open(configuration(directory))
        #expect(store.statistics().spansStored == spans)
        #expect(store.statistics().damage.isEmpty && store.statistics().problem == nil)
        if name == "version2" {
            for number in 1...40 as ClosedRange<UInt64> {
                #expect(try store.trace(TraceID(high: 0xC4A5, low: number)).spans.count == 16, "batch \(number)")
            }
            #expect(store.statistics().journalRows == 8 && store.statistics().segments == 1)
        }
        store.close()
        #expect(try integer("SELECT count(*) FROM sqlite_master WHERE name = 'schema'", directory) == 0)

        let tables = CountTables(configuration(directory))
        store = try TraceStore.open(configuration(directory), beside: [tables])
        try store.file.append(CountBatch([1, 2]), to: tables.counts)
        try store.flush()
        #expect(try tables.sum() == 3)
        #expect(store.statistics().spansStored == spans)
        store.close()
        #expect(try integer("PRAGMA user_version", directory) == 2)
        #expect(try integer("SELECT version FROM schema WHERE name = 'counts'", directory) == 1)
    }

    /// When the file is too large every set is asked, in their order, until one has something to give.
    @Test func setsAreAskedForSpaceUntilNoneHasAny() throws {
        let directory = TemporaryDirectory()
        var small = configuration(directory)
        small.retentionBytes = 1
        let tables = CountTables(small)
        let store = try TraceStore.open(small, beside: [tables])
        var random = SeededRandom(1)
        // One segment that alone is more than the bound: the traces keep their newest, so the next set is asked.
        for round in 0..<16 as Range<UInt64> {
            try store.append(makeBatch((0..<1000 as Range<UInt64>).map { index in
                var one = span(round * 1000 + index + 1)
                for key in ["a", "b", "c", "d"] { one.tags[key] = "z" + (0..<8).map { _ in String(random.next(), radix: 36) }.joined() }
                return one
            }))
        }
        try store.flush()
        #expect(tables.sheds.withLock { $0 } > 0)
        #expect(store.statistics().segments >= 1)
        store.close()
    }

    private func integer(_ sql: String, _ directory: TemporaryDirectory) throws -> Int64 {
        let connection = try SQLiteConnection(path: directory.path + "/skein.db", access: .readWrite)
        return try connection.integer(sql)
    }

    private func copy(_ source: String, _ target: String) {
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
