import TelemetryModel

/// The write side of the series: batches to rows of the journal, committed rows to the head. What it acknowledges is in the file.
///
/// `@unchecked Sendable`: made and loaded on the opening thread, then used only on the writer thread.
final class SeriesJournal: BatchWriter, @unchecked Sendable {
    private let configuration: SeriesConfiguration
    private let index: SharedIndex
    private let families: FamilyCounts
    private let familyOverflow: FamilyOverflow
    private let state: Monitor<SeriesState>
    private var cursors: SampleCursors
    private var intake: SeriesIntake
    private var senders: ReportSenders
    private var rows: [(bytes: [UInt8], entry: JournalEntry)] = []
    private var nextRow: Int64
    private var rowsInGeneration = SeriesLimits.generationRows
    private var generation: Int64 = 0
    /// Pieces that the file has.
    private var savedPieces: Int
    private var newPieces: [[UInt8]] = []
    private var exemplars = ExemplarChange()
    private var isInGroup = false
    /// Senders that go with this group.
    private var forgotten: [String] = []
    private var repeated: UInt64 = 0
    private let statements: Statements

    /// What writes; each used by `write` alone.
    private final class Statements {
        let piece: SQLiteStatement
        let series: SQLiteStatement
        let row: SQLiteStatement
        let sender: SQLiteStatement
        let forget: SQLiteStatement
        let exemplar: SQLiteStatement
        let removeExemplar: SQLiteStatement

        init(_ database: WriteConnection) throws(StoreError) {
            piece = try database.prepare(SeriesSchema.insertPiece)
            series = try database.prepare(SeriesSchema.insertSeries)
            row = try database.prepare(SeriesSchema.insertRow)
            sender = try database.prepare(SeriesSchema.insertSender)
            forget = try database.prepare(SeriesSchema.deleteSender)
            exemplar = try database.prepare(ExemplarTable.insert)
            removeExemplar = try database.prepare(ExemplarTable.remove)
        }
    }

    init(
        _ configuration: SeriesConfiguration, _ index: SharedIndex, _ families: FamilyCounts, _ familyOverflow: FamilyOverflow,
        _ state: Monitor<SeriesState>,
        _ loaded: consuming LoadedHead, _ senders: ReportSenders, _ overflow: OverflowSums, _ database: WriteConnection
    ) throws(StoreError) {
        self.configuration = configuration
        self.index = index
        self.families = families
        self.familyOverflow = familyOverflow
        self.state = state
        self.senders = senders
        cursors = loaded.cursors
        nextRow = loaded.nextRow
        savedPieces = index.look { $0.pieces.count }
        intake = SeriesIntake(configuration, index, families, overflow)
        statements = try Statements(database)
    }

    /// The head is bounded by the number of series and the age of samples; what makes it grow is folded and sealed in the background.
    var hasRoom: Bool { true }

    func encode(_ batch: SeriesBatch) {
        if !isInGroup { intake.begin(floor: state.withLock { $0.floor }) }
        isInGroup = true
        if let report = batch.report, !senders.take(report, now: configuration.now()) {
            repeated += UInt64(1)
            return
        }
        intake.append(batch, &cursors)
    }

    func finishEncoding() -> Int {
        intake.finish(&cursors)
        var rest = intake.sections[...]
        while !rest.isEmpty {
            var points = 0
            let part = rest.prefix { section in
                defer { points += section.count }
                return points == 0 || points + section.count <= SeriesLimits.rowPointsMax
            }
            rest = rest.dropFirst(part.count)
            let begins = rowsInGeneration >= SeriesLimits.generationRows
            rowsInGeneration = begins ? 1 : rowsInGeneration + 1
            let row = JournalRow.encode(part, beginsGeneration: begins, &cursors)
            let number = nextRow + Int64(rows.count)
            if begins { generation = number }
            let latest = part.reduce(Int64.min) { max($0, $1.time) }
            rows.append((row, JournalEntry(number: number, latest: latest, generation: generation)))
        }
        forgotten = senders.isOverfull(configuration.sendersMax) ? senders.silent(above: configuration.sendersMax) : []
        newPieces = index.look { index in (savedPieces..<max(index.pieces.count, savedPieces)).map { index.pieces.bytes(UInt32($0)) } }
        let bytes = rows.reduce(0) { $0 + $1.bytes.count } + newPieces.reduce(0) { $0 + $1.count } + intake.staged.entries.count * 64
        if !intake.exemplars.isEmpty { exemplars = state.withLock { $0.exemplars }.planning(intake.exemplars) }
        return bytes + senders.changed.count * 64 + exemplars.added.count * ExemplarTable.rowBytes
    }

