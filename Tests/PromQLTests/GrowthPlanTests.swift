import TelemetryModel
import Testing
@testable import PromQL

/// `rate`, `increase` and `delta` of samples as the source has them, bit by bit as of samples that were filled in and looked at one window
/// after the other.
@Suite struct GrowthPlanTests {
    private static let hour: Int64 = 3_600_000
    private static let end = 40 * hour

    /// Series of which some share their times, with resets, gaps, stale ends, odd numbers and pairs of samples around a reset.
    private func series(_ draw: inout Draw, _ number: Int, like other: SeriesSamples?) -> SeriesSamples {
        var series = SeriesSamples(labels: LabelSet("c_total", ["n": "\(number)"]))
        if let other, draw.chance(0.7) { series.times = other.times } else { series.times = times(&draw) }
        var value = draw.chance(0.2) ? -50.0 : 0
        let rare = draw.chance(0.5) ? 0 : 0.1
        for _ in series.times {
            value = draw.chance(rare) ? 0 : value + Double(Int.random(in: 0...30, using: &draw)) * (draw.chance(0.2) ? 0.1 : 1)
            let odd = [.nan, .infinity, -.infinity, -0.0, 1e300][Int.random(in: 0..<5, using: &draw)]
            series.values.append(draw.chance(rare / 3) ? SeriesSamples.staleMarker : draw.chance(rare / 5) ? odd : value)
        }
        return series
    }

    private func times(_ draw: inout Draw) -> [Int64] {
        var times: [Int64] = []
        var time = Int64.random(in: 0...3 * Self.hour, using: &draw)
        for _ in 0..<Int.random(in: 1...60, using: &draw) {
            times.append(time)
            let steps = [Self.hour, Self.hour, Self.hour, Self.hour - 13, 60_000, 1000, 3 * Self.hour]
            time += steps[Int.random(in: 0..<steps.count, using: &draw)]
        }
        return times
    }

    private func filling(_ draw: inout Draw, _ manner: WindowFilling.Manner = .even) -> WindowFilling {
        let fine = Int64.random(in: 0...Self.end, using: &draw)
        let first = draw.chance(0.5) ? 0 : 5 * Self.hour
        return WindowFilling(
            [
                WindowFilling.Stretch(start: 0, end: first, resolution: 0),
                WindowFilling.Stretch(start: first, end: fine, resolution: Self.hour),
                WindowFilling.Stretch(start: fine, end: fine + 3 * Self.hour, resolution: 60_000),
                WindowFilling.Stretch(start: fine + 3 * Self.hour, end: .max, resolution: 0),
            ], manner, spacing: Int64.random(in: 1...2 * Self.hour, using: &draw), through: Self.end)
    }

    /// What the language said before there were plans: each window by itself, over samples that were filled in.
    private func plain(
        _ function: RangeFunction, _ series: SeriesSamples, _ filling: WindowFilling?, length: Int64, step: Int64
    ) -> [Int64: UInt64] {
        let filled = filling?.fill(series) ?? series
        let samples = RangeSamples(filled, after: -length, through: Self.end)
        let windows = NumberWindows(function, samples)
        var found: [Int64: UInt64] = [:]
        for time in stride(from: 0, through: Self.end, by: Int(step)).map({ Int64($0) }) {
            var window = Window()
            (window.through, window.after, window.time) = (time, time - length, time)
            window.end = samples.times.firstIndex { $0 > time } ?? samples.times.count
            window.first = samples.times.firstIndex { $0 > time - length } ?? samples.times.count
            guard window.count > 0 else { continue }
            var reset = 0
            let value = windows.value(window, &reset, parameter: 0)
            if !Row.isAbsent(value) { found[time] = value.isNaN ? UInt64.max : value.bitPattern }
        }
        return found
    }

    @Test func plansGiveWhatWindowsGive() throws {
        let seed = UInt64.random(in: 1...UInt64.max)
        var draw = Draw(seed: seed)
        for round in 0..<300 {
            var source = MemorySource()
            for number in 0..<Int.random(in: 1...6, using: &draw) { source.add(series(&draw, number, like: source.series.last)) }
            source.filling = draw.chance(0.7) ? filling(&draw) : nil
            let function: RangeFunction = source.filling != nil || draw.chance(0.7) ? [.rate, .increase][round % 2] : .delta
            let length = Int64.random(in: 1...4 * Self.hour, using: &draw)
            let step = Int64.random(in: 30_000...2 * Self.hour, using: &draw)
            let text = "\(function.rawValue)(c_total[\(PromDuration.text(milliseconds: length))])"
            let result = try PromQLEngine().evaluate(try Parser.parse(text), from: 0, through: Self.end, step: step, over: source)
            guard case .matrix(let matrix) = result.value else { continue }
            for one in source.series {
                // What the source leaves out is left out before it is filled in.
                let asked = part(of: one, after: -length, through: Self.end - Self.end % step)
                let wanted = plain(function, asked, source.filling, length: length, step: step)
                let row = matrix.first { $0.labels["n"] == one.labels["n"] }
                var found: [Int64: UInt64] = [:]
                for (time, value) in zip(row?.times ?? [], row?.values ?? []) { found[time] = value.isNaN ? UInt64.max : value.bitPattern }
                #expect(found == wanted, "seed \(seed), round \(round): \(text) at each \(step), filled: \(source.filling != nil)")
            }
        }
    }

    private func part(of series: SeriesSamples, after: Int64, through: Int64) -> SeriesSamples {
        var part = SeriesSamples(labels: series.labels)
        for (time, value) in zip(series.times, series.values) where time > after && time <= through {
            part.times.append(time)
            part.values.append(value)
        }
        return part
    }

    /// Samples read are those of all windows, with those that were put in.
    @Test func readsAreCounted() throws {
        var source = MemorySource()
        source.add(SeriesSamples(labels: LabelSet("c_total"), times: (1...10).map { $0 * Self.hour }, values: (1...10).map { Double($0) }))
        source.filling = WindowFilling(
            [WindowFilling.Stretch(start: 0, end: Self.end, resolution: Self.hour)], .even, spacing: Self.hour / 3, through: Self.end)
        let result = try PromQLEngine().evaluate(
            try Parser.parse("rate(c_total[1h])"), from: 2 * Self.hour, through: 10 * Self.hour, step: Self.hour, over: source)
        // The first window has the newest sample alone, the others three each.
        #expect(result.cost.samplesRead == 1 + 8 * 3)
    }
}
