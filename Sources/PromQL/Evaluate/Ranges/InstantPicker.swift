internal import TelemetryModel

/// Takes one series' last sample at each step, if it is not too old: what an instant selector means.
struct InstantPicker {
    /// The times looked back from; one alone stands for all steps.
    let references: Steps
    let stepCount: Int
    /// Milliseconds; a sample that is so old is out.
    let lookback: Int64
    /// The samples' times in seconds instead of their values.
    let givesTimes: Bool

    /// Nil when there is no sample at any step. Costs the samples and the steps that they reach.
    func row(of series: SeriesSamples, _ session: Session) throws(PromQLError) -> Row? {
        guard let oldest = series.times.first, let newest = series.times.last else { return nil }
        let reached = steps(from: oldest, through: newest + lookback - 1)
        guard !reached.isEmpty else { return nil }
        try session.charge(reached.count)
        var row = Row(labels: series.labels)
        row.values.reserveCapacity(reached.count)
        var behind = 0
        var histogram = 0
        for step in reached {
            let reference = references.time(references.count == 1 ? 0 : step)
            while behind < series.times.count, series.times[behind] <= reference { behind += 1 }
            let index = behind - 1
            guard index >= 0, series.times[index] > reference - lookback, !SeriesSamples.isStale(series.values[index]) else { continue }
            while histogram < series.histograms.count, series.histograms[histogram].index < index { histogram += 1 }
            if givesTimes {
                session.read(1)
                row.append(Double(series.times[index]) / 1000, at: step)
            } else if histogram < series.histograms.count, series.histograms[histogram].index == index {
                let size = HistogramShape.charge(for: series.histograms[histogram].histogram)
                try session.charge(size)
                session.read(size)
                row.append(series.histograms[histogram].histogram, at: step)
            } else {
                session.read(1)
                row.append(series.values[index], at: step)
            }
        }
        session.release(reached.count - row.values.count)
        return row.values.isEmpty ? nil : row
    }

    /// The steps whose reference is within two times.
    private func steps(from oldest: Int64, through newest: Int64) -> Range<Int> {
        if references.count == 1 { return references.first >= oldest && references.first <= newest ? 0..<stepCount : 0..<0 }
        return references.indices(from: oldest, through: newest)
    }
}

extension Steps {
    /// The steps whose time is within two times, both included.
    func indices(from oldest: Int64, through newest: Int64) -> Range<Int> {
        guard newest >= first, oldest <= last, oldest <= newest else { return 0..<0 }
        let lower = oldest <= first ? 0 : Int((oldest - first + step - 1) / step)
        let upper = min(count, Int((newest - first) / step) + 1)
        return lower < upper ? lower..<upper : 0..<0
    }
}
