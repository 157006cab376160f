internal import Matching
internal import PromQL
internal import TelemetryModel

/// Steps of the same length, one after the other: (`start`, `start` + `length`], and so on.
struct StepWindow: Equatable {
    /// Milliseconds since 1970.
    var start: Int64
    /// Milliseconds, above 0.
    var length: Int64
    /// At least 1.
    var count: Int

    var end: Int64 { end(of: count - 1) }

    func end(of index: Int) -> Int64 { start &+ Int64(clamping: index + 1) &* length }

    /// The step of a time behind `start`; nil = it is outside.
    func index(of time: Int64) -> Int? {
        guard time > start, time <= end else { return nil }
        return Int(clamping: (time &- start &- 1) / length)
    }
}

/// Increases of counters by step, from their samples as they came: each increase once, in the step of the sample that shows it. Prometheus'
/// `increase` would smear and extrapolate, and a test needs counts.
struct StepCounters {
    /// The sample before the window is looked for so far back, milliseconds.
    private static let lookback: Int64 = 300_000
    /// Samples of one question at most.
    static let samplesMax = 20_000_000
    /// More is no count of anything.
    private static let increaseMax = 1e12

    let window: StepWindow
    private let source: any SeriesSource
    private(set) var samples = 0

    init(_ source: any SeriesSource, _ window: StepWindow) {
        self.source = source
        self.window = window
    }

    /// Hands over each series of a metric, with its increases above 0.
    mutating func read(
        _ metric: String, _ matchers: [LabelMatcher], isInterrupted: () -> PromQLInterruption?,
        _ body: (LabelSet, [(step: Int, increase: Double)]) throws(PromQLError) -> Void
    ) throws(PromQLError) {
        let name: LabelMatcher
        do { name = try LabelMatcher(LabelSet.metricName, .equal, metric) } catch { throw .badRequest(metric) }
        let selection = SeriesSelection(
            matchers: [name] + matchers, after: window.start &- Self.lookback, through: window.end, range: window.length, step: 0,
            function: "increase")
        var samples = samples
        let window = window
        _ = try source.select(selection) { series throws(PromQLError) in
            samples += series.times.count
            guard samples <= Self.samplesMax else { throw .tooManySamples }
            switch isInterrupted() {
            case .timedOut: throw .timedOut
            case .canceled: throw .canceled
            case nil: break
            }
            try body(series.labels, Self.increases(series, window))
        }
        self.samples = samples
    }

    /// Of the window's steps, ascending.
    static func increases(_ series: SeriesSamples, _ window: StepWindow) -> [(step: Int, increase: Double)] {
        var result: [(step: Int, increase: Double)] = []
        var last: Double?
        for (time, value) in zip(series.times, series.values) where value.isFinite && value >= 0 {
            defer { last = value }
            guard let before = last, let step = window.index(of: time) else { continue }
            // A counter that fell began anew.
            let increase = min(value >= before ? value - before : value, increaseMax)
            guard increase > 0 else { continue }
            if result.last?.step == step {
                result[result.count - 1].increase += increase
            } else {
                result.append((step, increase))
            }
        }
        return result
    }
}
