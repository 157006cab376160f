import TelemetryModel
import Testing
@testable import TelemetryStore

/// A search for what a service never has reads nothing: "errors of a service that has none" had to open each of the segments.
@Suite struct SegmentDigestTests {
    private static let begin: UInt64 = 1_700_000_000_000_000

    private func configuration(_ directory: TemporaryDirectory) -> StoreConfiguration {
        var configuration = StoreConfiguration(directory: directory.path)
        configuration.compactsInBackground = false
        configuration.retentionAgeSeconds = 0
        configuration.groupCommitMilliseconds = 0
        configuration.blockSpansMax = 64
        return configuration
    }

    /// `front` calls `back`, which alone fails, has the path, the flag, the port and whatever takes long.
    private func spans(_ segment: UInt64) -> [PlainTestSpan] {
        (1...200 as ClosedRange<UInt64>).flatMap { number in
            let trace = segment * 1000 + number
            var front = PlainTestSpan(traceLow: trace, id: 1)
            front.timestamp = Self.begin + trace * 1000
            front.duration = 900
            front.kind = .client
            (front.name, front.service, front.remoteService) = ("get /", "front", "back")
            front.tags = ["http.status_code": "200", "http.method": number % 2 == 0 ? "GET" : "POST", "user": "u-\(number)"]
            var back = PlainTestSpan(traceLow: trace, id: 2, parent: 1)
            back.timestamp = front.timestamp + 1
            back.duration = 800 + number * 10
            (back.name, back.service, back.remoteService) = ("get /item", "back", number % 50 == 0 ? "db" : "")
            back.tags = ["http.status_code": number % 7 == 0 ? "503" : "200", "http.method": "GET", "flag": "on", "path": "/item/\(number)"]
            front.tags["cluster"] = "outbound|9080||back"
            back.tags["cluster"] = "outbound|9080||db"
            if number % 7 == 0 { back.tags["error"] = "" }
            if number % 20 == 0 { back.annotations = ["ws"] }
            return [front, back]
        }
    }

    private func filled(_ directory: TemporaryDirectory) throws -> [PlainTestSpan] {
        let store = try TraceStore.open(configuration(directory))
        var all: [PlainTestSpan] = []
        for segment in 0..<3 as Range<UInt64> {
            all += spans(segment)
            try store.append(makeBatch(spans(segment)))
            try store.flush()
        }
        store.close()
        return all
    }

    private func query(_ service: String, _ change: (inout TraceQuery) -> Void) -> TraceQuery {
        var query = TraceQuery(endTimestamp: Self.begin / 1000 + 10_000)
        query.lookback = 100_000
        query.limit = 1000
        query.serviceName = service
        change(&query)
        return query
    }

    /// What `front` never has, most of which `back` has, and the like.
    private var absentAtFront: [TraceQuery] {
        [
            query("front") { $0.terms = [.annotationOrKey("error")] },
            query("front") { $0.terms = [.annotationOrKey("ws")] },
            query("front") { $0.terms = [.annotationOrKey("flag")] },
            query("front") { $0.terms = [.tag(key: "http.status_code", value: "503")] },
            query("front") { $0.terms = [.tag(key: "http.method", value: "POST"), .tag(key: "flag", value: "on")] },
            query("front") { $0.terms = [.tag(key: "path", value: "/item/7")] },
            query("front") { $0.terms = [.tag(key: "cluster", value: "outbound|9080||db")] },
            query("back") { $0.terms = [.tag(key: "cluster", value: "outbound|9081||db")] },
            query("front") { $0.spanName = "get /item" },
            query("front") { $0.remoteServiceName = "db" },
            query("front") { $0.durationMin = 901 },
            query("back") { $0.terms = [.tag(key: "http.method", value: "POST")] },
            query("back") { $0.remoteServiceName = "back" },
            query("nobody") { $0.terms = [.annotationOrKey("error")] },
            query("") { $0.terms = [.tag(key: "http.method", value: "PUT")] },
            query("front") { $0.terms = [.annotationOrKey("nothing")]; $0.spanName = "get /" },
        ]
    }

