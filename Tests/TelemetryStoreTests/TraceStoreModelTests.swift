import Glibc
import Primitives
import TelemetryModel
import Testing
@testable import TelemetryStore

/// The store against the obvious model: an array of spans, merged and filtered by the rules as written.
@Suite struct TraceStoreModelTests {
    private static let values = [
        "", "a", "200", "007", "0", "123456789012345678", "1234567890123456789", "10.1.2.3", "256.1.1.1", "1.2.3", "01.2.3.4",
        "4bf92f3577b34da6", "4bf92f3577b34da6a3ce929d0e0e4736", "4BF92F3577B34DA6", "0af7651916cd43dd8448eb211c80319c",
        "123e4567-e89b-12d3-a456-426614174000", "123E4567-e89b-12d3-a456-426614174000", "/api/v1/users/183742",
        "/api/v1/users/183742/orders/99",
        "/x/00123/y", "naïve ünïcödé 🦊 12345", "nul\u{0}inside 4567", "true", String(repeating: "x", count: 129), "9999999999999999",
        "/a/1234567890123456789/b", "1e5", " ", "=", "000", "v1.22.333", "4bf92f35-77b3-4da6-a3ce-929d0e0e4736x",
    ]

    private func randomSpan(_ random: inout SeededRandom, _ known: [PlainTestSpan]) -> PlainTestSpan {
        var span = PlainTestSpan(
            traceHigh: Bool.random(using: &random) ? 0 : 7, traceLow: UInt64.random(in: 1...60, using: &random),
            id: UInt64.random(in: 1...9, using: &random))
        if Int.random(in: 0..<3, using: &random) > 0 { span.parent = UInt64.random(in: 1...12, using: &random) }
        if Int.random(in: 0..<8, using: &random) > 0 {
            span.timestamp = 1_700_000_000_000_000 + UInt64.random(in: 0...5_000_000, using: &random)
        }
        if Int.random(in: 0..<4, using: &random) > 0 {
            span.duration = UInt64.random(in: 1...1000, using: &random) << UInt64.random(in: 0...20, using: &random)
        }
        span.kind = [.unspecified, .client, .server, .producer, .consumer].randomElement(using: &random) ?? .unspecified
        span.name = ["", "get", "post /api", "naïve"].randomElement(using: &random) ?? ""
        span.service = ["", "front", "back", "db"].randomElement(using: &random) ?? ""
        span.remoteService = ["", "back", "db", "cache"].randomElement(using: &random) ?? ""
        if Int.random(in: 0..<4, using: &random) == 0 { span.ipv4 = UInt32.random(in: 0...UInt32.max, using: &random) }
        for key in ["error", "http.path", "id", "k", "http.status_code"] where Bool.random(using: &random) {
            span.tags[key] = Self.values.randomElement(using: &random) ?? ""
        }
        if Int.random(in: 0..<5, using: &random) == 0 { span.annotations = ["ws", Self.values.randomElement(using: &random) ?? "x"] }
        if Int.random(in: 0..<200, using: &random) == 0 { span.tags["huge"] = String(repeating: "h\u{e9}", count: 20_000) }
        if Int.random(in: 0..<50, using: &random) == 0 { span.tags["rare\(Int.random(in: 0..<1000, using: &random))"] = "1" }
        // Some ids come again with something else.
        if Int.random(in: 0..<3, using: &random) > 0 { span.id = random.next() | 1 }
        if let earlier = known.randomElement(using: &random), span.parent != 0, Bool.random(using: &random) {
            span.parent = earlier.id
            span.traceHigh = earlier.traceHigh
            span.traceLow = earlier.traceLow
        }
        return span
    }

    private func randomQuery(_ random: inout SeededRandom) -> TraceQuery {
        var query = TraceQuery(endTimestamp: 1_700_000_000_000 + UInt64.random(in: 0...6000, using: &random))
        query.lookback = UInt64.random(in: 1...6000, using: &random)
        query.limit = 1000
        if Bool.random(using: &random) { query.serviceName = ["front", "back", "db", "none"].randomElement(using: &random) ?? "" }
        if Int.random(in: 0..<4, using: &random) == 0 { query.remoteServiceName = ["back", "cache"].randomElement(using: &random) ?? "" }
        if Int.random(in: 0..<4, using: &random) == 0 { query.spanName = ["get", "naïve"].randomElement(using: &random) ?? "" }
        if Int.random(in: 0..<3, using: &random) == 0 {
            query.durationMin = UInt64.random(in: 1...5000, using: &random)
            if Bool.random(using: &random) { query.durationMax = 500_000 }
        }
        if Bool.random(using: &random) {
            let value = Self.values.randomElement(using: &random) ?? ""
            query.terms.append(value.isEmpty ? .annotationOrKey("error") : .tag(key: "http.path", value: value))
        }
        if Int.random(in: 0..<3, using: &random) == 0 { query.terms.append(.annotationOrKey("ws")) }
        while Int.random(in: 0..<3, using: &random) == 0 { query.traits.append(randomTrait(&random)) }
        return query
    }

