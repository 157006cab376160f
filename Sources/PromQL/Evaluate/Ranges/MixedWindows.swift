internal import TelemetryModel

/// What a function makes of windows that hold native histograms, alone or among numbers (promql/functions.go).
struct MixedWindows {
    enum Result {
        case nothing
        case number(Double)
        case histogram(NativeHistogram)
    }

    private let function: RangeFunction
    private let samples: RangeSamples
    private let numbers: NumberWindows
    private let range: SourceRange
    private let session: Session

    init(_ function: RangeFunction, _ samples: RangeSamples, _ range: SourceRange, _ session: Session) {
        self.function = function
        self.samples = samples
        self.range = range
        self.session = session
        numbers = NumberWindows(function, samples)
    }

    func value(_ window: Window, _ reset: inout Int, parameter: Double) -> Result {
        switch function {
        case .rate, .increase, .delta, .avgOverTime, .sumOverTime:
            if window.count > 0, window.histogramCount > 0 {
                session.annotate(.mixedFloatsAndHistograms(samples.name, range))
                return .nothing
            }
            return window.histogramCount > 0 ? ofHistograms(window) : number(window, &reset, parameter)
        case .irate, .idelta: return lastDifference(window, &reset)
        case .countOverTime: return .number(numbers.count(window) + Double(window.histogramCount))
        case .presentOverTime, .absentOverTime: return .number(1)
        case .firstOverTime: return first(window)
        case .lastOverTime: return last(window)
        case .changes:
            let count = transitions(window) { !HistogramShape.areEqual($1, $0) } number: { $0 != $1 && !($0.isNaN && $1.isNaN) }
            return .number(Double(count))
        case .resets: return .number(Double(transitions(window) { HistogramArithmetic.wasReset($1, since: $0) } number: { $1 < $0 }))
        case .deriv, .predictLinear, .maxOverTime, .minOverTime, .quantileOverTime, .stddevOverTime, .stdvarOverTime:
            guard window.count > 0 else { return .nothing }
            if window.histogramCount > 0 { session.annotate(.histogramsIgnoredInRange(samples.name, range)) }
            return number(window, &reset, parameter)
        }
    }

    private func number(_ window: Window, _ reset: inout Int, _ parameter: Double) -> Result {
        let value = numbers.value(window, &reset, parameter: parameter)
        return Row.isAbsent(value) ? .nothing : .number(value)
    }

    private func ofHistograms(_ window: Window) -> Result {
        switch function {
        case .sumOverTime: return sum(window, isAverage: false)
        case .avgOverTime: return sum(window, isAverage: true)
        default:
            guard window.histogramCount > 1 else { return .nothing }
            let rate = HistogramRate(isCounter: function.isCounterRate, samples.name, range, session)
            guard let growth = rate.growth(samples.histograms[window.firstHistogram..<window.endHistogram]) else { return .nothing }
            let first = window.firstHistogram
            let coverage = Coverage(
                window, first: samples.histogramTimes[first], last: samples.histogramTimes[window.endHistogram - 1],
                count: window.histogramCount, isPerSecond: function == .rate)
            let factor = function.isCounterRate
                ? coverage.factor(from: samples.histograms[first].count, by: growth.count) : coverage.factor
            return .histogram(HistogramArithmetic.multiply(growth, by: factor))
        }
    }

    // Sums.

    private func sum(_ window: Window, isAverage: Bool) -> Result {
        let histograms = samples.histograms[window.firstHistogram..<window.endHistogram]
        guard let first = histograms.first else { return .nothing }
        remarkHints(histograms)
        var mean = HistogramMean(first, isAverage: isAverage)
        do { for histogram in histograms.dropFirst() { try mean.add(histogram) } } catch {
            session.annotate(.mixedSchemas(samples.name, range))
            return .nothing
        }
        if mean.boundsReconciled { session.annotate(.boundsReconciled("aggregation", range)) }
        return .histogram(mean.value)
    }

