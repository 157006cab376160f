internal import CanaryAnalysis
internal import Matching
internal import PromQL
internal import TelemetryModel

/// A place that requests go to, as series name it: a cluster of a route, or a version of a service.
struct CanaryPlace: Hashable {
    /// Label values that all of its series have.
    var route: String?
    var cluster: String?
    var service: String?
    var version: String?

    static func atCluster(_ cluster: String, route: String) -> CanaryPlace { CanaryPlace(route: route, cluster: cluster) }
    static func ofVersion(_ version: String, service: String) -> CanaryPlace { CanaryPlace(service: service, version: version) }

    /// For people: subset and host, or version and service.
    var name: String {
        guard let cluster else { return "\(version ?? "") of \(service ?? "")" }
        let parts = Self.clusterParts(cluster)
        guard parts.count == 4 else { return cluster }
        return parts[2].isEmpty ? "\(parts[3]):\(parts[1])" : "\(parts[2]) of \(parts[3]):\(parts[1])"
    }

    /// The host of its cluster.
    var host: String { cluster.map { Self.clusterParts($0).last ?? "" } ?? service ?? "" }

    /// Whether somebody who writes `text` means this one.
    func isNamed(_ text: String) -> Bool {
        guard let cluster else { return version == text }
        let parts = Self.clusterParts(cluster)
        guard cluster != text, parts.count == 4 else { return cluster == text }
        return parts[2] == text || parts[3] == text || parts[3].hasPrefix(text + ".")
    }

    private static func clusterParts(_ cluster: String) -> [String] {
        cluster.split(separator: "|", omittingEmptySubsequences: false).map(String.init)
    }
}

/// Requests by destination and step, read from the families that count them.
struct CanaryDestinations {
    /// Destinations of a route or a service; with more, it must be said which are meant.
    static let placesMax = 128

    private struct Key: Hashable {
        var place: CanaryPlace
        var reporter: String
    }

    private struct Row {
        var requests: [Double]
        var errors: [Double]
        var total = 0.0
    }

    private let window: StepWindow
    private var rows: [Key: Row] = [:]
    private var known: Set<CanaryPlace> = []

    init(_ window: StepWindow) { self.window = window }

    /// Places and their requests, most first.
    var places: [(place: CanaryPlace, requests: Double)] {
        known.map { ($0, requestTotal($0)) }.sorted { ($1.1, $0.0.name) < ($0.1, $1.0.name) }
    }

    mutating func take(_ labels: LabelSet, _ increases: [(step: Int, increase: Double)]) throws(PromQLError) {
        guard !increases.isEmpty, let outcome = Self.outcomeOfSeries(labels), outcome != .unanswered else { return }
        let place = CanaryPlace(
            route: labels["route"], cluster: labels["cluster"], service: labels["destination_service"],
            version: labels["destination_version"])
        guard known.contains(place) || known.count < Self.placesMax else {
            throw .badRequest("more than \(Self.placesMax) destinations: say which are meant with host, or ask for another route")
        }
        known.insert(place)
        let key = Key(place: place, reporter: labels["reporter"] ?? "")
        let none = Array(repeating: 0.0, count: window.count)
        var row = rows.removeValue(forKey: key) ?? Row(requests: none, errors: none)
        for (step, increase) in increases {
            row.requests[step] += increase
            row.total += increase
            if outcome == .failure { row.errors[step] += increase }
        }
        rows[key] = row
    }

    /// From our own label where there is one, else from Istio's; nil = a budget had no room for it, so it may be anybody's.
    private static func outcomeOfSeries(_ labels: LabelSet) -> RequestOutcome? {
        if let word = labels["outcome"] { return RequestOutcome.allCases.first { "\($0)" == word } }
        guard let code = labels["response_code"].flatMap({ UInt16($0) }) else { return nil }
        let status = labels["grpc_response_status"].flatMap { UInt8($0) } ?? 255
        return RequestOutcome(responseCode: code, isGRPC: labels["request_protocol"] == "grpc", grpcStatus: status)
    }

    private func requestTotal(_ place: CanaryPlace) -> Double {
        let reporter = believedReporter(of: [place])
        return rows[Key(place: place, reporter: reporter)]?.total ?? 0
    }

    /// Who is believed of two places. The client's proxy has seen all requests, also those that reached nobody, unless the server's has
    /// seen clearly more: then there are clients without a proxy. One reporter for both places, so that like is compared with like.
    func believedReporter(of places: [CanaryPlace]) -> String {
        var totals: [String: Double] = [:]
        for (key, row) in rows where places.contains(key.place) { totals[key.reporter, default: 0] += row.total }
        let source = totals["source"] ?? 0
        let destination = totals["destination"] ?? 0
        if source > 0, destination <= source * 1.1 { return "source" }
        return destination > 0 ? "destination" : totals.keys.min() ?? ""
    }

    func stepCounts(of place: CanaryPlace, reporter: String, step: Int) -> DestinationCounts {
        guard let row = rows[Key(place: place, reporter: reporter)] else { return DestinationCounts() }
        return DestinationCounts(requests: Self.wholeCount(row.requests[step]), errors: Self.wholeCount(row.errors[step]))
    }

    static func wholeCount(_ value: Double) -> UInt64 { UInt64(exactly: value.rounded()) ?? 0 }
}
