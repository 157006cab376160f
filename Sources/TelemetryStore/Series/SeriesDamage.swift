internal import TelemetryModel

extension StoreDamage {
    /// What of the series could not be read since the file was opened; nil = all could. The text is the same however often a damaged block
    /// is met.
    static func series(_ statistics: SeriesStatistics, in path: String) -> StoreDamage? {
        var parts: [String] = []
        var tables: [String] = []
        if statistics.damagedRows > 0 {
            parts.append("\(statistics.damagedRows) rows of the journal of series")
            tables.append("SELECT number, length(row) FROM series_journal")
        }
        if statistics.damagedBlocks > 0 {
            parts.append("blocks of series")
            tables.append("SELECT id, tier, start, end, part, samples FROM series_block")
        }
        guard !parts.isEmpty else { return nil }
        return StoreDamage(
            kind: .series, what: "\(parts.joined(separator: " and ")) in \(path) cannot be read: the samples in them are missing", spans: 0,
            command: "sqlite3 '\(path)' 'PRAGMA integrity_check; \(tables.joined(separator: "; "))'")
    }
}
