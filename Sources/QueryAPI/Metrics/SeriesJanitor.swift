public import Primitives

/// How long series stay that nothing is counted in.
public enum SeriesExpiryTimes {
    public static let idleSecondsDefault: UInt64 = 3600
    /// Of a route or an endpoint that no configuration knows any more: as far as PromQL looks back for a sample by default, so that a
    /// scraper that comes less often has gaps anyway.
    public static let goneSeconds: UInt64 = 300
}

/// Decides which series nobody uses any more. Pure: time and counts in, verdicts out.
///
/// A series that has not changed for `idleSeconds` is hidden from the exposition, and its rows are offered for expiry until they are gone.
/// Should it change before that, it is shown again with its old count. Overflow series are not for a janitor: they stay, and say that a
/// budget was spent.
public struct SeriesJanitor<Key: Hashable & Sendable>: Sendable {

    private struct Entry {
        var tokens: UInt64
        var changedAt: MonotonicInstant
        var pass: UInt64
    }

    private let idleSeconds: UInt64
    /// One entry for each series of the last pass, so as bounded as the shards are.
    private var entries: [Key: Entry] = [:]
    private var pass: UInt64 = 0

    public init(idleSeconds: UInt64) { self.idleSeconds = max(1, idleSeconds) }

    public var count: Int { entries.count }

    /// Begins a look at all series of all shards.
    public mutating func beginPass() { pass &+= 1 }

    /// The token of a shard's row as part of `tokens` of `isIdle`.
    public static func weighted(_ token: UInt64, ofShard shard: Int) -> UInt64 {
        token &* (0x9E37_79B9_7F4A_7C15 &* (2 &* UInt64(shard) &+ 1))
    }

    /// Tells the janitor how a series stands; returns whether it is idle and to be hidden. Once per series and pass.
    ///
    /// `tokens` changes whenever a row of any shard does. The requests' sum would not do: expiry and new requests can leave it as it was,
    /// and the new ones would never be shown. `secondsMax`: less than what the janitor allows is enough for this series.
    public mutating func isIdle(_ key: Key, tokens: UInt64, now: MonotonicInstant, secondsMax: UInt64 = .max) -> Bool {
        guard var entry = entries[key], entry.tokens == tokens else {
            entries[key] = Entry(tokens: tokens, changedAt: now, pass: pass)
            return false
        }
        entry.pass = pass
        entries[key] = entry
        let (limit, overflow) = min(idleSeconds, secondsMax).multipliedReportingOverflow(by: 1_000_000_000)
        return !overflow && now.nanoseconds(since: entry.changedAt) >= limit
    }

    /// Ends the pass: series that were not seen in it are forgotten.
    public mutating func endPass() {
        // Nearly always nothing is gone, and then nothing is rebuilt.
        guard entries.values.contains(where: { $0.pass != pass }) else { return }
        entries = entries.filter { $0.value.pass == pass }
    }
}
