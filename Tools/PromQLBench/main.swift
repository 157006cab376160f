internal import Matching
internal import PromQL
internal import TelemetryModel

// What queries over a day of buckets cost: 1,000 series, a sample each 10 s, a step each 15 s. One thread, nothing but the evaluator.
//
//   PromQLBench [SERIES]

/// A day of counters in memory.
struct Day: SeriesSource {
    private var series: [SeriesSamples] = []

    init(seriesCount: Int) {
        // The same counts in every run.
        var state: UInt64 = 42
        func random(_ bound: UInt64) -> UInt64 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return (state >> 33) % bound
        }
        for index in 0..<seriesCount {
            var samples = SeriesSamples(labels: Self.labels(index))
            var value = 0.0
            for sample in 0..<8_640 {
                value = random(5_000) == 0 ? 0 : value + Double(random(5))
                samples.times.append(Int64(sample) * 10_000)
                samples.values.append(value)
            }
            series.append(samples)
        }
    }

    private static func labels(_ index: Int) -> LabelSet {
        var labels = LabelSet("request_duration_bucket")
        labels["le"] = "\(index % 20)"
        labels["destination_service"] = "service-\(index / 20 % 10)"
        labels["source"] = "pod-\(index / 200)"
        return labels
    }

    func select(
        _ selection: SeriesSelection, _ body: (SeriesSamples, WindowFilling?) throws(PromQLError) -> Void
    ) throws(PromQLError) -> SeriesApproximation? {
        for one in series where selection.matchers.allSatisfy({ $0.accepts(one.labels[$0.name] ?? "") }) { try body(one, nil) }
        return nil
    }
}

func measure(seriesCount: Int) throws(PromQLError) {
    let day = Day(seriesCount: seriesCount)
    let engine = PromQLEngine()
    let texts = [
        "sum by (le, destination_service) (rate(request_duration_bucket[1m]))",
        "histogram_quantile(0.99, sum by (le, destination_service) (rate(request_duration_bucket[1m])))",
        "sum(avg_over_time(request_duration_bucket[5m]))", "request_duration_bucket * 2 > 100",
        "topk(5, rate(request_duration_bucket[5m]))",
        "rate(request_duration_bucket[1m]) / on (le, destination_service, source) request_duration_bucket",
    ]
    for text in texts {
        let expression = try engine.parse(text)
        let start = ContinuousClock.now
        let result = try engine.evaluate(expression, from: 0, through: 86_390_000, step: 15_000, over: day)
        let spent = ContinuousClock.now - start
        guard case .matrix(let matrix) = result.value else { continue }
        print("\(spent)  \(matrix.count) series, \(matrix.reduce(0) { $0 + $1.times.count }) samples  \(text)")
    }
}

do throws(PromQLError) {
    try measure(seriesCount: CommandLine.arguments.dropFirst().first.flatMap { Int($0) } ?? 1_000)
} catch {
    print("PromQLBench: \(error.message)")
}
