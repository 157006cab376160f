import TelemetryModel

extension StoreDamage {
    static func segment(_ segment: Segment, in path: String) -> StoreDamage {
        StoreDamage(
            kind: .segment, what: "segment \(segment.number) of \(path) is damaged and left out", spans: UInt64(segment.spanCount),
            earliest: segment.timestampMin, latest: segment.timestampMax,
            command: "sqlite3 '\(path)' 'PRAGMA integrity_check; "
                + "SELECT number, spans, hex(header) FROM segment WHERE number = \(segment.number)'")
    }

    static func unreadableDigest(_ segment: Int64, in path: String) -> StoreDamage {
        StoreDamage(
            kind: .segment, what: "the digest of segment \(segment) of \(path) is damaged; searches look at the segment instead", spans: 0,
            command: "sqlite3 '\(path)' 'PRAGMA integrity_check; "
                + "SELECT hex(hot) FROM block WHERE id = \(segment << TraceSchema.blockBits | TraceSchema.digestBlock)'")
    }

    static func reading(_ error: StoreError, in path: String) -> StoreDamage {
        StoreDamage(
            kind: .file, what: "\(path) cannot be read everywhere (\(error))", spans: nil,
            command: "sqlite3 '\(path)' 'PRAGMA integrity_check'")
    }
}

/// Rows of the journal that were moved to the table `damaged`.
struct DamagedRows {
    private(set) var count: UInt64 = 0
    private var spans: UInt64 = 0
    private var earliest: UInt64 = 0
    private var latest: UInt64 = 0

    /// Notes a row; its head may be as damaged as the rest, so only what can be true counts.
    mutating func note(_ row: [UInt8]) {
        count += 1
        let head: (spans: UInt64, base: UInt64)? = unsafe row.withUnsafeBytes { all in
            var reader = unsafe ByteReader(all)
            guard reader.byte() == JournalLayout.version else { return nil }
            let spans = reader.varint()
            let base = reader.uint64()
            return reader.failed || spans > UInt64(JournalLayout.rowSpansMax) ? nil : (spans, base)
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
            kind: .journalRow,
            what: "\(count) \(count == 1 ? "row" : "rows") of acknowledged spans in \(path) "
                + "could not be read and went to its table damaged",
            spans: spans > 0 ? spans : nil, earliest: earliest, latest: latest,
            command: "sqlite3 '\(path)' 'SELECT number, found, hex(row) FROM damaged'")
    }
}
