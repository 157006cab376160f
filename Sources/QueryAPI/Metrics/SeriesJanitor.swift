public import Primitives
public import TelemetryModel

/// Rows to free in the worker that owns a shard; each still at its count is idle.
public struct SeriesExpiry: Sendable {
    /// Index of the shard as it was given to `MetricsExposition`.
    public var shard: Int
    public var series: [(key: SeriesKey, requests: UInt64)]
}

/// Decides which series nobody uses any more. Pure: time and counts in, verdicts out.
///
/// A series that has not changed for `idleSeconds` is hidden from the exposition, and its rows are offered for expiry until they are gone.
/// Should it change before that, it is shown again with its old count. Overflow series stay: they say that a budget was spent.
public struct SeriesJanitor {
    public static let idleSecondsDefault: UInt64 = 3600

    private struct Entry {
        var counts: UInt64
        var changedAt: MonotonicInstant
        var pass: UInt64
    }

    public let idleSeconds: UInt64
    /// One entry for each series of the last pass, so as bounded as the shards are.
    private var entries: [SeriesKey: Entry] = [:]
    private var pass: UInt64 = 0

    public init(idleSeconds: UInt64 = SeriesJanitor.idleSecondsDefault) { self.idleSeconds = max(1, idleSeconds) }

    public var count: Int { entries.count }

    /// Begins a look at all series of all shards.
    public mutating func beginPass() { pass &+= 1 }

    /// Tells the janitor how a series stands; returns whether it is idle and to be hidden. Once per series and pass.
    ///
    /// `counts` changes whenever the count of any shard does. Their sum would not do: one shard's expiry and another's new request can
    /// leave it as it was.
    public mutating func isIdle(_ key: SeriesKey, counts: UInt64, now: MonotonicInstant) -> Bool {
        guard var entry = entries[key], entry.counts == counts else {
            entries[key] = Entry(counts: counts, changedAt: now, pass: pass)
            return false
        }
        entry.pass = pass
        entries[key] = entry
        guard key.labels != .overflow else { return false }
        let (limit, overflow) = idleSeconds.multipliedReportingOverflow(by: 1_000_000_000)
        return !overflow && now.nanoseconds(since: entry.changedAt) >= limit
    }

    /// Ends the pass: series that were not seen in it are forgotten.
    public mutating func endPass() {
        // Nearly always nothing is gone, and then nothing is rebuilt.
        guard entries.values.contains(where: { $0.pass != pass }) else { return }
        entries = entries.filter { $0.value.pass == pass }
    }
}
