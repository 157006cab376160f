import Primitives
import PromQL
import TelemetryModel
import TelemetryStore
import Testing
@testable import MeshRuntime

/// Windows that are wider than a range or a look-back still answer, and totals stay what they were.
@Suite struct WindowFillingTests {
    private static let hour: Int64 = 3_600_000
    private static let through = 24 * hour

    /// The samples of one series in the order of time, as the store has them.
    private func filled(_ samples: SeriesSamples, _ reading: WindowReading, fine: Int64? = nil) -> SeriesSamples {
        let end = fine ?? Self.through
        let stretches = [
            TelemetryStore.SeriesSelection.Stretch(start: 0, end: end, resolution: Self.hour),
            TelemetryStore.SeriesSelection.Stretch(start: end, end: Self.through, resolution: 0),
        ]
        return WindowFilling(stretches, reading, through: Self.through).fill(samples)
    }

    /// Last samples of windows of an hour.
    private func hourly(_ values: [Double]) -> SeriesSamples {
        SeriesSamples(labels: LabelSet("a"), times: values.indices.map { Int64($0 + 1) * Self.hour - 7000 }, values: values)
    }

    @Test func anIncreaseIsEvenBetweenTwoSamples() {
        let found = filled(hourly([0, 120, 120, 480]), WindowReading("rate", range: 30 * 60_000, step: Self.hour))
        #expect(zip(found.times, found.times.dropFirst()).allSatisfy { $1 > $0 && $1 - $0 <= 10 * 60_000 })
        #expect(zip(found.values, found.values.dropFirst()).allSatisfy { $1 >= $0 })
        #expect(found.values.first == 0 && found.values.last == 480)
        // Six parts of the first hour's 120.
        #expect(Array(found.values.prefix(4)) == [0, 20, 40, 60])
    }

    /// Both sides of a reset are samples of the store; nothing is put between them.
    @Test func aResetStaysOne() {
        var samples = hourly([100, 160])
        samples.times += [2 * Self.hour - 6000, 3 * Self.hour - 7000]
        samples.values += [5, 65]
        let found = filled(samples, WindowReading("increase", range: 20 * 60_000, step: Self.hour))
        #expect(zip(found.values, found.values.dropFirst()).filter { $1 < $0 }.count == 1)
    }

    /// A series that was away for hours has no samples there.
    @Test func gapsAreNotFilled() {
        var samples = hourly([1, 2])
        samples.times.append(9 * Self.hour - 7000)
        samples.values.append(3)
        for function in ["rate", "max_over_time", ""] {
            let found = filled(samples, WindowReading(function, range: function.isEmpty ? 0 : 60_000 * 20, step: 60_000))
            #expect(!found.times.contains { $0 >= 3 * Self.hour && $0 < 9 * Self.hour - 7000 }, "\(function)")
        }
    }

    @Test func aLookBackOfFiveMinutesFindsAValue() {
        let found = filled(hourly([1, 2, 3]), WindowReading("", range: 0, step: 60_000))
        for time in stride(from: Self.hour, to: 4 * Self.hour - 8000, by: 17_000) {
            let index = found.times.lastIndex { $0 <= time } ?? 0
            #expect(time - found.times[index] < 300_000)
            #expect(found.values[index] == Double((time + 7000) / Self.hour))
        }
    }

    /// However short the range: sums and counts over consecutive ranges are those of the windows.
    @Test(arguments: [60_000, 20 * 60_000, 90 * 60_000] as [Int64]) func sharesAddUp(range: Int64) {
        let sums = filled(hourly([30, 60, 90]), WindowReading("sum_over_time", range: range, step: range))
        #expect(abs(sums.values.reduce(0, +) - 180) < 1e-9)
        var means = hourly([3, 6, 9])
        means.weights = [10, 10, 10]
        let found = filled(means, WindowReading("avg_over_time", range: range, step: range))
        #expect(abs(found.weights.reduce(0, +) - 30) < 1e-9)
        #expect(abs(zip(found.values, found.weights).reduce(0) { $0 + $1.0 * $1.1 } - 180) < 1e-9)
    }

    /// Where samples are as they came nothing is added, and an end stays an end.
    @Test func samplesAsTheyCameStay() {
        var samples = hourly([1, 2, SeriesSamples.staleMarker, 4, 5])
        #expect(filled(samples, WindowReading("", range: 0, step: 60_000), fine: 0).times == samples.times)
        samples = filled(samples, WindowReading("", range: 0, step: 60_000))
        #expect(!samples.times.contains { $0 > 3 * Self.hour - 7000 && $0 < 4 * Self.hour - 7000 })
        #expect(samples.values.filter { SeriesSamples.isStale($0) }.count == 1)
    }

    /// Series of numbers alone are filled by a loop of their own. With weights of 1 the same samples take the other way.
    @Test(arguments: 1...200 as ClosedRange<UInt64>) func bothWaysFillAlike(seed: UInt64) {
        var random = RandomSource(seed: seed)
        var samples = SeriesSamples(labels: LabelSet("a"))
        var time = Int64.random(in: 0..<3 * Self.hour, using: &random)
        for _ in 0..<Int.random(in: 1...40, using: &random) {
            samples.times.append(time)
            let value = Double(Int.random(in: -5...100, using: &random))
            samples.values.append(Int.random(in: 0..<8, using: &random) == 0 ? SeriesSamples.staleMarker : value)
            let steps: [Int64] = [60_000, Self.hour, Self.hour, Self.hour - 13, 3 * Self.hour]
            time += steps[Int.random(in: 0..<5, using: &random)]
        }
        let functions = ["rate", "max_over_time", "sum_over_time", "avg_over_time", ""]
        let function = functions[Int.random(in: 0..<functions.count, using: &random)]
        let spacings: [Int64] = [60_000, 7 * 60_000, Self.hour, 5 * Self.hour]
        let spacing = spacings[Int.random(in: 0..<4, using: &random)]
        let reading = WindowReading(function, range: function.isEmpty ? 0 : spacing, step: spacing)
        let fine = Int.random(in: 0..<2, using: &random) == 0 ? nil : 12 * Self.hour
        var weighted = samples
        weighted.weights = [Double](repeating: 1, count: samples.times.count)
        let found = filled(samples, reading, fine: fine)
        let expected = filled(weighted, reading, fine: fine)
        #expect(found.times == expected.times, "seed \(seed), \(function)")
        #expect(found.values.map(\.bitPattern) == expected.values.map(\.bitPattern), "seed \(seed), \(function)")
    }

    /// A range of a millisecond over a year of hours costs what its bound says.
    @Test func partsAreBounded() {
        let found = filled(hourly([1, 2, 3]), WindowReading("rate", range: 1, step: 1))
        #expect(found.times.count <= 3 * Int(WindowFilling.partsMax))
    }

    @Test func histogramsGrowEvenly() {
        func histogram(_ count: Double) -> NativeHistogram {
            NativeHistogram(
                count: count, sum: count * 2, positiveSpans: [NativeHistogram.Span(offset: 0, length: 1)], positiveCounts: [count])
        }
        var samples = hourly([2, 122])
        samples.histograms = [(0, histogram(1)), (1, histogram(61))]
        let found = filled(samples, WindowReading("rate", range: 30 * 60_000, step: Self.hour))
        #expect(found.histograms.prefix(3).map(\.histogram.count) == [1, 11, 21])
        #expect(found.histograms.prefix(3).map(\.histogram.positiveCounts) == [[1], [11], [21]])
        #expect(found.histograms.map(\.index) == Array(found.times.indices))
    }
}
