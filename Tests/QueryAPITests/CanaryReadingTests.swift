import CanaryAnalysis
import Matching
import Primitives
import PromQL
import Synchronization
import TelemetryModel
import TelemetryWire
import Testing

@testable import QueryAPI

private let v1 = "outbound|80|v1|shop.default.svc.cluster.local"
private let v2 = "outbound|80|v2|shop.default.svc.cluster.local"

private func question(_ text: String) throws -> CanaryQuestion { try CanaryQuestion(specification: text) }

private func reader(_ series: [SeriesSamples], _ routes: [WeightedRoute] = []) -> CanaryReader {
    CanaryReader(store: CanarySeries(series), routes: { resource in routes.filter { $0.resource == resource } }, isInterrupted: { nil })
}

private let hour = StepWindow(start: CanarySeries.second, length: 10_000, count: 60)

/// From samples of counters to steps. A count that is taken twice, or lost, makes a verdict that nothing supports.
@Suite struct CanaryReadingTests {
    @Test func eachIncreaseCountsOnceInItsStep() throws {
        let found = try #require(
            try reader(CanarySeries.cluster(v1, each: 90, failed: 2) + CanarySeries.cluster(v2, each: 10))
                .read(question("route=checkout"), hour))
        #expect(found.pair.canary.name == "v2 of shop.default.svc.cluster.local:80" && found.steps.count == 60)
        #expect(found.bounds == [5, 10, 25, 50])
        for step in found.steps {
            #expect(step.stable == DestinationCounts(requests: 90, errors: 2, buckets: [0, 0, 90, 0, 0], latencySum: 1800))
            #expect(step.canary == DestinationCounts(requests: 10, buckets: [0, 0, 10, 0, 0], latencySum: 200))
        }
    }

    /// Against an obvious model: sum of all increases from the sample before each step's first.
    @Test func increasesOfARandomCounterAreWholeAndExact() {
        var random = RandomSource(seed: 8)
        for round in 0..<300 {
            var samples = SeriesSamples(labels: LabelSet("requests_total"))
            var expected = Array(repeating: 0.0, count: 12)
            var (time, value, last) = (Int64(-50_000), 0.0, Double?.none)
            while time < 130_000 {
                time += Int64(1 + random.below(9_000))
                value = random.below(12) == 0 ? Double(random.below(5)) : value + Double(random.below(20))
                samples.times.append(time)
                if random.below(15) == 0 {
                    samples.values.append(random.below(2) == 0 ? SeriesSamples.staleMarker : -.infinity)
                    continue
                }
                samples.values.append(value)
                if let before = last, time > 0, time <= 120_000 {
                    expected[Int((time - 1) / 10_000)] += value >= before ? value - before : value
                }
                last = value
            }
            var found = Array(repeating: 0.0, count: 12)
            let window = StepWindow(start: 0, length: 10_000, count: 12)
            for (step, increase) in StepCounters.increases(samples, window) { found[step] += increase }
            #expect(found == expected, "seed 8, round \(round)")
        }
    }

    /// A long time is read in parts; what was counted over a longer silence than five minutes is of no step.
    @Test func partsOfALongTimeLeaveNothingOut() throws {
        let window = StepWindow(start: CanarySeries.second, length: 10_000, count: 1000)
        let series = CanarySeries.cluster(v1, each: 90, count: 1000) + CanarySeries.cluster(v2, each: 10, count: 1000)
        let found = try #require(try reader(series).read(question("route=checkout"), window))
        #expect(found.steps.count == 1000 && found.steps.allSatisfy { $0.stable.requests == 90 && $0.canary.buckets == [0, 0, 10, 0, 0] })
        let silent = SeriesSamples(labels: LabelSet("x"), times: [0, 10_000, 310_000, 610_001, 620_000], values: [0, 1, 3, 7, 15])
        let increases = StepCounters.increases(silent, StepWindow(start: 0, length: 10_000, count: 100))
        #expect(increases.map(\.step) == [0, 30, 61] && increases.map(\.increase) == [1, 2, 8])
    }

    @Test func requestsNobodyAnsweredAreNeitherOfBoth() throws {
        let left = CanarySeries.counter(
            "skein_route_requests_total", [("route", "checkout"), ("cluster", v2), ("outcome", "unanswered")], each: 5, count: 60)
        let found = try #require(
            try reader(CanarySeries.cluster(v1, each: 90) + CanarySeries.cluster(v2, each: 10) + [left])
                .read(question("route=checkout"), hour))
        #expect(found.steps.allSatisfy { $0.canary.requests == 10 && $0.canary.errors == 0 })
    }

    /// Of the two proxies of a request only one is counted, the client's, and the same one for both versions.
    @Test func ofTwoReportersOneIsCounted() throws {
        func version(_ version: String, _ reporter: String, _ each: Double, code: String = "200") -> SeriesSamples {
            CanarySeries.counter(
                "istio_requests_total",
                [
                    ("destination_service", "shop.default.svc.cluster.local"), ("destination_version", version), ("reporter", reporter),
                    ("response_code", code), ("request_protocol", "http"),
                ], each: each, count: 60)
        }
        let both = [version("v1", "source", 90), version("v2", "source", 10), version("v2", "source", 1, code: "503")]
        // The server's proxy has not seen the requests that reached nobody.
        let servers = [version("v1", "destination", 90), version("v2", "destination", 10)]
        let found = try #require(try reader(both + servers).read(question("service=shop.default,canary=v2,stable=v1"), hour))
        #expect(found.steps.allSatisfy { $0.canary.requests == 11 && $0.canary.errors == 1 && $0.stable.requests == 90 })
        // With most clients outside of the mesh, the server's is believed.
        let outside = [version("v1", "source", 9), version("v2", "source", 1)] + servers
        let known = try #require(try reader(outside).read(question("service=shop,canary=v2,stable=v1"), hour))
        #expect(known.steps.allSatisfy { $0.canary.requests == 10 && $0.stable.requests == 90 })
        #expect(try reader(both).read(question("service=shopping,canary=v2,stable=v1"), hour) == nil)
    }

    @Test func theSmallerWeightIsTheCanarys() throws {
        let routes = [
            WeightedRoute(
                resource: "default/shop", name: "checkout",
                clusters: [WeightedRoute.Cluster(name: v1, weight: 10), WeightedRoute.Cluster(name: v2, weight: 90)])
        ]
        // More requests came to the smaller weight: it was another before.
        let series = CanarySeries.cluster(v1, each: 90) + CanarySeries.cluster(v2, each: 10)
        let found = try #require(try reader(series, routes).read(question("route=default/shop"), hour))
        #expect(found.pair.canary == .atCluster(v1, route: "checkout"))
        let told = try #require(try reader(series, routes).read(question("route=default/shop/checkout,canary=v2"), hour))
        #expect(told.pair.canary == .atCluster(v2, route: "checkout"))
        // Without requests it is known which two they are.
        let silent = try #require(try reader([], routes).read(question("route=default/shop"), hour))
        #expect(silent.steps.allSatisfy { $0.canary.requests == 0 })
    }

    @Test(arguments: [
        ("route=default/shop", "has no VirtualService default/shop"), ("route=other/two", "has several weighted routes: a, b"),
        ("route=other/three", "say which are meant with canary and stable: "), ("route=other/even", "both have the same weight"),
        ("route=other/even,canary=v9", "what is asked for is not among them"), ("route=checkout,canary=shop", "may be any of"),
        ("route=checkout", "both had about as many requests"),
    ])
    func whatIsNotClearIsSaid(_ text: String, _ answer: String) throws {
        func route(_ resource: String, _ name: String, _ weights: [UInt32]) -> WeightedRoute {
            WeightedRoute(
                resource: resource, name: name,
                clusters: weights.enumerated().map { WeightedRoute.Cluster(name: "outbound|80|v\($0.offset)|shop", weight: $0.element) })
        }
        let routes = [
            route("other/two", "a", [1, 9]), route("other/two", "b", [1, 8]), route("other/three", "a", [1, 2, 3]),
            route("other/even", "a", [1, 1]),
        ]
        let series = CanarySeries.cluster(v1, each: 50) + CanarySeries.cluster(v2, each: 50)
        let problem = #expect(throws: CanaryProblem.self) { try reader(series, routes).read(question(text), hour) }
        #expect(problem?.text.contains(answer) == true && problem?.isBadRequest == true, "\(problem?.text ?? "")")
    }

    /// A route through which everything goes: most destinations are named, then it is refused; neither time nor memory grows further.
    @Test func aHugeNumberOfDestinationsIsRefused() throws {
        let series = (0..<20_000).map { number in
            CanarySeries.counter(
                "skein_route_requests_total", [("route", "default"), ("cluster", "outbound|80||host-\(number)"), ("outcome", "success")],
                each: 1, count: 2)
        }
        let error = #expect(throws: PromQLError.self) { try reader(series).read(question("route=default"), hour) }
        #expect(error?.message.contains("more than \(CanaryDestinations.placesMax) destinations") == true)
        // The host leaves two of them: no matter how many others there are.
        let two = CanarySeries.cluster("outbound|80|v1|shop", route: "default", each: 90)
            + CanarySeries.cluster("outbound|80|v2|shop", route: "default", each: 10)
        #expect(try reader(series + two).read(question("route=default,host=shop"), hour) != nil)
    }

    @Test func histogramsOfManyBoundsAreRefused() throws {
        let buckets = (0..<2_000).map { number in
            CanarySeries.counter(
                "skein_route_request_duration_milliseconds_bucket", [("route", "checkout"), ("cluster", v1), ("le", "\(number).5")],
                each: 1, count: 60)
        }
        let series = CanarySeries.cluster(v1, each: 90) + CanarySeries.cluster(v2, each: 10)
        #expect(throws: PromQLError.self) { try reader(series + buckets).read(question("route=checkout"), hour) }
    }

    @Test func anInterruptedQuestionEnds() throws {
        let reader = CanaryReader(store: CanarySeries(CanarySeries.cluster(v1, each: 1)), routes: { _ in [] }, isInterrupted: { .timedOut })
        #expect(throws: PromQLError.timedOut) { try reader.read(question("route=checkout"), hour) }
    }

    @Test func aNameInAnExpressionIsItself() throws {
        for name in ["shop.default", "a+b(c", "[x]*", "ü.例え", "$^|\\"] {
            let matcher = try LabelMatcher("x", .matches, CanaryReader.literal(name))
            #expect(matcher.accepts(name) && !matcher.accepts(name + "x") && !matcher.accepts("shopXdefault"), "\(name)")
        }
    }
}

