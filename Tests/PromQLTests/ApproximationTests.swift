import PromQL
import TelemetryModel
import Testing

/// What a source could not answer exactly is said with the result; means stand for as many samples as they weigh.
@Suite struct ApproximationTests {
    private static let hour: Int64 = 3_600_000

    private func ask(_ query: String, _ source: MemorySource) throws -> (values: [Double], infos: [String]) {
        let expression = try PromQLEngine().parse(query)
        let answer = try PromQLEngine().evaluate(expression, at: 10 * Self.hour, over: source)
        guard case .vector(let samples) = answer.value else { return ([], []) }
        let values = samples.compactMap { sample -> Double? in
            sample.histogram == nil ? sample.value : nil
        }
        return (values, answer.annotations.map { $0.message(in: query) })
    }

    @Test func theBoundIsSaid() throws {
        var source = MemorySource()
        source.add(SeriesSamples(labels: LabelSet("a_total"), times: [9 * Self.hour, 10 * Self.hour - 1000], values: [1, 61]))
        source.approximation = SeriesApproximation(window: Self.hour, end: 9 * Self.hour)
        for (query, bound) in [
            ("rate(a_total[2h])", "each end of a range may be off by what grew in 1h (1:6)"),
            ("a_total", "a value may be the one of up to 1h before (1:1)"),
            ("max_over_time(a_total[2h])", "each end of a range may be off by the samples of 1h (1:15)"),
            (
                "changes(a_total[2h])",
                "only the last value of each window of 1h is looked at, and both values of a counter's reset (1:9)"
            ),
        ] {
            let infos = try ask(query, source).infos
            #expect(infos.count == 1 && infos[0].hasPrefix("PromQL info: samples before 1970-01-01T09:00Z were read as windows of 1h: "))
            #expect(infos[0].hasSuffix(bound), "\(infos)")
        }
        #expect(try ask("absent_series", source).infos.isEmpty)
    }

    @Test func meansCountAsOftenAsTheyWeigh() throws {
        var source = MemorySource()
        var samples = SeriesSamples(labels: LabelSet("a"), times: [9 * Self.hour, 10 * Self.hour - 1000], values: [2, 8])
        samples.weights = [300, 100]
        source.add(samples)
        #expect(try ask("count_over_time(a[2h])", source).values == [400])
        #expect(try ask("avg_over_time(a[2h])", source).values == [3.5])
    }
}
