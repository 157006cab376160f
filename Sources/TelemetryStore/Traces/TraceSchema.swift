/// The tables of the traces, and how older files become current ones. Layouts: docs/formats/segment.md.
enum TraceSchema {
    static let tables = TableSchema(
        name: "traces", versionPlace: .userVersion,
        migrations: [
            TableSchema.Migration(name: "journal, segments and their blocks") { _ in first },
            TableSchema.Migration(name: "layout and age of segments, damaged journal rows") { now in layoutAndAge(now: now) },
        ])

    /// Blocks of a segment lie at `segment << blockBits`; the highest numbers are the segment's trace index and filter.
    static let blockBits: Int64 = 20
    static let tracesBlock: Int64 = (1 << 20) - 2
    static let filterBlock: Int64 = (1 << 20) - 3
    /// A large filter lies in `BloomFilter.partCount` rows from here on instead, so that a search reads one small row a segment.
    static let filterParts: Int64 = (1 << 19) + 64
    /// Where the same are in older segments, whose filters know a template's number but not the template.
    static let olderFilterBlock: Int64 = (1 << 20) - 1
    static let olderFilterParts: Int64 = 1 << 19
    /// What occurs with which service (`SegmentDigest`); older segments have none.
    static let digestBlock: Int64 = (1 << 20) - 4

    private static let first = [
        "CREATE TABLE journal (number INTEGER PRIMARY KEY, row BLOB NOT NULL)",
        """
        CREATE TABLE segment (number INTEGER PRIMARY KEY, spans INTEGER NOT NULL, timestamp_min INTEGER NOT NULL, \
        timestamp_max INTEGER NOT NULL, bytes INTEGER NOT NULL, blocks INTEGER NOT NULL, header BLOB NOT NULL)
        """,
        "CREATE TABLE block (id INTEGER PRIMARY KEY, hot BLOB NOT NULL, cold BLOB NOT NULL)",
    ]

    /// How a segment is laid out, what its age is counted from, and a place for journal rows that cannot be read. Segments that are there
    /// already stay as they are (`SegmentLayout.first`).
    private static func layoutAndAge(now: UInt64) -> [String] {
        let latest = now &+ RetentionClock.aheadMicrosecondsMax
        return [
            "ALTER TABLE segment ADD COLUMN layout INTEGER NOT NULL DEFAULT 1",
            "ALTER TABLE segment ADD COLUMN newest INTEGER NOT NULL DEFAULT 0",
            "ALTER TABLE segment ADD COLUMN arrival INTEGER NOT NULL DEFAULT 0",
            "UPDATE segment SET arrival = \(now), newest = CASE WHEN timestamp_max BETWEEN 0 AND \(latest) THEN timestamp_max ELSE 0 END",
            "CREATE TABLE damaged (number INTEGER PRIMARY KEY, found INTEGER NOT NULL, row BLOB NOT NULL)",
        ]
    }
}
