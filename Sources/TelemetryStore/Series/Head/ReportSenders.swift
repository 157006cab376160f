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

    /// Whether the number of senders is so far above its bound that some are to be forgotten: an eighth at a time.
    func isOverfull(_ max: Int) -> Bool { committed.count + changed.count > max + max / 8 }

    /// The senders that were silent longest, those above the bound.
    func silent(above max: Int) -> [String] {
        Array(committed.sorted { $0.value.seen < $1.value.seen }.prefix(Swift.max(committed.count - max, 0)).map(\.key))
    }

    mutating func commit(forgetting gone: [String]) {
        committed.merge(changed) { $1 }
        changed.removeAll(keepingCapacity: true)
        for sender in gone { committed[sender] = nil }
    }

    mutating func rollBack() { changed.removeAll(keepingCapacity: true) }
}
