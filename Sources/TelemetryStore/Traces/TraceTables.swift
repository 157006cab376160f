import TelemetryModel

/// The tables of the traces: journal, segments and what is known of them in memory. A set of tables of a `StoreFile`.
///
/// Made before the file; `load` fills it from there. Any thread; what belongs to one thread only is behind the file.
final class TraceTables: TableSet {
    let configuration: StoreConfiguration
    let state: Monitor<TraceState>
    let reads: TraceReads
    /// Spans on their way to the journal.
    let spans: WriteQueue<SpanBatch>
    private let journal: TraceJournal
    private let segments = SegmentWriter()

    init(_ configuration: StoreConfiguration) {
        self.configuration = configuration
        state = Monitor(TraceState())
        reads = TraceReads(configuration, state)
        journal = TraceJournal(state: state, configuration: configuration)
        spans = WriteQueue(batchesMax: configuration.queueBatchesMax, bytesMax: configuration.queueBytesMax, writer: journal)
    }

    var schema: TableSchema { TraceSchema.tables }
    var queue: any CommitQueue { spans }

    func load(_ database: WriteConnection) throws(StoreError) {
        var initial = TraceState()
        var damaged = DamagedRows()
        for row in try journal.load(database, &damaged) { initial.append(row) }
        var damage: [StoreDamage] = []
        initial.snapshot.segments = try segments.load(database, &damage)
        initial.statistics.quarantined = [.journalRow: damaged.count, .segment: 0]
        if let rows = damaged.damage(in: database.databasePath) { damage.insert(rows, at: 0) }
        for one in damage { initial.statistics.note(one) }
        state.notify { [initial] in $0 = initial }
    }

    /// When the oldest trace began, about, milliseconds since 1970; nil = there are none.
    var earliestMilliseconds: Int64? {
        state.withLock { state in
            let sealed = state.snapshot.segments.lazy.map(\.timestampMin).filter { $0 > 0 }.min()
            let young = state.snapshot.head.first?.arrival
            guard let earliest = [sealed, young].compactMap({ $0 }).min() else { return nil }
            return Int64(clamping: earliest / 1000)
        }
    }

    /// A moment's figures of these tables alone.
    func statistics() -> StoreStatistics { state.withLock { $0.figures() } }

    var isMaintenanceDue: Bool { state.withLock { $0.isCompactionDue(configuration) } }

    func maintain(_ turn: MaintenanceTurn) { Compactor(configuration, state, reads, segments, turn.jobs).run(turn) }

    /// Deletes the oldest segments, and never the newest.
    func shed(_ bytes: UInt64, _ jobs: WriterJobs) -> Bool { Compactor(configuration, state, reads, segments, jobs).shed(bytes) }

    func remains(_ connection: borrowing SQLiteConnection) throws(StoreError) -> StoredRange? {
        let statement = try connection.prepare(
            "SELECT coalesce(sum(spans), 0), coalesce(min(nullif(timestamp_min, 0)), 0), coalesce(max(timestamp_max), 0) FROM segment")
        guard try statement.step() else { return nil }
        return StoredRange(
            count: UInt64(clamping: statement.int64(0)), earliest: UInt64(clamping: statement.int64(1)),
            latest: UInt64(clamping: statement.int64(2)))
    }

    func close() {
        state.notify { $0.isClosed = true }
        reads.close()
    }
}
