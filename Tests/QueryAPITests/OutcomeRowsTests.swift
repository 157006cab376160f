import Primitives
import QueryAPI
import Synchronization
import TelemetryModel
import TelemetryWire
import Testing

/// Rows of routes and endpoints go when nobody uses them, and no request is counted twice or not at all for it.
@Suite struct OutcomeRowsTests {
    /// What a reader of the page makes of it: increases, with a counter that falls or is new beginning from zero (PromQL's `increase`,
    /// and what the store takes for an increase of a series that it has never seen).
    private struct Reader {
        private static let name = Array("skein_endpoint_requests_total{".utf8)
        private var last: [ArraySlice<UInt8>: UInt64] = [:]
        private(set) var increase: UInt64 = 0

        mutating func read(_ page: [UInt8]) {
            var now: [ArraySlice<UInt8>: UInt64] = [:]
            for line in page.split(separator: UInt8(ascii: "\n")) where line.starts(with: Self.name) {
                guard let space = line.lastIndex(of: UInt8(ascii: " ")) else { continue }
                let value = UInt64(String(decoding: line[(space + 1)...], as: UTF8.self)) ?? 0
                let before = last[line[..<space]] ?? 0
                increase += value >= before ? value - before : value
                now[line[..<space]] = value
            }
            last = now
        }

        var series: Int { last.count }
    }

    private static func endpoint(_ number: Int) -> OutcomeKey {
        OutcomeKey(cluster: NameID(1), endpoint: SocketEndpoint(ipv4: UInt32(number), port: 8080))
    }

    /// Two thousand pods live for four minutes each, 40 new ones every two minutes: each has a series of its own while it lives, and five
    /// minutes longer. Without expiry, most of them would be `overflow`.
    @Test func moreEndpointsInTwoHoursThanThereAreRows() throws {
        let pool = try QueryPool(threads: 1)
        defer { pool.stop() }
        let clock = TestClock()
        let shards = [OutcomeShard(rowsMax: 400), OutcomeShard(rowsMax: 400)]
        let known = Mutex(KnownDestinations())
        let exposition = MetricsExposition(
            shards: [], catalogs: Catalogs(), selfMetrics: SelfMetrics(), pool: pool,
            outcomes: OutcomeShards(endpoints: shards, known: { known.withLock { $0 } }), now: { clock.now })
        let seed = UInt64.random(in: 0...UInt64.max)
        var random = RandomSource(seed: seed)
        var reader = Reader()
        var recorded: UInt64 = 0
        for step in 0..<55 {
            let living = (min(2_000, max(0, step - 2) * 40)..<min(2_000, (step + 1) * 40)).map(Self.endpoint)
            known.withLock { $0.endpoints = Set(living) }
            // Sometimes too late for the configuration: what began under an older one.
            for key in living + [Self.endpoint(max(0, step - 4) * 40)] {
                let requests = Int(random.below(4))
                for _ in 0..<requests {
                    shards[Int(random.below(2))].record(key, .success, durationMicroseconds: 700, retries: 0)
                }
                recorded += UInt64(requests)
            }
            reader.read(try #require(exposition.exposition(.text)))
            guard reader.increase == recorded else {
                Issue.record("seed \(seed), step \(step): \(reader.increase) requests of \(recorded)")
                return
            }
            #expect(reader.series <= 40 * (3 + 3) + 4, "seed \(seed), step \(step)")
            for (shard, idle) in zip(shards, exposition.idleRows()) { shard.expire(idle.endpoints) }
            clock.advance(seconds: 120)
        }
        #expect(shards.allSatisfy { $0.overflowed.load(ordering: .relaxed) == 0 })
    }

    /// What a configuration knows is kept for an hour without a request, and comes back with its count if its worker still has it.
    @Test func knownOnesStayForAnHour() throws {
        let pool = try QueryPool(threads: 1)
        defer { pool.stop() }
        let clock = TestClock()
        let catalogs = Catalogs()
        let routes = OutcomeShard(rowsMax: 10)
        let route = catalogs.name("reviews")
        let cluster = catalogs.name("v1")
        let gone = OutcomeKey(route: catalogs.name("old"), cluster: cluster)
        let kept = OutcomeKey(route: route, cluster: cluster)
        var known = KnownDestinations()
        known.routes = [route]
        known.clusters = [cluster]
        let exposition = MetricsExposition(
            shards: [], catalogs: catalogs, selfMetrics: SelfMetrics(), pool: pool,
            outcomes: OutcomeShards(routes: [routes], known: { [known] in known }), now: { clock.now })
        func counters() throws -> [String: String] {
            let page = ScrapedPage(try #require(exposition.exposition(.text))).samples
            return page.filter { $0.key.hasPrefix("skein_route_requests_total") }.reduce(into: [:]) { found, sample in
                found[String(sample.key.split(separator: "\"")[1])] = sample.value
            }
        }
        for key in [gone, kept, .overflow] { routes.record(key, .success, durationMicroseconds: 1, retries: 0) }
        #expect(try counters() == ["old": "1", "reviews": "1", "overflow": "1"])
        clock.advance(seconds: 300)
        #expect(try counters() == ["reviews": "1", "overflow": "1"])
        var idle = exposition.idleRows()
        #expect(idle.flatMap(\.routes).map(\.key) == [gone])
        // A request between the verdict and the worker's turn: the row stays.
        routes.record(gone, .failure, durationMicroseconds: 1, retries: 0)
        routes.expire(idle[0].routes)
        let back = try counters()
        #expect(back["old"] == "1", "one success and one failure, each a series")
        clock.advance(seconds: 3300)
        #expect(try counters() == ["overflow": "1"])
        idle = exposition.idleRows()
        #expect(Set(idle.flatMap(\.routes).map(\.key)) == [gone, kept])
        routes.expire(idle[0].routes)
        routes.record(kept, .success, durationMicroseconds: 1, retries: 0)
        #expect(try counters() == ["reviews": "1", "overflow": "1"], "from zero")
        #expect(exposition.idleRows().allSatisfy { $0.isEmpty }, "only the overflow row never goes")
    }

    @Test func whatAConfigurationKnows() {
        var known = KnownDestinations()
        known.routes = [NameID(1)]
        known.clusters = [NameID(2), NameID(3)]
        known.openClusters = [NameID(3)]
        let address = SocketEndpoint(ipv4: 1, port: 1)
        known.endpoints = [OutcomeKey(cluster: NameID(2), endpoint: address)]
        #expect(known.knows(OutcomeKey(route: NameID(1), cluster: NameID(2))))
        #expect(known.knows(OutcomeKey(route: NameID(1), cluster: .none)), "a route that answers itself")
        #expect(!known.knows(OutcomeKey(route: NameID(4), cluster: NameID(2))))
        #expect(!known.knows(OutcomeKey(route: NameID(1), cluster: NameID(4))))
        #expect(known.knows(OutcomeKey(cluster: NameID(2), endpoint: address)))
        #expect(!known.knows(OutcomeKey(cluster: NameID(2), endpoint: SocketEndpoint(ipv4: 2, port: 1))))
        #expect(known.knows(OutcomeKey(cluster: NameID(3), endpoint: SocketEndpoint(ipv4: 2, port: 1))), "an address that clients dial")
    }
}
