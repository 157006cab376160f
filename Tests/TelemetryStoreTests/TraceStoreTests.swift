import Glibc
import TelemetryModel
import Testing
@testable import TelemetryStore

@Suite struct TraceStoreTests {
    private func configuration(_ directory: TemporaryDirectory) -> StoreConfiguration {
        var configuration = StoreConfiguration(directory: directory.path)
        configuration.compactsInBackground = false
        configuration.retentionAgeSeconds = 0
        configuration.groupCommitMilliseconds = 0
        return configuration
    }

    private func span(_ trace: UInt64, _ id: UInt64 = 1, service: String = "a") -> PlainTestSpan {
        var span = PlainTestSpan(traceLow: trace, id: id)
        span.timestamp = 1_700_000_000_000_000 + trace
        span.service = service
        return span
    }

    private func overwrite(_ path: String, _ bytes: [UInt8], at offset: Int) {
        let fd = unsafe open(path, O_RDWR | O_CREAT, 0o600)
        _ = unsafe bytes.withUnsafeBytes { unsafe pwrite(fd, $0.baseAddress, $0.count, offset) }
        close(fd)
    }

    /// Two processes writing one file would lose spans; the second must be told who has it.
    @Test func secondOpenerIsToldWhoHoldsTheDirectory() throws {
        let directory = TemporaryDirectory()
        let store = try TraceStore.open(configuration(directory))
        #expect(throws: StoreError.locked(directory: directory.path, holder: getpid())) { try TraceStore.open(configuration(directory)) }
        store.close()
        try TraceStore.open(configuration(directory)).close()
    }

