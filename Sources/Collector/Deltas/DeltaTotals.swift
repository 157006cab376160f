internal import Primitives
internal import Synchronization
internal import TelemetryModel

/// Totals of the series whose senders say increases (OTLP's delta temporality), so that the store has cumulative series alone. Any thread.
///
/// What is counted is what is stored. The increases of a request are added before its batch goes to the store, and taken back when the
/// store refuses it: the sender will send them again. Until the store has answered, those series are held, and a request with further
/// increases of one of them is to come again: it could be stored although what it builds on is not. A sender that waits for its answers
/// never meets that.
///
/// The totals live in memory. After a restart each begins anew, which is a reset of the series; rates stay right.
final class DeltaTotals: Sendable {
    /// Bounds of what is added up.
    struct Limits: Sendable {
        /// Series at once; increases of further ones are refused until others are idle.
        var seriesMax = 200_000
        /// Memory of keys and totals, about.
        var bytesMax = 256 << 20
        /// Memory of the totals that one request makes, about: a small increase of a series with many buckets makes a large total.
        var requestBytesMax = 64 << 20
        /// A total without increases for so long is forgotten, and begins anew with the next one.
        var idleNanosecondsMax: UInt64 = 3_600_000_000_000
        /// How often idle totals are looked for.
        var sweepNanoseconds: UInt64 = 60_000_000_000
    }

    /// The increases of one request, added and not yet stored. `settle` has to be called once with it.
    struct Addition: Sendable {
        /// One for each increase that was added, in their order.
        var totals: [MetricPoint] = []
        var refused = 0
        var firstRefusal: DeltaSeries.Refusal?
        fileprivate var bytes = 0
        /// What the series had before, by key; nil = they were new.
        fileprivate var before: [DeltaKey: Entry?] = [:]
    }

    fileprivate struct Entry: Sendable {
        var series: DeltaSeries
        /// Monotonic nanoseconds of the newest increase.
        var used: UInt64
        /// A request's increases are in it, and the store has not answered.
        var isHeld = false
    }

    private struct State {
        var entries: [DeltaKey: Entry] = [:]
        var bytes = 0
        /// Monotonic nanoseconds.
        var swept: UInt64 = 0
    }

    private let limits: Limits
    private let state = Mutex(State())
    private let series, bytes, held: CollectorCounter
    private let refused: [DeltaSeries.Refusal: CollectorCounter]

    init(_ statistics: CollectorStatistics, limits: Limits = Limits()) {
        self.limits = limits
        series = statistics.counter(.deltaSeries)
        bytes = statistics.counter(.deltaBytes)
        held = statistics.counter(.deltaHeld)
        refused = Dictionary(uniqueKeysWithValues: DeltaSeries.Refusal.allCases.map {
            ($0, statistics.counter(.deltaRefused, [("reason", $0.rawValue)]))
        })
    }

    /// Adds the increases of one request, in their order for each series. Nil = the store has not answered for one of the series: nothing
    /// is added, and the request has to come again. `now`: monotonic.
    func add(_ increases: [MetricPoint], now: MonotonicInstant) -> Addition? {
        guard !increases.isEmpty else { return Addition() }
        let keys = increases.map(DeltaSeries.key)
        let addition = state.withLock { state -> Addition? in
            if keys.contains(where: { state.entries[$0]?.isHeld == true }) { return nil }
            if now.nanoseconds >= state.swept &+ limits.sweepNanoseconds { sweep(&state, now) }
            var addition = Addition()
            for (key, point) in zip(keys, increases) { add(point, key, now, &state, &addition) }
            return addition
        }
        guard let addition else {
            held.add()
            return nil
        }
        return addition
    }

    private func add(
        _ point: MetricPoint, _ key: DeltaKey, _ now: MonotonicInstant, _ state: inout State, _ addition: inout Addition
    ) {
        var known = state.entries[key]
        if let entry = known, !entry.isHeld, hasExpired(entry, now) { known = nil }
        do throws(DeltaSeries.Refusal) {
            let series: DeltaSeries
            if let known {
                var sum = known.series
                try sum.add(point)
                series = sum
            } else {
                series = try DeltaSeries(point)
                guard state.entries[key] != nil || hasRoom(state, for: key.count + series.byteCount) else { throw .full }
            }
            addition.bytes += key.count + series.byteCount
            guard addition.bytes <= limits.requestBytesMax else { throw .large }
            if addition.before[key] == nil { addition.before.updateValue(state.entries[key], forKey: key) }
            put(Entry(series: series, used: now.nanoseconds, isHeld: true), key, &state)
            addition.totals.append(series.total(point))
        } catch {
            addition.refused += 1
            if addition.firstRefusal == nil { addition.firstRefusal = error }
            refused[error]?.add()
        }
    }

    /// Keeps what was added, or takes it back. Before the sender is answered.
    func settle(_ addition: Addition, isStored: Bool) {
        guard !addition.before.isEmpty else { return }
        state.withLock { state in
            for (key, before) in addition.before {
                if isStored { state.entries[key]?.isHeld = false } else { put(before, key, &state) }
            }
        }
    }

    // MARK: The table

    private func hasRoom(_ state: State, for bytes: Int) -> Bool {
        state.entries.count < limits.seriesMax && state.bytes + bytes <= limits.bytesMax
    }

    private func hasExpired(_ entry: Entry, _ now: MonotonicInstant) -> Bool {
        now.nanoseconds > entry.used && now.nanoseconds - entry.used > limits.idleNanosecondsMax
    }

    private func put(_ entry: Entry?, _ key: DeltaKey, _ state: inout State) {
        if let old = state.entries[key] { state.bytes -= key.count + old.series.byteCount }
        if let entry { state.bytes += key.count + entry.series.byteCount }
        state.entries[key] = entry
        series.set(UInt64(clamping: state.entries.count))
        bytes.set(UInt64(clamping: state.bytes))
    }

    private func sweep(_ state: inout State, _ now: MonotonicInstant) {
        state.swept = now.nanoseconds
        for (key, entry) in state.entries where !entry.isHeld && hasExpired(entry, now) { put(nil, key, &state) }
    }
}
