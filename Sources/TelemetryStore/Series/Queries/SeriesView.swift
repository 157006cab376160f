import Matching
import TelemetryModel

/// Answers questions about the series. Any thread; every call looks at one moment of the samples.
struct SeriesView {
    private let configuration: SeriesConfiguration
    private let index: SharedIndex
    private let reads: SeriesReads
    private let state: Monitor<SeriesState>

    init(_ configuration: SeriesConfiguration, _ index: SharedIndex, _ reads: SeriesReads, _ state: Monitor<SeriesState>) {
        self.state = state
        self.configuration = configuration
        self.index = index
        self.reads = reads
    }

    func select(_ query: SeriesQuery) throws(SeriesQueryError) -> SeriesSelection {
        let matches = find(query.matchers, query.from, query.through)
        let selection: SeriesSelection?
        do throws(StoreError) {
            selection = try reads.look { state, connection throws(StoreError) in try select(query, matches, state, connection) }
        } catch {
            throw .store(error)
        }
        guard let selection else { throw .tooManySamples(max: configuration.querySamplesMax) }
        return selection
    }

    /// Outer nil: a block was deleted meanwhile; inner nil: too many samples.
    private func select(
        _ query: SeriesQuery, _ matches: [MatchedSeries], _ state: SeriesState, _ connection: SeriesConnection
    ) throws(StoreError) -> SeriesSelection?? {
        let plan = TierPlan(state, configuration.tiers, query, matches, seriesEnd: index.read { $0.endID })
        var scan = SeriesScan(state, plan, connection, samplesMax: configuration.querySamplesMax)
        var output = SampleOutput(query.gaugeValue, matches)
        var start = 0
        while start < matches.count {
            let group = GroupTracks.groupNumber(of: matches[start].id)
            var end = start
            while end < matches.count, GroupTracks.groupNumber(of: matches[end].id) == group { end += 1 }
            guard let tracks = try scan.readTracks(matches[start..<end].map(\.id)[...]) else { return .none }
            if scan.isTooMuch { return .some(.none) }
            for (match, tracks) in zip(matches[start..<end], tracks) { output.append(match, tracks) }
            start = end
        }
        if scan.damagedBlocks > 0 { reads.noteDamagedBlock() }
        return SeriesSelection(series: output.series, stretches: plan.stretches, damagedBlocks: scan.damagedBlocks)
    }

    private func find(_ matchers: [LabelMatcher], _ from: Int64, _ through: Int64) -> [MatchedSeries] {
        SeriesMatching.find(matchers, index, from: from, through: through)
    }

    /// Exemplars of all series that match, oldest first; those of classic histograms at their buckets.
    func exemplars(_ matchers: [LabelMatcher], _ from: Int64, _ through: Int64) -> [(labels: LabelSet, exemplars: [SeriesExemplar])] {
        let shelf = state.withLock { $0.exemplars }
        guard shelf.count > 0 else { return [] }
        var found: [(labels: LabelSet, exemplars: [SeriesExemplar])] = []
        func take(_ place: ExemplarPlace, _ labels: @autoclosure () -> LabelSet) {
            let own = (shelf.places[place] ?? []).map(\.exemplar).filter { $0.time >= from && $0.time <= through }
            if !own.isEmpty { found.append((labels(), own)) }
        }
        for match in find(matchers, from, through) {
            guard match.kind == .classicHistogram else {
                take(ExemplarPlace(series: match.id, bucket: 0), match.labels)
                continue
            }
            for case .bucket(let bucket) in match.parts {
                let place = ExemplarPlace(series: match.id, bucket: UInt16(clamping: bucket))
                take(place, HistogramPart.bucket(bucket).labels(match.labels, match.bounds))
            }
        }
        return found
    }

    // MARK: Labels

    /// Label sets of series, those of parts of classic histograms one by one; each once.
    func series(_ matchers: [LabelMatcher], _ from: Int64, _ through: Int64, limit: Int) -> [LabelSet] {
        var seen: Set<LabelSet> = []
        var sets: [LabelSet] = []
        for match in find(matchers, from, through) {
            let own = match.kind == .classicHistogram ? match.parts.map { $0.labels(match.labels, match.bounds) } : [match.labels]
            for labels in own where seen.insert(labels).inserted {
                sets.append(labels)
                if sets.count >= limit { return sets }
            }
        }
        return sets
    }

    func labelNames(_ matchers: [LabelMatcher], _ from: Int64, _ through: Int64) -> [String] {
        var names: Set<String> = []
        for match in find(matchers, from, through) {
            for label in match.labels.labels { names.insert(label.name) }
            if match.parts.contains(where: { if case .bucket = $0 { true } else { false } }) { names.insert(HistogramPart.boundLabel) }
        }
        return names.sorted()
    }

    func labelValues(_ name: String, _ matchers: [LabelMatcher], _ from: Int64, _ through: Int64) -> [String] {
        var values: Set<String> = []
        for match in find(matchers, from, through) {
            switch name {
            case LabelSet.metricName where match.kind == .classicHistogram:
                for part in match.parts { values.insert((match.labels[name] ?? "") + part.suffix) }
            case HistogramPart.boundLabel where match.kind == .classicHistogram:
                for case .bucket(let bucket) in match.parts { values.insert(HistogramPart.text(bound: bucket, match.bounds)) }
            default: if let value = match.labels[name] { values.insert(value) }
            }
        }
        return values.sorted()
    }
}
