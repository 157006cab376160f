internal import CanaryAnalysis
internal import Matching
internal import PromQL
internal import TelemetryModel

/// Reads what a judge needs from the store of series. Blocks on the disk; any thread.
struct CanaryReader {
    /// Routes of the configuration with this `NAMESPACE/VIRTUALSERVICE`.
    typealias Routes = @Sendable (_ resource: String) -> [WeightedRoute]

    let store: any SeriesQuerying
    let routes: Routes
    let isInterrupted: () -> PromQLInterruption?

    private enum Family {
        static let route = (requests: "skein_route_requests_total", latency: "skein_route_request_duration_milliseconds")
        static let service = (requests: "istio_requests_total", latency: "istio_request_duration_milliseconds")
    }

    /// Both destinations step by step. `bounds`: of all steps' buckets, ascending.
    struct Comparison {
        var pair: CanaryPair
        var bounds: [Double]
        var steps: [CanaryStep]
    }

    /// What the configuration says of a route that is named by its resource; nil where the series alone decide.
    func weightedRoute(_ question: CanaryQuestion) throws(CanaryProblem) -> WeightedRoute? {
        guard case .route(let name, _) = question.subject, name.contains("/") else { return nil }
        let parts = name.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        guard (2...3).contains(parts.count), parts.allSatisfy({ !$0.isEmpty }) else {
            throw .badRequest("write route=NAMESPACE/VIRTUALSERVICE or NAMESPACE/VIRTUALSERVICE/ROUTE")
        }
        let resource = "\(parts[0])/\(parts[1])"
        var found: [WeightedRoute] = []
        for route in routes(resource) where route.clusters.count > 1 && (parts.count == 2 || route.name == parts[2]) {
            if !found.contains(route) { found.append(route) }
        }
        guard let first = found.first else {
            throw .badRequest(
                "the configuration here has no VirtualService \(resource) with a weighted route"
                    + (parts.count == 3 ? " \(parts[2])" : "") + ": name the route as its series do, with its host")
        }
        guard found.count == 1 else {
            let names = found.prefix(8).map(\.name).joined(separator: ", ")
            throw .badRequest("\(resource) has several weighted routes: \(names); add the name of one")
        }
        return first
    }

    /// Nil = one of the destinations is not there, or had no requests. `known`: the pair of an earlier look, which only a changed
    /// configuration replaces.
    func read(_ question: CanaryQuestion, _ window: StepWindow, known: CanaryPair? = nil) throws -> Comparison? {
        let weights = try weightedRoute(question)
        let source = try store.openSource()
        var counters = StepCounters(source, window)
        var destinations = CanaryDestinations(window)
        let family = question.isService ? Family.service : Family.route
        try counters.read(family.requests, try labelConditions(question, weights), isInterrupted: isInterrupted) {
            (labels, increases) throws(PromQLError) in
            if Self.isMeant(labels, question, weights) { try destinations.take(labels, increases) }
        }
        let places = destinations.places.filter { $0.requests > 0 }
        let kept = weights == nil ? known : nil
        guard let pair = try kept ?? CanaryPair.findPair(question, places, weights: weights) else { return nil }
        let reporter = destinations.believedReporter(of: [pair.stable, pair.canary])
        var stable = CanaryLatencies(window)
        var canary = CanaryLatencies(window)
        try read(&stable, of: pair.stable, reporter, family.latency, &counters)
        try read(&canary, of: pair.canary, reporter, family.latency, &counters)
        let bounds = stable.bounds.union(canary.bounds).sorted()
        let steps = (0..<window.count).map { index in
            var step = CanaryStep(
                end: window.end(of: index), stable: destinations.stepCounts(of: pair.stable, reporter: reporter, step: index),
                canary: destinations.stepCounts(of: pair.canary, reporter: reporter, step: index))
            stable.fillLatencies(&step.stable, step: index, bounds: bounds)
            canary.fillLatencies(&step.canary, step: index, bounds: bounds)
            return step
        }
        return Comparison(pair: pair, bounds: bounds, steps: steps)
    }

    private func read(
        _ latencies: inout CanaryLatencies, of place: CanaryPlace, _ reporter: String, _ family: String, _ counters: inout StepCounters
    ) throws {
        var conditions: [LabelMatcher] = []
        let values = [
            ("route", place.route), ("cluster", place.cluster), ("destination_service", place.service),
            ("destination_version", place.version), ("reporter", reporter.isEmpty ? nil : reporter),
        ]
        for case (let name, let value?) in values { conditions.append(try LabelMatcher(name, .equal, value)) }
        var taken = latencies
        try counters.read(family + "_bucket", conditions, isInterrupted: isInterrupted) { (labels, increases) throws(PromQLError) in
            try taken.take(bucket: labels, increases)
        }
        try counters.read(family + "_sum", conditions, isInterrupted: isInterrupted) { (_, increases) throws(PromQLError) in
            taken.take(sum: increases)
        }
        latencies = taken
    }

    private func labelConditions(_ question: CanaryQuestion, _ weights: WeightedRoute?) throws -> [LabelMatcher] {
        switch question.subject {
        case .route(let name, _):
            // What a proxy hands to its own workload its clients' proxies have counted.
            [
                try LabelMatcher("route", .equal, weights?.name ?? name), try LabelMatcher("cluster", .matchesNot, "inbound[|].*"),
                try LabelMatcher("cluster", .notEqual, ""),
            ]
        case .service(let name): [try LabelMatcher("destination_service", .matches, Self.literal(name) + "([.].*)?")]
        }
    }

    /// An expression (RE2) for exactly this text.
    static func literal(_ text: String) -> String {
        text.unicodeScalars.reduce(into: "") { result, scalar in
            let isPlain = !scalar.isASCII || scalar.properties.isAlphabetic || ("0"..."9").contains(scalar) || scalar == "-"
            result += isPlain ? String(scalar) : "\\x{\(String(scalar.value, radix: 16))}"
        }
    }

    private static func isMeant(_ labels: LabelSet, _ question: CanaryQuestion, _ weights: WeightedRoute?) -> Bool {
        if let weights { return weights.clusters.contains { $0.name == labels["cluster"] } }
        guard case .route(let route, let host?) = question.subject else { return true }
        let own = CanaryPlace.atCluster(labels["cluster"] ?? "", route: route).host
        return own == host || own.hasPrefix(host + ".")
    }
}

extension CanaryQuestion {
    var isService: Bool { if case .service = subject { true } else { false } }
}