    private func randomTrait(_ random: inout SeededRandom) -> TraceTrait {
        switch Int.random(in: 0..<3, using: &random) {
        case 0: return .key(["error", "huge", "k", "nowhere"].randomElement(using: &random) ?? "")
        case 1:
            let keys = [["http.status_code"], ["id", "k"], ["nowhere", "http.path"]].randomElement(using: &random) ?? []
            let low = UInt64.random(in: 0...600, using: &random)
            return .number(keys: keys, low...low + [0, 99, 5000].randomElement(using: &random)!)
        default:
            let whole = Array((Self.values + ["front", "naïve", "Ws", "hh\u{e9}", "rare7"]).randomElement(using: &random)!.utf8)
            let start = Int.random(in: 0...max(0, whole.count - 1), using: &random)
            return .text(whole[start...].prefix(Int.random(in: 1...12, using: &random)).map(ASCII.lower))
        }
    }

    private func modelTraces(_ spans: [PlainTestSpan]) -> [TraceID: SpanBatch] {
        Dictionary(grouping: spans, by: \.traceID).mapValues { makeBatch(distinct($0)) }
    }

    private func check(_ store: TraceStore, _ spans: [PlainTestSpan], _ stage: String, seed: UInt64, _ random: inout SeededRandom) throws {
        let model = modelTraces(spans)
        for (id, expected) in model {
            let found = try store.trace(id)
            #expect(Set(plain(found)) == Set(plain(expected)), "\(stage), seed \(seed), trace \(id)")
            #expect(found.spans.count == expected.spans.count, "\(stage), seed \(seed)")
        }
        // Many at once are what each is by itself.
        let ids = model.keys.shuffled(using: &random) + [TraceID(high: 99, low: 99)]
        let together = try store.traces(ids).map(plain)
        #expect(together == (try ids.map { plain(try store.trace($0)) }.filter { !$0.isEmpty }), "\(stage), seed \(seed)")
        for _ in 0..<60 {
            let query = randomQuery(&random)
            let expected = model.values.filter { query.matches($0) }
            let found = try store.search(query)
            #expect(
                Set(found.map { $0.spans[0].traceID }) == Set(expected.map { $0.spans[0].traceID }), "\(stage), seed \(seed), \(query)")
            let times = found.map { TraceQuery.timestamp(of: $0) }
            #expect(times == times.sorted(by: >), "newest first; \(stage), seed \(seed)")
            var first = query
            first.limit = 3
            #expect(
                try store.search(first).map { TraceQuery.timestamp(of: $0) } == Array(times.prefix(3)), "\(stage), seed \(seed), \(query)")
        }
        #expect(try store.services() == Set(spans.map(\.service)).subtracting([""]).sorted(), "\(stage), seed \(seed)")
        for service in ["front", "back"] {
            let own = spans.filter { $0.service == service }
            #expect(try store.spanNames(service: service) == Set(own.map(\.name)).subtracting([""]).sorted())
            #expect(try store.remoteServices(service: service) == Set(own.map(\.remoteService)).subtracting([""]).sorted())
        }
    }

    /// Whatever the mixture of head, one segment, many segments and a reopened file, the answers are the model's.
    @Test(arguments: [1, 2, 3, 4, 5, 6] as [UInt64])
    func agreesWithTheModel(seed: UInt64) throws {
        let directory = TemporaryDirectory()
        var random = SeededRandom(seed)
        var configuration = StoreConfiguration(directory: directory.path)
        configuration.compactsInBackground = false
        configuration.retentionAgeSeconds = 0
        configuration.groupCommitMilliseconds = 0
        configuration.blockSpansMax = 32
        var spans: [PlainTestSpan] = []
        var store = try TraceStore.open(configuration)
        func add(_ count: Int) throws {
            var part: [PlainTestSpan] = []
            for _ in 0..<count { part.append(randomSpan(&random, spans + part)) }
            // A client that never saw the answer sends the same spans again.
            if let again = spans.randomElement(using: &random) { part.append(again) }
            spans += part
            try store.append(makeBatch(part))
        }
        for _ in 0..<5 { try add(Int.random(in: 1...60, using: &random)) }
        try check(store, spans, "head", seed: seed, &random)
        try store.flush()
        #expect(store.statistics().journalSpans == 0)
        try check(store, spans, "one segment", seed: seed, &random)
        for _ in 0..<3 { try add(Int.random(in: 1...60, using: &random)) }
        try check(store, spans, "segment and head", seed: seed, &random)
        store.close()
        store = try TraceStore.open(configuration)
        #expect(store.statistics().spansStored == UInt64(spans.count))
        try check(store, spans, "reopened", seed: seed, &random)
        try store.flush()
        try add(40)
        try store.flush()
        try check(store, spans, "three segments", seed: seed, &random)
        store.close()
        store = try TraceStore.open(configuration)
        try check(store, spans, "reopened segments", seed: seed, &random)
        store.close()
        store.close()
    }

    /// Without copies, in the order received.
    private func distinct(_ spans: [PlainTestSpan]) -> [PlainTestSpan] {
        var seen: Set<PlainTestSpan> = []
        return spans.filter { seen.insert($0).inserted }
    }

    /// A span reported in parts, or again with other values, is shown as it came and found by whatever any part says, wherever the parts
    /// lie: in the head, in one segment, in several, in merged ones, in a reopened file.
    @Test(arguments: [11, 12, 13, 14, 15, 16] as [UInt64])
    func partsThatDifferAreAllShownAndFound(seed: UInt64) throws {
        let directory = TemporaryDirectory()
        var random = SeededRandom(seed)
        var configuration = StoreConfiguration(directory: directory.path)
        configuration.compactsInBackground = false
        configuration.retentionAgeSeconds = 0
        configuration.groupCommitMilliseconds = 0
        configuration.blockSpansMax = 16
        configuration.headSpansMax = 256
        var spans: [PlainTestSpan] = []
        var store = try TraceStore.open(configuration)
        func add(_ count: Int) throws {
            var part: [PlainTestSpan] = []
            for _ in 0..<count {
                var span = randomSpan(&random, [])
                span.traceHigh = 0
                span.traceLow = UInt64.random(in: 1...6, using: &random)
                span.id = UInt64.random(in: 1...5, using: &random)
                span.isShared = Int.random(in: 0..<4, using: &random) == 0
                span.port = Bool.random(using: &random) ? 0 : UInt16.random(in: 1...2, using: &random)
                if span.ipv4 != nil { span.ipv4 = UInt32.random(in: 1...2, using: &random) }
                part.append(span)
            }
            spans += part
            try store.append(makeBatch(part))
        }
        func check(_ stage: String) throws {
            for (id, received) in Dictionary(grouping: spans, by: \.traceID) {
                let found = plain(try store.trace(id))
                #expect(found == distinct(received), "\(stage), seed \(seed), trace \(id)")
            }
            let model = modelTraces(spans)
            for span in spans.suffix(40) {
                var query = TraceQuery(endTimestamp: 1_700_000_100_000)
                query.lookback = 200_000
                query.limit = 1000
                query.serviceName = span.service
                query.spanName = span.name
                query.terms = span.tags.filter { !$0.value.isEmpty }.map { .tag(key: $0.key, value: $0.value) }
                let found = try store.search(query).map { $0.spans[0].traceID }
                #expect(Set(found) == Set(model.filter { query.matches($0.value) }.keys), "\(stage), seed \(seed), \(query)")
                if TraceQuery.timestamp(of: model[span.traceID] ?? SpanBatch()) != 0 { #expect(found.contains(span.traceID)) }
            }
        }
        try add(60)
        try check("head")
        try store.flush()
        try check("one segment")
        for round in 0..<12 {
            try add(Int.random(in: 1...20, using: &random))
            if round == 5 { try check("segments and head") }
            try store.flush()
        }
        #expect(store.statistics().merges > 0)
        try check("merged segments")
        try add(30)
        store.close()
        store = try TraceStore.open(configuration)
        try check("reopened")
        store.close()
    }
}
