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
    func stepIndex(of time: Int64) -> Int? {
        guard time > start, time <= end else { return nil }
        return Int(clamping: (time &- start &- 1) / length)
    }
}

/// Increases of counters by step, from their samples as they came: each increase once, in the step of the sample that shows it. Prometheus'
/// `increase` would smear and extrapolate, and a test needs counts.
struct StepCounters {
    /// A sample tells what was counted since the one before it, so long at most; what came over a longer gap is of no step and left out.
    /// Milliseconds.
    static let gapMax: Int64 = 300_000
    /// What is read at once, and so held in memory, milliseconds.
    private static let readMax: Int64 = 900_000
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

    /// Hands over each series of a metric, with its increases above 0; a part of the window after the other.
    mutating func read(
        _ metric: String, _ matchers: [LabelMatcher], isInterrupted: () -> PromQLInterruption?,
        _ body: (LabelSet, [(step: Int, increase: Double)]) throws(PromQLError) -> Void
    ) throws(PromQLError) {
        let name: LabelMatcher
        do { name = try LabelMatcher(LabelSet.metricName, .equal, metric) } catch { throw .badRequest(metric) }
        let steps = max(1, Int(clamping: Self.readMax / window.length))
        for first in stride(from: 0, to: window.count, by: steps) {
            let part = StepWindow(
                start: window.end(of: first - 1), length: window.length, count: min(steps, window.count - first))
            let selection = SeriesSelection(
                matchers: [name] + matchers, after: part.start &- Self.gapMax, through: part.end, range: window.length, step: 0,
                function: "increase")
            try read(selection, part, from: first, isInterrupted, body)
        }
    }

    private mutating func read(
        _ selection: SeriesSelection, _ part: StepWindow, from first: Int, _ isInterrupted: () -> PromQLInterruption?,
        _ body: (LabelSet, [(step: Int, increase: Double)]) throws(PromQLError) -> Void
    ) throws(PromQLError) {
        var samples = samples
        _ = try source.select(selection) { series, filling throws(PromQLError) in
            let series = filling?.fill(series) ?? series
            samples += series.times.count
            guard samples <= Self.samplesMax else { throw .tooManySamples }
            switch isInterrupted() {
            case .timedOut: throw .timedOut
            case .canceled: throw .canceled
            case nil: break
            }
            try body(series.labels, Self.increases(series, part).map { ($0.step + first, $0.increase) })
        }
        self.samples = samples
    }

    /// Of the window's steps, ascending.
    static func increases(_ series: SeriesSamples, _ window: StepWindow) -> [(step: Int, increase: Double)] {
        var result: [(step: Int, increase: Double)] = []
        var last: (time: Int64, value: Double)?
        for (time, value) in zip(series.times, series.values) where value.isFinite && value >= 0 {
            defer { last = (time, value) }
            guard let before = last, time &- before.time <= gapMax, let step = window.stepIndex(of: time) else { continue }
            // A counter that fell began anew.
            let increase = min(value >= before.value ? value - before.value : value, increaseMax)
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
