import TelemetryModel

/// What each metric had no place for, since the store was opened. Changed on the writer thread with each commit; read by any.
final class FamilyOverflow: Sendable {
    /// Metrics that are counted by name; those that overflow after them are counted together, under no name.
    static let familiesMax = 1000

    private struct State {
        /// In the order in which they began to overflow.
        var names: [[UInt8]] = []
        var counts: [[UInt8]: SeriesOverflow] = [:]
        var others = SeriesOverflow()
    }

    private let state = Monitor(State())

    func note(_ family: [UInt8], _ count: SeriesOverflow) {
        state.withLock { state in
            if state.counts[family] == nil {
                guard state.names.count < Self.familiesMax else {
                    state.others += count
                    return
                }
                state.names.append(family)
            }
            state.counts[family, default: SeriesOverflow()] += count
        }
    }

    /// Those that began to overflow first, and all others together.
    func leading(_ limit: Int) -> (named: [(family: [UInt8], count: SeriesOverflow)], others: SeriesOverflow) {
        state.withLock { state in
            let named = state.names.prefix(limit).map { ($0, state.counts[$0] ?? SeriesOverflow()) }
            let others = state.names.dropFirst(limit).reduce(into: state.others) { $0 += state.counts[$1] ?? SeriesOverflow() }
            return (named, others)
        }
    }

    func count(of family: [UInt8]) -> SeriesOverflow { state.withLock { $0.counts[family] ?? SeriesOverflow() } }

    /// Metrics that overflow, in the order in which they began to: those from `start` on.
    func overflowing(from start: Int) -> [[UInt8]] { state.withLock { Array($0.names.dropFirst(start)) } }
}
