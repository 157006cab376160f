public import CanaryAnalysis

/// Why a question about a canary has no answer.
public struct CanaryProblem: Error, Equatable, Sendable {
    /// Whether whoever asks can help it: 400 instead of 422.
    public var isBadRequest: Bool
    public var text: String

    static func badRequest(_ text: String) -> CanaryProblem { CanaryProblem(isBadRequest: true, text: text) }
    static func failed(_ text: String) -> CanaryProblem { CanaryProblem(isBadRequest: false, text: text) }
}

/// Which canary is asked about, and what it is held to.
public struct CanaryQuestion: Sendable, Equatable {
    public enum Subject: Sendable, Equatable {
        /// `NAMESPACE/VIRTUALSERVICE[/ROUTE]`, which the configuration of this process explains, or the name of a route as the series have
        /// it. `host`: only clusters of this host.
        case route(String, host: String?)
        /// A service by its versions, whatever leads there.
        case service(String)
    }

    public var subject: Subject
    /// A subset, a host or a version; nil = to be found out.
    public var canary: String?
    public var stable: String?
    public var settings = CanarySettings()
    /// Milliseconds.
    public var step: Int64 = 10_000

    /// The step that a judgement over `length` milliseconds has: longer where it would have too many.
    func stepLength(over length: Int64) -> Int64 {
        let most = step * Int64(CanaryLimits.stepsMax)
        return step * max(1, (length + most - 1) / most)
    }

    /// Bytes of a name.
    static let nameMax = 512
    private static let known: Set<String> = [
        "route", "host", "service", "canary", "stable", "confidence", "error_margin", "latency_margin", "slow_margin", "min_requests",
        "max", "step",
    ]

    /// From parameters of a request. `others`: parameters that are none of the question's.
    init(_ parameters: [(name: String, value: String)], others: Set<String> = []) throws(CanaryProblem) {
        if let name = parameters.first(where: { !Self.known.contains($0.name) && !others.contains($0.name) })?.name {
            let list = Self.known.union(others).sorted().joined(separator: ", ")
            throw .badRequest("no parameter \(PrometheusParameters.quoted(String(name.prefix(64)))); known are \(list)")
        }
        let values = PrometheusParameters(values: parameters)
        for name in ["route", "host", "service", "canary", "stable"] where (values.text(name)?.utf8.count ?? 0) > Self.nameMax {
            throw .badRequest("\(name): at most \(Self.nameMax) bytes")
        }
        switch (values.text("route"), values.text("service")) {
        case (let route?, nil): subject = .route(route, host: values.text("host"))
        case (nil, let service?):
            guard values.text("host") == nil else { throw .badRequest("host goes with route, not with service") }
            subject = .service(service)
        default: throw .badRequest("write either route=NAMESPACE/VIRTUALSERVICE[/ROUTE], route=NAME or service=HOST")
        }
        (canary, stable) = (values.text("canary"), values.text("stable"))
        if canary != nil, canary == stable { throw .badRequest("canary and stable are the same") }
        settings.confidence = try Self.number("confidence", values) ?? settings.confidence
        settings.errorMargin = try Self.number("error_margin", values) ?? settings.errorMargin
        settings.latencyMargin = try Self.number("latency_margin", values) ?? settings.latencyMargin
        settings.slowMargin = try Self.number("slow_margin", values) ?? settings.slowMargin
        if let text = values.text("min_requests") {
            guard let count = UInt64(text) else { throw .badRequest("min_requests: write a whole number") }
            settings.requestsMin = count
        }
        settings.durationMax = try Self.length("max", values) ?? settings.durationMax
        step = try Self.length("step", values) ?? step
        guard (1000...300_000).contains(step) else { throw .badRequest("step: from 1s to 5m") }
        if let problem = settings.problem { throw .badRequest(problem) }
    }

    /// From `route=default/reviews,canary=v2`: the same parameters, by comma.
    public init(specification: String) throws(CanaryProblem) {
        var parameters: [(name: String, value: String)] = []
        for part in specification.split(separator: ",", omittingEmptySubsequences: false) {
            guard let equals = part.firstIndex(of: "=") else {
                throw .badRequest("write name=value by comma, such as route=default/reviews,canary=v2")
            }
            parameters.append((String(part[..<equals]), String(part[part.index(after: equals)...])))
        }
        try self.init(parameters)
    }

    /// The number of a parameter; `0.5%` is 0.005.
    private static func number(_ name: String, _ values: PrometheusParameters) throws(CanaryProblem) -> Double? {
        guard let text = values.text(name) else { return nil }
        let isPercent = text.hasSuffix("%")
        guard let value = Double(isPercent ? text.dropLast() : text[...]), value.isFinite else {
            throw .badRequest("\(name): write a number such as 0.01 or 1%")
        }
        return isPercent ? value / 100 : value
    }

    /// Milliseconds.
    static func length(_ name: String, _ values: PrometheusParameters) throws(CanaryProblem) -> Int64? {
        guard let text = values.text(name) else { return nil }
        guard case .milliseconds(let value) = PrometheusTime.length(text) else {
            throw .badRequest("\(name): write a duration such as 30m")
        }
        return value
    }

    /// For people: what is asked about.
    public var title: String {
        switch subject {
        case .route(let name, let host): "route \(name)" + (host.map { " of \($0)" } ?? "")
        case .service(let name): "service \(name)"
        }
    }
}

/// A route of the configuration that leads to several clusters.
public struct WeightedRoute: Sendable, Equatable {
    /// `NAMESPACE/NAME` of its VirtualService.
    public var resource: String
    /// As the series have it.
    public var name: String
    public var clusters: [Cluster]

    public struct Cluster: Sendable, Equatable {
        /// `outbound|PORT|SUBSET|HOST`
        public var name: String
        public var weight: UInt32

        public init(name: String, weight: UInt32) {
            self.name = name
            self.weight = weight
        }
    }

    public init(resource: String, name: String, clusters: [Cluster]) {
        self.resource = resource
        self.name = name
        self.clusters = clusters
    }
}
