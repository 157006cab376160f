public import Primitives

/// Chooses an endpoint of a group. Pure: loads, position and draw are parameters.
public enum Balancer {
    /// The chosen endpoint's index, or nil when the group has none.
    ///
    /// `position` is the cluster's round-robin counter, kept by the caller per worker. `load` gives what an endpoint bears: for
    /// `leastRequest` its active requests, for `peakEWMA` its cost; the others do not ask.
    @inlinable
    public static func pick(
        _ group: EndpointGroup, by kind: BalancerKind, position: inout UInt32, draw: inout RandomSource, weight: (Int) -> UInt32,
        load: (Int) -> UInt64
    ) -> Int? {
        let count = group.endpoints.count
        let start = Int(group.endpoints.start)
        guard count > 0 else { return nil }
        if count == 1 { return start }
        switch kind {
        case .random:
            return group.hasEqualWeights ? start + Int(draw.below(count)) : weighted(group, point: draw.below(group.totalWeight), weight)
        case .roundRobin:
            position &+= 1
            if group.hasEqualWeights { return start + Int(position % count) }
            // A walk over the weights in coprime steps: shares are exact over any `totalWeight` picks, and neighbours differ.
            let point = UInt64(position) * UInt64(group.weightStride) % UInt64(max(1, group.totalWeight))
            return weighted(group, point: UInt32(truncatingIfNeeded: point), weight)
        case .leastRequest, .peakEWMA:
            // Power of two choices; with unequal weights the draws are weighted and the loads divided by the weight (semantics 2.6).
            if group.hasEqualWeights {
                let first = draw.below(count)
                // A second, different endpoint.
                var second = draw.below(count - 1)
                if second >= first { second += 1 }
                return load(start + Int(first)) <= load(start + Int(second)) ? start + Int(first) : start + Int(second)
            }
            let first = weighted(group, point: draw.below(group.totalWeight), weight)
            let second = weighted(group, point: draw.below(group.totalWeight), weight)
            let firstCost = (min(load(first), loadMax) + 1) * UInt64(max(1, weight(second)))
            let secondCost = (min(load(second), loadMax) + 1) * UInt64(max(1, weight(first)))
            return firstCost <= secondCost ? first : second
        }
    }

    /// Loads beyond are alike; so that load times weight stays below 2^64.
    @inlinable
    static var loadMax: UInt64 { 1 << 31 }

    /// What `peakEWMA` compares: the latency average times the requests it would then bear. An endpoint that was never tried is tried,
    /// once.
    @inlinable
    public static func peakCost(latencyMicroseconds: UInt32, active: UInt32) -> UInt64 {
        if latencyMicroseconds == 0 { return active == 0 ? 0 : loadMax }
        return UInt64(latencyMicroseconds) * (UInt64(active) + 1)
    }

    @inlinable
    static func weighted(_ group: EndpointGroup, point: UInt32, _ weight: (Int) -> UInt32) -> Int {
        var rest = point
        for index in group.endpoints.indices {
            let share = weight(index)
            if rest < share { return index }
            rest -= share
        }
        return Int(group.endpoints.start)
    }
}
