import Foundation
import HTTPService
import Primitives
import QueryAPI
import Synchronization
import TelemetryModel
import TelemetryWire
import Testing

/// A page as a scraper reads it: every sample line by its text before the value.
struct ScrapedPage {
    var samples: [String: String] = [:]
    var duplicates: [String] = []
    var types: [String: String] = [:]

    init(_ bytes: [UInt8]) {
        for line in String(decoding: bytes, as: UTF8.self).split(separator: "\n") {
            if line.hasPrefix("# TYPE ") {
                let words = line.split(separator: " ")
                types[String(words[2])] = String(words[3])
            } else if !line.hasPrefix("#") {
                let plain = line.range(of: " # ").map { line[..<$0.lowerBound] } ?? line
                guard let space = plain.lastIndex(of: " ") else { continue }
                let name = String(plain[..<space])
                if samples.updateValue(String(plain[plain.index(after: space)...]), forKey: name) != nil { duplicates.append(name) }
            }
        }
    }
}

struct MetricsExpositionTests {
    /// Of productpage, asking reviews; `change`: of the source.
    static func labels(_ catalogs: Catalogs, _ change: (inout SourceLabels) -> Void = { _ in }) -> LabelPair {
        var source = SourceLabels()
        source.workload = "productpage-v1"
        source.canonicalService = "productpage"
        change(&source)
        var destination = DestinationLabels()
        destination.workload = "reviews-v2"
        destination.service = "reviews.default.svc.cluster.local"
        destination.serviceName = "reviews"
        destination.principal = "a \"quoted\"\\\nprincipal"
        return LabelPair(source: catalogs.sources.id(source), destination: catalogs.destination(destination))
    }

    static func sample(
        _ microseconds: UInt64, request: UInt64 = 200, response: UInt64 = 1500
    ) -> REDSample {
        var sample = REDSample()
        sample.durationMicroseconds = microseconds
        sample.requestBytes = request
        sample.responseBytes = response
        return sample
    }

    /// A sampled request of this series that ended then.
    static func record(_ key: SeriesKey, _ microseconds: UInt64, trace: UInt64, at milliseconds: UInt64) -> RequestRecord {
        var record = RequestRecord()
        record.labels = key.labels
        record.responseCode = key.responseCode
        record.flags = key.flags
        record.side = key.side
        record.isSampled = true
        record.traceID = TraceID(high: 0, low: trace)
        record.spanID = SpanID(trace)
        record.times.downstreamSendEnd = microseconds * 1000
        record.startUnixNanoseconds = milliseconds * 1_000_000 - microseconds * 1000
        return record
    }

    /// Two workers, both reporters, flags, an overflow and an exemplar: the page that the golden files hold.
    static func exposition(_ pool: QueryPool, tcp: [TCPSeries] = []) -> MetricsExposition {
        let catalogs = Catalogs()
        let shards = [REDShard(seriesMax: 16), REDShard(seriesMax: 16)]
        let labels = Self.labels(catalogs)
        let good = SeriesKey(labels: labels, responseCode: 200, flags: [], side: .outbound)
        let exemplars = RequestExemplars()
        shards[0].record(good, sample(400))
        exemplars.note(record(good, 400, trace: 0xABC, at: 1_790_000_000_123))
        shards[1].record(good, sample(7_200))
        exemplars.note(record(good, 7_200, trace: 0xDEF, at: 1_790_000_000_456))
        shards[1].record(good, sample(4_000_000_000, response: 4_000_000))
        shards[0].record(
            SeriesKey(labels: labels, responseCode: 503, flags: [.noHealthyUpstream, .upstreamRetryLimitExceeded], side: .inbound),
            sample(500))
        shards[0].record(SeriesKey(labels: .none, responseCode: 0, flags: .downstreamConnectionTermination, side: .outbound), sample(501))
        shards[0].record(SeriesKey(labels: .overflow, responseCode: 0, flags: [], side: .inbound), sample(1))
        return MetricsExposition(
            shards: shards, catalogs: catalogs, selfMetrics: SelfMetrics(), pool: pool, exemplars: exemplars, tcp: { tcp })
    }

