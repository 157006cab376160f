import TelemetryModel
import Testing
@testable import TelemetryStore

/// Dependency links against Zipkin's rules as written (`ZipkinLinkModel`).
@Suite struct DependencyModelTests {
    private static let start: UInt64 = 1_700_000_000_000_000
    private static let day: UInt64 = 86_400_000

    private func configuration(_ directory: TemporaryDirectory) -> StoreConfiguration {
        var configuration = StoreConfiguration(directory: directory.path)
        configuration.compactsInBackground = false
        configuration.retentionAgeSeconds = 0
        configuration.groupCommitMilliseconds = 0
        return configuration
    }

    private func links(_ store: TraceStore, lookback: UInt64 = day) throws -> [DependencyLink] {
        try store.dependencies(endTimestamp: Self.start / 1000 + Self.day / 2, lookback: lookback)
    }

    private func span(
        _ trace: UInt64, _ id: UInt64, _ kind: SpanKind, _ service: String, parent: UInt64 = 0, shared: Bool = false
    ) -> PlainTestSpan {
        var span = PlainTestSpan(traceLow: trace, id: id, parent: parent, timestamp: Self.start + id, kind: kind, isShared: shared)
        span.service = service
        return span
    }

    /// A reporter that never saw the answer sends its pair again: one call, before and after compaction, and across it.
    @Test func aPairSentTwiceIsOneCall() throws {
        let directory = TemporaryDirectory()
        let store = try TraceStore.open(configuration(directory))
        let pair = [span(1, 1, .client, "web"), span(1, 2, .server, "app", parent: 1)]
        let expected = [DependencyLink(parent: "web", child: "app", callCount: 1, errorCount: 0)]
        try store.append(makeBatch(pair))
        try store.append(makeBatch(pair))
        #expect(try links(store) == expected)
        try store.flush()
        #expect(try links(store) == expected)
        try store.append(makeBatch(pair))
        #expect(try links(store) == expected)
        try store.flush()
        #expect(store.statistics().segments == 2)
        #expect(try links(store) == expected)
        store.close()
    }

    /// The parent was never received: the span hangs under the root, which called it.
    @Test func anOrphanIsCalledByTheRoot() throws {
        let directory = TemporaryDirectory()
        let store = try TraceStore.open(configuration(directory))
        try store.append(makeBatch([span(1, 1, .server, "web"), span(1, 5, .server, "app", parent: 4)]))
        let expected = [DependencyLink(parent: "web", child: "app", callCount: 1, errorCount: 0)]
        #expect(try links(store) == expected)
        try store.flush()
        #expect(try links(store) == expected)
        // The client comes a day's worth of segments later, and changes who called.
        for number in 100..<112 as Range<UInt64> {
            try store.append(makeBatch([span(number, 1, .server, "web")]))
            try store.flush()
        }
        try store.append(makeBatch([span(1, 4, .client, "cart", parent: 1)]))
        let late = [
            DependencyLink(parent: "cart", child: "app", callCount: 1, errorCount: 0),
        ]
        #expect(try links(store) == late)
        try store.flush()
        #expect(try links(store) == late)
        store.close()
    }

    /// One service keeps 64 bits of the trace id: still one trace, and one call, strict or not.
    @Test func halfATraceIDMakesNoSecondTrace() throws {
        let directory = TemporaryDirectory()
        let store = try TraceStore.open(configuration(directory))
        var server = span(1, 1, .server, "app", shared: true)
        server.traceHigh = 77
        try store.append(makeBatch([server]))
        try store.flush()
        try store.append(makeBatch([span(1, 1, .client, "web")]))
        let expected = [DependencyLink(parent: "web", child: "app", callCount: 1, errorCount: 0)]
        #expect(try links(store) == expected)
        try store.flush()
        #expect(try links(store) == expected)
        store.close()
    }

    private static let services = ["", "web", "app", "db", "cart", "10"]

    private func randomSpan(_ random: inout SeededRandom) -> PlainTestSpan {
        var span = PlainTestSpan(
            traceHigh: [0, 0, 0, 7, 9].randomElement(using: &random) ?? 0, traceLow: UInt64.random(in: 1...40, using: &random),
            id: UInt64.random(in: 1...6, using: &random))
        if Int.random(in: 0..<4, using: &random) > 0 { span.parent = UInt64.random(in: 1...7, using: &random) }
        // Traces spread over half an hour; a few spans say no time.
        if Int.random(in: 0..<12, using: &random) > 0 {
            span.timestamp = Self.start + span.traceLow * 45_000_000 + UInt64.random(in: 0...3_000_000, using: &random)
        }
        span.kind = [.unspecified, .client, .client, .server, .server, .producer, .consumer].randomElement(using: &random) ?? .client
        span.isShared = Int.random(in: 0..<5, using: &random) == 0
        span.service = Self.services.randomElement(using: &random) ?? ""
        if Int.random(in: 0..<3, using: &random) == 0 { span.remoteService = Self.services.randomElement(using: &random) ?? "" }
        if Int.random(in: 0..<4, using: &random) == 0 {
            span.ipv4 = [0x0A00_0001, 0x0900_0001, 0x0A00_0002].randomElement(using: &random) ?? 1
        }
        if Int.random(in: 0..<5, using: &random) == 0 { span.port = UInt16.random(in: 80...81, using: &random) }
        if Int.random(in: 0..<5, using: &random) == 0 { span.tags["error"] = "" }
        if Int.random(in: 0..<5, using: &random) == 0 { span.tags["k"] = "v" }
        span.name = "n\(Int.random(in: 0..<3, using: &random))"
        return span
    }