    private func found(_ store: TraceStore, _ query: TraceQuery) throws -> Set<TraceID> {
        Set(try store.search(query).map { $0.spans[0].traceID })
    }

    private func expected(_ all: [PlainTestSpan], _ query: TraceQuery) -> Set<TraceID> {
        Set(Dictionary(grouping: all, by: \.traceID).filter { query.matches(makeBatch($0.value)) }.keys)
    }

    @Test func whatAServiceNeverHasReadsNothing() throws {
        let directory = TemporaryDirectory()
        let all = try filled(directory)
        let store = try TraceStore.open(configuration(directory))
        for query in absentAtFront {
            #expect(expected(all, query).isEmpty)
            let rows: UInt64 = try store.tables.reads.look { view throws(StoreError) in
                let before = view.connection.rowsRead
                let found = try TraceSearch(view, CompiledQuery(query, store.tables.configuration.segmentLimits), query.limit).run()?.traces
                #expect(found?.isEmpty == true)
                return view.connection.rowsRead - before
            }
            #expect(rows == 0, "\(query)")
        }
        // Not even the headers.
        let segments = store.tables.state.withLock { $0.snapshot.segments }
        #expect(segments.count == 3 && segments.allSatisfy { $0.digest != nil && store.tables.reads.headers.find($0) == nil })
        store.close()
    }

    /// With digests, without (as segments of earlier versions), and with damaged ones the answers are the same.
    @Test(arguments: ["whole", "missing", "damaged", "cut"])
    func answersAreTheSameWithoutOne(kind: String) throws {
        let directory = TemporaryDirectory()
        let all = try filled(directory)
        if kind != "whole" {
            let connection = try SQLiteConnection(path: directory.path + "/skein.db", access: .readWrite)
            for segment in 1...3 as ClosedRange<Int64> {
                let place = segment << TraceSchema.blockBits | TraceSchema.digestBlock
                let change = switch kind {
                case "missing": "DELETE FROM block WHERE id = \(place)"
                case "cut": "UPDATE block SET hot = substr(hot, 1, 40) WHERE id = \(place)"
                default: "UPDATE block SET hot = CAST(substr(hot, 1, 40) || x'00112233' || substr(hot, 45) AS BLOB) WHERE id = \(place)"
                }
                try connection.execute(change)
            }
        }
        let store = try TraceStore.open(configuration(directory))
        #expect(store.tables.state.withLock { $0.snapshot.segments }.allSatisfy { ($0.digest != nil) == (kind == "whole") })
        let said = store.statistics().damage.filter { $0.what.contains("the digest of segment") && $0.spans == 0 }
        #expect(said.count == (kind == "damaged" || kind == "cut" ? 3 : 0))
        let present = [
            query("back") { $0.terms = [.annotationOrKey("error")] }, query("back") { $0.terms = [.annotationOrKey("ws")] },
            query("back") { $0.terms = [.tag(key: "http.status_code", value: "503")]; $0.durationMin = 1500 },
            query("back") { $0.terms = [.tag(key: "path", value: "/item/7")] },
            query("back") { $0.remoteServiceName = "db"; $0.spanName = "get /item" },
            query("front") { $0.durationMin = 900; $0.terms = [.tag(key: "user", value: "u-150")] },
            query("") { $0.terms = [.tag(key: "http.method", value: "POST"), .annotationOrKey("flag")] },
            query("") { $0.remoteServiceName = "db"; $0.terms = [.annotationOrKey("ws")] },
        ]
        for query in absentAtFront + present {
            let wanted = expected(all, query)
            #expect(try found(store, query) == wanted, "\(kind), \(query)")
        }
        #expect(present.allSatisfy { !expected(all, $0).isEmpty })
        store.close()
    }

