import TelemetryModel
import Testing
@testable import TelemetryStore

/// A search for what is nowhere reads headers and filters, and no block: of ten million spans every block cost a fifth of a second.
@Suite struct SegmentScreenTests {
    private static let begin: UInt64 = 1_700_000_000_000_000

    private func open(_ directory: TemporaryDirectory) throws -> TraceStore {
        var configuration = StoreConfiguration(directory: directory.path)
        configuration.compactsInBackground = false
        configuration.retentionAgeSeconds = 0
        configuration.groupCommitMilliseconds = 0
        configuration.blockSpansMax = 64
        return try TraceStore.open(configuration)
    }

    private func span(_ trace: UInt64, _ id: UInt64, status: String) -> PlainTestSpan {
        var span = PlainTestSpan(traceLow: trace, id: id)
        span.timestamp = Self.begin + trace * 1000
        span.duration = 100 + trace % 900
        span.name = "get"
        span.service = "front"
        span.tags = [
            "http.status_code": status, "http.method": trace % 3 == 0 ? "POST" : "GET", "user": "\(trace)",
            "http.path": "/item/\(trace % 7)",
        ]
        return span
    }

    /// Three segments of several blocks; every fourth trace has a part in the next one as well.
    private func filled(_ store: TraceStore) throws -> [PlainTestSpan] {
        var all: [PlainTestSpan] = []
        for segment in 0..<3 as Range<UInt64> {
            var part: [PlainTestSpan] = []
            for number in 1...300 as ClosedRange<UInt64> {
                let trace = segment * 1000 + number
                part.append(span(trace, 1, status: number == 7 ? "503" : number % 10 == 0 ? "404" : "200"))
                if segment > 0, number % 4 == 0 { part.append(span(trace - 1000, 2, status: "204")) }
            }
            all += part
            try store.append(makeBatch(part))
            try store.flush()
        }
        return all
    }

    /// Ids that are found, and rows of the table of blocks that were read.
    private func search(_ store: TraceStore, _ change: (inout TraceQuery) -> Void) throws -> (found: Set<TraceID>, rows: UInt64) {
        var query = TraceQuery(endTimestamp: Self.begin / 1000 + 10_000)
        query.lookback = 100_000
        query.limit = 1000
        change(&query)
        return try store.tables.reads.look { view throws(StoreError) in
            let before = view.connection.rowsRead
            let found = try TraceSearch(view, CompiledQuery(query, store.tables.configuration.segmentLimits), query.limit).run()?.traces
            return found.map { (Set($0.map { $0.spans[0].traceID }), view.connection.rowsRead - before) }
        }
    }

    @Test func whatIsNowhereReadsNoBlock() throws {
        let directory = TemporaryDirectory()
        let store = try open(directory)
        let all = try filled(store)
        let absent: [(inout TraceQuery) -> Void] = [
            { $0.terms = [.tag(key: "http.status_code", value: "418")] },
            { $0.terms = [.tag(key: "http.status_code", value: "418")]; $0.serviceName = "front"; $0.durationMin = 200 },
            { $0.terms = [.tag(key: "http.method", value: "DELETE")] },
            { $0.terms = [.tag(key: "http.method", value: "GET"), .tag(key: "http.status_code", value: "abc")] },
            { $0.terms = [.tag(key: "http.path", value: "/other/3")] },
            { $0.terms = [.tag(key: "nothing", value: "200")] },
            { $0.serviceName = "back" }, { $0.spanName = "put" }, { $0.remoteServiceName = "db" }, { $0.durationMin = 5000 },
        ]
        for (index, change) in absent.enumerated() {
            let (found, rows) = try search(store, change)
            #expect(found.isEmpty && rows == 0, "search \(index) found \(found.count) and read \(rows) rows")
        }
        // What is somewhere is found, also where the two things that are asked for stand in different parts of a trace.
        for (status, least) in [("503", 1), ("404", 1), ("204", 1)] as [(String, UInt64)] {
            let (found, rows) = try search(store) { $0.terms = [.tag(key: "http.status_code", value: status)] }
            #expect(found == Set(all.filter { $0.tags["http.status_code"] == status }.map(\.traceID)) && rows >= least, "\(status)")
        }
        let terms: [TraceQuery.Term] = [.tag(key: "http.status_code", value: "200"), .tag(key: "http.status_code", value: "204")]
        let both = try search(store) { $0.terms = terms }.found
        let with = { (status: String) in Set(all.filter { $0.tags["http.status_code"] == status }.map(\.traceID)) }
        #expect(both == with("200").intersection(with("204")) && !both.isEmpty)
        store.close()
    }

