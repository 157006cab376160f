import CSQLite

/// Owns one `sqlite3 *`. Used by one thread at a time (opened with NOMUTEX); every result code is checked.
@safe
struct SQLiteConnection: ~Copyable {
    private let handle: OpaquePointer
    let path: String

    enum Access { case readWrite, readOnly }

    init(path: String, access: Access) throws(StoreError) {
        var opened: OpaquePointer?
        let flags = access == .readWrite ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE : SQLITE_OPEN_READONLY
        let code = unsafe sqlite3_open_v2(path, &opened, flags | SQLITE_OPEN_NOMUTEX, nil)
        guard code == SQLITE_OK, let handle = unsafe opened else {
            let message = unsafe String(cString: sqlite3_errstr(code))
            // SQLite hands out a handle even when opening fails.
            _ = unsafe sqlite3_close_v2(opened)
            throw .sqlite(code: code, message: message, operation: "opening \(path)")
        }
        unsafe self.handle = handle
        self.path = path
        _ = unsafe sqlite3_extended_result_codes(handle, 1)
        _ = unsafe sqlite3_busy_timeout(handle, 5000)
    }

    deinit { _ = unsafe sqlite3_close_v2(handle) }

    func storeError(_ code: Int32, _ operation: String) -> StoreError {
        switch code & 0xFF {
        case SQLITE_FULL, SQLITE_IOERR, SQLITE_NOMEM, SQLITE_READONLY, SQLITE_CANTOPEN: .diskFull
        default: .sqlite(code: code, message: unsafe String(cString: sqlite3_errmsg(handle)), operation: operation)
        }
    }

    func execute(_ sql: String) throws(StoreError) {
        let code = unsafe sqlite3_exec(handle, sql, nil, nil, nil)
        guard code == SQLITE_OK else { throw storeError(code, sql) }
    }

    func prepare(_ sql: String) throws(StoreError) -> SQLiteStatement {
        var prepared: OpaquePointer?
        let code = unsafe sqlite3_prepare_v3(handle, sql, -1, UInt32(SQLITE_PREPARE_PERSISTENT), &prepared, nil)
        guard code == SQLITE_OK, let statement = unsafe prepared else { throw storeError(code, sql) }
        return unsafe SQLiteStatement(statement, handle, sql)
    }

    /// The single integer of a query such as a pragma; 0 when there is no row.
    func integer(_ sql: String) throws(StoreError) -> Int64 {
        let statement = try prepare(sql)
        return try statement.step() ? statement.int64(0) : 0
    }

    var isInTransaction: Bool { unsafe sqlite3_get_autocommit(handle) == 0 }

    /// Runs `body` in an immediate transaction, rolled back when it throws.
    func transaction(_ body: () throws(StoreError) -> Void) throws(StoreError) {
        try execute("BEGIN IMMEDIATE")
        do {
            try body()
            try execute("COMMIT")
        } catch {
            if isInTransaction { try? execute("ROLLBACK") }
            throw error
        }
    }

    enum Checkpoint { case passive, truncate }

    /// Moves the log into the file. True when all of it was moved; busy readers are not an error.
    @discardableResult
    func checkpoint(_ mode: Checkpoint) throws(StoreError) -> Bool {
        var logFrames: Int32 = 0
        var movedFrames: Int32 = 0
        let code = unsafe sqlite3_wal_checkpoint_v2(
            handle, nil, mode == .passive ? SQLITE_CHECKPOINT_PASSIVE : SQLITE_CHECKPOINT_TRUNCATE, &logFrames, &movedFrames)
        if code & 0xFF == SQLITE_BUSY { return false }
        guard code == SQLITE_OK else { throw storeError(code, "checkpoint") }
        return logFrames == movedFrames
    }

}

/// Owns one prepared statement. Must not outlive its connection's last use; `sqlite3_close_v2` tolerates the order of deinits.
@safe
struct SQLiteStatement: ~Copyable {
    private let statement: OpaquePointer
    private let connection: OpaquePointer
    private let sql: String