/// What an answer looks back on.
@Suite struct CanaryWindowTests {
    private static let now: Int64 = 1_700_000_123_456

    private static func window(_ parameters: [(name: String, value: String)]) throws -> (window: StepWindow, isFixed: Bool) {
        let question = try CanaryQuestion(parameters + [("route", "a")], others: ["start", "since"])
        return try CanaryAPI.stepWindow(question, PrometheusParameters(values: parameters), now: now)
    }

    @Test func stepsAreWholeAndOver() throws {
        let (window, isFixed) = try Self.window([])
        #expect(window.start % 10_000 == 0 && window.end <= Self.now - 10_000 && window.end > Self.now - 30_000 && !isFixed)
        #expect(window.count == 359 && window.start <= Self.now - 3_600_000)
        // The same start has the same steps ten seconds later, and one more.
        let first = try Self.window([("start", "1700000000")])
        #expect(first.isFixed && first.window.start == 1_700_000_000_000 && first.window.count == 11)
    }

    @Test func aDayHasNoMoreStepsThanAllowed() throws {
        let (window, _) = try Self.window([("since", "24h"), ("step", "1s")])
        #expect(window.count <= CanaryLimits.stepsMax && window.length == 24_000 && window.end <= Self.now - window.length)
    }

    @Test(arguments: [
        [("start", "1800000000")], [("start", "1")], [("since", "2d")], [("since", "1s")], [("start", "nonsense")],
        [("start", "1700000000"), ("since", "1h")], [("since", "-1h")], [("start", "-9e15")],
    ])
    func timesThatMakeNoSenseAreRefused(_ parameters: [(name: String, value: String)]) {
        #expect(throws: CanaryProblem.self) { try Self.window(parameters) }
    }
}

