/// Which tier answers for which time: the coarsest that is as fine as asked for; where it has nothing yet the finer ones and the head,
/// where it has nothing any more the coarser ones. Parts follow each other without gap and overlap, so no sample is told twice.
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
    /// The widest windows of all parts that have a span.
    private(set) var resolution: Int64 = 0

    init(_ state: SeriesState, _ tiers: [SeriesTier], from: Int64, through: Int64, resolution: Int64) {
        let wanted = tiers.lastIndex { $0.resolution <= resolution } ?? 0
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
            if let tier = cut.tier, state.tiers[tier].spans.contains(where: { $0.start < cutEnd && $0.end > start }) {
                self.resolution = max(self.resolution, tiers[tier].resolution)
            }
            start = cutEnd
        }
    }
}
