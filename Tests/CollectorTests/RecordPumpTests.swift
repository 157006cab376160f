@testable import Collector
import EventLoops
import Glibc
import Primitives
import Synchronization
import Testing
import TelemetryModel
import TelemetryWire

@Suite struct RecordPumpTests {
    private struct Bench {
        let directory = TemporaryDirectory()
        let ring: RecordRing
        let sink = FakeSink()
        let statistics = CollectorStatistics()
        let catalogs = Catalogs()
        var history = CaptureHistory()
        var limits = CollectorLimits()

        init(ringBytes: Int = 1 << 20) { ring = RecordRing(capacity: ringBytes) }

        func pump(_ plan: CollectorPlan) throws -> RecordPump {
            try RecordPump(rings: [ring], plan: plan, sink: sink, catalogs: catalogs, statistics: statistics, limits: limits) { _ in }
        }

        mutating func tracing(serviceName: String = "productpage.default", format: String? = nil) throws -> CollectorPlan {
            let outputs = try format.map { [try textOutput(directory.path + "/log", $0)] } ?? []
            let side = CollectorPlan.Side(outputs: outputs, spans: ProxySpanIdentity(serviceName: serviceName))
            return try CollectorPlan(outbound: side, inbound: side, history: &history)
        }
    }

    private func sampled(_ span: UInt64, side: ProxySide = .outbound) -> RequestRecord {
        var record = exampleRecord(side: side)
        record.isSampled = true
        record.spanID = SpanID(span)
        return record
    }

    /// The worker outruns the pump: what is lost is counted, to the unit.
    @Test func whatIsSentIsWrittenOrCountedAsDropped() throws {
        var bench = Bench(ringBytes: 4096)
        let pump = try bench.pump(try bench.tracing(format: "%RESPONSE_CODE%"))
        let total = 50_000
        var refused = 0
        let bytes = recordBytes(exampleRecord(), exampleTexts())
        for _ in 0..<total where !put(bytes, into: bench.ring) { refused += 1 }
        pump.stop()
        let lines = bench.statistics.total("skein_access_log_lines_total")
        #expect(refused > 0)
        #expect(bench.statistics.total("skein_records_dropped_total", ["reason": "ring_full"]) == UInt64(refused))
        #expect(lines + UInt64(refused) == UInt64(total))
        #expect(bench.statistics.total("skein_records_total") == lines)
        #expect(bench.directory.read("log").split(separator: "\n").count == Int(lines))
    }

    @Test func sampledRecordsBecomeSpansNamedAsIstioNamesThem() throws {
        var bench = Bench()
        var labels = DestinationLabels()
        labels.service = "reviews.default.svc.cluster.local"
        let pump = try bench.pump(try bench.tracing())
        // Interned after the pump began, as a reload does.
        var client = sampled(1)
        client.cluster = bench.catalogs.name("outbound|9080|v1|ratings.default.svc.cluster.local")
        var server = sampled(2, side: .inbound)
        server.cluster = bench.catalogs.name("inbound|9080||")
        server.labels.destination = bench.catalogs.destination(labels)
        put(recordBytes(client, exampleTexts()), into: bench.ring)
        put(recordBytes(server, exampleTexts()), into: bench.ring)
        put(recordBytes(exampleRecord(), exampleTexts()), into: bench.ring)
        pump.stop()
        let spans = bench.sink.stored.flatMap { batch in batch.spans.map { (batch.string($0.name), $0.kind) } }.sorted { $0.0 < $1.0 }
        #expect(spans.map(\.0) == ["ratings.default.svc.cluster.local:9080/*", "reviews.default.svc.cluster.local:9080/*"])
        #expect(spans.map(\.1) == [.client, .server])
        #expect(bench.statistics.total("skein_proxy_spans_total") == 2)
    }

    /// A span must not wait for 511 others.
    @Test func spansAreSubmittedByThemselves() throws {
        var bench = Bench()
        let pump = try bench.pump(try bench.tracing())
        put(recordBytes(sampled(1), exampleTexts()), into: bench.ring)
        eventually("the span was never submitted") { bench.sink.spans == 1 }
        pump.stop()
    }

    /// The store hangs: a bounded number of batches is outstanding, a bounded number of spans waits, the rest is counted; and when the
    /// store is back, so are spans.
    @Test func stalledSinkCostsCountedSpansAndNothingElse() throws {
        var bench = Bench()
        bench.limits.batchesOutstandingMax = 2
        bench.limits.spansPerBatchMax = 10
        bench.limits.spansWaitingMax = 50
        bench.sink.mode = .hold
        let pump = try bench.pump(try bench.tracing(format: "%RESPONSE_CODE%"))
        var sent = 0
        eventually("the bound was never reached") {
            put(recordBytes(sampled(UInt64(sent + 1)), exampleTexts()), into: bench.ring)
            sent += 1
            return bench.statistics.total("skein_proxy_spans_dropped_total", ["reason": "backlog"]) > 0
        }
        #expect(bench.sink.heldCount == 2)
        bench.sink.release()
        pump.stop()
        let dropped = bench.statistics.total("skein_proxy_spans_dropped_total")
        #expect(bench.statistics.total("skein_proxy_spans_total") + dropped == UInt64(sent))
        #expect(bench.sink.spans == sent - Int(dropped))
        #expect(bench.statistics.total("skein_access_log_lines_total") == UInt64(sent))
    }

