/// Which two destinations are compared, and how it was found out.
struct CanaryPair: Equatable {
    var stable: CanaryPlace
    var canary: CanaryPlace

    /// How far apart requests must be for the smaller number to be the canary's, as a share of the larger.
    private static let clearlyFewer = 0.8
    /// Requests from which on that is asked; with fewer it may be chance.
    private static let guessRequestsMin = 50.0

    /// `places`: those with requests, most first. `weights`: what the configuration says of the route; nil = nothing. Returns nil where
    /// one of both is not there yet.
    static func findPair(
        _ question: CanaryQuestion, _ places: [(place: CanaryPlace, requests: Double)], weights: WeightedRoute?
    ) throws(CanaryProblem) -> CanaryPair? {
        if let weights { return try findPair(question, of: weights) }
        switch (question.canary, question.stable) {
        case (let canary?, let stable?):
            guard let first = try placeNamed(canary, places), let second = try placeNamed(stable, places) else { return nil }
            return try distinctPair(stable: second, canary: first)
        case (let name?, nil):
            guard let canary = try placeNamed(name, places), let stable = try otherPlace(than: canary, places) else { return nil }
            return try distinctPair(stable: stable, canary: canary)
        case (nil, let name?):
            guard let stable = try placeNamed(name, places), let canary = try otherPlace(than: stable, places) else { return nil }
            return try distinctPair(stable: stable, canary: canary)
        case (nil, nil):
            guard places.count > 1, places[0].requests >= guessRequestsMin else { return nil }
            guard places.count == 2 else { throw unclear(places) }
            guard places[1].requests < places[0].requests * clearlyFewer else {
                throw .badRequest("both had about as many requests: say which is the canary: \(nameList(places.map(\.place)))")
            }
            return CanaryPair(stable: places[0].place, canary: places[1].place)
        }
    }

    /// By the weights of the route's configuration: the smaller one is the canary's unless it is said.
    private static func findPair(_ question: CanaryQuestion, of route: WeightedRoute) throws(CanaryProblem) -> CanaryPair {
        let places = route.clusters.map { (place: CanaryPlace.atCluster($0.name, route: route.name), requests: Double($0.weight)) }
            .sorted { $0.requests > $1.requests }
        if question.canary == nil, question.stable == nil {
            guard places.count == 2 else { throw unclear(places) }
            guard places[0].requests > places[1].requests else {
                throw .badRequest("both have the same weight: say which is the canary: \(nameList(places.map(\.place)))")
            }
            return CanaryPair(stable: places[0].place, canary: places[1].place)
        }
        guard let pair = try findPair(question, places, weights: nil) else {
            throw .badRequest("\(question.title) leads to \(nameList(places.map(\.place))): what is asked for is not among them")
        }
        return pair
    }

    private static func distinctPair(stable: CanaryPlace, canary: CanaryPlace) throws(CanaryProblem) -> CanaryPair {
        guard stable != canary else { throw .badRequest("canary and stable are the same: \(canary.name)") }
        return CanaryPair(stable: stable, canary: canary)
    }

    private static func unclear(_ places: [(place: CanaryPlace, requests: Double)]) -> CanaryProblem {
        .badRequest("say which are meant with canary and stable: \(nameList(places.map(\.place)))")
    }

    private static func placeNamed(
        _ name: String, _ places: [(place: CanaryPlace, requests: Double)]
    ) throws(CanaryProblem) -> CanaryPlace? {
        let found = places.map(\.place).filter { $0.isNamed(name) }
        guard found.count < 2 else {
            throw .badRequest("\(PrometheusParameters.quoted(name)) may be any of \(nameList(found)): add host, or write the whole cluster")
        }
        return found.first
    }

    private static func otherPlace(
        than place: CanaryPlace, _ places: [(place: CanaryPlace, requests: Double)]
    ) throws(CanaryProblem) -> CanaryPlace? {
        let others = places.map(\.place).filter { $0 != place }
        guard others.count < 2 else { throw unclear(places) }
        return others.first
    }

    private static func nameList(_ places: [CanaryPlace]) -> String {
        let shown = places.prefix(8).map(\.name).joined(separator: ", ")
        return places.count > 8 ? shown + " and \(places.count - 8) more" : shown
    }
}
