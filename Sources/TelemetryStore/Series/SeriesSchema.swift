/// The tables of the series. Layouts: docs/formats/series.md.
enum SeriesSchema {
    static let tables = TableSchema(
        name: "series", migrations: [
            TableSchema.Migration(name: "series, journal, blocks, tiers, senders") { _ in first },
            TableSchema.Migration(name: "windows of the tiers") { _ in windows },
            TableSchema.Migration(name: "exemplars") { _ in [ExemplarTable.create] },
            TableSchema.Migration(name: "sums of overflow series") { _ in [OverflowTable.create] },
        ])

    private static let first = [
        "CREATE TABLE series_piece (number INTEGER PRIMARY KEY, bytes BLOB NOT NULL)",
        "CREATE TABLE series (id INTEGER PRIMARY KEY, first INTEGER NOT NULL, last INTEGER NOT NULL, pieces BLOB NOT NULL)",
        "CREATE TABLE series_journal (number INTEGER PRIMARY KEY, row BLOB NOT NULL)",
        """
        CREATE TABLE series_block (id INTEGER PRIMARY KEY, tier INTEGER NOT NULL, start INTEGER NOT NULL, \
        end INTEGER NOT NULL, part INTEGER NOT NULL, samples INTEGER NOT NULL, block BLOB NOT NULL)
        """,
        "CREATE TABLE series_tier (tier INTEGER PRIMARY KEY, through INTEGER NOT NULL, expired INTEGER NOT NULL)",
        "CREATE TABLE series_sender (sender BLOB PRIMARY KEY, sequence INTEGER NOT NULL, seen INTEGER NOT NULL) WITHOUT ROWID",
    ]

    /// Files of the first version had no other tiers.
    private static let windows = [
        "CREATE TABLE series_window (tier INTEGER PRIMARY KEY, resolution INTEGER NOT NULL, span INTEGER NOT NULL)",
        """
        INSERT INTO series_window SELECT column1, column2, column3 \
        FROM (VALUES (0, 0, 3600000), (1, 60000, 7200000), (2, 3600000, 86400000)) WHERE EXISTS (SELECT 1 FROM series_tier)
        """,
    ]

    static let insertPiece = "INSERT INTO series_piece (number, bytes) VALUES (?1, ?2)"
    static let insertSeries = "INSERT INTO series (id, first, last, pieces) VALUES (?1, ?2, ?3, ?4)"
    static let insertRow = "INSERT INTO series_journal (number, row) VALUES (?1, ?2)"
    static let insertSender = "INSERT OR REPLACE INTO series_sender (sequence, seen, sender) VALUES (?1, ?2, ?3)"
    static let deleteSender = "DELETE FROM series_sender WHERE sender = ?1"
    static let insertBlock =
        "INSERT INTO series_block (id, tier, start, end, part, samples, block) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)"
    static let insertWindow = "INSERT INTO series_window (tier, resolution, span) VALUES (?1, ?2, ?3)"
    static let setTier = "INSERT OR REPLACE INTO series_tier (tier, through, expired) VALUES (?1, ?2, ?3)"
}
