import TelemetryModel

/// A block of one group of series in the head: the same bytes as in the file, not in the file yet.
struct HeadBlock: Sendable {
    var bytes: [UInt8]
    var samples: Int
    var earliest: Int64
    var latest: Int64
}

/// A row of the journal.
struct JournalEntry: Sendable {
    var number: Int64
    /// Its latest sample.
    var latest: Int64
    /// Number of the row that its generation began with.
    var generation: Int64
}

/// What is committed and not sealed: young sections, and blocks by group that they are folded into.
struct SeriesHead: Sendable {
    /// In order of commit, and so in order of time for each series.
    var sections: [HeadSection] = []
    var sectionPoints = 0
    /// By group, oldest first.
    var blocks: [UInt32: [HeadBlock]] = [:]
    /// While sections are folded: so many of them are in the blocks of the groups before this one already.
    var folding = (sections: 0, group: UInt32(0))
    /// Rows of the journal that are still needed.
    var rows: [JournalEntry] = []

    /// Sections that a group's blocks do not have yet.
    func sections(of group: UInt32) -> ArraySlice<HeadSection> { sections[(group < folding.group ? folding.sections : 0)...] }

    var blockSamples: Int { blocks.values.reduce(0) { $0 + $1.reduce(0) { $0 + $1.samples } } }
    var blockBytes: Int { blocks.values.reduce(0) { $0 + $1.reduce(0) { $0 + $1.bytes.count } } }

    /// Rows of the journal that nobody needs when everything before `end` is in blocks. A generation goes as a whole, because its rows
    /// build on each other, and the last one stays, because the next row may build on it.
    func rowsDone(before end: Int64) -> Set<Int64> {
        var needed = Set(rows.filter { $0.latest >= end }.map(\.generation))
        if let last = rows.last { needed.insert(last.generation) }
        return Set(rows.filter { !needed.contains($0.generation) }.map(\.number))
    }

    /// The earliest sample; nil = there is none.
    var earliest: Int64? {
        let inSections = sections.reduce(Int64.max) { min($0, $1.time) }
        let earliest = blocks.values.reduce(inSections) { $1.reduce($0) { min($0, $1.earliest) } }
        return earliest == Int64.max ? nil : earliest
    }

    /// Whether enough has come to be folded.
    func isFoldDue(liveSeries: Int) -> Bool {
        sections.count >= SeriesLimits.pendingSectionsMax
            || sectionPoints >= max(SeriesLimits.pendingPointsMin, liveSeries * SeriesLimits.pendingPerSeries)
    }
}

/// The blocks of one tier over one span.
struct TierSpan: Sendable {
    struct Block: Sendable {
        var row: Int64
        var group: UInt32
        var bytes: Int
        var samples: Int
    }

    var start: Int64
    /// The first millisecond behind it.
    var end: Int64
    /// In order of group.
    var blocks: [Block] = []

    var bytes: Int { blocks.reduce(0) { $0 + $1.bytes } }

    func block(_ group: UInt32) -> Block? {
        var low = 0
        var high = blocks.count
        while low < high {
            let middle = (low + high) / 2
            if blocks[middle].group < group { low = middle + 1 } else { high = middle }
        }
        return low < blocks.count && blocks[low].group == group ? blocks[low] : nil
    }
}

/// What one tier has.
struct TierState: Sendable {
    static let unknown = Int64.min

    /// Everything before is in this tier, or was too old for it. `unknown` = nothing yet.
    var through = unknown
    /// Everything before was deleted.
    var expired = unknown
    /// In order of time.
    var spans: [TierSpan] = []

    var bytes: Int { spans.reduce(0) { $0 + $1.bytes } }
}

/// What writer, maintenance and readers share under the lock of its monitor. Readers take a copy and look at nothing newer.
struct SeriesState {
    var head = SeriesHead()
    var exemplars = ExemplarShelf()
    /// As in the configuration.
    var tiers: [TierState]
    /// Samples before are refused: they are sealed, or are about to be.
    var floor = Int64.min
    var isClosed = false
    var statistics = SeriesStatistics()
}