/// Canaries that are judged all the time.
@Suite struct CanaryWatchTests {
    private static let start = CanarySeries.second

    private static func watch(_ series: [SeriesSamples], said: @escaping @Sendable (String) -> Void = { _ in }) throws -> CanaryWatch {
        CanaryWatch([try question("route=checkout,canary=v2")], store: CanarySeries(series), routes: { _ in [] }, now: start, say: said)
    }

    private static func verdict(_ watch: CanaryWatch) -> String? {
        watch.metricSamples().first { $0.family.name == "skein_canary_verdict" }?.samples.first { $0.value == 1 }?.labels.last?.value
    }

    @Test func verdictsComeAsTimeGoesByAndAreSaidOnce() throws {
        let lines = Mutex<[String]>([])
        let series = CanarySeries.cluster(v1, each: 90, count: 400) + CanarySeries.cluster(v2, each: 10, failed: 5, count: 60)
        let watch = try Self.watch(series) { line in lines.withLock { $0.append(line) } }
        watch.look(now: Self.start + 40_000)
        #expect(Self.verdict(watch) == "wait")
        for step in 5..<60 { watch.look(now: Self.start + Int64(step) * 10_000) }
        #expect(Self.verdict(watch) == "rollback")
        #expect(lines.withLock { $0 } == ["canary of route checkout: rollback, errors: 50 % of the canary's requests against 0 % failed"])
        // Ten minutes after its last request it is gone, and the next one begins anew.
        for step in 60..<130 { watch.look(now: Self.start + Int64(step) * 10_000) }
        #expect(Self.verdict(watch) == "no_data" && lines.withLock { $0.count } == 1)
    }

