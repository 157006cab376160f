internal import Glibc

/// Why the store did not do what was asked. The text says what to do about it.
public enum StoreError: Error, Equatable, Sendable, CustomStringConvertible {
    /// Another process has the data directory.
    case locked(directory: String, holder: Int32?)
    /// The file was written by a newer version. `tables` names the set of tables that is newer; empty = those of the traces.
    case newerSchema(path: String, tables: String = "", found: Int64, known: Int64)
    /// The directory cannot be made or opened.
    case directory(path: String, errorNumber: Int32)
    /// The series of the file have windows of other widths than asked for. Milliseconds; 0 = samples as they came.
    case otherTiers(path: String, found: [Int64])
    /// Retry later: the queue is full.
    case overloaded
    /// Retry later: the disk is full or failing; the store tries again by itself.
    case diskFull
    /// The store has been closed.
    case closed
    /// SQLite said no. `code` is its extended result code.
    case sqlite(code: Int32, message: String, operation: String)

    public var description: String {
        switch self {
        case .locked(let directory, let holder):
            "data directory \(directory) is in use by \(holder.map { "process \($0)" } ?? "another process"): "
                + "stop it or choose another directory with --data"
        case .newerSchema(let path, let tables, let found, let known):
            "\(path) has schema version \(found)\(tables.isEmpty ? "" : " of \(tables)"), this program knows up to \(known): "
                + "use the newer program, or move the file away"
        case .otherTiers(let path, let found):
            "the tiers of the series in \(path) have windows of "
                + found.map { $0 == 0 ? "raw" : "\($0 / 1000)s" }.joined(separator: ", ")
                + ", which never change: name the same windows in --series-tiers (ages and sizes may differ), or choose another directory "
                + "with --data"
        case .directory(let path, let number):
            "cannot use data directory \(path): \(unsafe String(cString: strerror(number))); "
                + "it must be a directory this user can write"
        case .overloaded: "the span queue is full: retry later"
        case .diskFull: "the disk of the data directory is full or failing: free some space; ingest resumes by itself"
        case .closed: "the trace store is closed"
        case .sqlite(let code, let message, let operation): "\(operation): SQLite error \(code): \(message)"
        }
    }

    /// Whether the same batch may be sent again later.
    public var isRetryable: Bool { self == .overloaded || self == .diskFull }

    /// Whether the file itself is bad, and a new one would work.
    var isDamage: Bool {
        guard case .sqlite(let code, _, _) = self else { return false }
        // SQLITE_CORRUPT, SQLITE_NOTADB; and SQLITE_ERROR when the tables are not ours.
        return code & 0xFF == 11 || code & 0xFF == 26 || code & 0xFF == 1
    }
}
