import TelemetryModel

/// Forgets: spans of tiers by age and by bytes, series that no tier has samples of, senders that are silent. On the maintenance thread.
///
/// A span goes only when the next tier has it: what is young never takes what is old along.
struct SeriesRetention {
    private let configuration: SeriesConfiguration
    private let index: SharedIndex
    private let state: Monitor<SeriesState>
    private let tables: TierTables
    private let jobs: WriterJobs

    /// Series that one turn looks at.
    private static let seriesPerTurn: UInt32 = 65_536

    init(
        _ configuration: SeriesConfiguration, _ index: SharedIndex, _ state: Monitor<SeriesState>, _ tables: TierTables, _ jobs: WriterJobs
    ) {
        self.configuration = configuration
        self.index = index
        self.state = state
        self.tables = tables
        self.jobs = jobs
    }

    /// Spans by age, and by the bytes of their tier.
    func expire() {
        let now = configuration.now()
        for (tier, limits) in configuration.tiers.enumerated() {
            var gone = deletable(tier).filter { limits.ageMax > 0 && $0.end < now - limits.ageMax }
            if limits.bytesMax > 0 {
                var bytes = state.withLock { UInt64($0.tiers[tier].bytes) }
                gone = deletable(tier).prefix { span in
                    let isGone = gone.contains { $0.start == span.start } || bytes > limits.bytesMax
                    if isGone { bytes -= min(bytes, UInt64(span.bytes)) }
                    return isGone
                }
            }
            delete(tier, Array(gone.prefix(SeriesLimits.spansPerTurn)))
        }
    }

    /// Deletes the oldest spans, about `bytes` of them: of the finest tier first, because a coarser one has what it had. Never a tier's
    /// newest.
    func shed(_ bytes: UInt64) -> Bool {
        for tier in configuration.tiers.indices {
            var excess = bytes
            var gone: [TierSpan] = []
            let newest = state.withLock { $0.tiers[tier].spans.last?.start }
            for span in deletable(tier) where excess > 0 && span.start != newest {
                gone.append(span)
                excess -= min(excess, UInt64(span.bytes))
            }
            guard !gone.isEmpty else { continue }
            delete(tier, gone)
            return true
        }
        return false
    }

    /// Spans of a tier, oldest first, that the next tier has.
    private func deletable(_ tier: Int) -> [TierSpan] {
        state.withLock { state in
            guard tier + 1 < state.tiers.count else { return state.tiers[tier].spans }
            let through = state.tiers[tier + 1].through
            return Array(state.tiers[tier].spans.prefix { $0.end <= through })
        }
    }

    private func delete(_ tier: Int, _ gone: [TierSpan]) {
        guard let last = gone.last else { return }
        let deleted: Bool? = jobs.run { [state, tables] database throws(StoreError) in
            let through = state.withLock { $0.tiers[tier].through }
            try tables.delete(tier, gone, through: through, expired: last.end, database)
            state.withLock { state in
                state.tiers[tier].spans.removeFirst(gone.count)
                state.tiers[tier].expired = last.end
                state.statistics.spansExpired += UInt64(gone.count)
            }
            return true
        }
        guard deleted == true else { return }
        jobs.noteDiskHasRoom()
        jobs.noteDeleted()
    }

    /// Deletes exemplars that are older than all traces.
    func forgetExemplars(before time: Int64) {
        guard state.withLock({ state in state.exemplars.places.values.contains { $0[0].exemplar.time < time } }) else { return }
        _ = jobs.run { [state] database throws(StoreError) in
            try database.transaction { () throws(StoreError) in
                try database.prepare(ExemplarTable.removeBefore).run(integers: [time], blobs: [])
            }
            state.withLock { $0.exemplars.forget(before: time) }
        }
    }

    /// Deletes series whose last sample no tier can have any more. The one with the highest number stays, so that numbers are
    /// not given again.
    func forgetSeries(from cursor: inout UInt32) {
        let ages = configuration.tiers.map(\.ageMax)
        guard !ages.contains(0), let longest = ages.max() else { return }
        let limit = configuration.now() - longest - (configuration.tiers.last?.span ?? 0) - SeriesDay.milliseconds
        let (start, gone, end) = index.read { index -> (UInt32, [UInt32], UInt32) in
            let start = max(cursor, index.firstID)
            let end = min(start &+ Self.seriesPerTurn, index.endID)
            return (start, start < end ? (start..<end).filter { (index[$0]?.last ?? Int64.max) < limit } : [], index.endID)
        }
        cursor = start &+ Self.seriesPerTurn >= end ? 0 : start &+ Self.seriesPerTurn
        guard !gone.isEmpty else { return }
        _ = jobs.run { [state, index] database throws(StoreError) in
            // One of them may have woken up meanwhile.
            let still = index.look { index in gone.filter { (index[$0]?.last ?? Int64.max) < limit && $0 + 1 < index.endID } }
            try database.transaction { () throws(StoreError) in
                let remove = try database.prepare("DELETE FROM series WHERE id = ?1")
                for id in still { try remove.run(integers: [Int64(id)], blobs: []) }
            }
            index.change { index in for id in still { index.remove(id) } }
            state.withLock { $0.statistics.seriesExpired += UInt64(still.count) }
        }
    }
}
