@testable import Collector
import Primitives
import TelemetryModel
import Testing

/// Which calls between services a trace has, each once.
@Suite struct EdgePairingTests {
    @Test func aServerUnderAClientIsACall() throws {
        var bench = SpanMetricsBench()
        bench.observe(
            .client(1, "a").with { $0.duration = 300_000 }, .server(2, "b", under: 1, ("error", "")).with { $0.duration = 150_000 })
        #expect(try bench.edges() == ["a>b 1 failed 1"])
        let lines = try bench.lines("traces_service_graph_request_")
        #expect(lines.contains("traces_service_graph_request_server_seconds{client=a,server=b} [0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0.15]"))
        #expect(lines.contains("traces_service_graph_request_client_seconds{client=a,server=b} [0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0.3]"))
    }

    @Test func sidesMayComeInAnyOrderAndInDifferentBatches() throws {
        var bench = SpanMetricsBench()
        bench.observe(.server(2, "b", under: 1))
        bench.now += 9
        bench.observe(.client(1, "a"))
        #expect(try bench.edges() == ["a>b 1"])
        #expect(bench.metrics.pairing.openCount == 0)
    }

    @Test func anotherTracesSpanIsNoSide() throws {
        var bench = SpanMetricsBench()
        bench.observe(.client(1, "a"), .server(2, "b", under: 1).with { $0.trace = 2 })
        bench.now += 11
        #expect(try bench.edges() == [])
        #expect(bench.outcome(.unpaired) == 2)
    }

    @Test func zipkinsSharedSpansPair() throws {
        var bench = SpanMetricsBench()
        bench.observe(.client(5, "a", under: 1), .server(5, "b", under: 1).with { $0.isShared = true })
        // A root that forgot its flag.
        bench.observe(.client(7, "a").with { $0.trace = 2 }, .server(7, "c").with { $0.trace = 2 })
        #expect(try bench.edges() == ["a>b 1", "a>c 1"])
    }

    @Test func messagesConnectThroughTheirBroker() throws {
        var bench = SpanMetricsBench()
        bench.observe(
            SpanSketch(id: 1, kind: .producer, service: "a", remote: "kafka"),
            SpanSketch(id: 2, parent: 1, kind: .consumer, service: "b", remote: "kafka"))
        #expect(try bench.edges() == ["a>b/messaging_system 1"])
    }

    @Test(arguments: [
        ([("db.system", "postgresql")], "postgresql"), ([("db.system", "mysql"), ("db.name", "shop")], "shop"),
        ([("db.name", "old"), ("db.namespace", "new"), ("db.system.name", "mysql")], "new"), ([("db.system.name", "redis")], "redis"),
    ])
    func databasesAreNamedByTheirAttributes(_ tags: [(String, String)], _ name: String) throws {
        var bench = SpanMetricsBench()
        bench.observe(.client(1, "a", remote: "10-0-0-1.local").with { $0.tags = tags })
        #expect(try bench.edges() == ["a>\(name)/database 1"])
        bench.now += 20
        #expect(try bench.edges() == ["a>\(name)/database 1"])
    }

    @Test func aLoneClientThatNamesItsPeerCallsAVirtualNode() throws {
        var bench = SpanMetricsBench()
        bench.observe(.client(1, "a", remote: "payments.example"), .client(2, "a"))
        #expect(try bench.edges() == [])
        bench.now += 10
        #expect(try bench.edges() == ["a>payments.example/virtual_node 1"])
        #expect(bench.outcome(.unpaired) == 1)
    }

    @Test func aLoneServerAtTheRootWasCalledByTheUser() throws {
        var bench = SpanMetricsBench()
        bench.observe(
            .server(1, "a"), .server(2, "b", under: 9), .server(3, "c", remote: "old-app"),
            SpanSketch(id: 4, kind: .consumer, service: "d"))
        bench.now += 10
        #expect(try bench.edges() == ["old-app>c/virtual_node 1", "user>a/virtual_node 1"])
        #expect(bench.outcome(.user) == 1 && bench.outcome(.unpaired) == 2)
    }

    @Test func aServiceMayCallItself() throws {
        var bench = SpanMetricsBench()
        bench.observe(.client(1, "a"), .server(2, "a", under: 1))
        #expect(try bench.edges() == ["a>a 1"])
    }

    // MARK: Proxies

    /// The spans of one call from `a` to `b`, each the parent of the next, and what is to come of them.
    private static let chains: [(spans: [SpanSketch], edges: [String])] = {
        let app = SpanSketch.client(1, "a", remote: "b.svc.local")
        let outbound = SpanSketch.client(2, "a.default").proxied
        let inbound = SpanSketch.server(3, "b.default").proxied
        let other = SpanSketch.server(4, "b")
        return [
            ([app, outbound, inbound, other], ["a.default>b.default 1"]),
            ([app, outbound, inbound], ["a.default>b.default 1"]),
            ([outbound, inbound, other], ["a.default>b.default 1"]),
            ([outbound, inbound], ["a.default>b.default 1"]),
            ([app, outbound, other], ["a.default>b 1"]),
            ([app, inbound, other], ["a>b.default 1"]),
            ([app, other], ["a>b 1"]),
            // Nobody saw it arrive.
            ([app, outbound], ["a>b.svc.local/virtual_node 1"]),
            // Envoy with `spawn_upstream_span`: each proxy has a server and a client span.
            (
                [app, .server(5, "a.default").proxied, outbound, inbound, .client(6, "b.default").proxied, other],
                ["a.default>b.default 1"]
            ),
            // A gateway between is a service of its own.
            (
                [app, .server(7, "gateway.istio").proxied, .client(8, "gateway.istio").proxied, inbound, other],
                ["a>gateway.istio 1", "gateway.istio>b.default 1"]
            ),
        ]
    }()

