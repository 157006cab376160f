import TelemetryModel

/// Samples of one series into those of a coarser tier. Pure. For windows that are multiples of each other,
/// rollup(rollup(samples)) = rollup(samples), bit by bit for what accumulates, and for gauges but for the order of additions.
///
/// **What accumulates** (counters, histograms) keeps samples as they are, times and values: the first of the track, the last of each
/// window, and both sides of every reset. Between two samples that are kept nothing ever fell, so their difference is the increase, with
/// resets added back: `increase`, `rate` and `resets` over whole windows are exact, and no arithmetic touches a value. The first sample
/// of a track is kept because the reset before it may be.
///
/// **Gauges** become windows of last, count, sum, least and most (`GaugeColumn`), at the time of the last.
///
/// A marker of staleness stays where nothing follows it in its window: the end of a series stays its end, gaps within a window are no
/// longer told.
enum Rollup {
    static func roll(_ track: Track, _ rule: RollupRule, window: Int64) -> Track {
        switch rule {
        case .cumulative: select(track, window)
        case .gauge: windows(track, window)
        }
    }

    static func number(of time: Int64, _ window: Int64) -> Int64 {
        let quotient = time / window
        return time % window < 0 ? quotient - 1 : quotient
    }

    // MARK: What accumulates

    private static func select(_ track: Track, _ window: Int64) -> Track {
        var isKept = [Bool](repeating: false, count: track.count)
        /// The real sample before, and whether it is the last so far of its window.
        var before: Int?
        for index in 0..<track.count {
            let isLast = index + 1 == track.count || number(of: track.times[index + 1], window) != number(of: track.times[index], window)
            if track.isMarker(index) {
                isKept[index] = isLast
                // What came before the marker was the last of its window, if it is of the same.
                if isLast, let before, number(of: track.times[before], window) == number(of: track.times[index], window) {
                    isKept[before] = true
                }
                continue
            }
            isKept[index] = isLast || before == nil
            if let before, isReset(track, from: before, to: index) {
                isKept[before] = true
                isKept[index] = true
            }
            before = index
        }
        var kept = Track(width: track.width)
        for index in 0..<track.count where isKept[index] { kept.append(index, of: track) }
        return kept
    }

    private static func isReset(_ track: Track, from before: Int, to index: Int) -> Bool {
        if track.width == 0 { return isReset(track.natives[before], track.natives[index]) }
        return track.columns.contains { !($0[index] >= $0[before]) }
    }

    /// Buckets that are not the same ones count as a reset: to keep more is never wrong.
    private static func isReset(_ before: NativeHistogram, _ after: NativeHistogram) -> Bool {
        if after.resetHint == .gauge { return false }
        guard after.resetHint != .reset, before.schema == after.schema, before.zeroThreshold == after.zeroThreshold,
            before.positiveSpans == after.positiveSpans, before.negativeSpans == after.negativeSpans,
            before.customBounds == after.customBounds
        else { return true }
        return after.count < before.count || after.zeroCount < before.zeroCount
            || zip(before.positiveCounts, after.positiveCounts).contains { $0 > $1 }
            || zip(before.negativeCounts, after.negativeCounts).contains { $0 > $1 }
    }

    // MARK: Gauges

    private static func windows(_ track: Track, _ window: Int64) -> Track {
        var rolled = Track(width: GaugeColumn.count)
        var index = 0
        while index < track.count {
            let number = number(of: track.times[index], window)
            var gauge = GaugeWindow()
            var marker: Int64?
            while index < track.count, self.number(of: track.times[index], window) == number {
                if track.isMarker(index) { marker = track.times[index] } else { gauge.add(track, index) }
                if !track.isMarker(index) { marker = nil }
                index += 1
            }
            gauge.append(to: &rolled)
            if let marker { GaugeWindow.appendMarker(at: marker, to: &rolled) }
        }
        return rolled
    }
}

/// One window of a gauge being summed up.
struct GaugeWindow {
    private var time: Int64 = 0
    private var last = 0.0
    private var samples = 0.0
    private var sum = 0.0
    private var least = Double.nan
    private var most = Double.nan

    /// Adds a sample, or a window of the tier before.
    mutating func add(_ track: Track, _ index: Int) {
        let isWindow = track.width == GaugeColumn.count
        time = track.times[index]
        last = track.columns[0][index]
        samples += isWindow ? track.columns[GaugeColumn.samples][index] : 1
        sum += isWindow ? track.columns[GaugeColumn.sum][index] : last
        // A NaN among the samples is no least, unless there is nothing else.
        let low = isWindow ? track.columns[GaugeColumn.least][index] : last
        let high = isWindow ? track.columns[GaugeColumn.most][index] : last
        if !(least <= low) { least = low.isNaN ? least : low }
        if !(most >= high) { most = high.isNaN ? most : high }
    }

    func append(to track: inout Track) {
        guard samples > 0 else { return }
        Self.append(time, [last, samples, sum, least, most], to: &track)
    }

    static func appendMarker(at time: Int64, to track: inout Track) {
        append(time, [SeriesSamples.staleMarker, 0, 0, 0, 0], to: &track)
    }

    private static func append(_ time: Int64, _ values: [Double], to track: inout Track) {
        track.times.append(time)
        for (column, value) in values.enumerated() { track.columns[column].append(value) }
    }
}