    /// A child that is being started has copies of all descriptors until it becomes its program; whoever closes the store meanwhile, and
    /// opens it again, is not to be told that somebody has it.
    @Test func aCopyOfTheLocksDescriptorDoesNotHoldIt() throws {
        let directory = TemporaryDirectory()
        let first = try DataDirectory(directory.path)
        let held = (3..<1024).filter { descriptor in
            var name = [CChar](repeating: 0, count: 4096)
            let count = unsafe readlink("/proc/self/fd/\(descriptor)", &name, name.count - 1)
            let target = String(decoding: name.prefix(max(0, count)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
            return target == "\(directory.path)/skein.lock"
        }
        let copy = dup(Int32(try #require(held.first)))
        defer { close(copy) }
        first.unlock()
        _ = try DataDirectory(directory.path)
    }

    @Test func corruptFileIsSetAsideAndIngestGoesOn() throws {
        let directory = TemporaryDirectory()
        overwrite(directory.path + "/skein.db", Array("this is no database, not at all, and long enough to be read as one".utf8), at: 0)
        let store = try TraceStore.open(configuration(directory))
        #expect(store.statistics().quarantined[.file] == 1)
        #expect(directory.files.contains { $0.hasPrefix("skein.db.corrupt-") })
        try store.append(makeBatch([span(1)]))
        #expect(try store.trace(TraceID(high: 0, low: 1)).spans.count == 1)
        store.close()
    }

    /// What was lost, where it is and how to look at it are told of a file that is cut off, empty or of one byte; ingest goes on with a new
    /// one.
    @Test(arguments: [0, 1, 100, 20_000]) func cutFilesAreSetAsideAndTold(bytes: Int) throws {
        let directory = TemporaryDirectory()
        let path = directory.path + "/skein.db"
        var store = try TraceStore.open(configuration(directory))
        for number in 1...3 as ClosedRange<UInt64> {
            try store.append(makeBatch([span(number)]))
            try store.flush()
        }
        store.close()
        #expect(DataDirectory.fileBytes(path) > 20_000)
        #expect(unsafe truncate(path, bytes) == 0)
        store = try TraceStore.open(configuration(directory))
        let statistics = store.statistics()
        #expect(statistics.quarantined[.file] == 1)
        #expect(statistics.damage.count == 1)
        let aside = directory.files.first { $0.hasPrefix("skein.db.corrupt-") && !$0.hasSuffix("-wal") && !$0.hasSuffix("-shm") } ?? "none"
        let text = statistics.damage.first?.description ?? ""
        #expect(text.contains("it is now \(directory.path)/\(aside)"), "\(text)")
        #expect(text.contains("sqlite3 '\(directory.path)/\(aside)' .recover"), "\(text)")
        #expect(text.contains("an unknown number of spans") || text.contains("3 spans"), "\(text)")
        try store.append(makeBatch([span(9)]))
        store.close()
        // The next start has nothing new to tell.
        store = try TraceStore.open(configuration(directory))
        #expect(store.statistics().damage.isEmpty)
        #expect(try store.trace(TraceID(high: 0, low: 9)).spans.count == 1)
        store.close()
    }

    /// A file that can still be opened says how much was in it.
    @Test func aDamagedFileStillSaysWhatItHeld() throws {
        let directory = TemporaryDirectory()
        let path = directory.path + "/skein.db"
        let store = try TraceStore.open(configuration(directory))
        try store.append(makeBatch([span(1), span(2)]))
        try store.flush()
        store.close()
        let aside = path + ".copy"
        #expect(unsafe rename(path, aside) == 0)
        let text = StoreFile.damage("damaged", movedTo: aside, [TraceTables(configuration(directory))]).description
        #expect(text.contains("2 spans, from 2023-11-14T22:13:20Z to 2023-11-14T22:13:20Z"), "\(text)")
    }

    /// Rows of acknowledged spans that cannot be read are kept for people, told, and not told again.
    @Test func damagedJournalRowsAreKeptAndTold() throws {
        let directory = TemporaryDirectory()
        var store = try TraceStore.open(configuration(directory))
        for number in 1...3 as ClosedRange<UInt64> { try store.append(makeBatch([span(number), span(number, 2)])) }
        store.close()
        do {
            let connection = try SQLiteConnection(path: directory.path + "/skein.db", access: .readWrite)
            // The last byte is of the checksum.
            try connection.execute("UPDATE journal SET row = CAST(substr(row, 1, length(row) - 1) || x'00' AS BLOB) WHERE number IN (1, 2)")
        }
        store = try TraceStore.open(configuration(directory))
        #expect(store.statistics().quarantined[.journalRow] == 2)
        let text = store.statistics().damage.first?.description ?? ""
        #expect(
            text.contains("2 rows of acknowledged spans") && text.contains("not readable: 4 spans, from 2023-11-14T22:13:20Z"), "\(text)")
        #expect(text.contains("FROM damaged"), "\(text)")
        #expect(try store.trace(TraceID(high: 0, low: 3)).spans.count == 2)
        try store.flush()
        store.close()
        do {
            let connection = try SQLiteConnection(path: directory.path + "/skein.db", access: .readWrite)
            #expect(try connection.integer("SELECT count(*) FROM damaged WHERE length(row) > 20") == 2)
        }
        store = try TraceStore.open(configuration(directory))
        #expect(store.statistics().damage.isEmpty)
        #expect(store.statistics().spansStored == 2)
        store.close()
    }

    /// A directory that cannot be used is told in words.
    @Test func directoriesThatCannotBeUsedAreToldInWords() {
        for path in ["/proc/skein-data", "/dev/null/skein-data"] {
            do throws(StoreError) {
                try TraceStore.open(StoreConfiguration(directory: path)).close()
                Issue.record("opened \(path)")
            } catch {
                #expect(error.description.contains("cannot use data directory \(path): "))
                #expect(!error.description.contains("errno"))
            }
        }
    }

    /// Files of the version before are read as they are: traces, searches, retention; their links are made anew, because they counted
    /// copies.
    @Test func filesOfTheFirstVersionAreRead() throws {
        let directory = TemporaryDirectory()
        let fixture = #filePath.split(separator: "/").dropLast(2).map { "/" + $0 }.joined() + "/Fixtures/Store/version1.db"
        let bytes = try #require(Self.read(fixture))
        overwrite(directory.path + "/skein.db", bytes, at: 0)
        var old = configuration(directory)
        var store = try TraceStore.open(old)
        #expect(store.statistics().spansStored == 106)
        #expect(store.tables.state.withLock { $0.snapshot.segments.allSatisfy { $0.layout == SegmentLayout.first } })
        func check(_ stage: String) throws {
            for number in 1...40 as ClosedRange<UInt64> {
                let id = TraceID(high: number % 3 == 0 ? 0xABC : 0, low: 0x1000 + number)
                let found = plain(try store.trace(id))
                let hasServer = number <= 20 && number % 3 != 0
                #expect(found.count == 2 + (hasServer ? 1 : 0), "\(stage), \(number)")
                var query = TraceQuery(endTimestamp: 1_700_000_001_000)
                query.lookback = 1000_000
                query.terms = [.tag(key: "n", value: "\(number)")]
                #expect(try store.search(query).map { $0.spans[0].traceID } == [id], "\(stage), \(number)")
            }
            // 20 clients have their server, which was in another batch, some of them with half the id; the copies count once.
            #expect(try store.dependencies(endTimestamp: 1_700_000_060_000, lookback: 3_600_000) == [
                DependencyLink(parent: "web", child: "late", callCount: 1, errorCount: 0),
                DependencyLink(parent: "web", child: "orders", callCount: 20, errorCount: 0),
            ], "\(stage)")
        }
        try check("as it was")
        for number in 0..<8 as Range<UInt64> {
            try store.append(makeBatch([span(0x9_0000 + number)]))
            try store.flush()
        }
        #expect(store.statistics().merges > 0)
        try check("merged with new ones")
        store.close()
        old.strictTraceID = false
        store = try TraceStore.open(old)
        #expect(try store.trace(TraceID(high: 0, low: 0x1003)).spans.count == 3)
        store.close()
    }

    private static func read(_ path: String) -> [UInt8]? {
        let fd = unsafe open(path, O_RDONLY)
        guard fd >= 0 else { return nil }
        defer { close(fd) }
        var bytes = [UInt8](repeating: 0, count: 1 << 20)
        let count = unsafe Glibc.read(fd, &bytes, bytes.count)
        return count > 0 ? Array(bytes[..<count]) : nil
    }

    /// STRICT_TRACE_ID=false: whoever knows either form of an id finds all its spans, wherever they lie, and a search finds it once.
    @Test func halvesOfATraceIDAreOneTraceWhenAskedFor() throws {
        let directory = TemporaryDirectory()
        var loose = configuration(directory)
        loose.strictTraceID = false
        var store = try TraceStore.open(loose)
        var long = span(1, 1, service: "a")
        long.traceHigh = 7
        long.tags["k"] = "v"
        let short = span(1, 2, service: "b")
        func check(_ stage: String) throws {
            for id in [TraceID(high: 0, low: 1), TraceID(high: 7, low: 1), TraceID(high: 9, low: 1)] {
                #expect(Set(plain(try store.trace(id))) == [long, short], "\(stage)")
            }
            #expect(try store.traces([TraceID(high: 0, low: 1), TraceID(high: 7, low: 1)]).map(\.spans.count) == [2], "\(stage)")
            for service in ["a", "b"] {
                var query = TraceQuery(endTimestamp: 1_700_000_001_000)
                query.serviceName = service
                #expect(try store.search(query).map(\.spans.count) == [2], "\(stage)")
            }
            var both = TraceQuery(endTimestamp: 1_700_000_001_000)
            both.terms = [.tag(key: "k", value: "v"), .tag(key: "l", value: "w")]
            #expect(try store.search(both).isEmpty, "\(stage)")
        }
        try store.append(makeBatch([long]))
        try store.append(makeBatch([short]))
        try check("head")
        try store.flush()
        try check("one segment")
        store.close()
        store = try TraceStore.open(loose)
        try check("reopened")
        store.close()
        let strict = try TraceStore.open(configuration(directory))
        #expect(plain(try strict.trace(TraceID(high: 7, low: 1))) == [long])
        #expect(plain(try strict.trace(TraceID(high: 0, low: 1))) == [short])
        strict.close()
    }

    @Test func newerSchemaIsRefusedAndLeftAlone() throws {
        let directory = TemporaryDirectory()
        try TraceStore.open(configuration(directory)).close()
        do {
            let connection = try SQLiteConnection(path: directory.path + "/skein.db", access: .readWrite)
            try connection.execute("PRAGMA user_version = 99")
        }
        #expect(throws: StoreError.newerSchema(path: directory.path + "/skein.db", found: 99, known: TraceSchema.tables.version)) {
            try TraceStore.open(configuration(directory))
        }
        #expect(!directory.files.contains { $0.contains("corrupt") })
    }

