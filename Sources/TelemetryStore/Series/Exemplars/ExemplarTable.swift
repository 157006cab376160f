import TelemetryModel

/// The file's table of exemplars, a row each. On the writer thread, or while the file is opened.
enum ExemplarTable {
    static let create = """
        CREATE TABLE series_exemplar (id INTEGER PRIMARY KEY, series INTEGER NOT NULL, bucket INTEGER NOT NULL, \
        time INTEGER NOT NULL, value INTEGER NOT NULL, span INTEGER NOT NULL, trace BLOB NOT NULL)
        """
    static let insert =
        "INSERT OR REPLACE INTO series_exemplar (id, series, bucket, time, value, span, trace) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)"
    static let remove = "DELETE FROM series_exemplar WHERE id = ?1"
    static let removeBefore = "DELETE FROM series_exemplar WHERE time < ?1"
    /// Bytes that a row takes in the log, about.
    static let rowBytes = 72

    static func load(_ database: WriteConnection) throws(StoreError) -> ExemplarShelf {
        var shelf = ExemplarShelf()
        let rows = try database.prepare("SELECT id, series, bucket, time, value, span, trace FROM series_exemplar ORDER BY id")
        while try rows.step() {
            let trace = rows.blob(6)
            guard trace.count == 16 else { continue }
            let id = TraceID(high: half(trace[..<8]), low: half(trace[8...]))
            guard let series = UInt32(exactly: rows.int64(1)), let bucket = UInt16(exactly: rows.int64(2)) else { continue }
            let exemplar = SeriesExemplar(
                time: rows.int64(3), value: Double(bitPattern: UInt64(bitPattern: rows.int64(4))), traceID: id,
                spanID: SpanID(UInt64(bitPattern: rows.int64(5))))
            shelf.load(ExemplarPlace(series: series, bucket: bucket), ShelvedExemplar(row: rows.int64(0), exemplar: exemplar))
        }
        return shelf
    }

    private static func half(_ bytes: ArraySlice<UInt8>) -> UInt64 { bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) } }

    static func write(
        _ change: ExemplarChange, _ insert: borrowing SQLiteStatement, _ remove: borrowing SQLiteStatement
    ) throws(StoreError) {
        for row in change.removedRows { try remove.run(integers: [row], blobs: []) }
        for (place, shelved) in change.added {
            let one = shelved.exemplar
            var trace: [UInt8] = []
            for word in [one.traceID.high, one.traceID.low] {
                for shift in stride(from: 0, to: 64, by: 8) { trace.append(UInt8(truncatingIfNeeded: word >> UInt64(shift))) }
            }
            try insert.run(
                integers: [
                    shelved.row, Int64(place.series), Int64(place.bucket), one.time, Int64(bitPattern: one.value.bitPattern),
                    Int64(bitPattern: one.spanID.rawValue),
                ], blobs: [trace])
        }
    }
}
