/// `rate`, `increase` and `delta` of one series of numbers at all steps: what most panels ask for. The values are those of `NumberWindows`;
/// here they are computed in one loop over plain columns.
struct RateWalk {
    private let walk: WindowWalk
    private let samples: RangeSamples
    private let isCounter: Bool
    private let isPerSecond: Bool

    /// Windows worked on between two accounts.
    private static let slice = 1024

    init(_ walk: WindowWalk, _ samples: RangeSamples) {
        self.walk = walk
        self.samples = samples
        isCounter = walk.function.isCounterRate
        isPerSecond = walk.function == .rate
    }

    /// Appends what the windows of `reached` give, without absent values at either end.
    func fill(_ row: inout Row, _ reached: Range<Int>) throws(PromQLError) {
        let resets = isCounter ? samples.resets : []
        var window = Window()
        var reset = 0
        var (step, kept) = (reached.lowerBound, 0)
        row.base = step
        while step < reached.upperBound {
            let end = min(step + Self.slice, reached.upperBound)
            let read = fill(&row, step..<end, &window, &reset, &kept, resets.span)
            walk.session.read(read)
            try walk.session.worked(2 * (end - step))
            step = end
        }
        row.values.removeLast(row.values.count - kept)
    }

    /// Returns how many samples the windows have. `kept`: values up to and with the last one that is not absent.
    private func fill(
        _ row: inout Row, _ steps: Range<Int>, _ window: inout Window, _ reset: inout Int, _ kept: inout Int, _ resets: Span<Int>
    ) -> Int {
        let times = samples.times.span
        let values = samples.values.span
        let isFixed = walk.references.count == 1
        var read = 0
        for step in steps {
            window.through = walk.references.time(isFixed ? 0 : step)
            window.after = window.through - walk.length
            while window.end < times.count, times[window.end] <= window.through { window.end += 1 }
            while window.first < window.end, times[window.first] <= window.after { window.first += 1 }
            read += window.count
            guard window.count > 1 else {
                if kept == 0 { row.base = step + 1 } else { row.values.append(Row.absent) }
                continue
            }
            let first = values[window.first]
            var difference = values[window.end - 1] - first
            if isCounter {
                // Only the few samples before resets are added, in their order: the same sum as over all samples.
                while reset < resets.count, resets[reset] <= window.first { reset += 1 }
                var index = reset
                while index < resets.count, resets[index] < window.end {
                    difference += values[resets[index] - 1]
                    index += 1
                }
            }
            row.values.append(difference * Extrapolation.factor(
                window, first: times[window.first], last: times[window.end - 1], count: window.count,
                increase: isCounter ? (from: first, by: difference) : nil, isPerSecond: isPerSecond))
            kept = row.values.count
        }
        return read
    }
}