    /// A full disk refuses, keeps what was acknowledged, and takes spans again by itself once there is space.
    @Test func fullDiskRefusesAndResumes() throws {
        let directory = TemporaryDirectory()
        var limited = configuration(directory)
        limited.pageCountMax = 16
        limited.retentionBytes = 1
        let store = try TraceStore.open(limited)
        var acknowledged: [UInt64] = []
        var refusal: StoreError?
        for number in 1...200 as ClosedRange<UInt64> where refusal == nil {
            var big = span(number)
            big.tags["payload"] = String((0..<4000).map { Character(UnicodeScalar(UInt8(33 + ($0 &* 7 + Int(number)) % 90))) })
            do throws(StoreError) {
                try store.append(makeBatch([big]))
                acknowledged.append(number)
            } catch { refusal = error }
        }
        #expect(refusal == .diskFull)
        #expect(!acknowledged.isEmpty)
        for number in acknowledged { #expect(try store.trace(TraceID(high: 0, low: number)).spans.count == 1) }
        #expect(store.statistics().spansRefused[.diskFull, default: 0] > 0)
        #expect(store.statistics().isDiskFull)

        // Space appears: the same store takes spans again by itself, after its pause between attempts.
        #expect(store.file.limitPages(0))
        var attempts = 0
        var isResumed = false
        while !isResumed, attempts < 5_000_000 {
            attempts += 1
            do throws(StoreError) {
                try store.append(makeBatch([span(500)]))
                isResumed = true
            } catch { #expect(error == .diskFull) }
        }
        #expect(isResumed)
        #expect(!store.statistics().isDiskFull)
        acknowledged.append(500)
        for number in acknowledged { #expect(try store.trace(TraceID(high: 0, low: number)).spans.count == 1) }
        store.close()
        limited.pageCountMax = 0
        limited.retentionBytes = 0
        let roomier = try TraceStore.open(limited)
        for number in acknowledged { #expect(try roomier.trace(TraceID(high: 0, low: number)).spans.count == 1) }
        try roomier.append(makeBatch([span(1000)]))
        roomier.close()
    }

    @Test func segmentsOlderThanTheRetentionAgeGo() throws {
        let directory = TemporaryDirectory()
        var aged = configuration(directory)
        aged.retentionAgeSeconds = 3600
        let store = try TraceStore.open(aged)
        let now = WallClock.nowMicroseconds()
        var old = span(1)
        old.timestamp = now - 3_700 * 1_000_000
        var recent = span(2)
        recent.timestamp = now - 3_000 * 1_000_000
        try store.append(makeBatch([old]))
        try store.flush()
        #expect(try store.trace(TraceID(high: 0, low: 1)).spans.isEmpty)
        #expect(store.statistics().spansExpired == 1)
        try store.append(makeBatch([recent]))
        try store.flush()
        #expect(try store.trace(TraceID(high: 0, low: 2)).spans.count == 1)
        #expect(store.statistics().spansExpired == 1)
        #expect(store.statistics().spansStored == 1)
        store.close()
    }

    /// One clock ten years ahead, or in 1970, costs at most its own span.
    @Test func oneWrongClockKeepsAndDeletesNothingElse() throws {
        let directory = TemporaryDirectory()
        var aged = configuration(directory)
        aged.retentionAgeSeconds = 3600
        let store = try TraceStore.open(aged)
        let now = WallClock.nowMicroseconds()
        func at(_ trace: UInt64, _ timestamp: UInt64) -> PlainTestSpan {
            var one = span(trace)
            one.timestamp = timestamp
            return one
        }
        let old = (1...2000 as ClosedRange<UInt64>).map { at($0, now - 4000 * 1_000_000 - $0) }
        try store.append(makeBatch(old + [at(5000, now + 10 * 365 * 86_400 * 1_000_000)]))
        try store.flush()
        #expect(store.statistics().spansStored == 0)
        #expect(store.statistics().spansExpired == 2001)
        try store.append(makeBatch([at(1, now - 60_000_000), at(2, 1), at(3, now + 86_400 * 1_000_000)]))
        try store.flush()
        #expect(store.statistics().spansStored == 3)
        // By itself, the one ahead is as old as its arrival.
        try store.append(makeBatch([at(4, UInt64.max)]))
        try store.flush()
        #expect(try store.trace(TraceID(high: 0, low: 4)).spans.count == 1)
        #expect(store.statistics().spansStored == 4)
        store.close()
    }

    /// The bound is of what lies on disk, log included; below the least it can be, the newest spans stay all the same.
    @Test(arguments: [1, 8 << 20, 12 << 20] as [UInt64]) func theBoundIsOfWhatLiesOnDisk(bound: UInt64) throws {
        let directory = TemporaryDirectory()
        var small = configuration(directory)
        small.retentionBytes = bound
        small.compactsInBackground = true
        let store = try TraceStore.open(small)
        var random = SeededRandom(4)
        var largest: UInt64 = 0
        let most = max(bound, StoreBudget.bytesMin)
        for round in 0..<60 as Range<UInt64> {
            try store.append(makeBatch((0..<1000 as Range<UInt64>).map { index in
                var one = span(round * 1000 + index + 1)
                // Half a megabyte a round that does not compress.
                for key in ["a", "b", "c", "d"] { one.tags[key] = "z" + (0..<8).map { _ in String(random.next(), radix: 36) }.joined() }
                return one
            }))
            largest = max(largest, store.statistics().fileBytes)
        }
        try store.flush()
        let statistics = store.statistics()
        #expect(statistics.fileBytes <= most)
        // Between two looks, a commit and what compaction writes are on top.
        #expect(largest < most + most / 2)
        #expect(statistics.spansExpired > 0)
        #expect(statistics.spansStored > 1000)
        #expect(try store.trace(TraceID(high: 0, low: 59_500)).spans.count == 1)
        store.close()
        #expect(DataDirectory.fileBytes(directory.path + "/skein.db") <= most)
    }

    /// Links come from segments' sums and from the head's spans, and add up.
    @Test func dependenciesCountSegmentsAndHead() throws {
        let directory = TemporaryDirectory()
        let store = try TraceStore.open(configuration(directory))
        func call(_ trace: UInt64, isError: Bool) -> PlainTestSpan {
            var one = span(trace)
            one.kind = .client
            one.remoteService = "b"
            if isError { one.tags["error"] = "true" }
            return one
        }
        try store.append(makeBatch([call(1, isError: false), call(2, isError: true)]))
        try store.flush()
        try store.append(makeBatch([call(3, isError: true)]))
        #expect(store.statistics().segments == 1)
        #expect(store.statistics().journalSpans == 1)
        let end: UInt64 = 1_700_000_060_000
        #expect(try store.dependencies(endTimestamp: end, lookback: 3_600_000) == [
            DependencyLink(parent: "a", child: "b", callCount: 3, errorCount: 2)
        ])
        #expect(try store.dependencies(endTimestamp: end - 3_600_000, lookback: 60_000).isEmpty)
        store.close()
    }

    /// A trace far larger than a block must neither break the format nor lose a span.
    @Test func hugeTraceAndHugeTagComeBackWhole() throws {
        let directory = TemporaryDirectory()
        let store = try TraceStore.open(configuration(directory))
        var batch: [PlainTestSpan] = []
        for id in 1...20_000 as ClosedRange<UInt64> {
            var one = span(5, id)
            one.parent = id / 2
            batch.append(one)
        }
        batch[77].tags["big"] = String(repeating: "0123456789abcdef", count: 3750)
        try store.append(makeBatch(batch))
        try store.flush()
        let found = try store.trace(TraceID(high: 0, low: 5))
        #expect(Set(plain(found)) == Set(batch))
        store.close()
    }

    /// Unbounded names and keys overflow the segment's tables; nothing may be lost by that. The tables are smaller here than they are, so
    /// that few spans overflow them.
    @Test func moreNamesAndKeysThanTheTablesHold() throws {
        let standard = SegmentLimits.standard
        #expect(
            standard.stringsMax == 8192 && standard.shapesMax == 2048 && standard.columnsMax == 512 && standard.stringBytesMax == 256 << 10)
        let directory = TemporaryDirectory()
        var small = configuration(directory)
        // A sixteenth of each; spans as well.
        small.segmentLimits.stringsMax /= 16
        small.segmentLimits.shapesMax /= 16
        small.segmentLimits.columnsMax /= 16
        small.segmentLimits.stringBytesMax /= 16
        let store = try TraceStore.open(small)
        var spans: [PlainTestSpan] = []
        for number in 1...600 as ClosedRange<UInt64> {
            var one = span(number, service: "service-x\(number)y")
            one.name = "name q\(number)z"
            one.tags["key a\(number)b"] = "value c\(number)d"
            spans.append(one)
        }
        try store.append(makeBatch(spans))
        try store.flush()
        for number in stride(from: UInt64(1), through: 600, by: 7) {
            #expect(plain(try store.trace(TraceID(high: 0, low: number))) == [spans[Int(number) - 1]])
        }
        for number in [3, 590] as [UInt64] {
            var query = TraceQuery(endTimestamp: 1_700_000_001_000)
            query.serviceName = "service-x\(number)y"
            query.terms = [.tag(key: "key a\(number)b", value: "value c\(number)d")]
            #expect(try store.search(query).map { $0.spans[0].traceID.low } == [number])
        }
        store.close()
    }

    /// Random damage to a segment's bytes is noticed, counted and skipped; other segments still answer.
    @Test(arguments: [
        "UPDATE segment SET header = zeroblob(100) WHERE number = 1", "DELETE FROM block WHERE id = 1 << 20",
        "UPDATE block SET cold = zeroblob(100) WHERE id = 1 << 20", "DELETE FROM block WHERE id = (2 << 20) - 2",
    ])
    func damagedSegmentIsSkippedAndNamed(damage: String) throws {
        let directory = TemporaryDirectory()
        var store = try TraceStore.open(configuration(directory))
        try store.append(makeBatch([span(1)]))
        try store.flush()
        try store.append(makeBatch([span(2)]))
        try store.flush()
        store.close()
        do {
            let connection = try SQLiteConnection(path: directory.path + "/skein.db", access: .readWrite)
            try connection.execute(damage)
        }
        store = try TraceStore.open(configuration(directory))
        #expect(try store.trace(TraceID(high: 0, low: 1)).spans.isEmpty)
        #expect(try store.trace(TraceID(high: 0, low: 2)).spans.count == 1)
        #expect(store.statistics().quarantined[.segment] == 1)
        #expect(store.statistics().damagedSegments == [1])
        let text = store.statistics().damage.first?.description ?? ""
        #expect(
            text.contains("segment 1 of \(directory.path)/skein.db is damaged") && text.contains("1 spans, from 2023-11-14T22:13:20Z"),
            "\(text)")
        var all = TraceQuery(endTimestamp: 1_700_000_001_000)
        all.lookback = 1_000_000
        #expect(try store.search(all).map { $0.spans[0].traceID.low } == [2])
        #expect(try store.dependencies(endTimestamp: 1_700_000_001_000, lookback: 1_000_000).isEmpty)
        #expect(store.statistics().quarantined[.segment] == 1)
        store.close()
    }