    func write(_ database: WriteConnection) throws(StoreError) {
        for (offset, piece) in newPieces.enumerated() { try statements.piece.run(integers: [Int64(savedPieces + offset)], blobs: [piece]) }
        for entry in intake.staged.entries {
            let last = (entry.first / SeriesDay.milliseconds + 1) * SeriesDay.milliseconds
            try statements.series.run(integers: [Int64(entry.id), entry.first, last], blobs: [PieceNumbers.encode(entry.pieces)])
        }
        for row in rows { try statements.row.run(integers: [row.entry.number], blobs: [row.bytes]) }
        try ExemplarTable.write(exemplars, statements.exemplar, statements.removeExemplar)
        for sender in forgotten { try statements.forget.run(integers: [], blobs: [Array(sender.utf8)]) }
        for (sender, last) in senders.changed {
            try statements.sender.run(integers: [Int64(clamping: last.sequence), last.seen], blobs: [Array(sender.utf8)])
        }
    }

    func publish(now: UInt64) {
        savedPieces += newPieces.count
        index.change { index in
            for entry in intake.staged.entries {
                index.insert(entry.id, entry.identity, first: entry.first, last: entry.first)
                index.note(entry.id, savedDay: UInt16(clamping: entry.first / SeriesDay.milliseconds + 1))
            }
            for section in intake.sections { for id in section.ids { index.note(id, at: section.time) } }
        }
        state.withLock { state in
            for section in intake.sections {
                state.head.sections.append(section)
                state.head.sectionPoints += section.count
            }
            state.head.rows += rows.map(\.entry)
            state.exemplars.apply(exemplars)
            note(&state.statistics)
        }
        noteOverflows()
        nextRow += Int64(rows.count)
        senders.commit(forgetting: forgotten.filter { senders.changed[$0] == nil })
        intake.removeAll()
        endGroup()
    }

    private func noteOverflows() {
        for (id, count) in intake.overflows {
            let family = index.look { index in index[id].map { index.pieces.labelParts($0.family).value } }
            familyOverflow.note(family ?? [], count)
        }
        for (family, count) in intake.nativeOverflows { familyOverflow.note(family, count) }
    }

    private func note(_ statistics: inout SeriesStatistics) {
        statistics.samplesAccepted += intake.accepted
        statistics.samplesOverflowed += intake.overflows.values.reduce(0) { $0 + $1.samples }
        statistics.reportsRepeated += repeated
        statistics.exemplarsStored += UInt64(exemplars.added.count)
        statistics.exemplarsDropped += UInt64(exemplars.dropped) + intake.exemplarsDropped
        for (drop, count) in intake.dropped { statistics.samplesDropped[drop, default: 0] += count }
    }

    /// The file is about to be closed, and nothing comes any more.
    func finish(_ database: WriteConnection) throws(StoreError) { try OverflowTable.write(intake.overflow, database) }

    func discard() {
        // Differences of the next row must not build on rows that are not there.
        rowsInGeneration = SeriesLimits.generationRows
        intake.rollBack(&cursors)
        senders.rollBack()
        endGroup()
    }

    private func endGroup() {
        rows.removeAll(keepingCapacity: true)
        newPieces = []
        exemplars = ExemplarChange()
        forgotten = []
        repeated = 0
        isInGroup = false
    }
}
