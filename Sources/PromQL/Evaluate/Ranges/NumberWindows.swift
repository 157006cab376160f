internal import Glibc

/// What a function makes of the numbers in a window (promql/functions.go), each in the order and rounding of Prometheus.
struct NumberWindows {
    private let function: RangeFunction
    private let samples: RangeSamples
    /// Indices of samples before which a counter fell; only for functions that ask for them.
    private let resets: [Int]

    init(_ function: RangeFunction, _ samples: RangeSamples) {
        self.function = function
        self.samples = samples
        resets = function.isCounterRate || function == .resets ? samples.resets : []
    }

    /// `Row.absent` where there is no result. `reset` is a cursor into the resets, for windows that only move forward; the window is not
    /// empty unless it holds histograms.
    func value(_ window: Window, _ reset: inout Int, parameter: Double) -> Double {
        switch function {
        case .rate, .increase, .delta: return rate(window, &reset)
        case .irate, .idelta: return lastDifference(window)
        case .deriv: return window.count < 2 ? Row.absent : regression(window, from: samples.times[window.first]).slope
        case .predictLinear: return prediction(window, after: parameter)
        case .changes: return Double(changes(window))
        case .resets: return Double(resetCount(window, &reset))
        case .absentOverTime, .presentOverTime: return 1
        case .avgOverTime: return average(window)
        case .sumOverTime: return sum(window)
        case .countOverTime: return count(window)
        case .firstOverTime: return samples.values[window.first]
        case .lastOverTime: return samples.values[window.end - 1]
        case .maxOverTime: return extreme(window, >)
        case .minOverTime: return extreme(window, <)
        case .quantileOverTime: return Quantile.of(parameter, Array(samples.values[window.first..<window.end]))
        case .stddevOverTime: return variance(window).squareRoot()
        case .stdvarOverTime: return variance(window)
        }
    }

    // Rates.

    private func rate(_ window: Window, _ reset: inout Int) -> Double {
        guard window.count > 1 else { return Row.absent }
        return Extrapolation.growth(
            function, window, samples.times.span, samples.values.span, resets: resets.span, &reset)
    }

    private func lastDifference(_ window: Window) -> Double {
        guard window.count > 1 else { return Row.absent }
        let (before, last) = (samples.values[window.end - 2], samples.values[window.end - 1])
        let interval = samples.times[window.end - 1] - samples.times[window.end - 2]
        guard interval != 0 else { return Row.absent }
        guard function == .irate else { return last - before }
        // A counter that fell has counted what it shows.
        return (last < before ? last : last - before) / (Double(interval) / 1000)
    }

    private func resetCount(_ window: Window, _ reset: inout Int) -> Int {
        while reset < resets.count, resets[reset] <= window.first { reset += 1 }
        var index = reset
        while index < resets.count, resets[index] < window.end { index += 1 }
        return index - reset
    }

    private func changes(_ window: Window) -> Int {
        var count = 0
        for index in window.first + 1..<max(window.end, window.first + 1) {
            let (before, now) = (samples.values[index - 1], samples.values[index])
            if now != before, !(now.isNaN && before.isNaN) { count += 1 }
        }
        return count
    }

    // Sums.

    private func sum(_ window: Window) -> Double {
        var sum = KahanSum()
        for index in window.first..<window.end { sum.add(samples.values[index]) }
        return sum.sum.isInfinite ? sum.sum : sum.sum + sum.lost
    }

    /// Samples in the window, those that a mean stands for among them.
    func count(_ window: Window) -> Double {
        samples.weights.isEmpty ? Double(window.count) : samples.weights[window.first..<window.end].reduce(0, +)
    }

    /// The sum's mean, and where the sum overflows a mean that is moved by each further sample.
    private func average(_ window: Window) -> Double {
        if !samples.weights.isEmpty {
            var sum = KahanSum()
            for index in window.first..<window.end { sum.add(samples.values[index] * samples.weights[index]) }
            return (sum.sum + sum.lost) / count(window)
        }
        var mean = RunningMean(samples.values[window.first])
        for index in window.first + 1..<max(window.end, window.first + 1) { mean.add(samples.values[index]) }
        return mean.value
    }

    private func variance(_ window: Window) -> Double {
        var (mean, squares, count) = (KahanSum(), KahanSum(), 0.0)
        for index in window.first..<window.end {
            let value = samples.values[index]
            count += 1
            let distance = value - (mean.sum + mean.lost)
            mean.add(distance / count)
            squares.add(distance * (value - (mean.sum + mean.lost)))
        }
        return (squares.sum + squares.lost) / count
    }

    private func extreme(_ window: Window, _ isBeyond: (Double, Double) -> Bool) -> Double {
        var extreme = samples.values[window.first]
        for index in window.first..<window.end where isBeyond(samples.values[index], extreme) || extreme.isNaN {
            extreme = samples.values[index]
        }
        return extreme
    }

    // Lines.

    private func prediction(_ window: Window, after seconds: Double) -> Double {
        guard window.count > 1 else { return Row.absent }
        let line = regression(window, from: window.time)
        return line.slope * seconds + line.intercept
    }

