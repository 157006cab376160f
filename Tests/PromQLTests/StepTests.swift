import PromQL
import TelemetryModel
import Testing

/// A range query is the same query asked at each step.
@Suite struct StepTests {
    /// Values that two ways of evaluating must agree on: bits, or both not a number.
    struct Point: Hashable {
        var bits: UInt64
        var histogram: String

        init(_ value: Double, _ histogram: NativeHistogram?) {
            bits = value.isNaN ? 0 : value.bitPattern
            self.histogram = histogram.map { HistogramTools.text(of: $0) } ?? ""
        }
    }

    static let end: Int64 = 1_200_000

    static func source(_ draw: inout Draw) -> MemorySource {
        var source = MemorySource()
        for name in ["up", "sum", "a:b:c", "offset"] {
            for _ in 0..<Int.random(in: 1...4, using: &draw) {
                var labels = LabelSet(name)
                for label in ["a", "b", "c"] where draw.chance(0.6) { labels[label] = draw.one(of: ["b", "x", "1"]) }
                source.add(series(labels, &draw))
            }
        }
        return source
    }

    private static func series(_ labels: LabelSet, _ draw: inout Draw) -> SeriesSamples {
        var series = SeriesSamples(labels: labels)
        let hasHistograms = draw.chance(0.2)
        var time: Int64 = 0
        while time < end {
            time += draw.chance(0.05) ? Int64.random(in: 1...400_000, using: &draw) : Int64.random(in: 20_000...40_000, using: &draw)
            if hasHistograms, draw.chance(0.7) { series.histograms.append((series.times.count, histogram(&draw))) }
            series.times.append(time)
            let value = draw.chance(0.05) ? SeriesSamples.staleMarker : Double(Int.random(in: -3...20, using: &draw)) / 4
            series.values.append(series.histograms.last?.index == series.times.count - 1 ? 1 : value)
        }
        return series
    }

    private static func histogram(_ draw: inout Draw) -> NativeHistogram {
        let counts = (0..<3).map { _ in Double(Int.random(in: 0...5, using: &draw)) }
        return NativeHistogram(
            schema: draw.chance(0.5) ? 0 : 1, count: counts.reduce(0, +), sum: counts[0], positiveSpans: [.init(offset: 0, length: 3)],
            positiveCounts: counts)
    }

    @Test func aRangeIsItsSteps() throws {
        let seed = UInt64.random(in: 1...UInt64.max)
        var query = RandomQuery(draw: Draw(seed: seed))
        var answered = 0
        for _ in 0..<1_500 {
            let source = Self.source(&query.draw)
            let text = query.vector(3)
            // What is not the same at a step alone: the ends of the range, and the order, which sums are rounded by.
            guard !["start()", "end()", "sort_desc"].contains(where: { text.contains($0) }) else { continue }
            let expression = try Parser.parse(text)
            let step: Int64 = 97_000
            guard
                let result = try? PromQLEngine().evaluate(expression, from: 0, through: Self.end, step: step, over: source),
                case .matrix(let matrix) = result.value
            else { continue }
            var found: [Int64: [LabelSet: Point]] = [:]
            for series in matrix {
                for (index, time) in series.times.enumerated() {
                    let histogram = series.histograms.first { $0.index == index }?.histogram
                    found[time, default: [:]][series.labels] = Point(series.values[index], histogram)
                }
            }
            for time in (0...Self.end / step).map({ $0 * step }) {
                let single = try? PromQLEngine().evaluate(expression, at: time, over: source)
                guard case .vector(let samples) = single?.value else {
                    Issue.record("seed \(seed): \(text) fails at \(time) alone")
                    return
                }
                var wanted: [LabelSet: Point] = [:]
                for sample in samples { wanted[sample.labels] = Point(sample.value, sample.histogram) }
                let isSame = found[time, default: [:]] == wanted
                #expect(isSame, "seed \(seed): \(text) at \(time): \(found[time, default: [:]]), alone \(wanted)")
                answered += isSame ? wanted.count : 0
                if !isSame { return }
            }
        }
        #expect(answered > 1_000)
    }
}