    /// A filter says "surely not here" of a path by its number and its words together, and of segments written before by the number alone.
    @Test func pathsAreFoundThroughFiltersOldAndNew() throws {
        let directory = TemporaryDirectory()
        func path(_ number: UInt64, _ words: String = "orders") -> String { "/api/v1/\(words)/\(100_000 + number)/lines" }
        func query(_ value: String) -> TraceQuery {
            var query = TraceQuery(endTimestamp: 1_800_000_000_000)
            query.lookback = 200_000_000_000
            query.terms = [.tag(key: "http.path", value: value)]
            return query
        }
        var store = try TraceStore.open(configuration(directory))
        for segment in 0..<4 as Range<UInt64> {
            try store.append(makeBatch((1...50 as ClosedRange<UInt64>).map { number in
                var one = span(segment * 100 + number)
                one.tags["http.path"] = path(segment * 100 + number)
                return one
            }))
            try store.flush()
        }
        func check() throws {
            for segment in 0..<4 as Range<UInt64> {
                for number in [1, 25, 50] as [UInt64] {
                    let found = try store.search(query(path(segment * 100 + number))).map { $0.spans[0].traceID.low }
                    #expect(found == [segment * 100 + number])
                }
            }
            #expect(try store.search(query(path(25, "users"))).isEmpty)
            #expect(try store.search(query(path(77))).isEmpty)
        }
        try check()
        store.close()
        do {
            // Segments 1 and 2 as earlier versions wrote them; in segment 2 the filter lies, which shows that it is asked.
            let connection = try SQLiteConnection(path: directory.path + "/skein.db", access: .readWrite)
            let insert = try connection.prepare("INSERT INTO block (id, hot, cold) VALUES (?1, ?2, ?3)")
            for segment in [1, 2] as [Int64] {
                var hashes = RawBuffer<UInt64>()
                for number in 1...50 as ClosedRange<UInt64> {
                    let text = segment == 1 ? path(UInt64(segment - 1) * 100 + number) : path(UInt64(segment - 1) * 100 + number + 5_000)
                    let term = CompiledQuery.Term(key: Array("http.path".utf8), value: Array(text.utf8))
                    hashes.append(term.olderFilterHash)
                }
                let base = segment << TraceSchema.blockBits
                try connection.execute("DELETE FROM block WHERE id = \(base | TraceSchema.filterBlock)")
                try insert.run(integers: [base | TraceSchema.olderFilterBlock], blobs: [BloomFilter.build(hashes)[0], []])
            }
        }
        store = try TraceStore.open(configuration(directory))
        for number in [1, 25, 50] as [UInt64] {
            #expect(try store.search(query(path(number))).map { $0.spans[0].traceID.low } == [number])
            #expect(try store.search(query(path(200 + number))).map { $0.spans[0].traceID.low } == [200 + number])
        }
        let hidden = try (1...50 as ClosedRange<UInt64>).filter { try store.search(query(path(100 + $0))).isEmpty }.count
        #expect(hidden > 40)
        store.close()
    }

