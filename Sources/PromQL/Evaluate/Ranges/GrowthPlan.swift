/// Where the windows of `rate`, `increase` or `delta` begin and end among samples at certain times, and how much of each window these
/// cover: all that does not depend on values. Series that were sampled together share it. Samples that are to be put between others are
/// never written down: only the outermost ones of each window are worked out, with the same arithmetic as `WindowFilling.fill`.
struct GrowthPlan {
    /// The outermost samples of one window. Each is a sample of the series, or stands a part of the way (0…1) from it to the next one.
    private struct Place: BitwiseCopyable {
        /// Index; below zero = the window has less than two samples.
        var first: Int32 = -1
        var last: Int32 = -1
        var firstWay = 0.0
        var lastWay = 0.0
        var coverage = Coverage()
    }

    private let isCounter: Bool
    private let isFilled: Bool
    private let times: [Int64]
    /// Samples that nothing was put before.
    private let breaks: [Int]
    /// The step of the first place.
    private(set) var base: Int
    /// Samples in all windows.
    private(set) var samplesRead = 0
    /// One a step, without those that give nothing at either end.
    private var places: [Place] = []

    /// `reached`: steps whose windows may hold samples; `breaks`: `RangeSamples.breaks`.
    init(_ walk: WindowWalk, _ samples: RangeSamples, breaks: [Int], _ reached: Range<Int>) {
        isCounter = walk.function.isCounterRate
        isFilled = samples.filling != nil
        times = samples.times
        self.breaks = isFilled ? breaks : []
        base = reached.lowerBound
        let filled = samples.filledTimes(breaks)
        place(walk, reached, filled?.times ?? times)
        if let filled { resolve(filled) }
    }

    /// Whether it is the plan of these samples too.
    func fits(_ samples: RangeSamples, breaks: [Int]) -> Bool {
        isFilled == (samples.filling != nil) && times == samples.times && (!isFilled || self.breaks == breaks)
    }

    private mutating func place(_ walk: WindowWalk, _ reached: Range<Int>, _ times: [Int64]) {
        let times = times.span
        let isFixed = walk.references.count == 1
        var window = Window()
        var kept = 0
        places.reserveCapacity(reached.count)
        for step in reached {
            window.through = walk.references.time(isFixed ? 0 : step)
            window.after = window.through - walk.length
            while window.end < times.count, times[window.end] <= window.through { window.end += 1 }
            while window.first < window.end, times[window.first] <= window.after { window.first += 1 }
            samplesRead &+= window.count
            guard window.count > 1 else {
                if kept == 0 { base = step + 1 } else { places.append(Place()) }
                continue
            }
            let coverage = Coverage(
                window, first: times[window.first], last: times[window.end - 1], count: window.count,
                isPerSecond: walk.function == .rate)
            places.append(Place(first: Int32(clamping: window.first), last: Int32(clamping: window.end - 1), coverage: coverage))
            kept = places.count
        }
        places.removeLast(places.count - kept)
    }

    /// Turns places among filled samples to those among the series' own.
    private mutating func resolve(_ filled: FilledTimes) {
        let (starts, parts) = (filled.starts.span, filled.parts.span)
        func move(_ own: inout Int, to place: Int) -> (index: Int32, way: Double) {
            while starts[own + 1] <= place { own += 1 }
            return (Int32(clamping: own), Double(place - starts[own]) / Double(parts[own]))
        }
        var (first, last) = (0, 0)
        for index in places.indices where places[index].first >= 0 {
            (places[index].first, places[index].firstWay) = move(&first, to: Int(places[index].first))
            (places[index].last, places[index].lastWay) = move(&last, to: Int(places[index].last))
        }
    }

    /// Appends what the windows give for a series' values. `resets`: samples before which a counter fell.
    func append(_ values: Span<Double>, resets: Span<Int>, to row: inout [Double]) {
        let places = places.span
        row.append(addingCapacity: places.count) { output in
            var reset = 0
            for index in places.indices {
                output.append(places[index].first < 0 ? Row.absent : growth(places[index], values, resets, &reset))
            }
        }
    }

    @inline(__always)
    private func growth(_ place: Place, _ values: Span<Double>, _ resets: Span<Int>, _ reset: inout Int) -> Double {
        let (first, last) = (Int(place.first), Int(place.last))
        let from = value(values, first, place.firstWay)
        var difference = value(values, last, place.lastWay) - from
        guard isCounter else { return difference * place.coverage.factor }
        Extrapolation.addResets(to: &difference, first..<last + 1, values, resets, &reset)
        return difference * place.coverage.factor(from: from, by: difference)
    }

    @inline(__always)
    private func value(_ values: Span<Double>, _ index: Int, _ way: Double) -> Double {
        let value = values[index]
        return way == 0 ? value : value + (values[index + 1] - value) * way
    }
}
