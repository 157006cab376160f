/// The tables, and how older files become current ones.
enum StoreSchema {
    static let version: Int64 = 2
    /// A row is hundreds of kilobytes: larger pages mean fewer writes to the log, at half a page lost per row. New files only.
    static let pageSize = 16_384
    /// Blocks of a segment lie at `segment << blockBits`; the highest numbers are the segment's trace index and filter.
    static let blockBits: Int64 = 20
    static let tracesBlock: Int64 = (1 << 20) - 2
    static let filterBlock: Int64 = (1 << 20) - 3
    /// A large filter lies in `BloomFilter.partCount` rows from here on instead, so that a search reads one small row a segment.
    static let filterParts: Int64 = (1 << 19) + 64
    /// Where the same are in older segments, whose filters know a template's number but not the template.
    static let olderFilterBlock: Int64 = (1 << 20) - 1
    static let olderFilterParts: Int64 = 1 << 19

    private static let first = [
        "CREATE TABLE journal (number INTEGER PRIMARY KEY, row BLOB NOT NULL)",
        """
        CREATE TABLE segment (number INTEGER PRIMARY KEY, spans INTEGER NOT NULL, timestamp_min INTEGER NOT NULL, \
        timestamp_max INTEGER NOT NULL, bytes INTEGER NOT NULL, blocks INTEGER NOT NULL, header BLOB NOT NULL)
        """,
        "CREATE TABLE block (id INTEGER PRIMARY KEY, hot BLOB NOT NULL, cold BLOB NOT NULL)",
    ]

    /// Version 2: how a segment is laid out, what its age is counted from, and a place for journal rows that cannot be read. Segments that
    /// are there already stay as they are (`SegmentLayout.first`).
    private static func second(now: UInt64) -> [String] {
        let latest = now &+ RetentionClock.aheadMicrosecondsMax
        return [
            "ALTER TABLE segment ADD COLUMN layout INTEGER NOT NULL DEFAULT 1",
            "ALTER TABLE segment ADD COLUMN newest INTEGER NOT NULL DEFAULT 0",
            "ALTER TABLE segment ADD COLUMN arrival INTEGER NOT NULL DEFAULT 0",
            "UPDATE segment SET arrival = \(now), newest = CASE WHEN timestamp_max BETWEEN 0 AND \(latest) THEN timestamp_max ELSE 0 END",
            "CREATE TABLE damaged (number INTEGER PRIMARY KEY, found INTEGER NOT NULL, row BLOB NOT NULL)",
        ]
    }

    /// Brings the file to `version` in one transaction; refuses newer files.
    static func migrate(_ connection: borrowing SQLiteConnection, now: UInt64 = WallClock.nowMicroseconds()) throws(StoreError) {
        let found = try connection.integer("PRAGMA user_version")
        guard found <= version else { throw .newerSchema(path: connection.path, found: found, known: version) }
        guard found < version else { return }
        try connection.execute("BEGIN IMMEDIATE")
        do throws(StoreError) {
            if found < 1 { for statement in first { try connection.execute(statement) } }
            for statement in second(now: now) { try connection.execute(statement) }
            try connection.execute("PRAGMA user_version = \(version)")
            try connection.execute("COMMIT")
        } catch {
            try? connection.execute("ROLLBACK")
            throw error
        }
    }

    static func openWriter(_ path: String, _ configuration: StoreConfiguration) throws(StoreError) -> SQLiteConnection {
        let connection = try SQLiteConnection(path: path, access: .readWrite)
        try connection.execute("PRAGMA page_size = \(pageSize)")
        try connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        try connection.execute("PRAGMA journal_mode = WAL")
        try connection.execute("PRAGMA synchronous = \(configuration.durableAgainstPowerLoss ? "FULL" : "NORMAL")")
        try connection.execute("PRAGMA wal_autocheckpoint = 0")
        // Some distributions overwrite deleted pages with zeros, which would write every journal row to the log twice.
        try connection.execute("PRAGMA secure_delete = OFF")
        try connection.execute("PRAGMA cache_size = -2048")
        try connection.execute("PRAGMA temp_store = MEMORY")
        if configuration.pageCountMax > 0 { try connection.execute("PRAGMA max_page_count = \(configuration.pageCountMax)") }
        // Reads the schema, so that a file that is no database is found out now.
        _ = try connection.integer("SELECT count(*) FROM sqlite_master")
        return connection
    }
}