    @Test func smallSegmentsAreMergedAndStayReadable() throws {
        let directory = TemporaryDirectory()
        let store = try TraceStore.open(configuration(directory))
        for number in 1...17 as ClosedRange<UInt64> {
            try store.append(makeBatch([span(number, 1), span(number, 2), span(1, number + 100)]))
            try store.flush()
        }
        let statistics = store.statistics()
        #expect(statistics.merges >= 2)
        #expect(statistics.segments < 17)
        #expect(try store.trace(TraceID(high: 0, low: 1)).spans.count == 19)
        for number in 2...17 as ClosedRange<UInt64> { #expect(try store.trace(TraceID(high: 0, low: number)).spans.count == 2) }
        store.close()
    }

    /// A merged segment takes the number of one that it replaces: a reader that looked up a place before must not read it in the new rows.
    @Test func readersMissNothingWhileSegmentsAreMerged() throws {
        let directory = TemporaryDirectory()
        var small = configuration(directory)
        small.headSpansMax = 512
        small.groupCommitMilliseconds = 0
        let store = try TraceStore.open(small)
        /// Traces 1...stored are acknowledged.
        let stored = Monitor<UInt64>(0)
        let missed = Monitor<[UInt64]>([])
        let isDone = Monitor<Bool>(false)
        let readers = try (0..<2 as Range<UInt64>).map { reader in
            try StoreThread {
                var random = SeededRandom(reader)
                while !isDone.withLock({ $0 }) {
                    let last = stored.withLock { $0 }
                    guard last > 0 else { continue }
                    let number = UInt64.random(in: 1...last, using: &random)
                    if (try? store.trace(TraceID(high: 0, low: number)).spans.count) != 1 { missed.withLock { $0.append(number) } }
                }
            }
        }
        for round in 0..<150 as Range<UInt64> {
            try store.append(makeBatch((1...20 as ClosedRange<UInt64>).map { span(round * 20 + $0) }))
            stored.withLock { $0 = round * 20 + 20 }
            try store.flush()
        }
        isDone.withLock { $0 = true }
        for reader in readers { reader.join() }
        #expect(missed.withLock { $0 } == [])
        #expect(store.statistics().merges > 10)
        store.close()
    }

    @Test func refusesWhatDoesNotFitTheQueue() throws {
        let directory = TemporaryDirectory()
        var tight = configuration(directory)
        tight.queueBatchesMax = 0
        let store = try TraceStore.open(tight)
        let seen = Monitor<[Result<Void, StoreError>]>([])
        store.submit(makeBatch([span(1)])) { result in seen.withLock { $0.append(result) } }
        #expect(seen.withLock { $0.count } == 1)
        #expect(store.statistics().spansRefused[.overloaded] == 1)
        store.close()
        store.submit(makeBatch([span(1)])) { result in seen.withLock { $0.append(result) } }
        #expect(store.statistics().spansRefused[.closed] == 1)
    }

    @Test func autocompleteOffersOnlyConfiguredKeys() throws {
        let directory = TemporaryDirectory()
        var wanted = configuration(directory)
        wanted.autocompleteKeys = ["env"]
        let store = try TraceStore.open(wanted)
        var one = span(1)
        one.tags = ["env": "prod", "secret": "x"]
        try store.append(makeBatch([one]))
        #expect(try store.autocompleteValues("env") == ["prod"])
        try store.flush()
        one.tags["env"] = "test"
        try store.append(makeBatch([one]))
        #expect(try store.autocompleteValues("env") == ["prod", "test"])
        #expect(try store.autocompleteValues("secret") == [])
        store.close()
    }
}
