import TelemetryModel

/// Moves samples on: the head's complete spans into the first tier, complete spans of a tier into the next. On the maintenance thread; what
/// changes the file runs on the writer thread: a span's blocks in slices, then what makes them count in one transaction (`TierTables`).
struct TierAdvance {
    private let configuration: SeriesConfiguration
    private let index: SharedIndex
    private let state: Monitor<SeriesState>
    private let reads: SeriesReads
    private let tables: TierTables
    private let jobs: WriterJobs
    private let zstd = ZstdCodec()

    init(
        _ configuration: SeriesConfiguration, _ index: SharedIndex, _ state: Monitor<SeriesState>, _ reads: SeriesReads,
        _ tables: TierTables, _ jobs: WriterJobs
    ) {
        self.configuration = configuration
        self.index = index
        self.state = state
        self.reads = reads
        self.tables = tables
        self.jobs = jobs
    }

    // MARK: The head into the first tier

    /// The end of the last span that may be sealed now.
    private var sealableEnd: Int64 {
        let span = configuration.tiers[0].span
        return Rollup.number(of: configuration.now() - configuration.latenessMax, span) * span
    }

    var isSealDue: Bool { state.withLock { $0.tiers[0].through } < sealableEnd }

    /// Seals the oldest complete span of the head; false = there is none, or the disk refused.
    func seal() -> Bool {
        let limit = sealableEnd
        guard state.withLock({ $0.tiers[0].through }) < limit else { return false }
        let span = configuration.tiers[0].span
        let earliest = state.withLock { $0.head.earliest }
        let start = earliest.map { Rollup.number(of: $0, span) * span } ?? limit
        let end = start < limit ? start + span : limit
        // From here on nothing before the end is accepted; what was accepted is published before the job has run.
        state.withLock { $0.floor = max($0.floor, end) }
        guard jobs.run({ _ throws(StoreError) in true }) == true else { return false }
        HeadFolder(state).fold()
        return seal(from: min(start, end), before: end)
    }

    private func seal(from start: Int64, before end: Int64) -> Bool {
        let groups = state.withLock { $0.head.blocks.filter { $1.contains { $0.earliest < end } }.keys.sorted() }
        var writer = SpanWriter(0, start, end, tables, jobs, sliceBytes: configuration.sliceBytes)
        var seen: [(id: UInt32, last: Int64)] = []
        for group in groups {
            let sealed = headTracks(group).map { ($0.id, $0.track.clipped(Int64.min, end)) }
            for (id, track) in sealed { if let last = track.times.last { seen.append((id, last)) } }
            guard let block = HeadBlock(sealed, zstd) else { continue }
            guard writer.append(NewBlock(group: group, samples: block.samples, bytes: block.bytes)) else { return false }
        }
        guard let blocks = writer.finish() else { return false }
        guard commitSeal(TierSpan(start: start, end: end, blocks: blocks), daysToSave(seen)) else {
            writer.giveUp()
            return false
        }
        // Readers look for older samples in the tier from now on, so that groups can be cut one by one.
        for group in groups { cutHead(group, before: end) }
        return true
    }

    private func headTracks(_ group: UInt32) -> [(id: UInt32, track: Track)] {
        var tracks = GroupTracks(group: group)
        for block in state.withLock({ $0.head.blocks[group] ?? [] }) where !tracks.append(block.bytes, zstd) { reads.noteDamagedBlock() }
        return tracks.all
    }

    /// Takes what is sealed out of a group's blocks.
    private func cutHead(_ group: UInt32, before end: Int64) {
        let young = state.withLock { ($0.head.blocks[group] ?? []).filter { $0.latest >= end } }
        var tracks = GroupTracks(group: group)
        for block in young where block.earliest < end { _ = tracks.append(block.bytes, zstd) }
        let cut = HeadBlock(tracks.all.map { ($0.id, $0.track.clipped(end, Int64.max)) }, zstd)
        let rest = [cut].compactMap(\.self) + young.filter { $0.earliest >= end }
        state.withLock { $0.head.blocks[group] = rest.isEmpty ? nil : rest }
    }

    /// Series of which the file knows samples of earlier days only.
    private func daysToSave(_ seen: [(id: UInt32, last: Int64)]) -> [(id: UInt32, last: Int64)] {
        index.read { index in
            seen.compactMap { id, last in
                let day = last / SeriesDay.milliseconds + 1
                guard let row = index[id], Int64(row.savedDay) < day else { return nil }
                return (id, day * SeriesDay.milliseconds)
            }
        }
    }

