import Matching
import PromQL
import QueryAPI
import TelemetryModel

/// Series in memory for the canary's questions. Confined to one test.
final class CanarySeries: SeriesQuerying {
    private let series: [SeriesSamples]
    /// What is thrown when it is opened.
    private let failure: QueryFailure?

    init(_ series: [SeriesSamples], failure: QueryFailure? = nil) {
        self.series = series
        self.failure = failure
    }

    func openSource() throws -> any SeriesSource {
        if let failure { throw failure }
        return Source(series: series)
    }

    private struct Source: SeriesSource {
        let series: [SeriesSamples]

        func select(
            _ selection: SeriesSelection, _ body: (SeriesSamples, WindowFilling?) throws(PromQLError) -> Void
        ) throws(PromQLError) -> SeriesApproximation? {
            for one in series where selection.matchers.allSatisfy({ $0.accepts(one.labels[$0.name] ?? "") }) {
                var part = SeriesSamples(labels: one.labels)
                for (time, value) in zip(one.times, one.values) where time > selection.after && time <= selection.through {
                    part.times.append(time)
                    part.values.append(value)
                }
                if !part.times.isEmpty { try body(part, nil) }
            }
            return nil
        }
    }

    func labelNames(_ selectors: [[LabelMatcher]], in range: ClosedRange<Int64>) throws -> [String] { [] }
    func labelValues(_ name: String, _ selectors: [[LabelMatcher]], in range: ClosedRange<Int64>) throws -> [String] { [] }
    func series(_ selectors: [[LabelMatcher]], in range: ClosedRange<Int64>) throws -> [LabelSet] { [] }
    func exemplars(
        _ selectors: [[LabelMatcher]], in range: ClosedRange<Int64>, limit: Int
    ) throws -> (found: [(labels: LabelSet, exemplars: [SeriesExemplar])], isCut: Bool) { ([], false) }
    func metadata() -> [String: MetricMetadata] { [:] }
    func sizes() -> SeriesSizes { SeriesSizes() }
    func census(limit: Int) throws -> SeriesCensus { SeriesCensus() }
    func cardinalityReport(limit: Int) throws -> [SeriesFamily] { [] }

    // MARK: Made up

    static let second: Int64 = 1_700_000_000_000

    /// A counter that grows by `each` at each of `count` steps of ten seconds, from 0 at `from`.
    static func counter(
        _ metric: String, _ labels: [(String, String)], each: Double, count: Int, from start: Int64 = second
    ) -> SeriesSamples {
        let set = LabelSet(labels.map { LabelSet.Label($0.0, $0.1) } + [LabelSet.Label(LabelSet.metricName, metric)])
        return SeriesSamples(
            labels: set, times: (0...count).map { start + Int64($0) * 10_000 }, values: (0...count).map { Double($0) * each })
    }

    /// All series of a cluster: outcomes and latencies, all of them in one bucket of 5, 10, 25, 50 ms or above.
    static func cluster(
        _ cluster: String, route: String = "checkout", each: Double, failed: Double = 0, milliseconds: Double = 20, count: Int = 60,
        from start: Int64 = second
    ) -> [SeriesSamples] {
        let labels = [("route", route), ("cluster", cluster)]
        func one(_ metric: String, _ more: [(String, String)], _ each: Double) -> SeriesSamples {
            counter(metric, labels + more, each: each, count: count, from: start)
        }
        let buckets = [("5", 5), ("10", 10), ("25", 25), ("50", 50), ("+Inf", Double.infinity)].map { text, bound in
            one("skein_route_request_duration_milliseconds_bucket", [("le", text)], milliseconds <= bound ? each : 0)
        }
        return [
            one("skein_route_requests_total", [("outcome", "success")], each - failed),
            one("skein_route_requests_total", [("outcome", "failure")], failed),
            one("skein_route_request_duration_milliseconds_sum", [], each * milliseconds),
        ] + buckets
    }
}
