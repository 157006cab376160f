import TelemetryModel

/// The last report of each sender: what makes a report that comes twice count once. On the writer thread.
struct ReportSenders {
    struct Last {
        var sequence: UInt64
        /// Milliseconds since 1970.
        var seen: Int64
    }

    private var committed: [String: Last] = [:]
    /// Of this group.
    private(set) var changed: [String: Last] = [:]

    mutating func load(_ sender: String, _ last: Last) { committed[sender] = last }

    /// Whether a report is to be counted.
    mutating func take(_ report: SeriesBatch.Report, now: Int64) -> Bool {
        let sender = report.sender.utf8.count <= SeriesBatch.Report.senderBytesMax ? report.sender : String(report.sender.prefix(64))
        let last = changed[sender] ?? committed[sender]
        if let last, report.sequence <= last.sequence { return false }
        changed[sender] = Last(sequence: report.sequence, seen: now)
        return true
    }

    mutating func commit() {
        committed.merge(changed) { $1 }
        changed.removeAll(keepingCapacity: true)
    }

    mutating func rollBack() { changed.removeAll(keepingCapacity: true) }

    var count: Int { committed.count }

    /// Forgets the senders that were silent longest, and returns them.
    mutating func forget(above max: Int) -> [String] {
        guard committed.count > max else { return [] }
        let gone = committed.sorted { $0.value.seen < $1.value.seen }.prefix(committed.count - max).map(\.key)
        for sender in gone { committed[sender] = nil }
        return gone
    }
}
