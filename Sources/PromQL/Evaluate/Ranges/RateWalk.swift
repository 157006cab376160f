/// `rate`, `increase` and `delta` of one series of numbers at all steps, which most panels ask for. One loop over plain columns; what a
/// window gives is worked out by `Extrapolation`, as for series with histograms.
struct RateWalk {
    private let walk: WindowWalk
    private let samples: RangeSamples

    /// Windows between two looks at the clock and the limits.
    private static let slice = 1024

    init(_ walk: WindowWalk, _ samples: RangeSamples) {
        self.walk = walk
        self.samples = samples
    }

    /// Appends what the windows of `reached` give, without absent values at either end.
    func fill(_ row: inout Row, _ reached: Range<Int>) throws(PromQLError) {
        let resets = walk.function.isCounterRate ? samples.resets : []
        var window = Window()
        var reset = 0
        var (step, kept) = (reached.lowerBound, 0)
        row.base = step
        while step < reached.upperBound {
            let end = min(step + Self.slice, reached.upperBound)
            let read = fill(&row, step..<end, &window, &reset, &kept, resets.span)
            walk.session.read(read)
            // Each window by itself counts for what it costs and one more.
            try walk.session.worked((walk.function.cost(of: 1) + 1) * (end - step))
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
            row.values.append(Extrapolation.growth(walk.function, window, times, values, resets: resets, &reset))
            kept = row.values.count
        }
        return read
    }
}