    /// One value more than a slot keeps: nothing is known of them any more, and everything is still found.
    @Test(arguments: [SegmentFacts.valuesMax - 1, SegmentFacts.valuesMax, SegmentFacts.valuesMax + 1], ["a", "", "/item/"])
    func manyValuesAreLookedAt(count: Int, prefix: String) throws {
        let directory = TemporaryDirectory()
        let store = try TraceStore.open(configuration(directory))
        let names = (0..<UInt64(count)).map { prefix == "a" ? prefix + String(repeating: "x", count: Int($0)) : prefix + "\(100 + $0)" }
        let spans = names.enumerated().map { index, name in
            var span = PlainTestSpan(traceLow: UInt64(index) + 1, id: 1)
            (span.timestamp, span.service, span.tags) = (Self.begin, "front", ["key": name])
            return span
        }
        try store.append(makeBatch(spans))
        try store.flush()
        for span in spans {
            let query = query("front") { $0.terms = [.tag(key: "key", value: span.tags["key"] ?? "")] }
            #expect(try found(store, query) == [span.traceID])
        }
        let digest = try #require(store.tables.state.withLock { $0.snapshot.segments }.first?.digest)
        let kind: ValueKind = prefix == "a" ? .text : prefix.isEmpty ? .number : .template
        for scope in [SegmentFact.Scope.all, SegmentFact.Scope(service: Mixing.hash(text: "front"))] {
            #expect(digest.holds(.forAnyValue(kind, ofKey: Mixing.hash(text: "key"), scope)) == (count > SegmentFacts.valuesMax))
        }
        store.close()
    }

    /// A hundred tags of as many values as are kept are more facts than a digest may have.
    @Test func withTooManyFactsThereIsNone() throws {
        let directory = TemporaryDirectory()
        let store = try TraceStore.open(configuration(directory))
        let spans = (0..<64 as Range<UInt64>).map { number in
            var span = PlainTestSpan(traceLow: number + 1, id: 1)
            (span.timestamp, span.service) = (Self.begin, "front")
            for key in 0..<100 { span.tags["key-\(key)"] = "\(number)" }
            return span
        }
        try store.append(makeBatch(spans))
        try store.flush()
        #expect(store.tables.state.withLock { $0.snapshot.segments }.map { $0.digest == nil } == [true])
        #expect(try found(store, query("front") { $0.terms = [.tag(key: "key-7", value: "9")] }) == [spans[9].traceID])
        #expect(try found(store, query("front") { $0.terms = [.tag(key: "key-7", value: "64")] }).isEmpty)
        store.close()
    }

    @Test(arguments: [1, 2, 3] as [UInt64])
    func readsAsItIsWritten(seed: UInt64) {
        var random = SeededRandom(seed)
        for _ in 0..<300 {
            let facts = Set((0..<Int.random(in: 0...60, using: &random)).map { _ in UInt32.random(in: 1...UInt32.max, using: &random) })
            let longest = (0..<Int.random(in: 0...5, using: &random)).map { _ in
                SegmentDigest.Longest(service: UInt32.random(in: 0...UInt32.max, using: &random), duration: random.next() >> 20)
            }
            let digest = SegmentDigest(facts: facts.sorted(), longest: longest)
            let bytes = digest.encoded
            #expect(SegmentDigest(bytes) == digest, "seed \(seed)")
            #expect(SegmentDigest(Array(bytes.dropLast())) == nil, "seed \(seed)")
            var damaged = bytes
            for _ in 0..<3 { damaged[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random) }
            #expect(damaged == bytes || SegmentDigest(damaged) == nil, "seed \(seed)")
            // Whatever the bytes are, nothing traps.
            if let odd = SegmentDigest(damaged, checksChecksum: false) {
                _ = odd.holds(.forService(.all))
                _ = odd.mayLast(.forService(.all), atLeast: 1)
            }
        }
        #expect(SegmentDigest([]) == nil && SegmentDigest([], checksChecksum: false) == nil)
    }
}
