import TelemetryModel
import Testing
@testable import TelemetryStore

/// What coarser tiers say is what the samples said.
@Suite struct RollupTests {
    private static let minute: Int64 = 60_000

    /// Samples of a series with resets, gaps and ends.
    private func track(_ random: inout SeededRandom, width: Int, cumulative: Bool) -> Track {
        var track = Track(width: width)
        var time = Int64.random(in: -5_000_000...5_000_000, using: &random)
        var values = [Double](repeating: 0, count: max(width, 1))
        for _ in 0..<Int.random(in: 1...300, using: &random) {
            let isGap = Int.random(in: 0..<30, using: &random) == 0
            time += Int64.random(in: 1...(isGap ? 4_000_000 : 20_000), using: &random)
            let isReset = Int.random(in: 0..<25, using: &random) == 0
            let isStale = Int.random(in: 0..<25, using: &random) == 0
            for column in values.indices {
                // Quarters: their sums are exact in any order.
                let step = Double(Int.random(in: 0..<40, using: &random)) / 4
                values[column] = !cumulative ? step - 4 : isReset ? step : values[column] + step
            }
            track.times.append(time)
            for column in 0..<width {
                track.columns[column].append(isStale && column == width - 1 ? SeriesSamples.staleMarker : values[column])
            }
            if width == 0 {
                track.natives.append(NativeHistogram(
                    count: values[0], sum: isStale ? SeriesSamples.staleMarker : values[0],
                    positiveSpans: [.init(offset: Int32(isReset ? 1 : 0), length: 1)], positiveCounts: [values[0]]))
            }
        }
        return track
    }

    private func equal(_ left: Track, _ right: Track) -> Bool {
        func bits(_ track: Track) -> [[UInt64]] { track.columns.map { $0.map(\.bitPattern) } }
        func natives(_ track: Track) -> [[UInt64]] {
            track.natives.map { ([$0.count, $0.sum] + $0.positiveCounts).map(\.bitPattern) }
        }
        return left.times == right.times && bits(left) == bits(right) && natives(left) == natives(right)
    }

    @Test(arguments: 0..<300)
    func rollingUpTwiceIsRollingUpOnce(seed: Int) {
        var random = SeededRandom(UInt64(seed) + 0x2011)
        let rule: RollupRule = seed % 4 == 0 ? .gauge : .cumulative
        let raw = track(&random, width: [1, 1, 8, 0][seed % 4], cumulative: rule == .cumulative)
        let minutes = Rollup.roll(raw, rule, window: Self.minute)
        let direct = Rollup.roll(raw, rule, window: 60 * Self.minute)
        #expect(equal(Rollup.roll(minutes, rule, window: 60 * Self.minute), direct), "seed \(seed)")
        #expect(equal(Rollup.roll(minutes, rule, window: Self.minute), minutes), "seed \(seed)")
        let tens = Rollup.roll(minutes, rule, window: 10 * Self.minute)
        #expect(equal(Rollup.roll(tens, rule, window: 60 * Self.minute), direct), "seed \(seed)")
    }

    /// From end to end, and over whole windows, a counter grew by what it grew, and was reset as often.
    @Test(arguments: 0..<200)
    func increasesAndResetsAreExact(seed: Int) {
        var random = SeededRandom(UInt64(seed) + 0x3011)
        let raw = track(&random, width: 1, cumulative: true)
        let rolled = Rollup.roll(raw, .cumulative, window: 10 * Self.minute)
        func growth(_ track: Track, through end: Int64) -> (increase: Double, resets: Int) {
            var result = (increase: 0.0, resets: 0)
            var last: Double?
            for (time, value) in zip(track.times, track.columns[0]) where time < end && !SeriesSamples.isStale(value) {
                if let last {
                    result.increase += value < last ? value : value - last
                    result.resets += value < last ? 1 : 0
                }
                last = value
            }
            return result
        }
        for window in Rollup.number(of: raw.times[0], 10 * Self.minute)...Rollup.number(of: raw.times[raw.count - 1], 10 * Self.minute) {
            let end = (window + 1) * 10 * Self.minute
            #expect(growth(raw, through: end) == growth(rolled, through: end), "seed \(seed)")
        }
    }

    @Test(arguments: 0..<100)
    func windowsOfGaugesAreExact(seed: Int) {
        var random = SeededRandom(UInt64(seed) + 0x4011)
        let raw = track(&random, width: 1, cumulative: false)
        let rolled = Rollup.roll(raw, .gauge, window: Self.minute)
        var expected: [Int64: [Double]] = [:]
        for (time, value) in zip(raw.times, raw.columns[0]) where !SeriesSamples.isStale(value) {
            expected[Rollup.number(of: time, Self.minute), default: []].append(value)
        }
        var found: [Int64: [Double]] = [:]
        for index in 0..<rolled.count where !rolled.isMarker(index) {
            found[Rollup.number(of: rolled.times[index], Self.minute)] = rolled.columns.map { $0[index] }
        }
        #expect(found == expected.mapValues { [$0[$0.count - 1], Double($0.count), $0.reduce(0, +), $0.min() ?? 0, $0.max() ?? 0] })
    }

    @Test func theNameSaysWhatNobodySaid() {
        #expect(RollupRule(.unknown, name: Array("requests_total".utf8)) == .cumulative)
        #expect(RollupRule(.unknown, name: Array("latency_bucket".utf8)) == .cumulative)
        #expect(RollupRule(.unknown, name: Array("temperature".utf8)) == .gauge)
        #expect(RollupRule(.counter, name: Array("temperature".utf8)) == .cumulative)
    }
}