    /// A range of statuses, a key and a part of a text are found by columns and dictionaries, however old, without the traces around them
    /// being read; what is nowhere reads no block. They count for spans of any service.
    @Test func traitsAreFoundWithoutReadingOthers() throws {
        let directory = TemporaryDirectory()
        let store = try open(directory)
        var all: [PlainTestSpan] = []
        for segment in 0..<3 as Range<UInt64> {
            let part = (1...500 as ClosedRange<UInt64>).map { number -> PlainTestSpan in
                var one = span(segment * 1000 + number, 1, status: "200")
                if segment == 0, number == 3 {
                    one.service = "back"
                    one.tags["http.status_code"] = "503"
                    one.tags["error"] = "Card REFUSED"
                }
                return one
            }
            all += part
            try store.append(makeBatch(part))
            try store.flush()
        }
        let wanted = TraceID(high: 0, low: 3)
        func find(_ trait: TraceTrait, service: String = "") throws -> FoundTraces {
            var query = TraceQuery(endTimestamp: Self.begin / 1000 + 10_000)
            query.lookback = 100_000
            query.serviceName = service
            query.traits = [trait]
            query.readMax = 10
            return try store.find(query)
        }
        let keys = ["http.status_code", "http.response.status_code"]
        let present: [TraceTrait] = [
            .number(keys: keys, 500...599), .number(keys: keys, 503...503), .key("error"), .text(Array("d refu".utf8)),
            .text(Array("back".utf8)),
        ]
        for trait in present {
            let found = try find(trait)
            #expect(found.traces.map { $0.spans[0].traceID } == [wanted] && found.readCount == 1, "\(trait): \(found.readCount)")
            #expect(try find(trait, service: "front").traces.isEmpty, "\(trait): of another service's trace")
        }
        for trait in [.number(keys: keys, 400...499), .key("nothing"), .text(Array("refusal".utf8))] as [TraceTrait] {
            let (found, rows) = try search(store) { $0.traits = [trait] }
            #expect(found.isEmpty && rows == 0, "\(trait): \(rows)")
        }
        // A part of a number stands in no dictionary: as many as may be are read, the newest.
        let some = try find(.text(Array("20".utf8)))
        #expect(some.readCount == 10 && some.traces.allSatisfy { $0.spans[0].traceID.low > 2000 })
        store.close()
    }

    /// One value more than are kept: nothing is known of the column any more, and everything is still found.
    @Test(arguments: [ColumnValues.valuesMax - 1, ColumnValues.valuesMax, ColumnValues.valuesMax + 1])
    func aColumnOfManyValuesIsLookedAt(count: Int) throws {
        let directory = TemporaryDirectory()
        let store = try open(directory)
        let spans = (1...UInt64(count)).map { span($0, 1, status: "\(100 + $0)") }
        try store.append(makeBatch(spans))
        try store.flush()
        for one in spans {
            let found = try search(store) { $0.terms = [.tag(key: "http.status_code", value: one.tags["http.status_code"] ?? "")] }.found
            #expect(found == [one.traceID])
        }
        let (found, rows) = try search(store) { $0.terms = [.tag(key: "http.status_code", value: "99")] }
        #expect(found.isEmpty && (rows == 0) == (count <= ColumnValues.valuesMax))
        store.close()
    }

    @Test(arguments: [1, 2, 3] as [UInt64])
    func valuesReadAsTheyAreWritten(seed: UInt64) {
        var random = SeededRandom(seed)
        for _ in 0..<500 {
            let count = Int.random(in: 0...ColumnValues.valuesMax, using: &random)
            let wide = Set((0..<count).map { _ in random.next() >> UInt64.random(in: 0..<64, using: &random) })
            let values = [ColumnValues.unknown, .many, .few(wide.sorted()), .few([0, .max])].randomElement(using: &random) ?? .unknown
            var writer = ByteWriter(capacity: 16)
            values.write(to: &writer)
            let bytes = writer.array()
            #expect(ByteReader.read(bytes) { ColumnValues(&$0) == values && !$0.failed && $0.remaining == 0 }, "seed \(seed)")
            let cut = Array(bytes.dropLast())
            #expect(ByteReader.read(cut) { reader in _ = ColumnValues(&reader); return reader.failed }, "seed \(seed)")
        }
        let tooMany = [UInt8](repeating: 255, count: 400)
        #expect(ByteReader.read(tooMany) { reader in _ = ColumnValues(&reader); return reader.failed })
    }
}