    /// A thousand reloads while the store hangs may not queue a thousand batches.
    @Test func reloadsDoNotPileUpBatches() throws {
        var bench = Bench()
        bench.limits.batchesOutstandingMax = 2
        bench.sink.mode = .hold
        let plan = try bench.tracing()
        let pump = try bench.pump(plan)
        for index in 1...50 {
            put(recordBytes(sampled(UInt64(index)), exampleTexts()), into: bench.ring)
            #expect(pump.apply(plan))
        }
        #expect(bench.sink.heldCount == 2)
        bench.sink.release()
        pump.stop()
        #expect(bench.sink.spans == 50)
    }

    @Test(arguments: [(BatchRejection.overloaded, "overloaded"), (.unavailable(reason: "disk full"), "unavailable")])
    func refusedSpansAreCountedByReason(rejection: BatchRejection, reason: String) throws {
        var bench = Bench()
        bench.sink.mode = .fail(rejection)
        let pump = try bench.pump(try bench.tracing())
        for index in 1...3 { put(recordBytes(sampled(UInt64(index)), exampleTexts()), into: bench.ring) }
        pump.stop()
        #expect(bench.statistics.total("skein_proxy_spans_dropped_total", ["reason": reason]) == 3)
    }

    /// Two plans capture different headers; records of the first still wait when the second counts, and the other way round.
    @Test func recordsOfAnEarlierCaptureKeepTheirHeaders() throws {
        var bench = Bench()
        let path = bench.directory.path + "/log"
        func plan(_ format: String, _ history: inout CaptureHistory) throws -> CollectorPlan {
            try CollectorPlan(outbound: .init(outputs: [try textOutput(path, format)]), inbound: .init(), history: &history)
        }
        let first = try plan("%RESP(X-B)%", &bench.history)
        let second = try plan("%REQ(X-A)% %RESP(X-B)%", &bench.history)
        #expect(first.capture == HeaderCapture(responseHeaders: ["x-b"]))
        #expect(second.capture == HeaderCapture(requestHeaders: ["x-a"], responseHeaders: ["x-b"]))
        let pump = try bench.pump(first)
        #expect(pump.apply(second))
        put(recordBytes(exampleRecord(), exampleTexts() + ["b1"]), into: bench.ring)
        put(recordBytes(exampleRecord(), exampleTexts() + ["a2", "b2"]), into: bench.ring)
        pump.stop()
        #expect(bench.directory.read("log") == "- b1\na2 b2\n")
    }

    /// A log that the new plan no longer has still gets what was logged before.
    @Test func replacedPlanServesWhatWaitsFirst() throws {
        var bench = Bench()
        let pump = try bench.pump(try bench.tracing(format: "old %RESPONSE_CODE%"))
        for _ in 0..<100 { put(recordBytes(exampleRecord(), exampleTexts()), into: bench.ring) }
        #expect(pump.apply(CollectorPlan()))
        put(recordBytes(exampleRecord(), exampleTexts()), into: bench.ring)
        pump.stop()
        #expect(bench.directory.read("log") == String(repeating: "old 200\n", count: 100))
        #expect(!pump.apply(CollectorPlan()))
    }

    /// A ring entry that lies about its lengths is our bug, and must not be read past.
    @Test func malformedEntriesAreCounted() throws {
        var bench = Bench()
        let pump = try bench.pump(try bench.tracing(format: "%RESPONSE_CODE%"))
        put([1, 2, 3], into: bench.ring)
        put(recordBytes(exampleRecord(), exampleTexts()).dropLast(5) + [], into: bench.ring)
        put(recordBytes(exampleRecord(), exampleTexts()), into: bench.ring)
        pump.stop()
        #expect(bench.statistics.total("skein_records_dropped_total", ["reason": "malformed"]) == 2)
        #expect(bench.directory.read("log") == "200\n")
    }
}

@Suite struct CaptureHistoryTests {
    private func format(_ headers: [String]) throws -> AccessLogFormat {
        try AccessLogFormat.text(headers.map { "%REQ(\($0))%" }.joined(separator: " "))
    }

    /// The number of slots is what tells captures apart, so no two may have as many.
    @Test func everyCaptureHasMoreSlotsThanTheOneBefore() throws {
        var random = RandomSource(seed: 11)
        var history = CaptureHistory()
        for _ in 0..<200 {
            let headers = (0...random.below(3)).map { _ in "x-\(random.below(40))" }
            let capture = try history.adopt([try format(headers)])
            #expect(headers.allSatisfy { capture.slot(requestHeader: $0) != nil })
        }
        let counts = history.captures.map(CaptureHistory.count)
        #expect(counts == counts.sorted() && Set(counts).count == counts.count)
        #expect(counts.count > 2)
    }

    @Test func startsAgainWhenTheSumIsTooLarge() throws {
        var history = CaptureHistory()
        _ = try history.adopt([try format((0..<40).map { "x-\($0)" })])
        let second = try history.adopt([try format((0..<20).map { "y-\($0)" })])
        #expect(second.requestHeaders == (0..<20).map { "y-\($0)" })
        #expect(throws: CollectorPlanError.tooManyHeaders(49)) { try history.adopt([try format((0..<49).map { "z-\($0)" })]) }
        #expect(history.current == second)
    }
}