    /// The line of least squares, and its value at a time.
    private func regression(_ window: Window, from origin: Int64) -> (slope: Double, intercept: Double) {
        var (x, y, xy, xx) = (KahanSum(), KahanSum(), KahanSum(), KahanSum())
        let first = samples.values[window.first]
        var isConstant = true
        for index in window.first..<window.end {
            let value = samples.values[index]
            if value != first, index > window.first { isConstant = false }
            let seconds = Double(samples.times[index] - origin) / 1e3
            x.add(seconds)
            y.add(value)
            xy.add(seconds * value)
            xx.add(seconds * seconds)
        }
        if isConstant { return first.isInfinite ? (.nan, .nan) : (0, first) }
        let count = Double(window.count)
        let (sumX, sumY) = (x.sum + x.lost, y.sum + y.lost)
        let slope = ((xy.sum + xy.lost) - sumX * sumY / count) / ((xx.sum + xx.lost) - sumX * sumX / count)
        return (slope, sumY / count - slope * sumX / count)
    }
}

/// `rate`, `increase` and `delta` of numbers (promql/functions.go, `extrapolatedRate`).
enum Extrapolation {
    /// What a function gives for a window of two samples or more. `resets`: samples before which a counter fell; `reset`: a cursor into
    /// them, for windows that only move forward.
    static func growth(
        _ function: RangeFunction, _ window: Window, _ times: Span<Int64>, _ values: Span<Double>, resets: Span<Int>, _ reset: inout Int
    ) -> Double {
        let first = values[window.first]
        var difference = values[window.end - 1] - first
        let coverage = Coverage(
            window, first: times[window.first], last: times[window.end - 1], count: window.count, isPerSecond: function == .rate)
        guard function.isCounterRate else { return difference * coverage.factor }
        addResets(to: &difference, window.first..<window.end, values, resets, &reset)
        return difference * coverage.factor(from: first, by: difference)
    }

    /// Adds what a counter showed before each reset. Only these few samples are added, in their order: the same sum as over all samples.
    @inline(__always)
    static func addResets(
        to difference: inout Double, _ samples: Range<Int>, _ values: Span<Double>, _ resets: Span<Int>, _ reset: inout Int
    ) {
        while reset < resets.count, resets[reset] <= samples.lowerBound { reset += 1 }
        var index = reset
        while index < resets.count, resets[index] < samples.upperBound {
            difference += values[resets[index] - 1]
            index += 1
        }
    }
}

/// How much of a window its samples cover, as a factor for what they grew by (promql/functions.go, `extrapolatedRate`).
struct Coverage: BitwiseCopyable {
    /// Seconds between the outermost samples, and from them to what counts as the window's ends.
    private var sampled = 0.0
    private var toStart = 0.0
    private var toEnd = 0.0
    /// Of the window, for a growth each second; else 0.
    private var seconds = 0.0
    /// For what is no counter.
    private(set) var factor = 0.0

    /// No samples.
    init() {}

    /// `first` and `last`: times of the outermost samples.
    init(_ window: Window, first: Int64, last: Int64, count: Int, isPerSecond: Bool) {
        toStart = Double(first - window.after) / 1000
        toEnd = Double(window.through - last) / 1000
        sampled = Double(last - first) / 1000
        if isPerSecond { seconds = Double(window.through - window.after) / 1000 }
        let spacing = sampled / Double(count - 1)
        // A sample is missing there: the series begins or ends, half a spacing away on average.
        let threshold = spacing * 1.1
        if toStart >= threshold { toStart = spacing / 2 }
        if toEnd >= threshold { toEnd = spacing / 2 }
        factor = factor(toStart)
    }

    /// For a counter, which was not below zero at the window's beginning.
    @inline(__always)
    func factor(from first: Double, by increase: Double) -> Double {
        guard increase > 0, first >= 0 else { return factor }
        // It was at zero longer ago than the samples reach, which needs no division.
        if first >= increase, sampled >= toStart { return factor }
        let toZero = sampled * (first / increase)
        return toZero < toStart ? factor(toZero) : factor
    }

    @inline(__always)
    private func factor(_ toStart: Double) -> Double {
        let factor = (sampled + toStart + toEnd) / sampled
        return seconds > 0 ? factor / seconds : factor
    }
}

/// A mean as Prometheus computes it: of a Kahan sum, until that would overflow (prometheus#16714).
struct RunningMean {
    private var sum: KahanSum
    private var count = 1.0
    private var isMoving = false

    init(_ first: Double) { sum = KahanSum(first) }

    mutating func add(_ value: Double) {
        count += 1
        if !isMoving {
            var next = sum
            next.add(value)
            if !next.sum.isInfinite {
                sum = next
                return
            }
            isMoving = true
            sum.sum /= count - 1
            sum.lost /= count - 1
        }
        let share = (count - 1) / count
        sum.sum *= share
        sum.lost *= share
        sum.add(value / count)
    }

    var value: Double { isMoving ? sum.sum + sum.lost : sum.sum / count + sum.lost / count }
}

/// Quantiles of single numbers, interpolated between neighbours.
enum Quantile {
    static func of(_ q: Double, _ values: [Double]) -> Double {
        if values.isEmpty || q.isNaN { return .nan }
        if q < 0 { return -.infinity }
        if q > 1 { return .infinity }
        // NaN is smaller than every number here.
        let sorted = values.sorted { $0.isNaN ? !$1.isNaN : $0 < $1 }
        let rank = q * Double(sorted.count - 1)
        let lower = max(0, rank.rounded(.down))
        let upper = min(Double(sorted.count - 1), lower + 1)
        let weight = rank - rank.rounded(.down)
        return sorted[Int(lower)] * (1 - weight) + sorted[Int(upper)] * weight
    }
}