    @Test func writesIstiosFamilies() throws {
        let pool = try QueryPool(threads: 1)
        defer { pool.stop() }
        var tcp = TCPSeries(labels: .none, side: .inbound, flags: .upstreamConnectionFailure)
        tcp.sentBytes = 10
        tcp.receivedBytes = 20
        tcp.connectionsOpened = 2
        tcp.connectionsClosed = 1
        let exposition = Self.exposition(pool, tcp: [tcp, tcp])
        try Fixtures.expectGolden("exposition.txt", try #require(exposition.exposition(.text)))
        try Fixtures.expectGolden("exposition.openmetrics.txt", try #require(exposition.exposition(.openMetrics)))
    }

    @Test func tcpFamiliesAppearOnlyWithSeries() throws {
        let pool = try QueryPool(threads: 1)
        defer { pool.stop() }
        let page = String(decoding: try #require(Self.exposition(pool).exposition(.text)), as: UTF8.self)
        #expect(!page.contains("istio_tcp"))
        let empty = MetricsExposition(shards: [], catalogs: Catalogs(), selfMetrics: SelfMetrics(), pool: pool)
        #expect(!String(decoding: try #require(empty.exposition(.text)), as: UTF8.self).contains("istio"))
    }

    /// Against an obvious model: whatever was recorded in whichever worker, each series' counter and its three `_count`s are the number of
    /// records, its `_sum`s their sums, and no series stands twice on the page.
    @Test func countsExactlyWhatWasRecorded() throws {
        let seed: UInt64 = 0x5EED_0021
        var random = RandomSource(seed: seed)
        let pool = try QueryPool(threads: 1)
        defer { pool.stop() }
        let catalogs = Catalogs()
        let shards = (0..<3).map { _ in REDShard(seriesMax: 4096) }
        // Identities 0 and 1 print alike, though they are different sets: "" and "unknown".
        let identities = (0..<12).map { number in
            Self.labels(catalogs) { $0.version = number == 0 ? "" : (number == 1 ? "unknown" : "v\(number)") }
        }
        var expected: [String: (requests: UInt64, microseconds: UInt64, bytes: UInt64)] = [:]
        for _ in 0..<5000 {
            let which = Int(random.below(12))
            let code = [0, 200, 404, 503][Int(random.below(4))]
            let flags: ResponseFlags = random.below(4) == 0 ? [.noRouteFound, .delayInjected] : []
            let side: ProxySide = random.below(2) == 0 ? .outbound : .inbound
            let sample = Self.sample(UInt64(random.below(90_000_000)), request: UInt64(random.below(5_000_000)))
            shards[Int(random.below(3))].record(
                SeriesKey(labels: identities[which], responseCode: UInt16(code), flags: flags, side: side), sample)
            let name = "\(which == 0 ? 1 : which)|\(code)|\(flags.rawValue)|\(side)"
            var sum = expected[name] ?? (0, 0, 0)
            sum.requests += 1
            sum.microseconds += sample.durationMicroseconds
            sum.bytes += sample.requestBytes
            expected[name] = sum
        }
        let exposition = MetricsExposition(shards: shards, catalogs: catalogs, selfMetrics: SelfMetrics(), pool: pool)
        for format in [ExpositionFormat.text, .openMetrics] {
            let page = ScrapedPage(try #require(exposition.exposition(format)))
            #expect(page.duplicates.isEmpty, "seed \(seed)")
            let counters = page.samples.filter { $0.key.hasPrefix("istio_requests_total{") }
            #expect(counters.count == expected.count, "seed \(seed)")
            #expect(counters.values.map { UInt64($0) ?? 0 }.sorted() == expected.values.map(\.requests).sorted(), "seed \(seed)")
            for (name, value) in counters {
                let labels = name.dropFirst("istio_requests_total".count)
                for family in ["istio_request_duration_milliseconds", "istio_request_bytes", "istio_response_bytes"] {
                    #expect(page.samples[family + "_count" + labels] == value, "seed \(seed)")
                    let infinity = family + "_bucket" + labels.dropLast() + ",le=\"+Inf\"}"
                    #expect(page.samples[infinity] == value, "seed \(seed)")
                }
            }
            let durations = page.samples.filter { $0.key.hasPrefix("istio_request_duration_milliseconds_sum") }.values.compactMap {
                Double($0)
            }
            let expectedDurations = expected.values.map { Double($0.microseconds) / 1000 }
            #expect(durations.sorted() == expectedDurations.sorted(), "seed \(seed)")
            let bytes = page.samples.filter { $0.key.hasPrefix("istio_request_bytes_sum") }.values.compactMap { UInt64($0) }
            #expect(bytes.sorted() == expected.values.map(\.bytes).sorted(), "seed \(seed)")
        }
    }

    /// One destination and many sources: each request is counted by both halves, and a peer's principal is shown with its own.
    @Test func joinsSourcesWithDestinations() throws {
        let pool = try QueryPool(threads: 1)
        defer { pool.stop() }
        let catalogs = Catalogs(sources: SourceCatalog(peersMax: 1))
        let known = Self.labels(catalogs)
        var peer = SourceLabels()
        peer.principal = "spiffe://cluster.local/ns/default/sa/curl"
        var stranger = SourceLabels()
        stranger.principal = "spiffe://cluster.local/ns/default/sa/stranger"
        let shard = REDShard(seriesMax: 16)
        for source in [known.source, catalogs.sources.id(ofPeer: peer), catalogs.sources.id(ofPeer: stranger)] {
            let labels = LabelPair(source: source, destination: known.destination)
            shard.record(SeriesKey(labels: labels, responseCode: 200, flags: [], side: .inbound), Self.sample(1))
        }
        let exposition = MetricsExposition(shards: [shard], catalogs: catalogs, selfMetrics: SelfMetrics(), pool: pool)
        let counters = ScrapedPage(try #require(exposition.exposition(.text))).samples.keys.filter { $0.hasPrefix("istio_requests_total") }
        #expect(counters.count == 3)
        #expect(counters.allSatisfy { $0.contains("destination_workload=\"reviews-v2\"") })
        #expect(counters.filter { $0.contains("source_principal=\"spiffe://cluster.local/ns/default/sa/curl\"") }.count == 1)
        #expect(counters.filter { $0.contains("source_workload=\"productpage-v1\"") }.count == 1)
        #expect(counters.filter { $0.contains("source_workload=\"unknown\"") && $0.contains("source_principal=\"unknown\"") }.count == 1)
    }

    @Test func overflowIsASeriesAndACount() throws {
        let pool = try QueryPool(threads: 1)
        defer { pool.stop() }
        let catalogs = Catalogs()
        let shard = REDShard(seriesMax: 6)
        for number in 0..<10 {
            let labels = Self.labels(catalogs) { $0.version = "v\(number)" }
            shard.record(SeriesKey(labels: labels, responseCode: 200, flags: [], side: .outbound), Self.sample(1))
        }
        let page = ScrapedPage(
            try #require(MetricsExposition(shards: [shard], catalogs: catalogs, selfMetrics: SelfMetrics(), pool: pool).exposition(.text)))
        let overflow = page.samples.filter { $0.key.hasPrefix("istio_requests_total{reporter=\"source\",source_workload=\"overflow\"") }
        #expect(overflow.map(\.value) == ["6"])
        #expect(overflow.keys.first?.contains("response_code=\"overflow\"") == true)
        #expect(page.samples["skein_metric_series"] == "5")
        #expect(page.samples["skein_metric_series_overflowed_total"] == "6")
    }

    /// An idle series leaves the page, its rows are offered to their workers until they are gone, and a late request brings it back.
    @Test func idleSeriesAreHiddenAndExpired() throws {
        let pool = try QueryPool(threads: 1)
        defer { pool.stop() }
        let clock = TestClock()
        let catalogs = Catalogs()
        let shards = [REDShard(seriesMax: 16), REDShard(seriesMax: 16)]
        let labels = Self.labels(catalogs)
        let idle = SeriesKey(labels: labels, responseCode: 200, flags: [], side: .outbound)
        let busy = SeriesKey(labels: labels, responseCode: 500, flags: [], side: .outbound)
        let overflow = SeriesKey(labels: .overflow, responseCode: 0, flags: [], side: .outbound)
        for shard in shards { shard.record(idle, Self.sample(1)) }
        shards[1].record(idle, Self.sample(1))
        shards[0].record(overflow, Self.sample(1))
        let exposition = MetricsExposition(
            shards: shards, catalogs: catalogs, selfMetrics: SelfMetrics(), pool: pool, idleExpirySeconds: 60, now: { clock.now })
        func counters() throws -> [String] {
            ScrapedPage(try #require(exposition.exposition(.text))).samples.filter { $0.key.hasPrefix("istio_requests_total") }.map(\.value)
                .sorted()
        }
        shards[0].record(busy, Self.sample(1))
        #expect(try counters() == ["1", "1", "3"])
        clock.advance(seconds: 59)
        shards[0].record(busy, Self.sample(1))
        #expect(try counters() == ["1", "2", "3"])
        #expect(exposition.idleRows().allSatisfy { $0.isEmpty })
        clock.advance(seconds: 1)
        #expect(try counters() == ["1", "2"])
        var expiries = exposition.idleRows()
        #expect(expiries.flatMap { $0.series.map(\.requests) } == [1, 2])
        #expect(expiries.allSatisfy { $0.series.allSatisfy { $0.key == idle } })
        // A request between the verdict and the worker's turn: the row stays, and is shown again.
        shards[1].record(idle, Self.sample(1))
        for (shard, idle) in zip(shards, expiries) { shard.expire(idle.series) }
        #expect(try counters() == ["1", "2", "3"])
        clock.advance(seconds: 61)
        expiries = exposition.idleRows()
        for (shard, idle) in zip(shards, expiries) { shard.expire(idle.series) }
        // As many requests as the rows had when they were freed are new ones all the same.
        for _ in 0..<2 { shards[1].record(idle, Self.sample(1)) }
        shards[0].record(idle, Self.sample(1))
        #expect(try counters() == ["1", "3"])
        clock.advance(seconds: 61)
        for (shard, idle) in zip(shards, exposition.idleRows()) { shard.expire(idle.series) }
        #expect(try counters() == ["1"], "only the overflow series never goes")
        #expect(exposition.idleRows().allSatisfy { $0.isEmpty })
    }

    @Test func negotiatesOverHTTP() throws {
        let server = try TestServer()
        server.metrics.registerProcess(version: "1.2.3")
        server.metrics.registerQueryPool(server.pool)
        let labels = Self.labels(server.catalogs)
        let key = SeriesKey(labels: labels, responseCode: 200, flags: [], side: .outbound)
        server.shard.record(key, Self.sample(900))
        server.exemplars.note(Self.record(key, 900, trace: 77, at: 5))
        for path in ["/metrics", "/stats/prometheus", "/prometheus"] {
            let text = try server.get(path)
            #expect(text.header("content-type") == "text/plain; version=0.0.4; charset=utf-8")
            #expect(!text.text.contains("# {trace_id") && !text.text.contains("# EOF"))
            let open = try server.send("GET", path, headers: [("Accept", "application/openmetrics-text;version=1.0.0,text/plain;q=0.5")])
            #expect(open.header("content-type") == "application/openmetrics-text; version=1.0.0; charset=utf-8")
            #expect(open.text.hasSuffix("# EOF\n"))
            #expect(open.text.contains("le=\"1.0\"} 1 # {trace_id=\"000000000000004d\",span_id=\"000000000000004d\"} 0.9 0.005\n"))
            #expect(ScrapedPage(text.body).samples["skein_build_info{version=\"1.2.3\"}"] == "1")
            #expect(ScrapedPage(text.body).samples["skein_queue_capacity{queue=\"query\"}"] == "128")
            #expect(try server.send("POST", path).status == 405)
            #expect(try server.send("HEAD", path).status == 200)
        }
    }

    /// promtool's linter on a page with everything in it. It may find fault only with names that are Istio's.
    @Test func promtoolAcceptsThePage() throws {
        let server = try TestServer()
        server.metrics.registerEverything(server)
        for side in [ProxySide.outbound, .inbound] {
            let labels = Self.labels(server.catalogs)
            server.shard.record(
                SeriesKey(labels: labels, responseCode: 200, flags: [.delayInjected, .upstreamOverflow], side: side),
                Self.sample(900))
        }
        let page = try server.get("/metrics").body
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/promtool")
        process.arguments = ["check", "metrics"]
        let input = Pipe()
        let output = Pipe()
        process.standardInput = input
        process.standardOutput = output
        process.standardError = output
        try process.run()
        input.fileHandleForWriting.write(Data(page))
        try input.fileHandleForWriting.close()
        let findings = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        let own = findings.split(separator: "\n").filter { !$0.hasPrefix("istio_request_duration_milliseconds ") }
        #expect(own.isEmpty, "\(findings)")
    }
}

final class TestClock: Sendable {
    private let nanoseconds = Atomic<UInt64>(1_000_000_000)
    var now: MonotonicInstant { MonotonicInstant(nanoseconds: nanoseconds.load(ordering: .relaxed)) }
    func advance(seconds: UInt64) { nanoseconds.wrappingAdd(seconds * 1_000_000_000, ordering: .relaxed) }
}

extension SelfMetrics {
    /// Every family that this target knows, with something in it.
    func registerEverything(_ server: TestServer) {
        registerProcess(version: "1.2.3")
        registerServer("query", server.server.statistics)
        registerQueryPool(server.pool)
        registerQueues { [QueueHealth(queue: "records", depth: 3, capacity: 4096)] }
        // The collector's own families, which the composition root registers; the end-to-end suite holds the real ones to the dashboards.
        register {
            [
                "receiver_spans", "receiver_spans_rejected", "proxy_spans", "proxy_spans_dropped", "records_dropped", "access_log_dropped",
                "exporter_spans_dropped",
            ]
                .map { name in
                    MetricSamples(
                        name: "skein_\(name)_total", help: "The collector's.", kind: .counter,
                        samples: [MetricSamples.Sample(labels: [("receiver", "zipkin"), ("reason", "malformed")], value: 1)])
                }
        }
        registerProxy([WorkerStatistics(), WorkerStatistics()])
        registerConfiguration { ConfigurationStatus() }
        server.store.state.withLock {
            $0.statistics.spansRefused = [.overloaded: 1]
            $0.statistics.quarantined = [.segment: 1]
        }
        registerStore(server.store)
    }
}
