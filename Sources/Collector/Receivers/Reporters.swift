public import Primitives
internal import Synchronization
internal import TelemetryModel
internal import TelemetryWire

/// Who reports to this collector, and who ended without a last report: what such a process counted since the one before is missing
/// (docs/formats/report.md). In memory: what happened while the collector was away is not known. Any thread; a lock.
public final class Reporters: Sendable {
    private let table = Mutex(ReporterTable())

    public init() {}

    /// A report is stored, or has been. Nil = nothing to say.
    func note(_ report: SeriesBatch.Report, now: MonotonicInstant) -> String? {
        table.withLock { $0.note(report, now: now) }
    }

    /// Every few seconds: what is to be said of those that are silent.
    public func look(now: MonotonicInstant, unixMilliseconds: Int64) -> [String] {
        table.withLock { $0.look(now: now, unixMilliseconds: unixMilliseconds) }
    }

    public func counts(now: MonotonicInstant) -> ReporterCounts { table.withLock { $0.counts(now: now) } }
}

public struct ReporterCounts: Equatable, Sendable {
    public var reporting = 0
    /// How long those have been silent that are late, seconds, longest first; at most `ReporterTable.namedMax`.
    public var silent: [(instance: String, seconds: Double)] = []
    /// All of them.
    public var late = 0
    /// Processes that ended without a last report.
    public var gaps: UInt64 = 0
    /// Senders that were one too many to be watched.
    public var unwatched: UInt64 = 0

    public static func == (left: Self, right: Self) -> Bool {
        left.reporting == right.reporting && left.late == right.late && left.gaps == right.gaps && left.unwatched == right.unwatched
            && left.silent.elementsEqual(right.silent) { $0 == $1 }
    }
}

/// The same, with time given. Pure.
struct ReporterTable {
    static let sendersMax = 4096
    /// A report is late after so many intervals of its sender.
    static let lateIntervals: UInt64 = 3
    static let intervalMin: UInt64 = 1_000_000_000
    static let intervalMax: UInt64 = 600_000_000_000
    /// Whoever is silent for so long is gone.
    static let goneNanoseconds: UInt64 = 3_600_000_000_000
    /// Silent senders that are named in a metric.
    static let namedMax = 20

    private struct Entry {
        var last: MonotonicInstant
        /// Usual time between reports, nanoseconds; the default of `--metrics-interval` until a second one tells.
        var interval: UInt64 = 10_000_000_000
        var isFirst = true
        var isLate = false
        /// Another process of the same instance reports.
        var isSucceeded = false
    }

    private var entries: [String: Entry] = [:]
    private var gaps: UInt64 = 0
    private var unwatched: UInt64 = 0

    /// A sender without what its process drew: `[PRINCIPAL@]HOST:PORT`.
    private static func instance(_ sender: String) -> Substring { sender[..<(sender.lastIndex(of: "/") ?? sender.endIndex)] }
    /// HOST:PORT, for people.
    private static func address(_ sender: String) -> Substring {
        let instance = instance(sender)
        return instance.lastIndex(of: "@").map { instance[instance.index(after: $0)...] } ?? instance
    }

    mutating func note(_ report: SeriesBatch.Report, now: MonotonicInstant) -> String? {
        if report.isLast {
            entries[report.sender] = nil
            return nil
        }
        if var entry = entries[report.sender] {
            // A pause shows at once, and is forgotten by and by.
            let interval = max(now.nanoseconds(since: entry.last), entry.isFirst ? 0 : entry.interval - entry.interval / 8)
            entry.isFirst = false
            let wasLate = entry.isLate
            entry.interval = min(max(interval, Self.intervalMin), Self.intervalMax)
            entry.last = now
            entry.isLate = false
            entries[report.sender] = entry
            return wasLate ? "\(Self.address(report.sender)) reports again: nothing of what it counts is missing" : nil
        }
        guard entries.count < Self.sendersMax else {
            unwatched &+= 1
            return nil
        }
        let instance = Self.instance(report.sender)
        for sender in entries.keys where Self.instance(sender) == instance { entries[sender]?.isSucceeded = true }
        entries[report.sender] = Entry(last: now)
        return nil
    }

    mutating func look(now: MonotonicInstant, unixMilliseconds: Int64) -> [String] {
        var lines: [String] = []
        for (sender, entry) in entries {
            let silence = now.nanoseconds(since: entry.last)
            guard silence > entry.interval * Self.lateIntervals else { continue }
            let seconds = silence / 1_000_000_000
            if entry.isSucceeded || silence > Self.goneNanoseconds {
                entries[sender] = nil
                gaps &+= 1
                let last = UTCText.rfc3339(unixMilliseconds &- Int64(clamping: silence / 1_000_000))
                let end = entry.isSucceeded ? "began anew without a last report" : "is gone without a last report"
                let lost = "what it counted after \(last), in an interval at most, is missing"
                lines.append("\(Self.address(sender)) \(end): \(lost)")
            } else if !entry.isLate {
                entries[sender]?.isLate = true
                let usual = (entry.interval + 500_000_000) / 1_000_000_000
                lines.append(
                    "\(Self.address(sender)) has sent no report for \(seconds) s (it reports every \(usual) s): "
                        + "it is down, or cannot reach this collector")
            }
        }
        return lines.sorted()
    }

    func counts(now: MonotonicInstant) -> ReporterCounts {
        var counts = ReporterCounts(gaps: gaps, unwatched: unwatched)
        let late = entries.filter(\.value.isLate)
        counts.late = late.count
        counts.reporting = entries.count - late.count
        // One line for an address, whoever claims it.
        let named = late.map { (String(Self.address($0)), Double(now.nanoseconds(since: $1.last)) / 1e9) }
        let silences = Dictionary(named, uniquingKeysWith: max)
        counts.silent = silences.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.prefix(Self.namedMax).map { ($0.key, $0.value) }
        return counts
    }
}