    /// v2 is promoted, becomes the stable version, and v3 comes: a judgement that still held v2 for the canary would never see it.
    @Test func theNextCanaryBeginsAnewWhenTheConfigurationNamesIt() throws {
        let v3 = "outbound|80|v3|shop.default.svc.cluster.local"
        let later = Self.start + 1_000_000
        let series = CanarySeries.cluster(v1, each: 90, count: 99) + CanarySeries.cluster(v2, each: 10, count: 300)
            + CanarySeries.cluster(v3, each: 10, failed: 5, count: 200, from: later)
        let routes = Mutex<[WeightedRoute]>([])
        func configure(_ clusters: (String, UInt32)...) {
            let all = clusters.map { WeightedRoute.Cluster(name: $0.0, weight: $0.1) }
            routes.withLock { $0 = [WeightedRoute(resource: "default/shop", name: "checkout", clusters: all)] }
        }
        let lines = Mutex<[String]>([])
        let watch = CanaryWatch(
            [try question("route=default/shop")], store: CanarySeries(series), routes: { _ in routes.withLock { $0 } }, now: Self.start
        ) { line in lines.withLock { $0.append(line) } }
        func look(_ steps: Range<Int>) { for step in steps { watch.look(now: Self.start + Int64(step) * 10_000) } }
        configure((v1, 90), (v2, 10))
        look(2..<100)
        #expect(Self.verdict(watch) == "promote")
        configure((v2, 100))
        look(100..<102)
        #expect(Self.verdict(watch) == "no_data" && lines.withLock { $0.last }?.contains("is not judged: ") == true)
        configure((v2, 90), (v3, 10))
        look(102..<130)
        #expect(Self.verdict(watch) == "rollback")
        #expect(watch.metricSamples().first { $0.family.name == "skein_canary_look_failures_total" }?.samples.first?.value == 0)
    }

    @Test func onceOrInManyLooksItIsTheSame() throws {
        let series = CanarySeries.cluster(v1, each: 90, count: 300) + CanarySeries.cluster(v2, each: 10, count: 300)
        let often = try Self.watch(series)
        for step in 1...300 { often.look(now: Self.start + Int64(step) * 10_000) }
        let once = try Self.watch(series)
        once.look(now: Self.start + 3_000_000)
        func numbers(_ watch: CanaryWatch) -> [Double] { watch.metricSamples().flatMap { $0.samples.map(\.value) } }
        #expect(numbers(often) == numbers(once) && Self.verdict(once) == "promote")
    }

    @Test func aStoreThatFailsIsSaidOnceAndCounted() throws {
        let lines = Mutex<[String]>([])
        let store = CanarySeries([], failure: .unavailable(reason: "closed"))
        let watch = CanaryWatch([try question("route=checkout")], store: store, routes: { _ in [] }, now: Self.start) { line in
            lines.withLock { $0.append(line) }
        }
        for step in 2..<12 { watch.look(now: Self.start + Int64(step) * 10_000) }
        #expect(lines.withLock { $0.count } == 1)
        #expect(watch.metricSamples().first { $0.family.name == "skein_canary_look_failures_total" }?.samples.first?.value == 10)
    }
}
