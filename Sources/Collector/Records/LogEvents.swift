/// The log as server-sent events (WHATWG HTML 9.2): framing and nothing else.
///
/// A record is an event without a name whose data is its JSON line; its `id` is its `LogPosition`. What a reader is not given is an event
/// `gap`. JSON escapes line feeds and carriage returns, so a line is one `data` field.
enum LogEvents {
    /// Why a reader lacks lines.
    enum Gap: String {
        /// More matched at once than a reader is sent (`CollectorLimits.tailBytesPerDrainMax`).
        case slowFollower = "slow_follower"
        /// The memory was overwritten, or held more than is sent at once, before the reader came back.
        case resumedLate = "resumed_late"
        /// The reader's last event was another process's. How many are missing is not known.
        case restarted
    }

    /// Milliseconds after which a reader whose connection broke comes back.
    static let retryMilliseconds = 2000

    static func appendOpening(to lines: inout [UInt8]) { lines.append(contentsOf: Array("retry: \(retryMilliseconds)\n\n".utf8)) }

    static func appendHead(_ position: LogPosition, to lines: inout [UInt8]) {
        lines.append(contentsOf: Array("id: \(position)\ndata: ".utf8))
    }

    /// Behind a line, which has its own line feed.
    static func appendEnd(to lines: inout [UInt8]) { lines.append(UInt8(ascii: "\n")) }

    /// `requests`: how many are missing at most; those among them that the filter would have left out are not told apart.
    static func appendGap(_ gap: Gap, requests: UInt64, to lines: inout [UInt8]) {
        lines.append(contentsOf: Array("event: gap\ndata: {\"reason\":\"\(gap.rawValue)\",\"requests\":\(requests)}\n\n".utf8))
    }

    /// Shows that the connection is alive, and moves the reader past what its filter left out: an event without data is dispatched to
    /// nobody, but its `id` counts (WHATWG HTML 9.2.6).
    static func appendHeartbeat(_ position: LogPosition, to lines: inout [UInt8]) {
        lines.append(contentsOf: Array(": alive\nid: \(position)\n\n".utf8))
    }
}
