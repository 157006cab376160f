/// Which tier answers for which time: the wanted one; where it has nothing yet the finer ones and the head, where it has nothing any more
/// the coarser ones. Parts follow each other without gap and overlap, so no sample is told twice.
struct TierPlan {
    struct Part: Equatable {
        /// Nil = the head.
        var tier: Int?
        /// From `start` on, before `end`. Milliseconds.
        var start: Int64
        var end: Int64
    }

    /// In order of time.
    private(set) var parts: [Part] = []
    /// The same with the width of their windows; parts of a tier that has nothing there count as samples as they came.
    private(set) var stretches: [SeriesSelection.Stretch] = []

    init(_ state: SeriesState, _ tiers: [SeriesTier], from: Int64, through: Int64, wanted: Int) {
        let end = through == Int64.max ? through : through + 1
        var cuts: [(tier: Int?, end: Int64)] = []
        // Coarser ones for what the wanted one has deleted.
        for tier in stride(from: tiers.count - 1, to: wanted, by: -1) { cuts.append((tier, state.tiers[tier - 1].expired)) }
        for tier in stride(from: wanted, through: 0, by: -1) { cuts.append((tier, state.tiers[tier].through)) }
        cuts.append((nil, Int64.max))
        var start = from
        for cut in cuts {
            let cutEnd = min(cut.end, end)
            guard cutEnd > start else { continue }
            parts.append(Part(tier: cut.tier, start: start, end: cutEnd))
            let isUsed = cut.tier.map { state.tiers[$0].spans.contains { $0.start < cutEnd && $0.end > start } } ?? false
            let resolution = isUsed ? cut.tier.map { tiers[$0].resolution } ?? 0 : 0
            stretches.append(SeriesSelection.Stretch(start: start, end: cutEnd, resolution: resolution))
            start = cutEnd
        }
    }

    /// The plan for a query that found `matches` among series of numbers before `seriesEnd`: the finest tier, and
    /// coarser ones while more samples than wanted would be read.
    init(_ state: SeriesState, _ tiers: [SeriesTier], _ query: SeriesQuery, _ matches: [MatchedSeries], seriesEnd: UInt32) {
        let coarsest = tiers.lastIndex { $0.resolution <= query.coarsest } ?? 0
        let first = query.samplesWanted > 0 ? 0 : coarsest
        self.init(state, tiers, from: query.from, through: query.through, wanted: first)
        for tier in stride(from: first + 1, through: coarsest, by: 1) {
            guard estimatedReads(of: matches, state, seriesEnd) > query.samplesWanted else { return }
            self.init(state, tiers, from: query.from, through: query.through, wanted: tier)
        }
    }

    /// About how many samples these parts have of the series: as many as their groups' series have on average.
    func estimatedReads(of matches: [MatchedSeries], _ state: SeriesState, _ seriesEnd: UInt32) -> Int {
        var series: [UInt32: Int] = [:]
        for match in matches { series[GroupTracks.groupNumber(of: match.id), default: 0] += max(match.parts.count, 1) }
        var total = 0.0
        for part in parts {
            guard let tier = part.tier else { continue }
            for span in state.tiers[tier].spans where span.start < part.end && span.end > part.start {
                let covered = Double(min(span.end, part.end)) - Double(max(span.start, part.start))
                let share = covered / max(Double(span.end) - Double(span.start), 1) 
                for (group, count) in series {
                    guard let block = span.block(group) else { continue }
                    let first = group.multipliedReportingOverflow(by: SeriesLimits.groupSeries).partialValue
                    let members = max(min(seriesEnd &- first, SeriesLimits.groupSeries), 1)
                    total += Double(block.samples) * share * Double(count) / Double(members)
                }
            }
        }
        return Int(min(total, Double(Int32.max)))
    }
}
