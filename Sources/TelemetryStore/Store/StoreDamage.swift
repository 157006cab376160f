import Glibc

/// Something stored that cannot be read any more: what it was, where its bytes are now, and how to look at them. For logs, pages and `/health`.
public struct StoreDamage: Sendable, Equatable, CustomStringConvertible {
    public enum Kind: String, Sendable {
        /// The database as a whole; it was set aside and a new one begun.
        case file
        /// Acknowledged batches that were not in a segment yet.
        case journalRow = "journal_row"
        case segment
    }

    public var kind: Kind
    /// What happened, without place and advice.
    public var what: String
    /// Spans concerned; nil = unknown.
    public var spans: UInt64?
    /// Microseconds since 1970; 0 = unknown.
    public var earliest: UInt64 = 0
    public var latest: UInt64 = 0
    /// A command that shows what is left.
    public var command: String

    public var description: String {
        var text = what
        let count = spans.map { "\($0) spans" } ?? "an unknown number of spans"
        text += "; not readable: \(count)"
        if earliest > 0 { text += ", from \(WallClock.text(earliest)) to \(WallClock.text(max(earliest, latest)))" }
        return text + "; to look into it: \(command)"
    }

    /// The database that now lies at `path`.
    static func file(_ reason: String, movedTo path: String) -> StoreDamage {
        var damage = StoreDamage(
            kind: .file, what: "\(reason); it is now \(path), and a new one was begun", spans: nil,
            command: "sqlite3 '\(path)' .recover > recovered.sql")
        if let counts = try? counts(path) { (damage.spans, damage.earliest, damage.latest) = (counts.spans, counts.earliest, counts.latest) }
        return damage
    }

    /// What a damaged file still says of itself; it often ends in an error.
    private static func counts(_ path: String) throws(StoreError) -> (spans: UInt64, earliest: UInt64, latest: UInt64)? {
        guard DataDirectory.fileBytes(path) >= DataDirectory.databaseBytesMin else { return nil }
        let connection = try SQLiteConnection(path: path, access: .readOnly)
        let statement = try connection.prepare(
            "SELECT coalesce(sum(spans), 0), coalesce(min(nullif(timestamp_min, 0)), 0), coalesce(max(timestamp_max), 0) FROM segment")
        guard try statement.step() else { return nil }
        return (UInt64(clamping: statement.int64(0)), UInt64(clamping: statement.int64(1)), UInt64(clamping: statement.int64(2)))
    }

    static func segment(_ segment: Segment, in path: String) -> StoreDamage {
        StoreDamage(
            kind: .segment, what: "segment \(segment.number) of \(path) is damaged and left out", spans: UInt64(segment.spanCount),
            earliest: segment.timestampMin, latest: segment.timestampMax,
            command: "sqlite3 '\(path)' 'PRAGMA integrity_check; SELECT number, spans, hex(header) FROM segment WHERE number = \(segment.number)'")
    }

    static func reading(_ error: StoreError, in path: String) -> StoreDamage {
        StoreDamage(
            kind: .file, what: "\(path) cannot be read everywhere (\(error))", spans: nil, command: "sqlite3 '\(path)' 'PRAGMA integrity_check'")
    }

    /// Rows of the journal that were moved to the table `damaged`.
    struct Rows {
        private(set) var count: UInt64 = 0
        private var spans: UInt64 = 0
        private var earliest: UInt64 = 0
        private var latest: UInt64 = 0

        /// Notes a row; its head may be as damaged as the rest, so only what can be true counts.
        mutating func note(_ row: [UInt8]) {
            count += 1
            let head: (spans: UInt64, base: UInt64)? = unsafe row.withUnsafeBytes { all in
                var reader = unsafe ByteReader(all)
                guard reader.byte() == JournalEncoder.version else { return nil }
                let spans = reader.varint()
                let base = reader.uint64()
                return reader.failed || spans > UInt64(JournalEncoder.rowSpansMax) ? nil : (spans, base)
            }
            guard let head else { return }
            spans += head.spans
            guard head.base > 0, head.base < WallClock.nowMicroseconds() &+ RetentionClock.aheadMicrosecondsMax else { return }
            earliest = earliest == 0 ? head.base : min(earliest, head.base)
            latest = max(latest, head.base)
        }

        func damage(in path: String) -> StoreDamage? {
            guard count > 0 else { return nil }
            return StoreDamage(
                kind: .journalRow, what: "\(count) \(count == 1 ? "row" : "rows") of acknowledged spans in \(path) could not be read and went to its table damaged",
                spans: spans > 0 ? spans : nil, earliest: earliest, latest: latest,
                command: "sqlite3 '\(path)' 'SELECT number, found, hex(row) FROM damaged'")
        }
    }
}

extension WallClock {
    /// `2026-01-31T08:15:00Z`.
    static func text(_ microseconds: UInt64) -> String {
        var seconds = time_t(clamping: microseconds / 1_000_000)
        var parts = unsafe tm()
        guard unsafe gmtime_r(&seconds, &parts) != nil else { return "?" }
        var buffer = [CChar](repeating: 0, count: 64)
        let count = unsafe strftime(&buffer, buffer.count, "%Y-%m-%dT%H:%M:%SZ", &parts)
        return String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
