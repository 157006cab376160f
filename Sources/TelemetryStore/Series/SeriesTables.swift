internal import Primitives
import TelemetryModel

/// The tables of the series: their identities, the journal, and the tiers' blocks. A set of tables of a `StoreFile`.
///
/// Made before the file; `load` fills it from there. Any thread; what belongs to one thread only is behind the file.
final class SeriesTables: TableSet {
    let configuration: SeriesConfiguration
    let index = SharedIndex()
    let state: Monitor<SeriesState>
    let families: FamilyCounts
    let familyOverflow = FamilyOverflow()
    /// Of the file.
    let path: String
    /// Points on their way to the journal.
    let points: WriteQueue<SeriesBatch>
    let view: SeriesView
    private let reads: SeriesReads
    private let writer = SeriesWriter()
    private let tiers = TierTables()
    private let upkeep: Monitor<Upkeep>

    /// Points of one group commit at most, but for those of its last batch.
    private static let commitPointsMax = 65_536
    private static let recountMilliseconds: Int64 = 60_000
    /// A trace is kept by the time of its first span, an exemplar has that of its end. Milliseconds.
    private static let traceSlack: Int64 = 3_600_000

    /// Between two times at which free memory goes back to the system at least, nanoseconds: folding the head leaves much, and a flood of
    /// points folds all the time.
    private static let giveBackNanoseconds: UInt64 = 500_000_000

    /// Where the maintenance thread is.
    private struct Upkeep {
        var recounted: Int64?
        var gaveBack = MonotonicInstant(nanoseconds: 0)
        var seriesCursor: UInt32 = 0
    }

    /// Since when there are traces, milliseconds since 1970; nil = there are none, or nobody knows.
    private let earliestTrace: @Sendable () -> Int64?

    init(_ configuration: SeriesConfiguration, path: String, earliestTrace: @escaping @Sendable () -> Int64? = { nil }) {
        self.earliestTrace = earliestTrace
        precondition(configuration.areTiersValid, "windows and spans of the tiers are multiples of those before")
        self.configuration = configuration
        state = Monitor(SeriesState(tiers: [TierState](repeating: TierState(), count: configuration.tiers.count)))
        families = FamilyCounts(familyMax: configuration.familySeriesMax, allMax: configuration.seriesMax)
        self.path = path
        points = WriteQueue(
            batchesMax: configuration.queueBatchesMax, bytesMax: configuration.queueBytesMax, commitItemsMax: Self.commitPointsMax,
            writer: writer)
        reads = SeriesReads(path, state)
        view = SeriesView(configuration, index, reads, state)
        upkeep = Monitor(Upkeep())
    }

    var schema: TableSchema { SeriesSchema.tables }
    var queue: any CommitQueue { points }

    func load(_ database: WriteConnection) throws(StoreError) {
        try tiers.check(configuration.tiers, database)
        try HeadLoading.loadIndex(index, database)
        let loadedTiers = try tiers.load(configuration.tiers.count, database)
        let loaded = try HeadLoading.loadJournal(index, through: loadedTiers[0].through, database)
        var overflow = OverflowSums(membersMax: configuration.overflowMembersMax, opened: configuration.now())
        if let saved = try OverflowTable.take(database) { overflow.restore(saved.seed, saved.sums) }
        for id in FamilyCensus.overflowSeries(index) { overflow.noteRestored(id) }
        let head = loaded.head
        let damaged = loaded.damagedRows
        let exemplars = try ExemplarTable.load(database)
        try writer.open(SeriesJournal(
            configuration, index, families, familyOverflow, state, loaded, HeadLoading.loadSenders(database), overflow, database))
        families.replace(FamilyCensus.live(index, since: Int64.min))
        state.withLock { state in
            state = SeriesState(head: head, tiers: loadedTiers, floor: loadedTiers[0].through)
            state.exemplars = exemplars
            state.statistics.damagedRows = damaged
        }
    }

    var isMaintenanceDue: Bool {
        let live = index.read { $0.liveCount }
        return state.withLock { $0.head.isFoldDue(liveSeries: live) }
    }

