import PromQL
import TelemetryModel
import Testing

/// Functions of ranges, against the same rules written down for one window at a time.
@Suite struct WindowModelTests {
    struct Sample {
        var time: Int64
        var value: Double
    }

    /// Counts with resets, gaps, uneven times, stale ends and a few odd numbers.
    static func series(_ draw: inout Draw) -> SeriesSamples {
        var series = SeriesSamples(labels: LabelSet("c_total"))
        var time: Int64 = Int64.random(in: 0...20_000, using: &draw)
        var value = 0.0
        for _ in 0..<Int.random(in: 1...120, using: &draw) {
            time += draw.chance(0.1) ? Int64.random(in: 1...200_000, using: &draw) : Int64.random(in: 9_000...11_000, using: &draw)
            value = draw.chance(0.1) ? 0 : value + Double(Int.random(in: 0...30, using: &draw)) * (draw.chance(0.2) ? 0.1 : 1)
            series.times.append(time)
            series.values.append(draw.chance(0.03) ? SeriesSamples.staleMarker : value)
        }
        return series
    }

    static func times(_ step: Int64) -> [Int64] { (0...1_500_000 / step).map { $0 * step } }

    static func isSame(_ found: Double?, _ wanted: Double?) -> Bool {
        guard let found, let wanted else { return found == nil && wanted == nil }
        return abs(found - wanted) <= 1e-9 * max(1, abs(wanted))
    }

    static func window(_ series: SeriesSamples, _ time: Int64, _ length: Int64) -> [Sample] {
        var window: [Sample] = []
        for (sampled, value) in zip(series.times, series.values) where sampled > time - length && sampled <= time {
            if !SeriesSamples.isStale(value) { window.append(Sample(time: sampled, value: value)) }
        }
        return window
    }

    /// extrapolatedRate of promql/functions.go.
    static func extrapolated(_ window: [Sample], _ time: Int64, _ length: Int64, isCounter: Bool, isRate: Bool) -> Double? {
        guard let first = window.first, let last = window.last, window.count > 1 else { return nil }
        var result = last.value - first.value
        if isCounter { for (before, after) in zip(window, window.dropFirst()) where after.value < before.value { result += before.value } }
        let sampled = Double(last.time - first.time) / 1000
        let mean = sampled / Double(window.count - 1)
        var toStart = Double(first.time - (time - length)) / 1000
        var toEnd = Double(time - last.time) / 1000
        let threshold = mean * 1.1
        if toStart >= threshold { toStart = mean / 2 }
        if isCounter {
            var toZero = toStart
            if result > 0, first.value >= 0 { toZero = sampled * (first.value / result) }
            if toZero < toStart { toStart = toZero }
        }
        if toEnd >= threshold { toEnd = mean / 2 }
        var factor = (sampled + toStart + toEnd) / sampled
        if isRate { factor /= Double(length) / 1000 }
        return result * factor
    }

    static func expected(_ function: String, _ window: [Sample], _ time: Int64, _ length: Int64) -> Double? {
        guard let first = window.first, let last = window.last else { return nil }
        let values = window.map(\.value)
        let pairs = Array(zip(values, values.dropFirst()))
        let before = window.count > 1 ? window[window.count - 2] : nil
        switch function {
        case "rate": return extrapolated(window, time, length, isCounter: true, isRate: true)
        case "increase": return extrapolated(window, time, length, isCounter: true, isRate: false)
        case "delta": return extrapolated(window, time, length, isCounter: false, isRate: false)
        case "irate":
            return before.map { (last.value < $0.value ? last.value : last.value - $0.value) / (Double(last.time - $0.time) / 1000) }
        case "idelta": return before.map { last.value - $0.value }
        case "sum_over_time": return values.reduce(0, +)
        case "avg_over_time": return values.reduce(0, +) / Double(values.count)
        case "min_over_time": return values.min()
        case "max_over_time": return values.max()
        case "count_over_time": return Double(values.count)
        case "changes": return Double(pairs.count { $0 != $1 })
        case "resets": return Double(pairs.count { $0 > $1 })
        case "last_over_time": return last.value
        case "first_over_time": return first.value
        default: return 1
        }
    }

    @Test func windowsThatSlideAreWindowsAlone() throws {
        let seed = UInt64.random(in: 1...UInt64.max)
        var draw = Draw(seed: seed)
        let functions = [
            "rate", "increase", "delta", "irate", "idelta", "sum_over_time", "avg_over_time", "min_over_time", "max_over_time",
            "count_over_time",
            "changes", "resets", "last_over_time", "first_over_time", "present_over_time",
        ]
        for round in 0..<400 {
            var source = MemorySource()
            let series = Self.series(&draw)
            source.add(series)
            let function = functions[round % functions.count]
            let length = Int64.random(in: 1...400_000, using: &draw)
            let step = Int64.random(in: 1_000...60_000, using: &draw)
            let expression = try Parser.parse("\(function)(c_total[\(PromDuration.text(milliseconds: length))])")
            let result = try PromQLEngine().evaluate(expression, from: 0, through: 1_500_000, step: step, over: source)
            guard case .matrix(let matrix) = result.value else { continue }
            var found: [Int64: Double] = [:]
            for one in matrix { for (time, value) in zip(one.times, one.values) { found[time] = value } }
            for time in Self.times(step) {
                let wanted = Self.expected(function, Self.window(series, time, length), time, length)
                let isRight = Self.isSame(found[time], wanted)
                let difference = "\(String(describing: found[time])), not \(String(describing: wanted))"
                #expect(isRight, "seed \(seed): \(function)[\(length)] at \(time): \(difference)")
            }
        }
    }

    @Test func theNewestSampleOfTheLookBackIsTaken() throws {
        let seed = UInt64.random(in: 1...UInt64.max)
        var draw = Draw(seed: seed)
        for _ in 0..<100 {
            var source = MemorySource()
            let series = Self.series(&draw)
            source.add(series)
            var engine = PromQLEngine()
            engine.lookback = Int64.random(in: 1...100_000, using: &draw)
            let offset = Int64.random(in: -50_000...50_000, using: &draw)
            let text = offset == 0 ? "c_total" : "c_total offset \(offset < 0 ? "-" : "")\(PromDuration.text(milliseconds: abs(offset)))"
            let step = Int64.random(in: 500...60_000, using: &draw)
            let result = try engine.evaluate(try Parser.parse(text), from: 0, through: 1_500_000, step: step, over: source)
            guard case .matrix(let matrix) = result.value else { continue }
            var found: [Int64: Double] = [:]
            for one in matrix { for (time, value) in zip(one.times, one.values) { found[time] = value } }
            for time in Self.times(step) {
                let newest = series.times.lastIndex { $0 <= time - offset && $0 > time - offset - engine.lookback }
                let wanted = newest.flatMap { SeriesSamples.isStale(series.values[$0]) ? nil : series.values[$0] }
                #expect(found[time] == wanted, "seed \(seed): \(text) at \(time)")
            }
        }
    }
}
