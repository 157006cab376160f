public import Primitives

/// Chooses an endpoint of a cluster. Pure: loads, position and draw are parameters.
public enum Balancer {
    /// The chosen endpoint's index, or nil when the cluster has none.
    ///
    /// `position` is the cluster's round-robin counter, kept by the caller per worker. `load` gives the active requests of an endpoint.
    @inlinable
    public static func pick(
        _ cluster: ClusterEntry, position: inout UInt32, draw: inout RandomSource, weight: (Int) -> UInt32, load: (Int) -> UInt32
    ) -> Int? {
        let count = cluster.endpoints.count
        let start = Int(cluster.endpoints.start)
        guard count > 0 else { return nil }
        if count == 1 { return start }
        switch cluster.balancer {
        case .random:
            return cluster.hasEqualWeights ? start + Int(draw.below(count)) : weighted(cluster, point: draw.below(cluster.totalWeight), weight)
        case .roundRobin:
            position &+= 1
            if cluster.hasEqualWeights { return start + Int(position % count) }
            // A walk over the weights in coprime steps: shares are exact over any `totalWeight` picks, and neighbours differ.
            let point = UInt64(position) * UInt64(cluster.weightStride) % UInt64(max(1, cluster.totalWeight))
            return weighted(cluster, point: UInt32(truncatingIfNeeded: point), weight)
        case .leastRequest:
            // Power of two choices; with unequal weights the draws are weighted and the loads divided by the weight (semantics 2.6).
            if cluster.hasEqualWeights {
                let first = draw.below(count)
                // A second, different endpoint.
                var second = draw.below(count - 1)
                if second >= first { second += 1 }
                return load(start + Int(first)) <= load(start + Int(second)) ? start + Int(first) : start + Int(second)
            }
            let first = weighted(cluster, point: draw.below(cluster.totalWeight), weight)
            let second = weighted(cluster, point: draw.below(cluster.totalWeight), weight)
            let firstCost = (UInt64(load(first)) + 1) * UInt64(max(1, weight(second)))
            let secondCost = (UInt64(load(second)) + 1) * UInt64(max(1, weight(first)))
            return firstCost <= secondCost ? first : second
        }
    }

    @inlinable
    static func weighted(_ cluster: ClusterEntry, point: UInt32, _ weight: (Int) -> UInt32) -> Int {
        var rest = point
        for index in cluster.endpoints.indices {
            let share = weight(index)
            if rest < share { return index }
            rest -= share
        }
        return Int(cluster.endpoints.start)
    }
}
