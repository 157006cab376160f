/// The versions of one set of tables, and how a file comes from each to the next.
struct TableSchema: Sendable {
    /// A step from one version to the next. It runs in the transaction that notes the new version.
    struct Migration: Sendable {
        /// For people who read the list.
        let name: String
        /// SQL; `now` in microseconds since 1970.
        let statements: @Sendable (_ now: UInt64) -> [String]
    }

    /// Where a file keeps the number of the set's version.
    enum VersionPlace: Sendable {
        /// `PRAGMA user_version`: for the traces' tables alone, where programs look that know no others.
        case userVersion
        /// A row of the table `schema`, which the first set that needs it makes.
        case registry
    }

    /// Letters, digits and `_`; the key in the table `schema`. Never changes.
    let name: String
    let versionPlace: VersionPlace
    /// The n-th brings version n to n + 1; version 0 has no tables. Old ones never change, because files passed through them.
    let migrations: [Migration]

    /// What this program knows.
    var version: Int64 { Int64(migrations.count) }

    init(name: String, versionPlace: VersionPlace = .registry, migrations: [Migration]) {
        precondition(name.utf8.allSatisfy { (0x61...0x7A).contains($0) || (0x30...0x39).contains($0) || $0 == UInt8(ascii: "_") })
        self.name = name
        self.versionPlace = versionPlace
        self.migrations = migrations
    }

    /// Brings the file's tables of each of `schemas` to the version this program knows, each set in one transaction of its own. A file with
    /// a newer version of any is refused before anything is changed; sets of tables that are not among `schemas` stay as they are.
    static func migrate(
        _ schemas: [TableSchema], _ connection: borrowing SQLiteConnection, now: UInt64 = WallClock.nowMicroseconds()
    ) throws(StoreError) {
        for schema in schemas {
            let found = try schema.foundVersion(connection)
            guard found <= schema.version else {
                let tables = schema.versionPlace == .userVersion ? "" : schema.name
                throw .newerSchema(path: connection.path, tables: tables, found: found, known: schema.version)
            }
        }
        for schema in schemas { try schema.migrate(connection, now) }
    }

    private func foundVersion(_ connection: borrowing SQLiteConnection) throws(StoreError) -> Int64 {
        switch versionPlace {
        case .userVersion: return try connection.integer("PRAGMA user_version")
        case .registry:
            guard try connection.integer("SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'schema'") > 0
            else { return 0 }
            return try connection.integer("SELECT version FROM schema WHERE name = '\(name)'")
        }
    }

    private func migrate(_ connection: borrowing SQLiteConnection, _ now: UInt64) throws(StoreError) {
        let found = try foundVersion(connection)
        guard found < version else { return }
        try connection.execute("BEGIN IMMEDIATE")
        do throws(StoreError) {
            for migration in migrations.dropFirst(Int(max(found, 0))) {
                for statement in migration.statements(now) { try connection.execute(statement) }
            }
            switch versionPlace {
            case .userVersion: try connection.execute("PRAGMA user_version = \(version)")
            case .registry:
                try connection.execute("CREATE TABLE IF NOT EXISTS schema (name TEXT PRIMARY KEY, version INTEGER NOT NULL) WITHOUT ROWID")
                try connection.execute("INSERT OR REPLACE INTO schema (name, version) VALUES ('\(name)', \(version))")
            }
            try connection.execute("COMMIT")
        } catch {
            try? connection.execute("ROLLBACK")
            throw error
        }
    }
}