    private func check(_ store: TraceStore, _ spans: [PlainTestSpan], _ stage: String, seed: UInt64, _ random: inout SeededRandom) throws {
        for round in 0..<8 {
            let end = round == 0 ? Self.start / 1000 + Self.day : Self.start / 1000 + UInt64.random(in: 0...2_000_000, using: &random)
            let lookback = round == 0 ? 2 * Self.day : UInt64.random(in: 1...1_000_000, using: &random)
            let expected = ZipkinLinkModel.links(spans, endTimestamp: end, lookback: lookback)
            #expect(
                try store.dependencies(endTimestamp: end, lookback: lookback) == expected,
                "\(stage), seed \(seed), window \(end) - \(lookback)")
            if round == 0 { #expect(expected.count > 3, "seed \(seed) makes no links, which proves nothing") }
        }
    }

    /// Parts, copies, late ones, halves of ids, missing flags and parents, over head, segments, merges and restarts.
    @Test(arguments: Array(1...24) as [UInt64])
    func agreesWithZipkinsRules(seed: UInt64) throws {
        let directory = TemporaryDirectory()
        var random = SeededRandom(seed)
        var configuration = configuration(directory)
        configuration.blockSpansMax = 16
        configuration.headSpansMax = 256
        var spans: [PlainTestSpan] = []
        var store = try TraceStore.open(configuration)
        func add(_ count: Int) throws {
            var part = (0..<count).map { _ in randomSpan(&random) }
            if let again = spans.randomElement(using: &random) { part.append(again) }
            spans += part
            try store.append(makeBatch(part))
        }
        try add(80)
        try check(store, spans, "head", seed: seed, &random)
        try store.flush()
        try check(store, spans, "one segment", seed: seed, &random)
        try add(30)
        try check(store, spans, "segment and head", seed: seed, &random)
        store.close()
        store = try TraceStore.open(configuration)
        try check(store, spans, "reopened", seed: seed, &random)
        for _ in 0..<12 {
            try add(Int.random(in: 1...12, using: &random))
            try store.flush()
        }
        #expect(store.statistics().merges > 0)
        try check(store, spans, "merged", seed: seed, &random)
        try add(20)
        store.close()
        store = try TraceStore.open(configuration)
        try check(store, spans, "reopened segments", seed: seed, &random)
        store.close()
    }

    /// More services than a segment's tables hold: its sums are not whole, so its traces are linked when asked.
    @Test func plainRowsHaveLinksToo() throws {
        let directory = TemporaryDirectory()
        let store = try TraceStore.open(configuration(directory))
        var spans: [PlainTestSpan] = []
        for number in 1...4500 as ClosedRange<UInt64> {
            spans.append(span(number, 1, .client, "client x\(number)y"))
            spans.append(span(number, 2, .server, "server q\(number)z", parent: 1))
        }
        try store.append(makeBatch(spans))
        try store.flush()
        #expect(try links(store) == ZipkinLinkModel.links(spans, endTimestamp: Self.start / 1000 + Self.day / 2, lookback: Self.day))
        store.close()
    }

    /// A trace of more spans than a block is one tree.
    @Test func aTraceOfManyBlocksIsOneTree() throws {
        let directory = TemporaryDirectory()
        let store = try TraceStore.open(configuration(directory))
        var spans = [span(5, 1, .server, "web")]
        for id in 2...9000 as ClosedRange<UInt64> {
            spans.append(span(5, id, id % 2 == 0 ? .client : .server, id % 2 == 0 ? "web" : "app", parent: id - 1))
        }
        try store.append(makeBatch(spans))
        let expected = ZipkinLinkModel.links(spans, endTimestamp: Self.start / 1000 + Self.day / 2, lookback: Self.day)
        #expect(expected.contains { $0.callCount > 4000 })
        #expect(try links(store) == expected)
        try store.flush()
        #expect(try links(store) == expected)
        store.close()
    }
}