    init(_ statement: OpaquePointer, _ connection: OpaquePointer, _ sql: String) {
        unsafe self.statement = statement
        unsafe self.connection = connection
        self.sql = sql
    }

    deinit { _ = unsafe sqlite3_finalize(statement) }

    private func expectOK(_ code: Int32) throws(StoreError) {
        guard code == SQLITE_OK else { throw storeError(code) }
    }

    private func storeError(_ code: Int32) -> StoreError {
        switch code & 0xFF {
        case SQLITE_FULL, SQLITE_IOERR, SQLITE_NOMEM, SQLITE_READONLY, SQLITE_CANTOPEN: .diskFull
        default: .sqlite(code: code, message: unsafe String(cString: sqlite3_errmsg(connection)), operation: sql)
        }
    }

    func bind(_ value: Int64, at index: Int32) throws(StoreError) { try expectOK(unsafe sqlite3_bind_int64(statement, index, value)) }

    /// True while there is a row to read.
    func step() throws(StoreError) -> Bool {
        let code = unsafe sqlite3_step(statement)
        switch code {
        case SQLITE_ROW: return true
        case SQLITE_DONE: return false
        default:
            _ = unsafe sqlite3_reset(statement)
            throw storeError(code)
        }
    }

    func reset() { _ = unsafe sqlite3_reset(statement) }

    func int64(_ column: Int32) -> Int64 { unsafe sqlite3_column_int64(statement, column) }

    /// Inserts with blobs bound in place (not copied), which is why binding and stepping are one call.
    func run(integers: [Int64], blobs: [[UInt8]]) throws(StoreError) {
        defer {
            _ = unsafe sqlite3_reset(statement)
            _ = unsafe sqlite3_clear_bindings(statement)
        }
        var index: Int32 = 1
        for value in integers {
            try bind(value, at: index)
            index += 1
        }
        try run(blobs[...], index)
    }

    private func run(_ blobs: ArraySlice<[UInt8]>, _ index: Int32) throws(StoreError) {
        guard let first = blobs.first else {
            while try step() {}
            return
        }
        // Typed throws do not pass through `withUnsafeBytes`, so the result is carried by hand.
        let result: Result<Void, StoreError> = unsafe first.withUnsafeBytes { bytes in
            let code = unsafe sqlite3_bind_blob64(statement, index, bytes.baseAddress, UInt64(bytes.count), nil)
            guard code == SQLITE_OK else { return .failure(storeError(code)) }
            do throws(StoreError) {
                try run(blobs.dropFirst(), index + 1)
                return .success(())
            } catch { return .failure(error) }
        }
        try result.get()
    }

    /// The blob of the current row, copied.
    func blob(_ column: Int32) -> [UInt8] {
        guard let base = unsafe sqlite3_column_blob(statement, column) else { return [] }
        let count = Int(unsafe sqlite3_column_bytes(statement, column))
        return unsafe [UInt8](UnsafeRawBufferPointer(start: base, count: count))
    }

    /// The blob of the current row in place; valid only inside `body`.
    func withBlob<Result>(_ column: Int32, _ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        let base = unsafe sqlite3_column_blob(statement, column)
        let count = unsafe base == nil ? 0 : Int(sqlite3_column_bytes(statement, column))
        return unsafe body(UnsafeRawBufferPointer(start: base, count: count))
    }

    /// The blob of the current row in place; valid until the statement is stepped, reset or asked for another type.
    func rawBlob(_ column: Int32) -> UnsafeRawBufferPointer {
        let base = unsafe sqlite3_column_blob(statement, column)
        let count = unsafe base == nil ? 0 : Int(sqlite3_column_bytes(statement, column))
        return unsafe UnsafeRawBufferPointer(start: base, count: count)
    }
}
