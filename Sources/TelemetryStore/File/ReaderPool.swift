/// Read connections of one set of tables, each with its statements: made when first needed, kept for the next reader.
///
/// A `Reader` is used by one thread at a time: the pool hands it to one borrower.
final class ReaderPool<Reader: AnyObject & Sendable>: Sendable {
    /// Connections kept while nobody reads.
    static var idleMax: Int { 8 }
    private let path: String
    private let open: @Sendable (consuming SQLiteConnection) throws(StoreError) -> Reader
    private let idle: Monitor<[Reader]>

    /// `open` prepares the statements; the connection is its to keep.
    init(path: String, _ open: @escaping @Sendable (consuming SQLiteConnection) throws(StoreError) -> Reader) {
        self.path = path
        self.open = open
        idle = Monitor([])
    }

    func withReader<Result>(_ body: (Reader) throws(StoreError) -> Result) throws(StoreError) -> Result {
        let borrowed = idle.withLock { $0.popLast() }
        let reader: Reader
        if let borrowed {
            reader = borrowed
        } else {
            let connection = try SQLiteConnection(path: path, access: .readOnly)
            try connection.execute("PRAGMA cache_size = -1024")
            reader = try open(connection)
        }
        let result = try body(reader)
        idle.withLock { if $0.count < Self.idleMax { $0.append(reader) } }
        return result
    }

    func close() { idle.withLock { $0 = [] } }
}
