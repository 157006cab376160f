internal import Primitives
import TelemetryModel

/// What `OverflowSums` know, between two lives of the file: written when it is closed, and gone once it is read. So totals go on exactly
/// over an orderly restart; after a kill there is nothing, and `OverflowSums` says what then.
///
/// ```
/// u8 version | u64 seed | u64 fingerprint | varint width | f64 sum… | varint members, (u64 member, f64 last…)… | u64 hash
/// ```
///
/// On the writer thread, or while the file is opened.
enum OverflowTable {
    static let create = "CREATE TABLE series_overflow (series INTEGER PRIMARY KEY, content BLOB NOT NULL)"
    private static let insert = "INSERT OR REPLACE INTO series_overflow (series, content) VALUES (?1, ?2)"
    private static let version: UInt8 = 1
    /// Of all rows; what would take more is not written, and begins anew.
    private static let bytesMax = 64 << 20

    static func write(_ sums: OverflowSums, _ database: WriteConnection) throws(StoreError) {
        guard sums.byteCount <= bytesMax else { return }
        try database.transaction { () throws(StoreError) in
            let row = try database.prepare(insert)
            for series in sums.all { try row.run(integers: [Int64(series.number)], blobs: [encode(series, seed: sums.seed)]) }
        }
    }

    /// Reads the rows and deletes them: from the first sample on they are not true any more.
    static func take(_ database: WriteConnection) throws(StoreError) -> (seed: UInt64, sums: [OverflowSums.Saved])? {
        var found: (seed: UInt64, sums: [OverflowSums.Saved])?
        let rows = try database.prepare("SELECT series, content FROM series_overflow ORDER BY series")
        while try rows.step() {
            guard let number = UInt32(exactly: rows.int64(0)), let (seed, saved) = decode(number, rows.blob(1)) else { continue }
            if let known = found?.seed, known != seed { continue }
            found = (seed, (found?.sums ?? []) + [saved])
        }
        try database.transaction { () throws(StoreError) in try database.execute("DELETE FROM series_overflow") }
        return found
    }

    /// Another version of the hash would take every member for a new one.
    private static func fingerprint(_ seed: UInt64) -> UInt64 { ByteHash.hash(Array("members of overflow series".utf8), seed: seed) }

    private static func encode(_ series: OverflowSums.Saved, seed: UInt64) -> [UInt8] {
        var writer = ByteWriter(capacity: 64 + (series.members.count + 1) * (series.values.count + 1) * 8)
        writer.append(version)
        writer.append(seed)
        writer.append(fingerprint(seed))
        writer.append(varint: UInt64(series.values.count))
        for value in series.values { writer.append(value.bitPattern) }
        writer.append(varint: UInt64(series.members.count))
        for (member, last) in series.members {
            writer.append(member)
            for value in last { writer.append(value.bitPattern) }
        }
        writer.append(writer.hash())
        return writer.array()
    }

    private static func decode(_ number: UInt32, _ bytes: [UInt8]) -> (seed: UInt64, saved: OverflowSums.Saved)? {
        guard bytes.first == version, ByteReader.hasHash(bytes) else { return nil }
        return ByteReader.read(bytes) { reader in
            _ = reader.byte()
            let seed = reader.uint64()
            guard reader.uint64() == fingerprint(seed) else { return nil }
            let width = reader.count(bytesEach: 8)
            guard width <= SeriesLimits.widthMax else { return nil }
            func values(_ reader: inout ByteReader) -> [Double] { (0..<width).map { _ in Double(bitPattern: reader.uint64()) } }
            var saved = OverflowSums.Saved(number: number, values: values(&reader))
            for _ in 0..<reader.count(bytesEach: 8 * (width + 1)) { saved.members.append((reader.uint64(), values(&reader))) }
            return reader.failed ? nil : (seed, saved)
        }
    }
}