    private func commitSeal(_ span: TierSpan, _ days: [(id: UInt32, last: Int64)]) -> Bool {
        let done: Bool? = jobs.run { [state, tables, index] database throws(StoreError) in
            let (rows, expired) = state.withLock { state in
                (state.head.rowsDone(before: span.end), state.tiers[0].expired)
            }
            try tables.complete(0, through: span.end, expired: expired, journalRows: rows.sorted(), series: days, database)
            index.change { index in for (id, last) in days { index.note(id, savedDay: UInt16(clamping: last / SeriesDay.milliseconds)) } }
            state.withLock { state in
                state.head.rows.removeAll { rows.contains($0.number) }
                state.tiers[0].through = span.end
                if !span.blocks.isEmpty { state.tiers[0].spans.append(span) }
                state.statistics.spansSealed += span.blocks.isEmpty ? 0 : 1
            }
            return true
        }
        if done == true { jobs.noteDiskHasRoom() }
        return done == true
    }

    // MARK: A tier into the next

    /// The next span of a tier that its source has complete; nil = none. A span without anything in it is skipped.
    private func dueSpan(_ tier: Int) -> (start: Int64, end: Int64)? {
        let span = configuration.tiers[tier].span
        let (source, own) = state.withLock { ($0.tiers[tier - 1], $0.tiers[tier]) }
        guard source.through != TierState.unknown else { return nil }
        let limit = Rollup.number(of: source.through, span) * span
        guard own.through < limit else { return nil }
        guard let first = source.spans.first(where: { $0.start >= own.through }), first.start < limit else { return (limit, limit) }
        let start = Rollup.number(of: first.start, span) * span
        return (max(start, own.through), start + span)
    }

    func isRollUpDue(_ tier: Int) -> Bool { dueSpan(tier) != nil }

    /// Makes the next span of a tier from the tier before; false = nothing is due, or it could not be done.
    func rollUp(_ tier: Int) -> Bool {
        guard let due = dueSpan(tier) else { return false }
        let spans = state.withLock { $0.tiers[tier - 1].spans.filter { $0.start >= due.start && $0.start < due.end } }
        let groups = Set(spans.flatMap { $0.blocks.map(\.group) }).sorted()
        var writer = SpanWriter(tier, due.start, due.end, tables, jobs, sliceBytes: configuration.sliceBytes)
        for group in groups {
            guard let rolled = try? roll(group, spans, configuration.tiers[tier].resolution) else {
                writer.giveUp()
                return false
            }
            guard let block = HeadBlock(rolled, zstd) else { continue }
            guard writer.append(NewBlock(group: group, samples: block.samples, bytes: block.bytes)) else { return false }
        }
        guard let blocks = writer.finish() else { return false }
        guard commitRollUp(tier, TierSpan(start: due.start, end: due.end, blocks: blocks)) else {
            writer.giveUp()
            return false
        }
        return true
    }

    private func roll(_ group: UInt32, _ spans: [TierSpan], _ window: Int64) throws(StoreError) -> [(id: UInt32, track: Track)] {
        var tracks = GroupTracks(group: group)
        try reads.connections.withReader { connection throws(StoreError) in
            for span in spans {
                guard let block = span.block(group) else { continue }
                guard let bytes = try connection.block(block.row), tracks.append(bytes, zstd) else {
                    reads.noteDamagedBlock()
                    continue
                }
            }
        }
        let all = tracks.all
        let rules = index.read { index in all.map { index[$0.id]?.rule ?? .cumulative } }
        return zip(all, rules).map { ($0.id, Rollup.roll($0.track, $1, window: window)) }
    }

    private func commitRollUp(_ tier: Int, _ span: TierSpan) -> Bool {
        let done: Bool? = jobs.run { [state, tables] database throws(StoreError) in
            let expired = state.withLock { $0.tiers[tier].expired }
            try tables.complete(tier, through: span.end, expired: expired, database)
            state.withLock { state in
                state.tiers[tier].through = span.end
                if !span.blocks.isEmpty { state.tiers[tier].spans.append(span) }
                state.statistics.spansRolledUp += span.blocks.isEmpty ? 0 : 1
            }
            return true
        }
        if done == true { jobs.noteDiskHasRoom() }
        return done == true
    }
}