    private func remarkHints(_ histograms: ArraySlice<NativeHistogram>) {
        if histograms.contains(where: { $0.resetHint == .reset }), histograms.contains(where: { $0.resetHint == .noReset }) {
            session.annotate(.counterResetCollision("aggregation", range))
        }
    }

    // Single samples.

    private func first(_ window: Window) -> Result {
        if window.histogramCount == 0 { return .number(samples.values[window.first]) }
        let isNumber = window.count > 0 && samples.times[window.first] < samples.histogramTimes[window.firstHistogram]
        return isNumber ? .number(samples.values[window.first]) : .histogram(samples.histograms[window.firstHistogram])
    }

    private func last(_ window: Window) -> Result {
        if window.histogramCount == 0 { return .number(samples.values[window.end - 1]) }
        let isNumber = window.count > 0 && samples.histogramTimes[window.endHistogram - 1] < samples.times[window.end - 1]
        return isNumber ? .number(samples.values[window.end - 1]) : .histogram(samples.histograms[window.endHistogram - 1])
    }

    private func lastDifference(_ window: Window, _ reset: inout Int) -> Result {
        if window.histogramCount == 0 { return number(window, &reset, 0) }
        guard window.count + window.histogramCount > 1 else { return .nothing }
        let lastNumber = window.count > 0 ? samples.times[window.end - 1] : .min
        let lastHistogram = samples.histogramTimes[window.endHistogram - 1]
        if lastNumber > lastHistogram, window.count > 1, samples.times[window.end - 2] > lastHistogram { return number(window, &reset, 0) }
        guard window.histogramCount > 1, samples.histogramTimes[window.endHistogram - 2] > lastNumber else {
            session.annotate(.mixedFloatsAndHistograms(samples.name, range))
            return .nothing
        }
        let interval = lastHistogram - samples.histogramTimes[window.endHistogram - 2]
        let (before, last) = (samples.histograms[window.endHistogram - 2], samples.histograms[window.endHistogram - 1])
        return lastDifference(before, last, Double(interval) / 1000)
    }

    private func lastDifference(_ before: NativeHistogram, _ last: NativeHistogram, _ seconds: Double) -> Result {
        let isRate = function == .irate
        if isRate, before.resetHint == .gauge || last.resetHint == .gauge { session.annotate(.notACounter(samples.name, range)) }
        if !isRate, before.resetHint != .gauge || last.resetHint != .gauge { session.annotate(.notAGauge(samples.name, range)) }
        var result = last
        if !isRate || !HistogramArithmetic.wasReset(last, since: before) {
            do {
                let outcome = try HistogramArithmetic.subtract(last, before)
                if outcome.boundsReconciled { session.annotate(.boundsReconciled("subtraction", range)) }
                result = outcome.histogram
            } catch {
                session.annotate(.mixedSchemas(samples.name, range))
                return .nothing
            }
        }
        result.resetHint = .gauge
        result = HistogramArithmetic.compact(result)
        return .histogram(isRate ? HistogramArithmetic.divide(result, by: seconds) : result)
    }

    /// Neighbours, of whatever type, that differ in the sense asked for; from one type to the other always.
    private func transitions(
        _ window: Window, _ histogramsDiffer: (NativeHistogram, NativeHistogram) -> Bool, number numbersDiffer: (Double, Double) -> Bool
    ) -> Int {
        var (number, histogram, count) = (window.first, window.firstHistogram, 0)
        var before: Result = .nothing
        while number < window.end || histogram < window.endHistogram {
            let isNumber = histogram >= window.endHistogram
                || (number < window.end && samples.times[number] < samples.histogramTimes[histogram])
            let now: Result = isNumber ? .number(samples.values[number]) : .histogram(samples.histograms[histogram])
            switch (before, now) {
            case (.nothing, _), (_, .nothing): break
            case (.number(let old), .number(let new)): count += numbersDiffer(old, new) ? 1 : 0
            case (.histogram(let old), .histogram(let new)): count += histogramsDiffer(old, new) ? 1 : 0
            default: count += 1
            }
            before = now
            if isNumber { number += 1 } else { histogram += 1 }
        }
        return count
    }
}
