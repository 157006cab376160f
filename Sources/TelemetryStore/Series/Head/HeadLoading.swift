import TelemetryModel

/// What the journal says when the file is opened: cursors, sections, rows.
struct LoadedHead: ~Copyable {
    var cursors = SampleCursors()
    var head = SeriesHead()
    var nextRow: Int64 = 1
    /// Rows that could not be read, or that build on such.
    var damagedRows: UInt64 = 0
}

/// Reads the tables at opening: series into the index, the journal into the head. Damaged rows are counted and left out.
enum HeadLoading {
    static func loadIndex(_ shared: SharedIndex, _ database: WriteConnection) throws(StoreError) {
        shared.removeAll()
        var pieces: [Int: [UInt8]] = [:]
        let pieceRows = try database.prepare("SELECT number, bytes FROM series_piece ORDER BY number")
        var next: Int64 = 0
        while try pieceRows.step() {
            let number = pieceRows.int64(0)
            guard number >= next, number - next < 1 << 24 else { continue }
            // The in-memory numbers are the file's.
            shared.change { index in for _ in next..<number { index.load(piece: []) } }
            let bytes = pieceRows.blob(1)
            shared.change { $0.load(piece: bytes) }
            pieces[Int(number)] = bytes
            next = number + 1
        }
        let rows = try database.prepare("SELECT id, first, last, pieces FROM series ORDER BY id")
        while try rows.step() {
            guard let id = UInt32(exactly: rows.int64(0)), id > 0, id < SeriesLimits.idMax,
                let numbers = PieceNumbers.decode(rows.blob(3))
            else { continue }
            var bytes: [UInt8] = []
            for number in numbers { bytes += pieces[number] ?? [] }
            guard let identity = try? SeriesIdentityReader(bytes), (try? identity.labels()) != nil else { continue }
            let (first, last) = (rows.int64(1), rows.int64(2))
            shared.change { index in
                guard id >= index.endID else { return }
                index.insert(id, identity, first: first, last: last)
                index.note(id, savedDay: UInt16(clamping: last / SeriesDay.milliseconds))
            }
        }
    }

    static func loadSenders(_ database: WriteConnection) throws(StoreError) -> ReportSenders {
        var senders = ReportSenders()
        let rows = try database.prepare("SELECT sequence, seen, sender FROM series_sender")
        while try rows.step() {
            let last = ReportSenders.Last(sequence: UInt64(clamping: rows.int64(0)), seen: rows.int64(1))
            senders.load(String(decoding: rows.blob(2), as: UTF8.self), last)
        }
        return senders
    }

    /// Samples before `through` are in blocks already.
    static func loadJournal(_ shared: SharedIndex, through: Int64, _ database: WriteConnection) throws(StoreError) -> LoadedHead {
        var loaded = LoadedHead()
        shared.look { index in
            for id in index.firstID..<index.endID { loaded.cursors.add(id, width: Int(index[id]?.width ?? 0)) }
        }
        let rows = try database.prepare("SELECT number, row FROM series_journal ORDER BY number")
        var isReadable = false
        var generation: Int64 = 0
        while try rows.step() {
            let (number, row) = (rows.int64(0), rows.blob(1))
            loaded.nextRow = max(loaded.nextRow, number &+ 1)
            // Rows that build on a damaged one would come out wrong.
            if JournalRow.beginsGeneration(row) { (isReadable, generation) = (true, number) }
            guard isReadable, let sections = try? JournalRow.decode(row, &loaded.cursors), isPlausible(sections, shared) else {
                isReadable = false
                loaded.damagedRows += 1
                // Goes with its generation.
                loaded.head.rows.append(JournalEntry(number: number, latest: Int64.min, generation: generation))
                continue
            }
            loaded.head.rows.append(JournalEntry(
                number: number, latest: sections.reduce(Int64.min) { max($0, $1.time) }, generation: generation))
            add(sections, through: through, shared, &loaded)
        }
        loaded.cursors.beginGeneration()
        return loaded
    }

    /// Whether each series has the width that its samples have here.
    private static func isPlausible(_ sections: [HeadSection], _ shared: SharedIndex) -> Bool {
        shared.look { index in
            sections.allSatisfy { section in section.ids.allSatisfy { id in index[id].map { Int($0.width) == section.width } ?? true } }
        }
    }

    private static func add(
        _ sections: [HeadSection], through: Int64, _ shared: SharedIndex, _ loaded: inout LoadedHead
    ) {
        for section in sections where section.time >= through {
            for id in section.ids { loaded.cursors.set(id, time: section.time) }
            shared.change { index in for id in section.ids where index[id] != nil { index.note(id, at: section.time) } }
            loaded.head.sections.append(section)
            loaded.head.sectionPoints += section.count
        }
    }
}