    func maintain(_ turn: MaintenanceTurn) {
        let advance = TierAdvance(configuration, index, state, reads, tiers, turn.jobs)
        let isFolding = turn.isFlush || isMaintenanceDue
        if isFolding { HeadFolder(state).fold() }
        let spansMax = turn.isFlush ? Int.max : SeriesLimits.spansPerTurn
        var didAdvance = false
        var spans = 0
        while spans < spansMax, !turn.jobs.isDiskFull || turn.isFlush, advance.seal() { spans += 1; didAdvance = true }
        for tier in configuration.tiers.indices.dropFirst() {
            spans = 0
            while spans < spansMax, advance.rollUp(tier) { spans += 1; didAdvance = true }
        }
        let retention = SeriesRetention(configuration, index, state, tiers, turn.jobs)
        retention.expire()
        lookAfterSeries(retention)
        if didAdvance || isFolding { giveBackMemory() }
        if didAdvance { turn.keepToBudget() }
    }

    private func giveBackMemory() {
        let now = SystemClock.monotonicNow()
        let isDue = upkeep.withLock { upkeep in
            guard now >= upkeep.gaveBack + Self.giveBackNanoseconds else { return false }
            upkeep.gaveBack = now
            return true
        }
        if isDue { HeapMemory.giveBackFreePages() }
    }

    /// Counts families anew and forgets series, at most once in `recountMilliseconds`.
    private func lookAfterSeries(_ retention: SeriesRetention) {
        let now = configuration.now()
        // A clock that was set back must not put it off.
        let recounted = upkeep.withLock { $0.recounted }
        if let recounted, (now - recounted).magnitude < UInt64(Self.recountMilliseconds) { return }
        var mine = upkeep.withLock { $0 }
        families.replace(FamilyCensus.live(index, since: now - configuration.idleMax))
        retention.forgetSeries(from: &mine.seriesCursor)
        if let earliest = earliestTrace() { retention.forgetExemplars(before: earliest - Self.traceSlack) }
        mine.recounted = now
        upkeep.withLock { [mine] in $0 = mine }
    }

    func shed(_ bytes: UInt64, _ jobs: WriterJobs) -> Bool { SeriesRetention(configuration, index, state, tiers, jobs).shed(bytes) }

    func remains(_ connection: borrowing SQLiteConnection) throws(StoreError) -> StoredRange? { nil }

    /// What cannot be written, on a full disk say, is not known to the next process: as after a kill.
    func finish(_ database: WriteConnection) { try? writer.finish(database) }

    func close() {
        state.withLock { $0.isClosed = true }
        reads.close()
    }

    /// A moment's figures.
    func statistics() -> SeriesStatistics {
        let moment = state.withLock { $0 }
        var result = moment.statistics
        (result.series, result.indexBytes) = index.read { (UInt64($0.liveCount), UInt64($0.memoryBytes)) }
        result.headBytes = UInt64(moment.head.blockBytes + moment.head.sectionPoints * 12)
        result.headSamples = UInt64(moment.head.sectionPoints + moment.head.blockSamples)
        result.exemplars = UInt64(moment.exemplars.count)
        result.journalRows = UInt64(moment.head.rows.count)
        result.tierBytes = moment.tiers.map { UInt64($0.bytes) }
        result.tierBlocks = moment.tiers.map { UInt64($0.spans.reduce(0) { $0 + $1.blocks.count }) }
        result.tierSamples = moment.tiers.map { UInt64($0.spans.reduce(0) { $0 + $1.blocks.reduce(0) { $0 + $1.samples } }) }
        return result
    }
}

/// Stands for the journal before the file is open.
///
/// `@unchecked Sendable`: set on the opening thread, then used only on the writer thread.
private final class SeriesWriter: BatchWriter, @unchecked Sendable {
    private var journal: SeriesJournal?

    func open(_ journal: SeriesJournal) { self.journal = journal }

    var hasRoom: Bool { journal?.hasRoom ?? false }
    func encode(_ batch: SeriesBatch) { journal?.encode(batch) }
    func finishEncoding() -> Int { journal?.finishEncoding() ?? 0 }
    func write(_ database: WriteConnection) throws(StoreError) {
        guard let journal else { throw .closed }
        try journal.write(database)
    }
    func publish(now: UInt64) { journal?.publish(now: now) }
    func discard() { journal?.discard() }
    func finish(_ database: WriteConnection) throws(StoreError) { try journal?.finish(database) }
}