    @Test(arguments: chains.indices)
    func aCallThroughProxiesIsCountedOnce(_ index: Int) throws {
        let chain = Self.chains[index]
        let spans = chain.spans.enumerated().map { place, span in
            span.with { $0.parent = place == 0 ? 100 : chain.spans[place - 1].id }
        }
        for seed in 0..<24 {
            var random = RandomSource(seed: UInt64(seed))
            var order = spans
            for place in order.indices.reversed() { order.swapAt(place, Int(random.below(UInt32(place + 1)))) }
            var bench = SpanMetricsBench()
            for span in order {
                bench.observe(span)
                bench.now += 0.5
            }
            bench.now += 11
            #expect(try bench.edges() == chain.edges, "seed \(seed): \(order.map(\.id))")
        }
    }

    @Test func aRootBehindASidecarIsTheUsersOnce() throws {
        for isLate in [false, true] {
            var bench = SpanMetricsBench()
            let (proxy, app) = (SpanSketch.server(1, "a.default").proxied, SpanSketch.server(2, "a", under: 1))
            if isLate { bench.observe(app, proxy) } else { bench.observe(proxy, app) }
            bench.now += 11
            #expect(try bench.edges() == ["user>a.default/virtual_node 1"])
        }
    }

    /// A database that is asked over HTTP, with a proxy in between that saw it answer.
    @Test func aDatabaseBehindProxiesIsCountedOnce() throws {
        var bench = SpanMetricsBench()
        bench.observe(.client(2, "a.default", under: 1).proxied, .server(3, "es.default", under: 2).proxied)
        bench.observe(.client(1, "a", ("db.system", "elasticsearch")))
        bench.now += 11
        #expect(try bench.edges() == ["a.default>es.default 1"])
        #expect(bench.outcome(.proxied) == 1)
    }

    // MARK: Bounds

    @Test func theOldestDoesNotWaitWhenThereAreTooMany() throws {
        var bench = SpanMetricsBench { $0.edgesOpenMax = 2 }
        bench.observe(.client(1, "a", remote: "x"), .client(2, "a", remote: "y"), .client(3, "a", remote: "z"))
        #expect(try bench.edges() == ["a>x/virtual_node 1"])
        #expect(bench.metrics.pairing.evicted == 1 && bench.metrics.pairing.openCount == 2)
        bench.observe(.server(4, "b", under: 3))
        #expect(try bench.edges() == ["a>b 1", "a>x/virtual_node 1"])
    }

    /// Random calls in random order against what is known of all of them. No half waits too long, so the order must not matter.
    @Test func randomTracesHaveTheCallsThatTheyWereMadeOf() throws {
        for _ in 0..<30 {
            let seed = UInt64.random(in: 0...UInt64.max)
            var random = RandomSource(seed: seed)
            var spans: [SpanSketch] = []
            var expected: [String: Int] = [:]
            for call in 0..<200 {
                let (id, from, to) = (UInt64(call) * 10 + 1, "s\(random.below(5))", "s\(random.below(5))")
                let trace = UInt64(random.below(20))
                func add(_ span: SpanSketch) { spans.append(span.with { $0.trace = trace }) }
                func expect(_ edge: String) { expected[edge, default: 0] += 1 }
                switch random.below(6) {
                case 0:
                    add(.client(id, from, under: 5))
                    add(.server(id + 1, to, under: id))
                    expect("\(from)>\(to)")
                case 1:
                    add(.client(id, from, remote: "peer"))
                    expect("\(from)>peer/virtual_node")
                case 2:
                    add(.server(id, to))
                    expect("user>\(to)/virtual_node")
                case 3:
                    add(.client(id, from, ("db.name", "db")))
                    expect("\(from)>db/database")
                case 4:
                    add(.client(id, from, remote: "peer"))
                    add(.client(id + 1, "\(from).ns", under: id).proxied)
                    add(.server(id + 2, "\(to).ns", under: id + 1).proxied)
                    add(.server(id + 3, to, under: id + 2))
                    expect("\(from).ns>\(to).ns")
                default:
                    add(.client(id, from))
                    add(.server(id, to).with { $0.isShared = true })
                    expect("\(from)>\(to)")
                }
            }
            for place in spans.indices.reversed() { spans.swapAt(place, Int(random.below(UInt32(place + 1)))) }
            var bench = SpanMetricsBench()
            for span in spans { bench.observe(span) }
            bench.now += 11
            #expect(try bench.edges() == expected.map { "\($0.key) \($0.value)" }.sorted(), "seed \(seed)")
            #expect(bench.metrics.pairing.openCount == 0, "seed \(seed)")
        }
    }
}
