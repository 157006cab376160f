internal import TelemetryModel

/// Moves a function's window over one series after the other. Both ends only move forward, so a series costs its samples and steps, and
/// what the function looks at in each window.
struct WindowWalk {
    let function: RangeFunction
    /// The function's other argument, one number a step; empty without one.
    let parameter: [Double]
    /// Milliseconds of the window.
    let length: Int64
    /// Where windows end; one alone stands for all steps.
    let references: Steps
    let steps: Steps
    /// What remarks are about: the first argument.
    let range: SourceRange
    let session: Session
    /// Of the last series that it was needed for.
    var plan: GrowthPlan?

    /// Nil when no window gives anything.
    mutating func row(of samples: RangeSamples) throws(PromQLError) -> Row? {
        let reached = reachedSteps(samples)
        guard !reached.isEmpty else { return nil }
        try session.charge(reached.count)
        var row = Row(labels: samples.labels, dropsName: samples.dropsName)
        row.values.reserveCapacity(reached.count)
        switch (samples.histograms.isEmpty, function.isOfBothEnds) {
        case (true, true): try growth(of: samples, reached, &row)
        case (true, false): try numbers(of: samples, reached, &row)
        case (false, _): try anything(of: samples, reached, &row)
        }
        session.release(reached.count - row.values.count)
        if function.isCounterRate { remarkName(of: samples, row) }
        return row.values.isEmpty ? nil : row
    }

    private func reachedSteps(_ samples: RangeSamples) -> Range<Int> {
        let oldest = min(samples.times.first ?? .max, samples.histogramTimes.first ?? .max)
        let newest = max(samples.times.last ?? .min, samples.histogramTimes.last ?? .min)
        guard oldest <= newest else { return 0..<0 }
        if references.count != 1 { return references.indices(from: oldest, through: newest + length - 1) }
        let isReached = references.first >= oldest && references.first - length < newest
        return isReached ? 0..<steps.count : 0..<0
    }

    private func place(_ window: inout Window, at step: Int, _ samples: borrowing RangeSamples) {
        window.time = steps.time(step)
        window.through = references.time(references.count == 1 ? 0 : step)
        window.after = window.through - length
        while window.end < samples.times.count, samples.times[window.end] <= window.through { window.end += 1 }
        while window.first < window.end, samples.times[window.first] <= window.after { window.first += 1 }
    }

    private func placeHistograms(_ window: inout Window, _ samples: borrowing RangeSamples) {
        let times = samples.histogramTimes
        while window.endHistogram < times.count, times[window.endHistogram] <= window.through { window.endHistogram += 1 }
        while window.firstHistogram < window.endHistogram, times[window.firstHistogram] <= window.after { window.firstHistogram += 1 }
    }

    private mutating func growth(of samples: RangeSamples, _ reached: Range<Int>, _ row: inout Row) throws(PromQLError) {
        let breaks = function.isCounterRate ? samples.breaks : []
        let known = plan.flatMap { $0.fits(samples, breaks: breaks) ? $0 : nil }
        let plan = known ?? GrowthPlan(self, samples, breaks: breaks, reached)
        self.plan = plan
        row.base = plan.base
        let resets = samples.resets(among: breaks)
        plan.append(samples.values.span, resets: resets.span, to: &row.values)
        session.read(plan.samplesRead)
        // Each window by itself counts for what it costs and one more.
        try session.worked((function.cost(of: 1) + 1) * reached.count)
    }

    private func numbers(of samples: RangeSamples, _ reached: Range<Int>, _ row: inout Row) throws(PromQLError) {
        let worker = NumberWindows(function, samples)
        var window = Window()
        var reset = 0
        row.base = reached.lowerBound
        for step in reached {
            place(&window, at: step, samples)
            var value = Row.absent
            if window.count > 0 {
                try session.worked(function.cost(of: window.count))
                session.read(window.count)
                value = worker.value(window, &reset, parameter: step < parameter.count ? parameter[step] : 0)
            }
            if !row.values.isEmpty || !Row.isAbsent(value) { row.values.append(value) } else { row.base = step + 1 }
        }
        while let last = row.values.last, Row.isAbsent(last) { row.values.removeLast() }
        if function == .quantileOverTime, !row.values.isEmpty { remarkQuantiles(reached) }
    }

    private func anything(of samples: RangeSamples, _ reached: Range<Int>, _ row: inout Row) throws(PromQLError) {
        let worker = MixedWindows(function, samples, range, session)
        var window = Window()
        var reset = 0
        for step in reached {
            place(&window, at: step, samples)
            placeHistograms(&window, samples)
            guard window.count + window.histogramCount > 0 else { continue }
            try session.worked(window.count + 16 * window.histogramCount)
            session.read(window.count + samples.histograms[window.firstHistogram..<window.endHistogram].reduce(0) {
                $0 + HistogramShape.charge(for: $1)
            })
            switch worker.value(window, &reset, parameter: step < parameter.count ? parameter[step] : 0) {
            case .nothing: break
            case .number(let value): row.append(value, at: step)
            case .histogram(let histogram):
                try session.charge(HistogramShape.charge(for: histogram))
                row.append(histogram, at: step)
            }
        }
        if function == .quantileOverTime, !row.values.isEmpty { remarkQuantiles(reached) }
    }

    private func remarkQuantiles(_ reached: Range<Int>) {
        for step in reached where step < parameter.count && !(parameter[step] >= 0 && parameter[step] <= 1) {
            session.annotate(.invalidQuantile(parameter[step], range))
        }
    }

    private func remarkName(of samples: RangeSamples, _ row: Row) {
        let name = samples.name
        guard !name.isEmpty, !["_total", "_sum", "_count", "_bucket"].contains(where: { name.hasSuffix($0) }) else { return }
        if row.values.contains(where: { !Row.isAbsent($0) }) { session.annotate(.possibleNonCounter(name, range)) }
    }
}
