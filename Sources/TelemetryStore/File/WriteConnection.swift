/// The one connection that changes the file, with its log. Table sets prepare their statements on it.
///
/// `@unchecked Sendable`: made on the opening thread, then used only from the writer thread, or after that has been joined.
final class WriteConnection: @unchecked Sendable {
    let databasePath: String
    private let connection: SQLiteConnection
    private let walPath: String
    private let budget: StoreBudget
    /// Bytes written to the log since it was last empty, about.
    private var walBytes = 0

    /// A row is hundreds of kilobytes: larger pages mean fewer writes to the log, at half a page lost per row. New files only.
    static let pageSize = 16_384
    /// Long readers keep a log from being started over; at this many times its bound the next idle moment cuts it. Else it is overwritten
    /// from its start, which costs less than growing it again.
    private static let logOverrunMax: UInt64 = 4
    private static let commitOverheadBytes = 3 * pageSize

    /// Opens or creates the file and brings the tables of `schemas` up to date.
    init(_ path: String, _ configuration: StoreConfiguration, _ schemas: [TableSchema]) throws(StoreError) {
        databasePath = path
        walPath = path + "-wal"
        budget = StoreBudget(configuration.retentionBytes)
        connection = try SQLiteConnection(path: path, access: .readWrite)
        try connection.execute("PRAGMA page_size = \(Self.pageSize)")
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
        try TableSchema.migrate(schemas, connection)
    }

    func prepare(_ sql: String) throws(StoreError) -> SQLiteStatement { try connection.prepare(sql) }
    func execute(_ sql: String) throws(StoreError) { try connection.execute(sql) }

    /// Runs `body` in a transaction, which is rolled back when it throws.
    func transaction(_ body: () throws(StoreError) -> Void) throws(StoreError) { try connection.transaction(body) }

    /// After a commit of about so many bytes: moves the log into the file when it has become long.
    func checkpointIfLarge(_ written: Int) {
        walBytes += written + Self.commitOverheadBytes
        guard walBytes > budget.logBytesMax else { return }
        let isTooLong = DataDirectory.fileBytes(walPath) > UInt64(budget.logBytesMax) * Self.logOverrunMax
        // Failing to move the log is not failing to commit: it is tried again after the next commit.
        if (try? connection.checkpoint(isTooLong ? .truncate : .passive)) == true { walBytes = 0 }
    }

    /// Changes the file's page limit; 0 = SQLite's own.
    func limitPages(_ count: UInt32) throws(StoreError) {
        try connection.execute("PRAGMA max_page_count = \(count == 0 ? UInt32(1_073_741_823) : count)")
    }

    func space() throws(StoreError) -> StoreSpace {
        let page = UInt64(clamping: try connection.integer("PRAGMA page_size"))
        let pages = UInt64(clamping: try connection.integer("PRAGMA page_count"))
        let free = min(UInt64(clamping: try connection.integer("PRAGMA freelist_count")), pages)
        // The file may still be longer than its last committed state, until the log is moved into it.
        return StoreSpace(used: (pages - free) * page, free: free * page, log: DataDirectory.fileBytes(walPath))
    }

    /// Gives at least `bytes` of free pages back to the file system, as far as there are any, and empties the log.
    func giveBack(_ bytes: UInt64) throws(StoreError) {
        let pages = bytes / UInt64(Self.pageSize) + 1
        if bytes > 0 { try connection.execute("PRAGMA incremental_vacuum(\(pages))") }
        if try connection.checkpoint(.truncate) { walBytes = 0 }
    }

    /// Gives all free pages back to the file system and empties the log.
    func giveAllBack() throws(StoreError) {
        try connection.execute("PRAGMA incremental_vacuum")
        try connection.checkpoint(.truncate)
    }
}
